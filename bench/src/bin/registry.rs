//! `bench-registry`: a registry with many agents and tasks, built by the very commands that a log carries: memory per task,
//! replay, snapshot, restart.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::filling::Builder;
use bench::fleet::FilledCluster;
use bench::spread::show;
use bench::table::{Table, mebibytes, verdict};
use bench::{machine, masters};
use clap::Parser;
use cluster_tests::wait::wait_until;
use master_core::Registry;

/// The goal for a running task, in bytes.
const TASK_BYTES_GOAL: f64 = 1024.0;
/// The goal for the restart of a replica.
const RESTART_GOAL: Duration = Duration::from_secs(2);

/// Memory, replay, snapshot and restart of a registry full of agents and tasks
#[derive(Debug, Parser)]
#[command(name = "bench-registry")]
struct Arguments {
    /// Repetitions of writing and reading the snapshot; restarts with --with_processes
    #[arg(long = "trials", default_value_t = 3)]
    trials: usize,
    /// Agents
    #[arg(long = "agents", default_value_t = 50_000)]
    agents: usize,
    /// Tasks on each agent
    #[arg(long = "tasks_per_agent", default_value_t = 10)]
    tasks_per_agent: usize,
    /// Frameworks that own the tasks
    #[arg(long = "frameworks", default_value_t = 100)]
    frameworks: usize,
    /// Restart real masters that hold this data, too
    #[arg(long = "with_processes")]
    with_processes: bool,
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
    if arguments.with_processes {
        let slowest = with_processes(&arguments)?;
        goals.row([
            "restart ≤ 2 s: a real replica, from its start until it has applied everything (slowest)".to_owned(),
            format!("{} ms", show(slowest)),
            verdict(slowest, limit).to_owned(),
        ]);
    }
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
    let frameworks = builder.frameworks(arguments.frameworks)?;
    let agents = builder.agents(arguments.agents)?;
    let with_agents = machine::resident_bytes();
    for (number, agent) in agents.iter().enumerate() {
        builder.tasks(&frameworks[number % frameworks.len()], agent, arguments.tasks_per_agent)?;
    }
    let with_tasks = machine::resident_bytes();
    let tasks = (arguments.agents * arguments.tasks_per_agent) as f64;
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
            (with_agents - before) as f64 / arguments.agents as f64
        ),
    ]);
    table.row([
        "resident memory, tasks".to_owned(),
        format!(
            "{}, {bytes_per_task:.0} bytes per task",
            mebibytes(with_tasks - with_agents)
        ),
    ]);
    let (read_millis, size) = snapshots(arguments, &builder.registry, &mut table)?;
    table.row([
        "snapshot bytes per task, agents included".to_owned(),
        format!("{:.0}", size as f64 / tasks),
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
        arguments.agents, arguments.frameworks
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

/// Restarts a follower of a real cluster that holds this data; returns the slowest restart in milliseconds.
fn with_processes(arguments: &Arguments) -> Result<f64> {
    let tasks = (arguments.agents * arguments.tasks_per_agent) as u64;
    let mut filled = FilledCluster::start(arguments.agents, tasks, arguments.frameworks)?;
    let mut table = Table::new(&[
        "restart",
        "answers after ms",
        "everything applied after ms",
        "resident MiB",
    ]);
    let mut slowest: f64 = 0.0;
    for trial in 0..arguments.trials {
        let leader = masters::settle(&mut filled.cluster)?;
        let follower = (leader + 1) % filled.cluster.masters.len();
        let target = masters::metric(filled.cluster.port(leader), "raft/commit_index")?;
        filled.cluster.masters[follower].kill9()?;
        let begin = Instant::now();
        filled.cluster.masters[follower].start()?;
        filled.cluster.wait_for_answer(follower)?;
        let answers = begin.elapsed();
        let port = filled.cluster.port(follower);
        wait_until("the replica has applied everything", masters::CATCH_UP_MAX, || {
            Ok(masters::metric(port, "raft/applied_index").unwrap_or(0.0) >= target)
        })?;
        let applied = begin.elapsed().as_secs_f64() * 1000.0;
        slowest = slowest.max(applied);
        let memory = masters::memory(&filled.cluster);
        table.row([
            (trial + 1).to_string(),
            answers.as_millis().to_string(),
            show(applied),
            memory.get(follower).map(u64::to_string).unwrap_or_default(),
        ]);
    }
    table.print("restart of a follower of a real cluster with this data");
    println!("load average now {}", machine::load_average());
    filled.cluster.passed()?;
    Ok(slowest)
}
