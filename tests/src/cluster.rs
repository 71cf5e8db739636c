//! A cluster: N masters that agree through Raft, M agents, each a process of the real binary.
//!
//! Folders and logs lie in one temporary folder. It is removed when the test has called [`Cluster::passed`] and kept,
//! with its path printed, otherwise. Dropping the cluster kills every process of it, tasks included.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use test_ports::free_port;

use crate::node::Node;
use crate::wait::{wait_for, wait_until};
use crate::{http, master, processes};

/// Within this time a cluster must have elected a leader, an agent registered, a framework subscribed. Generous: a
/// bound against hanging, not a measure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Within this time a process must end after SIGTERM.
const EXIT: Duration = Duration::from_secs(30);

/// Election timers for tests in which no leader may change without a reason.
const PATIENT: [&str; 3] = [
    "--raft_heartbeat=100ms",
    "--raft_election_min=1000ms",
    "--raft_election_max=2000ms",
];

/// How a cluster is to be started.
pub struct Builder {
    masters: usize,
    agents: usize,
    master_flags: Vec<String>,
    agent_flags: Vec<String>,
    patient: bool,
}

impl Builder {
    /// Number of masters; three unless told.
    #[must_use]
    pub fn masters(mut self, count: usize) -> Self {
        self.masters = count;
        self
    }

    /// Number of agents; none unless told.
    #[must_use]
    pub fn agents(mut self, count: usize) -> Self {
        self.agents = count;
        self
    }

    /// Leaves the masters their own election timers. Otherwise they are long enough that a busy machine, on which a
    /// leader may be silent for a while, elects nobody without need; a killed leader is noticed by its broken
    /// connections all the same.
    #[must_use]
    pub fn own_timers(mut self) -> Self {
        self.patient = false;
        self
    }

    /// A further flag of every master, such as `--agent_ping_timeout=1secs`.
    #[must_use]
    pub fn master_flag(mut self, flag: &str) -> Self {
        self.master_flags.push(flag.to_owned());
        self
    }

    /// A further flag of every agent.
    #[must_use]
    pub fn agent_flag(mut self, flag: &str) -> Self {
        self.agent_flags.push(flag.to_owned());
        self
    }

    /// Starts every process and waits until a leader is elected and every agent is registered.
    pub fn start(self) -> Result<Cluster> {
        let mut cluster = self.lay_out()?;
        for index in 0..cluster.masters.len() {
            cluster.masters[index].start()?;
        }
        cluster.wait_for_leader()?;
        for index in 0..cluster.agents.len() {
            cluster.agents[index].start()?;
        }
        cluster.wait_for_agents(cluster.agents.len())?;
        Ok(cluster)
    }

    /// Prepares folders and command lines without starting anything.
    pub fn lay_out(self) -> Result<Cluster> {
        let binary = binary()?;
        let folder = tempfile::Builder::new()
            .prefix("mesoraft-test-")
            .tempdir()
            .context("no temporary folder")?;
        let folder = folder.keep();
        let name = folder
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or("test")
            .to_owned();
        let ports: Vec<u16> = (0..self.masters).map(|_| free_port()).collect();
        let raft_ports: Vec<u16> = (0..self.masters).map(|_| free_port()).collect();
        let initial: Vec<String> = raft_ports
            .iter()
            .enumerate()
            .map(|(index, port)| format!("{}=127.0.0.1:{port}", index + 1))
            .collect();
        let masters = (0..self.masters)
            .map(|index| {
                let id = index + 1;
                let mut arguments = vec![
                    "master".to_owned(),
                    format!("--node_id={id}"),
                    "--ip=127.0.0.1".to_owned(),
                    format!("--port={}", ports[index]),
                    format!("--raft_port={}", raft_ports[index]),
                    format!("--work_dir={}", folder.join(format!("master-{id}")).display()),
                    format!("--cluster={name}"),
                    format!("--initial_cluster={}", initial.join(",")),
                ];
                if self.patient {
                    arguments.extend(PATIENT.map(str::to_owned));
                }
                arguments.extend(self.master_flags.iter().cloned());
                node(format!("master-{id}"), &binary, arguments, &folder)
            })
            .collect();
        let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let agent_ports: Vec<u16> = (0..self.agents).map(|_| free_port()).collect();
        let agents = (0..self.agents)
            .map(|index| {
                let id = index + 1;
                let mut arguments = vec![
                    "agent".to_owned(),
                    format!("--master={}", addresses.join(",")),
                    "--ip=127.0.0.1".to_owned(),
                    format!("--port={}", agent_ports[index]),
                    format!("--work_dir={}", folder.join(format!("agent-{id}")).display()),
                    "--resources=cpus:4;mem:4096;disk:10000;ports:[31000-32000]".to_owned(),
                ];
                arguments.extend(self.agent_flags.iter().cloned());
                node(format!("agent-{id}"), &binary, arguments, &folder)
            })
            .collect();
        Ok(Cluster {
            folder,
            masters,
            ports,
            raft_ports,
            agents,
            agent_ports,
            passed: false,
        })
    }
}

