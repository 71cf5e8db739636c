//! A run of real processes: a cluster, its load, faults, and a history of all of it, judged at the end.
//!
//! ```text
//! begin ── faults ── healed ── end ── verdicts
//!   │        │          │       └ the load ends in order, what is left is read
//!   │        │          └ everything is repaired: a write within 5 s, equal replicas within 30 s
//!   │        └ nemesis draws from the seed; the sampler watches; the load goes on
//!   └ masters, agents, the first leader, the load
//! ```
//!
//! A failure of this harness is an error, never a verdict. Must never touch a process it did not start, nor anything but
//! the loopback device; a cluster that is given is only used, and hurt only by its operator's own hook.

mod arena;
mod cluster;
mod config;
mod dice;
mod disks;
mod faults;
mod load;
mod machine;
mod nemesis;
mod network;
mod preparation;
mod reached;
mod sampler;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use self::arena::Arena;
use self::cluster::Cluster;
pub use self::config::{Config, UsageError};
use self::dice::Dice;
pub use self::disks::serve_volume;
use self::faults::Surroundings;
use self::load::Load;
pub use self::machine::enter_name_space;
use self::nemesis::{Nemesis, Tally};
use self::network::Switchboard;
use self::sampler::Sampler;
use crate::fault::FaultKind;
use crate::history::{Coverage, FORMAT, History, Phase, PhaseBegun, Record, Recorder, Run};

/// A cluster on one machine elects within a second; this bounds a start on a machine that is busy with other things.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Within this time after everything is repaired, all replicas must be equal.
const EQUAL_LIMIT: Duration = Duration::from_secs(30);
/// Time under load before the first fault.
const CALM: Duration = Duration::from_secs(2);
/// Time under load after the last one, in which writes have to succeed.
const HEALED: Duration = Duration::from_secs(8);

/// A run that came to its end.
#[derive(Debug)]
pub struct Outcome {
    /// What was written down.
    pub history: History,
    /// What the cluster did that it must not do, as far as this harness saw it itself: one sentence each.
    pub defects: Vec<String>,
    /// Why the run does not count, one sentence each.
    pub not_valid: Vec<String>,
    /// How often each fault began and ended.
    pub faults: BTreeMap<FaultKind, u64>,
}

/// Why a fault is not there for processes on this machine; `None` when it works.
pub fn unavailable(kind: FaultKind) -> Option<String> {
    faults::unavailable(kind, &Surroundings::look()).map(str::to_owned)
}

/// The faults that a run with this configuration draws from.
///
/// # Errors
/// A fault was asked for by name that does not work here.
pub fn faults_of(config: &Config) -> Result<Vec<FaultKind>, UsageError> {
    if config.cluster.is_some() {
        return Ok(match config.hook {
            Some(_) if config.faults.is_empty() => {
                return Err(UsageError("--hook: --faults says which it can do".into()));
            }
            Some(_) => config.faults.clone(),
            None if config.faults.is_empty() => Vec::new(),
            None => {
                return Err(UsageError(
                    "--faults: a cluster that is there is hurt only by a --hook".to_owned(),
                ));
            }
        });
    }
    let around = Surroundings::look();
    for kind in &config.faults {
        if let Some(reason) = faults::unavailable(*kind, &around) {
            return Err(UsageError(format!("--faults={kind}: not on this machine: {reason}")));
        }
    }
    let asked_for = |kind: &FaultKind| config.faults.is_empty() || config.faults.contains(kind);
    let all = FaultKind::ALL.iter().copied();
    Ok(all
        .filter(asked_for)
        .filter(|kind| faults::unavailable(*kind, &around).is_none())
        .collect())
}

/// Runs it; `stop` ends it early, in order, and then it does not count.
///
/// # Errors
/// The harness failed: nothing is known about the cluster.
pub async fn run(config: Config, stop: watch::Receiver<bool>) -> Result<Outcome> {
    let config = Arc::new(config);
    let kinds = faults_of(&config)?;
    fs::create_dir_all(&config.directory).with_context(|| format!("cannot create {}", config.directory.display()))?;
    let recorder = recorder(&config)?;
    recorder.record(Record::Run(describe(&config, &kinds)));
    let switchboard = Switchboard::new();
    let around = Surroundings::look();
    let environment = preparation::clocks(&config, &kinds, &around)?;
    let cluster = Cluster::lay_out(Arc::clone(&config), &switchboard, environment).await?;
    let disks = preparation::disks(&config, &kinds, &around).await?;
    let arena = Arc::new(Arena::new(Arc::clone(&config), cluster, switchboard, disks, recorder)?);
    let sampler = Sampler::new(Arc::clone(&arena));
    let phases = tokio::select! {
        phases = phases(&arena, kinds.clone(), stop) => phases,
        () = sampler.run() => unreachable!("the sampler goes on for ever"),
        () = arena.cluster.keep() => unreachable!("the keeper goes on for ever"),
    };
    arena.switchboard.heal();
    let mut ended = arena.cluster.end().await;
    for disk in &arena.disks {
        ended = ended.and(disk.end().await);
    }
    let (tally, mut not_valid) = phases?;
    ended?;
    let counted = sampler.coverage();
    if config.cluster.is_none() {
        not_valid.extend(reached::missing(&kinds, config.duration, &tally, &counted));
    }
    record_coverage(&arena.recorder, &tally, counted);
    not_valid.extend(
        tally
            .failures
            .iter()
            .map(|failure| format!("the harness failed: {failure}")),
    );
    let mut defects = tally.defects;
    defects.extend(arena.cluster.deaths());
    defects.extend(machine::panics(&config.directory));
    let history = arena.recorder.finish().context("cannot write the history")?;
    Ok(Outcome {
        history,
        defects,
        not_valid,
        faults: tally.done,
    })
}

