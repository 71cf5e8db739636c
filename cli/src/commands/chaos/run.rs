//! `mesoraft chaos run`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use chaos::check::Conclusion;
use chaos::fault::FaultKind;
use chaos::run::{Config, UsageError};
use chaos::workload::Workload;
use client::{Encoding, MasterList, Operator};
use seams::Seams;
use tokio::sync::watch;

use super::Failure;
use super::verdict::{Judgement, PorcupineFlags};
use crate::logging::{self, LogFlags};
use crate::output::{complain, say};
use crate::process::LOCAL_PID_VARIABLE;
use crate::shutdown::StopSignals;

/// Time in which a cluster that is there must name a leader.
const CLUSTER_LIMIT: Duration = Duration::from_secs(10);

/// Flags of `chaos run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Masters to start
    #[arg(long = "masters", value_name = "N", default_value_t = 3)]
    masters: usize,

    /// Hollow agents: they speak the agents' protocol and run nothing
    #[arg(long = "agents", value_name = "N", default_value_t = 10)]
    agents: usize,

    /// Real agents, processes of this program
    #[arg(long = "real_agents", value_name = "N", default_value_t = 0)]
    real_agents: usize,

    /// How long faults are injected
    #[arg(long = "seconds", value_name = "S", conflicts_with = "minutes")]
    seconds: Option<u64>,

    /// How long faults are injected, in minutes [default: 2]
    #[arg(long = "minutes", value_name = "M")]
    minutes: Option<u64>,

    /// From which the plan of faults follows [default: another each time]
    #[arg(long = "seed", value_name = "S")]
    seed: Option<u64>,

    /// Faults to draw from, separated by commas; 'mesoraft chaos faults' lists them [default: all that work here]
    #[arg(long = "faults", value_name = "NAMES", value_delimiter = ',')]
    faults: Vec<FaultKind>,

    /// Workloads, separated by commas; 'mesoraft chaos workloads' lists them [default: all]
    #[arg(long = "workloads", value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<Workload>,

    /// Faults that begin in a minute, on average
    #[arg(long = "faults_per_minute", value_name = "R", default_value_t = 20.0)]
    faults_per_minute: f64,

    /// Where the history goes, JSON lines [default: history.jsonl in the directory of the run]
    #[arg(long = "history", value_name = "FILE")]
    history: Option<PathBuf>,

    /// Folder that gets a page about the run, report.html and report.json
    #[arg(long = "report", value_name = "DIR")]
    report: Option<PathBuf>,

    /// The program under test [default: this one]
    #[arg(long = "binary", value_name = "PATH")]
    binary: Option<PathBuf>,

    /// Another build of it, for the fault 'upgrade'
    #[arg(long = "other_binary", value_name = "PATH")]
    other_binary: Option<PathBuf>,

    /// A further flag of every master, such as --master_flag=--snapshot_every=500; may be repeated
    #[arg(long = "master_flag", value_name = "FLAG", allow_hyphen_values = true)]
    master_flags: Vec<String>,

    /// Directory of the cluster's data and logs [default: a temporary one]
    #[arg(long = "work_dir", value_name = "DIR")]
    work_dir: Option<PathBuf>,

    /// Keep the directory; it is kept in any case when something is wrong
    #[arg(long = "keep")]
    keep: bool,

    /// Use the cluster of these masters instead of starting one: host:port[,host:port…]
    #[arg(long = "cluster", value_name = "MASTERS")]
    cluster: Option<MasterList>,

    /// Program that hurts --cluster: called with FAULT TARGET begin, and later with FAULT TARGET end
    #[arg(long = "hook", value_name = "PROGRAM", requires = "cluster")]
    hook: Option<PathBuf>,

    #[command(flatten)]
    porcupine: PorcupineFlags,

    #[command(flatten)]
    log: LogFlags,
}

