//! The workloads on a simulated network and simulated time: they do their work there too.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chaos::check;
use chaos::history::{FORMAT, History, Record, Recorder, Run};
use chaos::workload::{Options, Workload, World};
use client::MasterList;
use master_server::{Config, Master};
use replicated_log::MemoryStore;
use simulation::seams;
use tokio_util::sync::CancellationToken;

const HTTP_PORT: u16 = 5050;
const RAFT_PORT: u16 = 5150;
/// Simulated time for which the workloads run.
const LOAD: Duration = Duration::from_secs(15);
/// Simulated time after which the test has failed.
const LIMIT: Duration = Duration::from_secs(120);

fn address(host: &str) -> Ipv4Addr {
    match turmoil::lookup(host) {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("the simulation has IPv4 addresses only, not {address}"),
    }
}

fn name(node_id: u64) -> String {
    format!("master{node_id}")
}

fn config(node_id: u64, disk: MemoryStore) -> Config {
    Config {
        node_id,
        ip: Ipv4Addr::UNSPECIFIED,
        port: HTTP_PORT,
        advertise_ip: Some(address(&name(node_id))),
        raft_port: RAFT_PORT,
        work_dir: None,
        memory_store: Some(disk),
        initial_cluster: (1..=3)
            .map(|id| (id, format!("{}:{RAFT_PORT}", address(&name(id)))))
            .collect::<BTreeMap<_, _>>(),
        ..Config::default()
    }
}

/// Runs all workloads on hosts of their own; the leader dies for a while. Returns the history and what was done.
fn simulate(seed: u64) -> (History, Vec<chaos::workload::Summary>) {
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(LIMIT * 2)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_micros(100))
        .max_message_latency(Duration::from_millis(2))
        .build();
    for node_id in 1..=3 {
        let disk = MemoryStore::new();
        sim.host(name(node_id), move || {
            let config = config(node_id, disk.clone());
            async move {
                let master = Master::start(config, seams(seed + node_id)).await?;
                Err(master.failed().await.into())
            }
        });
    }
    // The same clock on every host: simulated time since the beginning.
    let recorder = Recorder::new(|| {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        u64::try_from(elapsed.as_micros()).unwrap()
    });
    recorder.record(Record::Run(Run {
        format: FORMAT,
        harness: "simulation".into(),
        seed,
        ..Run::default()
    }));
    let stop = CancellationToken::new();
    let summaries = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    for workload in Workload::ALL {
        let (recorder, stop, summaries) = (recorder.clone(), stop.clone(), summaries.clone());
        sim.client(workload.name(), async move {
            let masters: Vec<String> = (1..=3)
                .map(|id| format!("{}:{HTTP_PORT}", address(&name(id))))
                .collect();
            let masters: MasterList = masters.join(",").parse()?;
            let world = World {
                stop,
                ..World::new(masters, seams(seed), recorder, seed)
            };
            let options = Options {
                ip: address(workload.name()),
                listen_ip: Some(Ipv4Addr::UNSPECIFIED),
                ..workload.options()
            };
            let summary = workload.run(world, options).await?;
            summaries.lock().unwrap().push(summary);
            Ok(())
        });
    }
    let crashed = name(1 + seed % 3);
    while sim.elapsed() < LOAD {
        let before = sim.elapsed();
        sim.step().unwrap();
        let passed = |second: u64| before < Duration::from_secs(second) && sim.elapsed() >= Duration::from_secs(second);
        if passed(6) {
            sim.crash(crashed.as_str());
        } else if passed(8) {
            sim.bounce(crashed.as_str());
        }
    }
    stop.cancel();
    while summaries.lock().unwrap().len() < Workload::ALL.len() {
        assert!(
            sim.elapsed() < LIMIT,
            "the workloads do not end: {:?}",
            summaries.lock().unwrap()
        );
        sim.step().unwrap();
    }
    let summaries = summaries.lock().unwrap().clone();
    (recorder.finish().unwrap(), summaries)
}

#[test]
fn all_workloads_do_their_work_in_a_simulation() {
    let seed = std::env::var("WORKLOAD_SEED").map_or(5, |seed| seed.parse().unwrap());
    let (history, summaries) = simulate(seed);
    let total = |what: &str| summaries.iter().map(|summary| summary.count(what)).sum::<u64>();
    for count in [
        "launch/ok",
        "acknowledge/ok",
        "write/ok",
        "read/ok",
        "subscribe/ok",
        "read-task/ok",
    ] {
        assert!(total(count) > 10, "{count}: {summaries:#?}");
    }
    assert_eq!(total("closing-timed-out"), 0, "{summaries:#?}");
    if let Ok(folder) = std::env::var("WORKLOAD_HISTORIES") {
        history
            .write(std::fs::File::create(format!("{folder}/simulated.jsonl")).unwrap())
            .unwrap();
    }
    for verdict in check::check(&history) {
        assert!(
            !matches!(verdict.finding, check::Finding::Violated { .. }),
            "{verdict:#?}"
        );
    }
}
