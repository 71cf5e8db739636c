//! What a run is to be, and what is wrong with a wish that cannot be carried out.

use std::path::PathBuf;
use std::time::Duration;

use client::MasterList;

use crate::fault::FaultKind;
use crate::workload::Workload;

/// Clusters that are started here have at least as many masters as tolerate a failure, and at most as many as make sense.
const MASTERS: std::ops::RangeInclusive<usize> = 3..=7;
/// Real agents share this machine.
const REAL_AGENTS_MAX: usize = 20;
/// Faster than this, faults only cover each other.
const FAULTS_PER_MINUTE_MAX: f64 = 600.0;

/// A run of real processes, or against a cluster that is there.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program under test.
    pub program: PathBuf,
    /// This program, which serves volumes.
    pub harness: PathBuf,
    /// Version of the program under test and, where known, commit.
    pub version: String,
    /// Another build of it, for `upgrade`.
    pub other_program: Option<PathBuf>,
    /// What every process of the cluster gets in its environment.
    pub environment: Vec<(String, String)>,
    /// Masters at the beginning.
    pub masters: usize,
    /// Further flags of every master.
    pub master_flags: Vec<String>,
    /// Hollow agents, in this process.
    pub hollow_agents: usize,
    /// Agents that are processes.
    pub real_agents: usize,
    /// How long faults are injected.
    pub duration: Duration,
    /// From which the plan of faults follows.
    pub seed: u64,
    /// What may be drawn; empty for all that work here.
    pub faults: Vec<FaultKind>,
    /// What uses the cluster; empty for all.
    pub workloads: Vec<Workload>,
    /// How many begin in a minute on average.
    pub faults_per_minute: f64,
    /// Where the history goes.
    pub history: PathBuf,
    /// Directory of the cluster, below which everything is kept with `keep`, or when something is wrong.
    pub directory: PathBuf,
    /// Whether the directory stays in any case.
    pub keep: bool,
    /// A cluster that is there and is used instead of one started here.
    pub cluster: Option<MasterList>,
    /// Program that injects faults into `cluster`: called with fault, target and `begin` or `end`.
    pub hook: Option<PathBuf>,
}

/// A wish that cannot be carried out; nothing has been started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

impl Config {
    /// Checks each value and how they relate.
    ///
    /// # Errors
    /// The first that is wrong, by the name of its flag.
    pub fn validate(&self) -> Result<(), UsageError> {
        let fail = |text: String| Err(UsageError(text));
        if !self.program.is_file() {
            return fail(format!("--binary={}: there is no such file", self.program.display()));
        }
        if let Some(other) = self.other_program.as_ref().filter(|other| !other.is_file()) {
            return fail(format!("--other_binary={}: there is no such file", other.display()));
        }
        if let Some(hook) = self.hook.as_ref().filter(|hook| !hook.is_file()) {
            return fail(format!("--hook={}: there is no such file", hook.display()));
        }
        if self.hook.is_some() && self.cluster.is_none() {
            return fail("--hook is for a cluster that is there: --cluster names it".to_owned());
        }
        if self.cluster.is_none() && !MASTERS.contains(&self.masters) {
            let (low, high) = MASTERS.into_inner();
            return fail(format!("--masters={}: expected {low} to {high}", self.masters));
        }
        if self.real_agents > REAL_AGENTS_MAX {
            return fail(format!(
                "--real_agents={}: expected 0 to {REAL_AGENTS_MAX}",
                self.real_agents
            ));
        }
        if self.cluster.is_some() && self.real_agents > 0 {
            return fail("--real_agents: agents of a cluster that is there are its own".to_owned());
        }
        if self.hollow_agents + self.real_agents == 0 && self.cluster.is_none() {
            return fail("--agents=0 without --real_agents: nothing could be launched".to_owned());
        }
        if !(self.faults_per_minute > 0.0 && self.faults_per_minute <= FAULTS_PER_MINUTE_MAX) {
            return fail(format!(
                "--faults_per_minute={}: expected above 0, at most {FAULTS_PER_MINUTE_MAX}",
                self.faults_per_minute
            ));
        }
        if self.duration.is_zero() {
            return fail("--seconds=0: there is no run without time".to_owned());
        }
        Ok(())
    }
}
