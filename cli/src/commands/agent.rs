//! `mesoraft agent`: one agent. Its flags are the fields of [`agent::Config`].

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use agent::{Agent, Config};
use anyhow::Context;
use client::MasterList;
use seams::Seams;
use tracing::info;

use crate::duration::MesosDuration;
use crate::logging::LogFlags;
use crate::shutdown::StopSignals;

/// Flags of an agent. Flags that Mesos has too keep their names; every flag is also read from the environment
/// variable MESOS_NAME in capitals.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Masters, best all of them: host:port[,host:port…]
    #[arg(long = "master", env = "MESOS_MASTER", value_name = "MASTERS")]
    master: MasterList,

    /// Address to listen on
    #[arg(long = "ip", env = "MESOS_IP", value_name = "IP", default_value = "127.0.0.1")]
    ip: Ipv4Addr,

    /// Port to listen on; 0 takes a free one
    #[arg(long = "port", env = "MESOS_PORT", value_name = "PORT", default_value_t = 5051)]
    port: u16,

    /// Address told to masters and executors, when it is not the one listened on
    #[arg(long = "advertise_ip", env = "MESOS_ADVERTISE_IP", value_name = "IP")]
    advertise_ip: Option<Ipv4Addr>,

    /// Name in offers [default: the advertised address]
    #[arg(long = "hostname", env = "MESOS_HOSTNAME", value_name = "NAME")]
    hostname: Option<String>,

    /// Directory of sandboxes and checkpoints; belongs to one agent
    #[arg(long = "work_dir", env = "MESOS_WORK_DIR", value_name = "DIR")]
    work_dir: PathBuf,

    /// What is offered: cpus:4;mem:4096;disk:10000;ports:[31000-32000] (memory and disk in MB, roles as cpus(web):2)
    /// [default: what this host has]
    #[arg(
        long = "resources",
        env = "MESOS_RESOURCES",
        value_name = "RESOURCES",
        default_value = "",
        hide_default_value = true
    )]
    resources: String,

    /// Told to frameworks: rack:r1;zone:z1
    #[arg(
        long = "attributes",
        env = "MESOS_ATTRIBUTES",
        value_name = "ATTRIBUTES",
        default_value = "",
        hide_default_value = true
    )]
    attributes: String,

    #[command(flatten)]
    timers: TimerFlags,

    #[command(flatten)]
    history: HistoryFlags,

    /// Run tasks as the user their framework names (only when this agent runs as root)
    #[arg(long = "switch_user", env = "MESOS_SWITCH_USER", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    switch_user: bool,

    /// Mount point of the unified cgroup hierarchy; without a usable one tasks have no limits
    #[arg(
        long = "cgroups_hierarchy",
        env = "MESOS_CGROUPS_HIERARCHY",
        value_name = "DIR",
        default_value = "/sys/fs/cgroup"
    )]
    cgroups_hierarchy: PathBuf,

    #[command(flatten)]
    log: LogFlags,
}

