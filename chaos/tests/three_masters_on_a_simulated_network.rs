//! Proves that the seams hold: three masters and a framework of the real code live in one process, on simulated
//! network and time; the leading master dies, another leads, and the framework goes on with its id.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::{MasterList, Notice, Scheduler, SchedulerConfig};
use master_server::{Config, Master};
use proto::v1::FrameworkInfo;
use simulation::seams;

const HTTP_PORT: u16 = 5050;
const RAFT_PORT: u16 = 5150;

/// Simulated time after which the test has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// What the framework saw: where it subscribed and under which id, in order.
type Subscriptions = Arc<Mutex<Vec<(String, String)>>>;

fn name(node_id: u64) -> String {
    format!("master{node_id}")
}

fn config(node_id: u64) -> Config {
    let address = |node_id: u64| match turmoil::lookup(name(node_id)) {
        IpAddr::V4(address) => address,
        IpAddr::V6(address) => panic!("the simulation has IPv4 addresses only, not {address}"),
    };
    Config {
        node_id,
        // turmoil binds to every address of a host, or to none.
        ip: Ipv4Addr::UNSPECIFIED,
        port: HTTP_PORT,
        advertise_ip: Some(address(node_id)),
        raft_port: RAFT_PORT,
        work_dir: None,
        initial_cluster: (1..=3)
            .map(|id| (id, format!("{}:{RAFT_PORT}", address(id))))
            .collect::<BTreeMap<_, _>>(),
        ..Config::default()
    }
}

async fn framework(subscriptions: Subscriptions) -> turmoil::Result {
    let masters: Vec<String> = (1..=3)
        .map(|id| format!("{}:{HTTP_PORT}", turmoil::lookup(name(id))))
        .collect();
    let info = FrameworkInfo {
        user: "root".to_owned(),
        name: "simulated".to_owned(),
        failover_timeout: Some(3600.0),
        ..FrameworkInfo::default()
    };
    let config = SchedulerConfig::new(masters.join(",").parse::<MasterList>()?, info);
    let (_scheduler, mut notices) = Scheduler::start(config, seams(99))?;
    while let Some(notice) = notices.next().await {
        if let Notice::Subscribed {
            framework_id, master, ..
        } = notice
        {
            subscriptions.lock().unwrap().push((master, framework_id.value));
        }
    }
    Ok(())
}

fn run_until(sim: &mut turmoil::Sim<'_>, what: &str, mut done: impl FnMut() -> bool) {
    let deadline = sim.elapsed() + LIMIT;
    while !done() {
        assert!(
            sim.elapsed() < deadline,
            "not within {LIMIT:?} of simulated time: {what}"
        );
        sim.step().expect("no host fails");
    }
}

#[test]
fn a_framework_keeps_its_id_when_the_leading_master_dies_on_a_simulated_network() {
    let mut sim = turmoil::Builder::new()
        .rng_seed(7)
        .simulation_duration(Duration::from_secs(600))
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_micros(100))
        .max_message_latency(Duration::from_millis(2))
        .build();
    for node_id in 1..=3 {
        sim.host(name(node_id), move || async move {
            let master = Master::start(config(node_id), seams(node_id)).await?;
            let reason = master.failed().await;
            Err(reason.into())
        });
    }
    let subscriptions = Subscriptions::default();
    let seen = subscriptions.clone();
    sim.client("framework", framework(seen));

    run_until(&mut sim, "the framework subscribes", || {
        !subscriptions.lock().unwrap().is_empty()
    });
    let (leader, framework_id) = subscriptions.lock().unwrap()[0].clone();
    let crashed = (1..=3)
        .map(name)
        .find(|host| format!("{}:{HTTP_PORT}", sim.lookup(host.as_str())) == leader)
        .expect("the framework subscribed at one of the masters");
    sim.crash(crashed.as_str());

    run_until(&mut sim, "the framework subscribes again", || {
        subscriptions.lock().unwrap().len() >= 2
    });
    let (next_leader, same_id) = subscriptions.lock().unwrap()[1].clone();
    assert_ne!(next_leader, leader);
    assert_eq!(same_id, framework_id);
}