fn node(name: String, binary: &Path, arguments: Vec<String>, folder: &Path) -> Node {
    let log = folder.join(format!("{name}.log"));
    Node::new(name, binary, arguments, log).env("RUST_BACKTRACE", "1").env(
        "RUST_LOG",
        std::env::var("RUST_LOG").unwrap_or_else(|_| "info".to_owned()),
    )
}

/// The binary under test: `MESORAFT_BIN`, or what `cargo build -p cli` puts beside the test program.
pub fn binary() -> Result<PathBuf> {
    let binary = match std::env::var_os("MESORAFT_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_folder()?.join("mesoraft"),
    };
    if !binary.exists() {
        bail!(
            "{} does not exist: build it with `cargo build -p cli` or set MESORAFT_BIN",
            binary.display()
        );
    }
    Ok(binary)
}

/// `target/<profile>`, in which the running test program lies (in `deps`).
pub(crate) fn profile_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the test program has no path")?;
    let folder = program.ancestors().find(|folder| folder.join("deps").is_dir());
    Ok(folder
        .with_context(|| format!("{} lies in no target folder", program.display()))?
        .to_path_buf())
}

/// The running processes. Masters and agents are counted from 0; master `i` has node id `i + 1`.
pub struct Cluster {
    folder: PathBuf,
    /// The masters.
    pub masters: Vec<Node>,
    ports: Vec<u16>,
    raft_ports: Vec<u16>,
    /// The agents.
    pub agents: Vec<Node>,
    agent_ports: Vec<u16>,
    passed: bool,
}

impl Cluster {
    /// Three masters and no agent unless told otherwise.
    pub fn builder() -> Builder {
        Builder {
            masters: 3,
            agents: 0,
            master_flags: Vec::new(),
            agent_flags: Vec::new(),
            patient: true,
        }
    }

    /// The folder that holds everything of this cluster.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The HTTP port of a master.
    pub fn port(&self, index: usize) -> u16 {
        self.ports[index]
    }

    /// The Raft port of a master.
    pub fn raft_port(&self, index: usize) -> u16 {
        self.raft_ports[index]
    }

    /// The HTTP port of an agent.
    pub fn agent_port(&self, index: usize) -> u16 {
        self.agent_ports[index]
    }

    /// The working folder of a master.
    pub fn master_folder(&self, index: usize) -> PathBuf {
        self.folder.join(format!("master-{}", index + 1))
    }