/// Times.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Times")]
struct TimerFlags {
    /// Longest random time before the first registration; later pauses double from it
    #[arg(
        long = "registration_backoff_factor",
        env = "MESOS_REGISTRATION_BACKOFF_FACTOR",
        value_name = "DURATION",
        default_value = "1secs"
    )]
    registration_backoff_factor: MesosDuration,

    /// Longest random time before a registered agent speaks to a new leader
    #[arg(
        long = "failover_jitter",
        env = "MESOS_FAILOVER_JITTER",
        value_name = "DURATION",
        default_value = "100ms"
    )]
    failover_jitter: MesosDuration,

    /// Time within which a custom executor subscribes after its start
    #[arg(
        long = "executor_registration_timeout",
        env = "MESOS_EXECUTOR_REGISTRATION_TIMEOUT",
        value_name = "DURATION",
        default_value = "1mins"
    )]
    executor_registration_timeout: MesosDuration,

    /// Time within which a custom executor comes back after the agent was restarted
    #[arg(
        long = "executor_reregistration_timeout",
        env = "MESOS_EXECUTOR_REREGISTRATION_TIMEOUT",
        value_name = "DURATION",
        default_value = "15secs"
    )]
    executor_reregistration_timeout: MesosDuration,

    /// Time between the order to end and the kill of a custom executor
    #[arg(
        long = "executor_shutdown_grace_period",
        env = "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
        value_name = "DURATION",
        default_value = "5secs"
    )]
    executor_shutdown_grace_period: MesosDuration,

    /// Time after which executors give up on a dead agent
    #[arg(
        long = "recovery_timeout",
        env = "MESOS_RECOVERY_TIMEOUT",
        value_name = "DURATION",
        default_value = "15mins"
    )]
    recovery_timeout: MesosDuration,

    /// Time after which the sandbox of a completed executor is removed
    #[arg(
        long = "gc_delay",
        env = "MESOS_GC_DELAY",
        value_name = "DURATION",
        default_value = "1weeks"
    )]
    gc_delay: MesosDuration,
}

/// How much of the past is kept.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "History")]
struct HistoryFlags {
    /// Completed frameworks kept
    #[arg(
        long = "max_completed_frameworks",
        env = "MESOS_MAX_COMPLETED_FRAMEWORKS",
        value_name = "N",
        default_value_t = 50
    )]
    max_completed_frameworks: usize,

    /// Completed executors kept of each framework
    #[arg(
        long = "max_completed_executors_per_framework",
        env = "MESOS_MAX_COMPLETED_EXECUTORS_PER_FRAMEWORK",
        value_name = "N",
        default_value_t = 1000
    )]
    max_completed_executors_per_framework: usize,

    /// Completed tasks kept of each live executor
    #[arg(
        long = "max_completed_tasks_per_executor",
        env = "MESOS_MAX_COMPLETED_TASKS_PER_EXECUTOR",
        value_name = "N",
        default_value_t = 200
    )]
    max_completed_tasks_per_executor: usize,
}

/// Runs the agent until SIGTERM or SIGINT. Its tasks go on running; the next agent with this work directory finds them.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    super::run_member(&args.log.clone(), || {
        let config = args.into_config()?;
        config.validate()?;
        Ok(serve(config))
    })
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::catch()?;
    let agent = Agent::start(config, Seams::real())
        .await
        .context("cannot start the agent")?;
    info!(pid = %agent.pid(), "agent started");
    let stopped = async {
        let signal = stop.next().await;
        info!(signal, "stopping; tasks go on");
    };
    agent.run_until(stopped).await.context("the agent cannot go on")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn into_config(self) -> anyhow::Result<Config> {
        let work_dir =
            std::path::absolute(&self.work_dir).with_context(|| format!("--work_dir={}", self.work_dir.display()))?;
        Ok(Config {
            ip: self.ip,
            port: self.port,
            advertise_ip: self.advertise_ip,
            hostname: self.hostname,
            resources: self.resources,
            attributes: self.attributes,
            registration_backoff_factor: self.timers.registration_backoff_factor.0,
            failover_jitter: self.timers.failover_jitter.0,
            executor_registration_timeout: self.timers.executor_registration_timeout.0,
            executor_reregistration_timeout: self.timers.executor_reregistration_timeout.0,
            executor_shutdown_grace_period: self.timers.executor_shutdown_grace_period.0,
            recovery_timeout: self.timers.recovery_timeout.0,
            gc_delay: self.timers.gc_delay.0,
            max_completed_frameworks: self.history.max_completed_frameworks,
            max_completed_executors_per_framework: self.history.max_completed_executors_per_framework,
            max_completed_tasks_per_executor: self.history.max_completed_tasks_per_executor,
            switch_user: self.switch_user,
            cgroups_hierarchy: self.cgroups_hierarchy,
            ..Config::new(self.master.addresses().to_vec(), work_dir)
        })
    }
}
