//! `bench-registry`: a registry with many agents and tasks, built by the very commands that a log carries: memory per task,
//! replay, snapshot. `bench-restart` restarts real masters with the same data.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::filling::{Builder, Size};
use bench::machine;
use bench::spread::show;
use bench::table::{Table, mebibytes, verdict};
use clap::Parser;
use master_core::Registry;

/// The goal for a running task, in bytes.
const TASK_BYTES_GOAL: f64 = 1024.0;
/// The goal for the restart of a replica.
const RESTART_GOAL: Duration = Duration::from_secs(2);

/// Memory, replay and snapshot of a registry full of agents and tasks
#[derive(Debug, Parser)]
#[command(name = "bench-registry")]
struct Arguments {
    /// Repetitions of writing and reading the snapshot
    #[arg(long = "trials", default_value_t = 3)]
    trials: usize,
    #[command(flatten)]
    size: Size,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::print_facts();
    let restart = in_process(&arguments)?;
    let mut goals = Table::new(&["goal", "figure", "verdict"]);
    let limit = RESTART_GOAL.as_secs_f64() * 1000.0;
    goals.row([
        "memory per running task ≤ 1 KiB".to_owned(),
        format!("{:.0} bytes", restart.bytes_per_task),
        verdict(restart.bytes_per_task, TASK_BYTES_GOAL).to_owned(),
    ]);
    goals.row([
        "restart ≤ 2 s: the part that reads the snapshot".to_owned(),
        format!("{} ms", show(restart.read_millis)),
        verdict(restart.read_millis, limit).to_owned(),
    ]);
    goals.print("goals");
    Ok(())
}

/// What the goals need.
struct Restart {
    bytes_per_task: f64,
    read_millis: f64,
}

fn in_process(arguments: &Arguments) -> Result<Restart> {
    let before = machine::resident_bytes();
    let mut builder = Builder::begin()?;
    let size = arguments.size;
    let frameworks = builder.frameworks(size.frameworks)?;
    let agents = builder.agents(size.agents)?;
    let with_agents = machine::resident_bytes();
    builder.tasks_on_all(&frameworks, &agents, size.tasks_per_agent)?;
    let with_tasks = machine::resident_bytes();
    let tasks = size.tasks() as f64;
    ensure!(builder.registry.task_count() as f64 == tasks, "some tasks are missing");
    let bytes_per_task = (with_tasks - with_agents) as f64 / tasks;

    let mut table = Table::new(&["what", "figure"]);
    table.row(["commands applied".to_owned(), builder.index.to_string()]);
    table.row([
        "decode and apply".to_owned(),
        format!(
            "{} ms in all, {:.0} commands/s",
            builder.applying.as_millis(),
            builder.index as f64 / builder.applying.as_secs_f64()
        ),
    ]);
    table.row([
        "size of these commands in the log".to_owned(),
        mebibytes(builder.log_bytes),
    ]);
    table.row([
        "resident memory, agents and frameworks".to_owned(),
        format!(
            "{}, {:.0} bytes per agent",
            mebibytes(with_agents - before),
            (with_agents - before) as f64 / size.agents as f64
        ),
    ]);
    table.row([
        "resident memory, tasks".to_owned(),
        format!(
            "{}, {bytes_per_task:.0} bytes per task",
            mebibytes(with_tasks - with_agents)
        ),
    ]);
    let (read_millis, snapshot_bytes) = snapshots(arguments, &builder.registry, &mut table)?;
    table.row([
        "snapshot bytes per task, agents included".to_owned(),
        format!("{:.0}", snapshot_bytes as f64 / tasks),
    ]);
    let begin = Instant::now();
    builder
        .registry
        .check_invariants()
        .map_err(|broken| anyhow::anyhow!("invariant broken: {broken}"))?;
    table.row([
        "checking every invariant and recomputing the state hash".to_owned(),
        format!("{} ms", begin.elapsed().as_millis()),
    ]);
    table.print(&format!(
        "a registry with {} agents and {tasks} running tasks of {} frameworks, in this process",
        size.agents, size.frameworks
    ));
    println!("load average now {}", machine::load_average());
    Ok(Restart {
        bytes_per_task,
        read_millis,
    })
}

/// Writes and reads the snapshot; returns the slowest reading in milliseconds, and the snapshot's size.
fn snapshots(arguments: &Arguments, registry: &Registry, table: &mut Table) -> Result<(f64, u64)> {
    let folder = tempfile::Builder::new().prefix("mesoraft-bench-").tempdir()?;
    let path = folder.path().join("snapshot");
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..arguments.trials.max(1) {
        let begin = Instant::now();
        let clone = registry.clone();
        let frozen = begin.elapsed();
        let mut out = BufWriter::new(File::create(&path)?);
        clone.write_to(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        writing.push(begin.elapsed().as_secs_f64() * 1000.0);
        ensure!(frozen < Duration::from_secs(1), "a clone copied the registry");
        let begin = Instant::now();
        let read = Registry::read_from(&mut BufReader::new(File::open(&path)?)).context("cannot read the snapshot")?;
        reading.push(begin.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            read.state_hash() == registry.state_hash(),
            "the snapshot holds another state"
        );
    }
    let list = |values: &[f64]| values.iter().map(|value| show(*value)).collect::<Vec<_>>().join(", ");
    let size = std::fs::metadata(&path)?.len();
    table.row(["size of the snapshot".to_owned(), mebibytes(size)]);
    table.row(["writing it, synced, ms".to_owned(), list(&writing)]);
    table.row(["reading it, state hash verified, ms".to_owned(), list(&reading)]);
    Ok((reading.iter().copied().fold(0.0, f64::max), size))
}