fn recorder(config: &Config) -> Result<Recorder> {
    let path = &config.history;
    let file = File::create(path).with_context(|| format!("cannot write the history to {}", path.display()))?;
    let begin = Instant::now();
    let clock = move || u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(Recorder::new(clock).with_file(BufWriter::new(file)))
}

fn describe(config: &Config, kinds: &[FaultKind]) -> Run {
    Run {
        format: FORMAT,
        harness: "processes".to_owned(),
        seed: config.seed,
        masters: config
            .cluster
            .as_ref()
            .map_or(config.masters, |cluster| cluster.addresses().len()),
        version: config.version.clone(),
        machine: machine::describe(),
        started_at: seams::Seams::real().clock.now_micros(),
        workloads: config
            .chosen_workloads()
            .iter()
            .map(|workload| workload.name().to_owned())
            .collect(),
        faults: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
    }
}

/// All phases in order. Returns what came of the faults, and why the run does not count.
async fn phases(
    arena: &Arc<Arena>,
    kinds: Vec<FaultKind>,
    mut stop: watch::Receiver<bool>,
) -> Result<(Tally, Vec<String>)> {
    let mut not_valid = Vec::new();
    begin_phase(arena, Phase::Begin);
    arena.cluster.start().await?;
    tokio::select! {
        started = await_start(arena) => started?,
        _ = stop.wait_for(|stop| *stop) => bail!("interrupted before the cluster had started"),
    }
    let (switchboard, kills) = (&arena.switchboard, &arena.framework_kills);
    let mut load = Load::start(&arena.config, &arena.masters, switchboard, &arena.recorder, kills).await?;
    let tally = tokio::select! {
        tally = hurt_and_heal(arena, kinds, &mut stop) => tally,
        error = load.failed() => return Err(error),
    };
    begin_phase(arena, Phase::End);
    load.end().await?;
    if *stop.borrow() {
        not_valid.push("interrupted".to_owned());
    }
    Ok((tally, not_valid))
}

/// The two phases under load.
async fn hurt_and_heal(arena: &Arc<Arena>, kinds: Vec<FaultKind>, stop: &mut watch::Receiver<bool>) -> Tally {
    pause(CALM, stop).await;
    begin_phase(arena, Phase::Faults);
    let nemesis = Nemesis::new(Arc::clone(arena), kinds, Dice::new(arena.config.seed));
    let mut tally = nemesis.run(arena.config.duration, stop).await;
    arena.switchboard.heal();
    begin_phase(arena, Phase::Healed);
    let is_equal = tokio::join!(await_equal(arena), pause(HEALED, stop)).0;
    if !is_equal {
        let sentence = format!("the replicas are not equal {EQUAL_LIMIT:?} after everything was repaired");
        tally.defects.push(sentence);
    }
    tally
}

fn begin_phase(arena: &Arena, phase: Phase) {
    tracing::info!(?phase, "phase");
    let at = arena.recorder.now();
    arena.recorder.record(Record::Phase(PhaseBegun { at, phase }));
}

async fn pause(duration: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(duration) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

async fn await_start(arena: &Arena) -> Result<()> {
    let expected = arena.cluster.members().count();
    let started = arena
        .await_statuses(START_LIMIT, |statuses| {
            let ready = statuses.iter().filter(|(_, status)| status.leader.is_some());
            ready.count() >= expected
        })
        .await;
    if !started {
        bail!(
            "the cluster has no leader {START_LIMIT:?} after its start; see {}",
            arena.config.directory.display()
        );
    }
    Ok(())
}

/// Whether all replicas came to the same state at the same index. The load goes on, so that not every look finds all of
/// them at one index; those that have applied the most entries of a moment are compared by the checkers too.
async fn await_equal(arena: &Arena) -> bool {
    let members = arena.cluster.members().count();
    if members == 0 {
        // Of a cluster that is given the checks know as much.
        return true;
    }
    let mut seen: BTreeMap<u64, BTreeMap<usize, String>> = BTreeMap::new();
    arena
        .await_statuses(EQUAL_LIMIT, |statuses| {
            for (master, status) in statuses {
                let hash = &status.state_hash;
                let at_index = seen.entry(hash.applied_index).or_default();
                at_index.insert(master.place, hash.hash.clone());
            }
            let applied = statuses.iter().map(|(_, status)| status.state_hash.applied_index);
            let (low, high) = (applied.clone().min().unwrap_or(0), applied.max().unwrap_or(u64::MAX));
            // Equal at one index, or all of them so close behind each other that only the load lies between them.
            let equal = seen.values().any(|hashes| hashes.len() == members);
            equal || (statuses.len() == members && high - low <= CLOSE)
        })
        .await
}

/// Entries that may lie between two looks at replicas under load.
const CLOSE: u64 = 50;

fn record_coverage(recorder: &Recorder, tally: &Tally, counted: BTreeMap<String, u64>) {
    let faults = tally.done.iter().map(|(kind, count)| (format!("fault/{kind}"), *count));
    for (name, count) in faults.chain(counted) {
        recorder.record(Record::Coverage(Coverage { name, count }));
    }
}
