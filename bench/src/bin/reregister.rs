//! `bench-reregister`: a fleet of hollow agents with tasks; the leading master is killed; how long until every agent has
//! reregistered with the new one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::fleet::{FilledCluster, wait_for};
use bench::spread::{Spread, show};
use bench::table::{Table, verdict};
use bench::{machine, masters};
use chaos::hollow::Fleet;
use clap::Parser;

/// The goal: this long for [`GOAL_AGENTS`].
const GOAL: Duration = Duration::from_secs(4);
/// Agents of the goal.
const GOAL_AGENTS: f64 = 40_000.0;

/// Reregistration of hollow agents with tasks after the leader was killed
#[derive(Debug, Parser)]
#[command(name = "bench-reregister")]
struct Arguments {
    /// Kills
    #[arg(long = "trials", default_value_t = 5)]
    trials: usize,
    /// Hollow agents
    #[arg(long = "agents", default_value_t = 10_000)]
    agents: usize,
    /// Tasks on them
    #[arg(long = "tasks", default_value_t = 100_000)]
    tasks: u64,
    /// Frameworks that own the tasks
    #[arg(long = "frameworks", default_value_t = 10)]
    frameworks: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mut run = FilledCluster::start(arguments.agents, arguments.tasks, arguments.frameworks)?;
    let mut all = Spread::default();
    let mut first = Spread::default();
    let launches = run.fleet.counts().snapshot().launches;
    for trial in 0..arguments.trials {
        let (first_agent, every_agent) = kill_leader(&mut run, &arguments)?;
        first.record(first_agent);
        all.record(every_agent);
        println!(
            "kill {}: first agent back after {} ms, all after {} ms; memory of the masters in MiB {:?}; load average {}",
            trial + 1,
            first_agent.as_millis(),
            every_agent.as_millis(),
            masters::memory(&run.cluster),
            machine::load_average()
        );
    }
    let now = run.fleet.counts().snapshot();
    machine::print_facts();
    let mut table = Table::new(&["from kill -9 of the leader to", "trials", "p50 ms", "p90", "p99", "max"]);
    for (name, spread) in [
        ("the first agent reregistered", &first),
        ("every agent reregistered", &all),
    ] {
        let mut cells = vec![name.to_owned()];
        cells.extend(spread.cells());
        table.row(cells);
    }
    table.print(&format!(
        "reregistration of {} hollow agents with {} tasks",
        arguments.agents, arguments.tasks
    ));
    println!(
        "tasks held by the agents: {}; launched again: {}; agents told to stop: {}",
        now.tasks,
        now.launches - launches,
        now.shut_down
    );
    let mut goals = Table::new(&["goal", "figure", "limit", "verdict"]);
    let limit = GOAL.as_secs_f64() * 1000.0 * (arguments.agents as f64 / GOAL_AGENTS);
    goals.row([
        format!(
            "40,000 agents with 400,000 tasks ≤ 4 s; for {} agents in proportion",
            arguments.agents
        ),
        format!("{} ms", show(all.percentile(50.0))),
        format!("{} ms", show(limit)),
        verdict(all.percentile(50.0), limit).to_owned(),
    ]);
    goals.print("goals");
    run.cluster.passed()
}

/// Kills the leader and waits until the first agent, and every agent, is back.
fn kill_leader(run: &mut FilledCluster, arguments: &Arguments) -> Result<(Duration, Duration)> {
    let leader = masters::settle(&mut run.cluster)?;
    let agents = arguments.agents as u64;
    wait_for("every agent is registered", || {
        run.fleet.counts().snapshot().registered >= agents
    })?;
    let earlier = run.fleet.counts().snapshot();
    let (before, held) = (earlier.reregistrations, earlier.tasks);
    let killed = Instant::now();
    run.cluster.masters[leader].kill9()?;
    let back = |fleet: &Fleet| fleet.counts().snapshot().reregistrations - before;
    wait_for("an agent reregisters", || back(&run.fleet) > 0)?;
    let first = killed.elapsed();
    wait_for("every agent reregisters", || back(&run.fleet) >= agents)
        .with_context(|| format!("{} of {agents} agents are back", back(&run.fleet)))?;
    let all = killed.elapsed();
    let snapshot = run.fleet.counts().snapshot();
    ensure!(
        snapshot.tasks >= held,
        "the agents hold {} tasks instead of {held}",
        snapshot.tasks
    );
    run.cluster.masters[leader].start()?;
    Ok((first, all))
}
