//! `launch`: frameworks that launch tasks as fast as a running cluster takes them, with rates once per second.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;
use chaos::launcher::{LaunchCounts, Launcher, LauncherConfig};
use clap::Parser;
use client::MasterList;
use master_core::resources::Resources;
use seams::Seams;
use tokio::time::{Instant, interval};

/// Launch tasks as fast as a cluster takes them
#[derive(Debug, Parser)]
#[command(name = "launch", version)]
struct Args {
    /// Masters: host:port[,host:port…]
    #[arg(long = "master", value_name = "MASTERS", default_value = "127.0.0.1:5050")]
    master: MasterList,

    /// Tasks to launch in all
    #[arg(long = "tasks", value_name = "N", default_value_t = 10_000)]
    tasks: u64,

    /// Frameworks that share the work
    #[arg(long = "frameworks", value_name = "N", default_value_t = 4)]
    frameworks: usize,

    /// Most tasks in one ACCEPT
    #[arg(long = "tasks_per_accept", value_name = "N", default_value_t = 10)]
    tasks_per_accept: usize,

    /// What each task takes
    #[arg(long = "resources", value_name = "RESOURCES", default_value = "cpus:0.01;mem:1")]
    resources: String,

    /// Shell command of the tasks (hollow agents do not run it)
    #[arg(long = "command", value_name = "COMMAND", default_value = "sleep 1000000")]
    command: String,

    /// Seconds after which it is given up
    #[arg(long = "limit_secs", value_name = "S", default_value_t = 600)]
    limit_secs: u64,

    /// Remove the frameworks, and with them their tasks, at the end
    #[arg(long = "teardown")]
    teardown: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let task_resources = Resources::parse_flag(&args.resources, "*")
        .map_err(|error| anyhow::anyhow!("--resources='{}': {error}", args.resources))?;
    let config = LauncherConfig {
        masters: args.master,
        frameworks: args.frameworks,
        tasks: args.tasks,
        task_resources,
        tasks_per_accept: args.tasks_per_accept,
        command: args.command,
    };
    let launcher = Launcher::start(&config, &Seams::real())?;
    let started = Instant::now();
    let printer = async {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            print(launcher.counts(), started);
        }
    };
    let finished = tokio::select! {
        finished = launcher.finished(args.tasks, Duration::from_secs(args.limit_secs)) => finished,
        () = printer => false,
    };
    print(launcher.counts(), started);
    if args.teardown {
        for scheduler in launcher.schedulers() {
            println!("teardown: {}", scheduler.teardown().await);
        }
    }
    if !finished {
        bail!("not every task ran within {} s", args.limit_secs);
    }
    let rate = args.tasks as f64 / started.elapsed().as_secs_f64();
    println!(
        "{} tasks ran after {:.1} s: {rate:.0} launches/s",
        args.tasks,
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn print(counts: &LaunchCounts, started: Instant) {
    let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
    let milliseconds = |histogram: &std::sync::Mutex<hdrhistogram::Histogram<u64>>| {
        let histogram = histogram.lock().unwrap_or_else(PoisonError::into_inner);
        let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
        format!("{:.1}/{:.1} ms", at(0.5), at(0.99))
    };
    println!(
        "[{:6.1} s] {} accepted, {} running, {} ended, {} unknown, {} to repeat; accept p50/p99 {}, running {}",
        started.elapsed().as_secs_f64(),
        read(&counts.accepted),
        read(&counts.running),
        read(&counts.ended),
        read(&counts.unknown),
        read(&counts.not_launched),
        milliseconds(&counts.accept_micros),
        milliseconds(&counts.running_micros),
    );
}
