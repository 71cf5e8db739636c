//! Settings of one agent, one field per flag, checked before anything starts.

use std::ffi::OsString;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::supervisor::SUBCOMMAND;

/// The Mesos version this agent behaves like; masters and frameworks expect a purely numeric one.
pub(crate) const MESOS_VERSION: &str = "1.12.0";

/// `PATH` of tasks; nothing of the agent's own environment reaches them.
pub(crate) const PROCESS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Settings of one agent. Flag names are those of Mesos agents where they have one.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--master`: masters of the cluster as `host:port`, at least one; the others are learnt as far as they lead.
    pub masters: Vec<String>,
    /// `--ip`: address to listen on; `0.0.0.0` needs `advertise_ip`.
    pub ip: Ipv4Addr,
    /// `--port`: port to listen on; 0 takes a free one.
    pub port: u16,
    /// `--advertise_ip`: address told to masters and executors; `ip` when absent.
    pub advertise_ip: Option<Ipv4Addr>,
    /// `--hostname`: name in offers; the advertised address when absent.
    pub hostname: Option<String>,
    /// `--work_dir`: sandboxes and checkpoints; belongs to one agent.
    pub work_dir: PathBuf,
    /// `--resources`, e.g. `cpus:4;mem:4096;disk:10000;ports:[31000-32000]` (memory and disk in MB, roles as
    /// `cpus(web):2`). What is not named of cpus, mem, disk and ports is taken from the host.
    pub resources: String,
    /// `--attributes`, e.g. `rack:r1;zone:z1`.
    pub attributes: String,
    /// `--registration_backoff_factor`: the first attempt to register comes after a random time up to this one, the
    /// pause between attempts doubles from it to a minute.
    pub registration_backoff_factor: Duration,
    /// Upper bound of the random time before an agent that was registered speaks to a *new* leader. Shorter than
    /// `registration_backoff_factor`, so that launches go on soon after a failover; still spreads a large fleet.
    pub failover_jitter: Duration,
    /// `--executor_registration_timeout`: a custom executor must subscribe within this time of its start.
    pub executor_registration_timeout: Duration,
    /// `--executor_reregistration_timeout`: a custom executor must come back within this time of the agent's restart.
    pub executor_reregistration_timeout: Duration,
    /// `--executor_shutdown_grace_period`: between the order to end and the kill of a custom executor.
    pub executor_shutdown_grace_period: Duration,
    /// `--recovery_timeout`: told to executors; they give a dead agent up after it.
    pub recovery_timeout: Duration,
    /// Between SIGTERM and SIGKILL for tasks without a `kill_policy`.
    pub kill_grace_period: Duration,
    /// `--switch_user`: run tasks as the user their framework names; takes effect only when the agent runs as root.
    pub switch_user: bool,
    /// `--gc_delay`: sandboxes of completed executors are removed after this time.
    pub gc_delay: Duration,
    /// `--max_completed_frameworks`: frameworks kept after their last executor; older ones are removed with their sandboxes.
    pub max_completed_frameworks: usize,
    /// `--max_completed_executors_per_framework`: completed executors kept; older ones are removed with their sandboxes.
    pub max_completed_executors_per_framework: usize,
    /// `--max_completed_tasks_per_executor`: completed tasks kept with a live executor.
    pub max_completed_tasks_per_executor: usize,
    /// `--cgroups_hierarchy`: mount point of the unified cgroup hierarchy; without a usable one, tasks have no limits.
    pub cgroups_hierarchy: PathBuf,
    /// File with the kernel's id of this boot; after a restart of the host no former process can live.
    pub boot_id_file: PathBuf,
    /// Program and first arguments that run a supervisor ([`crate::executor_main`]); default: this very binary with the
    /// subcommand `agent-executor`.
    pub supervisor: Vec<OsString>,
}

/// A setting that cannot be used: a sentence that names it and its value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub(crate) String);

impl Config {
    /// Defaults of a Mesos agent for the masters `masters` and the directory `work_dir`.
    pub fn new(masters: Vec<String>, work_dir: PathBuf) -> Self {
        Config {
            masters,
            ip: Ipv4Addr::UNSPECIFIED,
            port: 5051,
            advertise_ip: None,
            hostname: None,
            work_dir,
            resources: String::new(),
            attributes: String::new(),
            registration_backoff_factor: Duration::from_secs(1),
            failover_jitter: Duration::from_millis(100),
            executor_registration_timeout: Duration::from_secs(60),
            executor_reregistration_timeout: Duration::from_secs(15),
            executor_shutdown_grace_period: Duration::from_secs(5),
            recovery_timeout: Duration::from_secs(15 * 60),
            kill_grace_period: Duration::from_secs(3),
            switch_user: true,
            gc_delay: Duration::from_secs(7 * 24 * 3600),
            max_completed_frameworks: 50,
            max_completed_executors_per_framework: 1_000,
            max_completed_tasks_per_executor: 200,
            cgroups_hierarchy: PathBuf::from("/sys/fs/cgroup"),
            boot_id_file: PathBuf::from("/proc/sys/kernel/random/boot_id"),
            // The kernel's link to this binary works even after the file was replaced by an upgrade.
            supervisor: vec!["/proc/self/exe".into(), SUBCOMMAND.into()],
        }
    }

    /// The address told to others.
    pub(crate) fn advertised_ip(&self) -> Ipv4Addr {
        self.advertise_ip.unwrap_or(self.ip)
    }

    /// Refuses values that cannot work.
    ///
    /// Errors: the first unusable setting.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let refuse = |text: String| Err(ConfigError(text));
        if let Err(error) = self.masters.join(",").parse::<client::MasterList>() {
            return refuse(format!("--master: {error}"));
        }
        if !self.work_dir.is_absolute() {
            return refuse(format!(
                "--work_dir={}: expected an absolute path",
                self.work_dir.display()
            ));
        }
        if self.advertised_ip().is_unspecified() {
            return refuse(format!(
                "--ip={}: set --advertise_ip to the address that others reach",
                self.ip
            ));
        }
        if self.supervisor.is_empty() {
            return refuse("the supervisor's program is not given".into());
        }
        crate::resources::parse(&self.resources).map_err(|text| ConfigError(format!("--resources: {text}")))?;
        crate::resources::parse_attributes(&self.attributes)
            .map_err(|text| ConfigError(format!("--attributes: {text}")))?;
        Ok(())
    }
}

/// A duration as Mesos prints and parses it; whole seconds or minutes where that is exact.
pub(crate) fn duration_text(duration: Duration) -> String {
    let millis = duration.as_millis();
    match millis {
        0 => "0ns".into(),
        _ if millis.is_multiple_of(60_000) => format!("{}mins", millis / 60_000),
        _ if millis.is_multiple_of(1_000) => format!("{}secs", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_settings_are_named() {
        let good = Config {
            ip: Ipv4Addr::LOCALHOST,
            ..Config::new(vec!["h:5050".into()], "/w".into())
        };
        assert_eq!(good.validate(), Ok(()));
        let says = |config: Config, word: &str| {
            let text = config.validate().unwrap_err().to_string();
            assert!(text.contains(word), "{text}");
        };
        says(
            Config {
                masters: vec![],
                ..good.clone()
            },
            "--master",
        );
        says(
            Config {
                work_dir: "relative".into(),
                ..good.clone()
            },
            "--work_dir=relative",
        );
        says(
            Config {
                ip: Ipv4Addr::UNSPECIFIED,
                ..good.clone()
            },
            "--advertise_ip",
        );
        says(
            Config {
                resources: "cpus".into(),
                ..good.clone()
            },
            "--resources",
        );
        says(
            Config {
                attributes: "rack".into(),
                ..good
            },
            "--attributes",
        );
    }

    #[test]
    fn durations_are_printed_as_mesos_reads_them() {
        assert_eq!(duration_text(Duration::from_secs(5)), "5secs");
        assert_eq!(duration_text(Duration::from_secs(900)), "15mins");
        assert_eq!(duration_text(Duration::from_millis(1500)), "1500ms");
    }
}
