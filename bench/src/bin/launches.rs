//! `bench-launches`: launches per second from end to end. Three masters as real processes, hollow agents and launching
//! frameworks in this one: accepted, committed, sent to the agent, TASK_RUNNING forwarded, acknowledged.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::spread::{median, show};
use bench::table::{Table, verdict};
use bench::{machine, masters};
use chaos::hollow::{Fleet, FleetConfig};
use chaos::launcher::{LaunchCounts, Launcher, LauncherConfig};
use clap::Parser;
use client::MasterList;
use cluster_tests::cluster::Cluster;
use master_core::resources::Resources;
use seams::Seams;
use tokio::time::{Instant, sleep, sleep_until};

/// Resources of a hollow agent: room for many tasks.
const AGENT_RESOURCES: &str = "cpus:200;mem:200000;disk:100000;ports:[31000-32000]";
/// Resources of a task.
const TASK_RESOURCES: &str = "cpus:0.01;mem:1";
/// The goal, in tasks per second.
const GOAL: f64 = 5000.0;
/// Longest wait for the agents to register.
const REGISTER_MAX: Duration = Duration::from_secs(120);
/// Not counted at the beginning.
const WARM_UP: Duration = Duration::from_secs(3);

/// Launches per second, end to end, with hollow agents
#[derive(Debug, Parser)]
#[command(name = "bench-launches")]
struct Arguments {
    /// Runs, each on a new cluster
    #[arg(long = "trials", default_value_t = 1)]
    trials: usize,
    /// Seconds that are counted
    #[arg(long = "seconds", default_value_t = 60)]
    seconds: u64,
    /// Hollow agents
    #[arg(long = "agents", default_value_t = 1000)]
    agents: usize,
    /// Frameworks that share the work
    #[arg(long = "frameworks", default_value_t = 8)]
    frameworks: usize,
    /// Most tasks in one ACCEPT
    #[arg(long = "tasks_per_accept", default_value_t = 10)]
    tasks_per_accept: usize,
    /// Further flags of the masters, such as --allocation_interval=200ms
    #[arg(long = "master_flag", allow_hyphen_values = true)]
    master_flags: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for _ in 0..arguments.trials {
        let mut builder = Cluster::builder().own_timers();
        for flag in &arguments.master_flags {
            builder = builder.master_flag(flag);
        }
        let mut cluster = builder.start()?;
        let list: MasterList = cluster.addresses().parse()?;
        let runtime = tokio::runtime::Runtime::new()?;
        let (rates, counts) = runtime.block_on(run(&arguments, list))?;
        print(&arguments, &cluster, &rates, &counts);
        let leader = cluster.wait_for_leader()?;
        println!(
            "term at the end: {}; tasks in the leader: {}",
            masters::term(&mut cluster)?,
            masters::metric(cluster.port(leader), "master/tasks_running").unwrap_or(f64::NAN)
        );
        cluster.passed()?;
    }
    Ok(())
}

/// Tasks in one second.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    accepted: f64,
    running: f64,
    acknowledged: f64,
}

async fn run(arguments: &Arguments, list: MasterList) -> Result<(Vec<Second>, std::sync::Arc<LaunchCounts>)> {
    let resources = |text: &str| Resources::parse_flag(text, "*").map_err(|error| anyhow::anyhow!("{text}: {error}"));
    let config = FleetConfig {
        starting_updates: false,
        ..FleetConfig::new(list.clone(), arguments.agents, resources(AGENT_RESOURCES)?.to_proto())
    };
    let fleet = Fleet::start(config, Seams::real()).await?;
    let begin = Instant::now();
    while fleet.counts().snapshot().registered < arguments.agents as u64 {
        ensure!(begin.elapsed() < REGISTER_MAX, "the agents did not register");
        sleep(Duration::from_millis(10)).await;
    }
    println!(
        "{} agents registered within {} ms",
        arguments.agents,
        begin.elapsed().as_millis()
    );
    let launcher = Launcher::start(
        &LauncherConfig {
            masters: list,
            frameworks: arguments.frameworks,
            tasks: u64::MAX / 2,
            task_resources: resources(TASK_RESOURCES)?,
            tasks_per_accept: arguments.tasks_per_accept,
            command: "sleep 100000".to_owned(),
        },
        &Seams::real(),
    )?;
    sleep(WARM_UP).await;
    let counts = launcher.counts().clone();
    let mut seconds = Vec::new();
    let mut before = read(&counts);
    let mut next = Instant::now();
    for _ in 0..arguments.seconds {
        next += Duration::from_secs(1);
        sleep_until(next).await;
        let now = read(&counts);
        seconds.push(Second {
            accepted: now.accepted - before.accepted,
            running: now.running - before.running,
            acknowledged: now.acknowledged - before.acknowledged,
        });
        before = now;
    }
    Ok((seconds, counts))
}

fn read(counts: &LaunchCounts) -> Second {
    let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed) as f64;
    Second {
        accepted: read(&counts.accepted),
        running: read(&counts.running),
        acknowledged: read(&counts.acknowledged),
    }
}

fn print(arguments: &Arguments, cluster: &Cluster, seconds: &[Second], counts: &LaunchCounts) {
    machine::print_facts();
    let mut table = Table::new(&["tasks", "mean per second", "median", "slowest second", "fastest second"]);
    let mut mean_running = 0.0;
    for (name, pick) in [
        (
            "launch accepted (committed)",
            (|second: &Second| second.accepted) as fn(&Second) -> f64,
        ),
        ("TASK_RUNNING received by the framework", |second| second.running),
        ("acknowledgement accepted", |second| second.acknowledged),
    ] {
        let values: Vec<f64> = seconds.iter().map(pick).collect();
        let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
        if name.starts_with("TASK_RUNNING") {
            mean_running = mean;
        }
        let low = values.iter().copied().fold(f64::MAX, f64::min);
        let high = values.iter().copied().fold(0.0, f64::max);
        table.row([
            name.to_owned(),
            format!("{mean:.0}"),
            format!("{:.0}", median(&values)),
            format!("{low:.0}"),
            format!("{high:.0}"),
        ]);
    }
    table.print(&format!(
        "launches over {} s: {} hollow agents, {} frameworks, up to {} tasks per ACCEPT",
        arguments.seconds, arguments.agents, arguments.frameworks, arguments.tasks_per_accept
    ));
    let quantiles = |histogram: &std::sync::Mutex<hdrhistogram::Histogram<u64>>| {
        let histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |percent| show(histogram.value_at_percentile(percent) as f64 / 1000.0);
        format!("p50 {} ms, p99 {} ms, max {} ms", at(50.0), at(99.0), at(100.0))
    };
    println!("ACCEPT to its answer: {}", quantiles(&counts.accept_micros));
    println!("ACCEPT to TASK_RUNNING: {}", quantiles(&counts.running_micros));
    println!(
        "launches with an unknown outcome: {}, not launched: {}, ended: {}; resident memory of the masters in MiB: {:?}; \
         load average now {}",
        counts.unknown.load(Ordering::Relaxed),
        counts.not_launched.load(Ordering::Relaxed),
        counts.ended.load(Ordering::Relaxed),
        masters::memory(cluster),
        machine::load_average(),
    );
    let mut goals = Table::new(&["goal", "figure", "verdict"]);
    goals.row([
        "launches accepted, committed, sent and running ≥ 5,000/s".to_owned(),
        format!("{mean_running:.0}/s over {} s", arguments.seconds),
        verdict(GOAL, mean_running).to_owned(),
    ]);
    goals.print("goals");
}