/// Runs, judges, says so.
pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    logging::start(&args.log)?;
    let keep = args.keep;
    let porcupine = args.porcupine.clone();
    let report = args.report.clone();
    let config = args.into_config()?;
    let bad = |error: UsageError| Failure::BadInput(error.to_string());
    config.validate().map_err(bad)?;
    let kinds = chaos::run::faults_of(&config).map_err(bad)?;
    announce(&config, &kinds);
    let (directory, history) = (config.directory.clone(), config.history.clone());
    let has_own_history = history.starts_with(&directory);
    // Before there is any thread: what is mounted from now on is gone with the last process of this run.
    chaos::run::enter_name_space();
    let runtime = crate::commands::runtime()?;
    let ended = runtime.block_on(run_until_stopped(config));
    runtime.shutdown_background();
    let outcome = ended?;
    let mut verdicts = porcupine.judge(&outcome.history, &history);
    verdicts.not_valid.extend(outcome.not_valid);
    let judgement = Judgement {
        verdicts,
        defects: outcome.defects,
    };
    let faults: Vec<String> = outcome
        .faults
        .iter()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    say(&format!("faults: {}", faults.join(", ")));
    judgement.print();
    if let Some(folder) = &report {
        super::report::write(&outcome.history, &judgement.verdicts, &judgement.defects, folder)?;
    }
    let conclusion = judgement.conclusion();
    if keep || has_own_history || conclusion != Conclusion::Held {
        say(&format!("data and logs are in {}", directory.display()));
    } else {
        std::fs::remove_dir_all(&directory).with_context(|| format!("cannot remove {}", directory.display()))?;
    }
    say(&format!("history: {}", history.display()));
    Ok(ExitCode::from(conclusion.exit_code()))
}

fn announce(config: &Config, kinds: &[FaultKind]) {
    match &config.cluster {
        Some(cluster) => say(&format!(
            "cluster {}, seed {}",
            cluster.addresses().join(","),
            config.seed
        )),
        None => say(&format!(
            "{} masters, {} hollow and {} real agents, seed {}",
            config.masters, config.hollow_agents, config.real_agents, config.seed
        )),
    }
    let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
    say(&format!(
        "{} s of faults, {} per minute: {}",
        config.duration.as_secs(),
        config.faults_per_minute,
        names.join(", ")
    ));
}

async fn run_until_stopped(config: Config) -> Result<chaos::run::Outcome, Failure> {
    let mut signals = StopSignals::catch()?;
    if let Some(cluster) = &config.cluster {
        let operator = Operator::new(cluster, Encoding::Protobuf, Seams::real()).with_limit(CLUSTER_LIMIT);
        if let Err(error) = operator.get_master().await {
            let cluster = cluster.addresses().join(",");
            return Err(Failure::BadInput(format!(
                "--cluster={cluster}: there is no cluster: {error}"
            )));
        }
    }
    let (stop, stopped) = watch::channel(false);
    let mut running = std::pin::pin!(chaos::run::run(config, stopped));
    loop {
        tokio::select! {
            outcome = &mut running => return outcome.map_err(Failure::Harness),
            signal = signals.next() => {
                complain(&format!("{signal}: everything is healed and ended; once more ends it at once"));
                if *stop.borrow() {
                    // Processes and mounts end with this one.
                    return Err(Failure::Harness(anyhow::anyhow!("interrupted twice")));
                }
                stop.send_replace(true);
            }
        }
    }
}

/// What the program under test says of its version; empty when it says nothing, which the run itself will show.
fn version_of(program: &Path) -> String {
    let output = std::process::Command::new(program).arg("--version").output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

impl Args {
    fn into_config(self) -> anyhow::Result<Config> {
        let harness = std::env::current_exe().context("cannot find this program's file")?;
        let program = self.binary.unwrap_or_else(|| harness.clone());
        let directory = match self.work_dir {
            Some(directory) => std::path::absolute(directory).context("--work_dir")?,
            None => std::env::temp_dir().join(format!("mesoraft-chaos-{}", std::process::id())),
        };
        let duration = match (self.seconds, self.minutes) {
            (Some(seconds), _) => Duration::from_secs(seconds),
            (None, minutes) => Duration::from_secs(minutes.unwrap_or(2).saturating_mul(60)),
        };
        Ok(Config {
            version: version_of(&program),
            harness,
            program,
            other_program: self.other_binary,
            environment: vec![(LOCAL_PID_VARIABLE.to_owned(), std::process::id().to_string())],
            masters: self.masters,
            master_flags: self.master_flags,
            hollow_agents: self.agents,
            real_agents: self.real_agents,
            duration,
            seed: self.seed.unwrap_or_else(|| Seams::real().random_u64() >> 16),
            faults: self.faults,
            workloads: self.workloads,
            faults_per_minute: self.faults_per_minute,
            history: self.history.unwrap_or_else(|| directory.join("history.jsonl")),
            directory,
            keep: self.keep,
            cluster: self.cluster,
            hook: self.hook,
        })
    }
}
