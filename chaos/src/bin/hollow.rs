//! `hollow`: a fleet of hollow agents at a running cluster, with its counts once per second.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::Context;
use chaos::hollow::{Fleet, FleetConfig, Snapshot};
use clap::Parser;
use client::MasterList;
use master_core::resources::Resources;
use seams::Seams;
use tokio::time::{Instant, interval};

/// Thousands of agents in one process that hold tasks but run nothing
#[derive(Debug, Parser)]
#[command(name = "hollow", version)]
struct Args {
    /// Masters: host:port[,host:port…]
    #[arg(long = "master", value_name = "MASTERS", default_value = "127.0.0.1:5050")]
    master: MasterList,

    /// Number of agents
    #[arg(long = "agents", value_name = "N", default_value_t = 1000)]
    agents: usize,

    /// Resources of each agent
    #[arg(
        long = "resources",
        value_name = "RESOURCES",
        default_value = "cpus:16;mem:65536;disk:100000;ports:[31000-32000]"
    )]
    resources: String,

    /// Address to listen at; ports are chosen
    #[arg(long = "ip", value_name = "IP", default_value_t = Ipv4Addr::LOCALHOST)]
    ip: Ipv4Addr,

    /// Agents that share a port and a connection
    #[arg(long = "agents_per_port", value_name = "N", default_value_t = 1000)]
    agents_per_port: usize,

    /// Milliseconds after which a task finishes [default: never]
    #[arg(long = "task_duration_ms", value_name = "MS")]
    task_duration_ms: Option<u64>,

    /// Milliseconds over which registrations are spread
    #[arg(long = "registration_spread_ms", value_name = "MS", default_value_t = 0)]
    registration_spread_ms: u64,

    /// Send TASK_RUNNING at once, without TASK_STARTING before it
    #[arg(long = "no-starting")]
    no_starting: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let resources = Resources::parse_flag(&args.resources, "*")
        .map_err(|error| anyhow::anyhow!("--resources='{}': {error}", args.resources))?;
    let config = FleetConfig {
        ip: args.ip,
        agents_per_port: args.agents_per_port,
        task_duration: args.task_duration_ms.map(Duration::from_millis),
        starting_updates: !args.no_starting,
        registration_spread: Duration::from_millis(args.registration_spread_ms),
        ..FleetConfig::new(args.master, args.agents, resources.to_proto())
    };
    let fleet = Fleet::start(config, Seams::real())
        .await
        .context("cannot start the fleet")?;
    let started = Instant::now();
    let mut before = Snapshot::default();
    let mut ticks = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            result = tokio::signal::ctrl_c() => return result.context("cannot wait for Ctrl-C"),
        }
        let now = fleet.counts().snapshot();
        println!(
            "[{:6.1} s] {} of {} registered, {} tasks ({} running), {} launches (+{}), {} updates (+{}), {} acknowledged",
            started.elapsed().as_secs_f64(),
            now.registered,
            args.agents,
            now.tasks,
            now.running,
            now.launches,
            now.launches - before.launches,
            now.updates_sent,
            now.updates_sent - before.updates_sent,
            now.acknowledged,
        );
        before = now;
    }
}