    /// Addresses of all masters, separated by commas.
    pub fn addresses(&self) -> String {
        self.ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The masters that run and are not paused.
    pub fn awake(&mut self) -> Vec<usize> {
        (0..self.masters.len())
            .filter(|index| self.masters[*index].is_running() && !self.masters[*index].is_paused())
            .collect()
    }

    /// The leading master, if exactly one of the awake ones says that it leads and the others that answer agree.
    pub fn leader(&mut self) -> Result<Option<usize>> {
        let mut elected = Vec::new();
        let awake = self.awake();
        for index in &awake {
            // A master that has only just started may not answer yet; it does not lead then.
            if let Ok(true) = master::is_elected(self.ports[*index]) {
                elected.push(*index);
            }
        }
        let [leader] = elected[..] else { return Ok(None) };
        for index in awake {
            match master::leader_port(self.ports[index]) {
                Ok(Some(port)) if port != self.ports[leader] => return Ok(None),
                _ => {}
            }
        }
        Ok(Some(leader))
    }

    /// Waits until one master leads.
    pub fn wait_for_leader(&mut self) -> Result<usize> {
        let found = wait_for("a master is elected", PATIENCE, || self.leader());
        match found {
            Ok(leader) => Ok(leader),
            Err(error) => bail!("{error:#}\n{}", self.ends_of_logs()),
        }
    }

    /// Waits until a master other than `old` leads.
    pub fn wait_for_other_leader(&mut self, old: usize) -> Result<usize> {
        let what = format!("a master other than {} is elected", self.masters[old].name());
        wait_for(&what, PATIENCE, || Ok(self.leader()?.filter(|leader| *leader != old)))
    }

    /// The HTTP port of the leading master; waits until there is one.
    pub fn leader_port(&mut self) -> Result<u16> {
        let leader = self.wait_for_leader()?;
        Ok(self.ports[leader])
    }

    /// Waits until exactly `count` agents are registered and active with the leading master.
    pub fn wait_for_agents(&mut self, count: usize) -> Result<()> {
        wait_until(&format!("{count} agents are active"), PATIENCE, || {
            let Some(leader) = self.leader()? else { return Ok(false) };
            Ok(master::active_agents(self.ports[leader])?.len() == count)
        })
    }

    /// Waits until the master answers `/health`, whether it leads or follows.
    pub fn wait_for_answer(&mut self, index: usize) -> Result<()> {
        let port = self.ports[index];
        wait_until(&format!("{} answers", self.masters[index].name()), PATIENCE, || {
            Ok(http::get(port, "/health", Duration::from_secs(2))?.status == 200)
        })
    }

    /// Waits until the master follows a leader (or leads).
    pub fn wait_until_follows(&mut self, index: usize) -> Result<()> {
        let port = self.ports[index];
        wait_until(
            &format!("{} knows the leader", self.masters[index].name()),
            PATIENCE,
            || Ok(master::leader_port(port)?.is_some()),
        )
    }

    /// `kill -9` of a master and its start again, which must succeed.
    pub fn restart_master(&mut self, index: usize) -> Result<()> {
        self.masters[index].kill9()?;
        self.masters[index].start()?;
        self.wait_for_answer(index)
    }

    /// The orderly stop of a master: hands over if it leads, then ends with success.
    pub fn terminate_master(&mut self, index: usize) -> Result<()> {
        let status = self.masters[index].terminate(EXIT)?;
        if !status.success() {
            bail!("{} ended with {status} after SIGTERM", self.masters[index].name());
        }
        Ok(())
    }

    /// Pauses every agent, so that none can come back to a new leader.
    pub fn pause_agents(&mut self) -> Result<()> {
        self.agents
            .iter_mut()
            .filter(|agent| !agent.is_paused())
            .try_for_each(Node::pause)
    }

    /// Continues every paused agent.
    pub fn resume_agents(&mut self) -> Result<()> {
        self.agents
            .iter_mut()
            .filter(|agent| agent.is_paused())
            .try_for_each(Node::resume)
    }

    /// Fails when a process that is supposed to run has ended, or any log speaks of a panic.
    pub fn check_health(&mut self) -> Result<()> {
        for node in self.masters.iter_mut().chain(self.agents.iter_mut()) {
            if let Some(line) = node.log_text().lines().find(|line| line.contains("panicked at")) {
                bail!("{} panicked: {line}", node.name());
            }
        }
        Ok(())
    }

    /// To be called at the end of a test that has passed: checks that nothing panicked and lets the folder go.
    pub fn passed(mut self) -> Result<()> {
        self.check_health()?;
        self.passed = true;
        Ok(())
    }

    fn ends_of_logs(&self) -> String {
        let mut text = String::new();
        for node in &self.masters {
            let log = node.log_text();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(15)..];
            text.push_str(&format!("--- {}\n{}\n", node.log().display(), end.join("\n")));
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in self.agents.iter_mut().chain(self.masters.iter_mut()) {
            if let Err(error) = node.kill9() {
                eprintln!("{error:#}");
            }
        }
        // Tasks outlive their agent by design; they work in their sandboxes, below the folder of the cluster.
        for pid in processes::working_below(&self.folder) {
            if let Err(error) = processes::signal(pid, Signal::SIGKILL) {
                eprintln!("{error:#}");
            }
        }
        if self.passed {
            if let Err(error) = std::fs::remove_dir_all(&self.folder) {
                eprintln!("cannot remove {}: {error}", self.folder.display());
            }
        } else {
            eprintln!("logs and data of the failed test are kept in {}", self.folder.display());
        }
    }
}
