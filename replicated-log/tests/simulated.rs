//! Whole clusters on simulated time, disks and a simulated network, with losses of power and partitions: everything comes
//! in through the seams. That a seed repeats a run to the last event also takes a tokio built for it (`tokio_unstable`),
//! which this workspace is not; here a seed repeats the faults.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use replicated_log::{Config, MemoryStore, ReplicatedLog};
use support::{Recorder, command};

const PORT: u16 = 5150;
/// Commands acknowledged in one run.
const COMMANDS: usize = 300;

type Handles = Arc<Mutex<BTreeMap<u64, ReplicatedLog<Recorder>>>>;
type Events = Arc<Mutex<String>>;

fn config(node_id: u64, store: MemoryStore) -> Config {
    let mut config = Config::new(node_id, "simulated", SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)));
    config.initial_members = (1..=3).map(|id| (id, format!("n{id}:{PORT}"))).collect();
    config.memory_store = Some(store);
    config.snapshot_every = 40;
    config.entries_kept = 5;
    config
}

/// Proposes at whoever leads until `count` commands are acknowledged.
async fn write(handles: Handles, count: usize, events: Events) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut number = 0;
    while acknowledged.len() < count {
        let leader = handles
            .lock()
            .unwrap()
            .values()
            .find(|log| log.status().borrow().is_leader())
            .cloned();
        let Some(leader) = leader else {
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        number += 1;
        let proposed = tokio::time::timeout(Duration::from_secs(2), leader.propose(command(number.to_string()))).await;
        if let Ok(Ok(applied)) = proposed {
            writeln!(
                events.lock().unwrap(),
                "{number} at {} after {:?}",
                applied.position,
                turmoil::elapsed()
            )
            .unwrap();
            acknowledged.push(number.to_string());
        }
    }
    acknowledged
}

/// One run: losses of power, partitions and repairs that follow from the seed.
fn run(seed: u64) {
    let mut hosts = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_secs(600))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(4))
        .build();
    let (handles, events) = (Handles::default(), Events::default());
    let seams = simulation::seams(seed);
    let mut machines = BTreeMap::new();
    let mut disks = BTreeMap::new();
    for node_id in 1..=3 {
        let store = MemoryStore::with_seed(seed + node_id);
        store.set_latency(Duration::from_micros(50)..=Duration::from_millis(3));
        disks.insert(node_id, store.clone());
        let machine = Arc::new(Mutex::new(Recorder::default()));
        machines.insert(node_id, Arc::clone(&machine));
        let (handles, seams) = (Arc::clone(&handles), seams.clone());
        hosts.host(format!("n{node_id}"), move || {
            let (handles, seams, config) = (Arc::clone(&handles), seams.clone(), config(node_id, store.clone()));
            let recorder = Recorder::default();
            *machine.lock().unwrap() = recorder.clone();
            async move {
                let log = ReplicatedLog::start(config, seams, recorder).await?;
                handles.lock().unwrap().insert(node_id, log);
                std::future::pending::<()>().await;
                Ok(())
            }
        });
    }
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let (written, writer) = (
        Arc::clone(&acknowledged),
        write(Arc::clone(&handles), COMMANDS, Arc::clone(&events)),
    );
    hosts.client("writer", async move {
        let commands = writer.await;
        written.lock().unwrap().extend(commands);
        Ok(())
    });
    let mut random = seed.wrapping_mul(2_654_435_761).wrapping_add(12_345);
    let mut step = 0_u64;
    while !hosts.step().unwrap() {
        step += 1;
        if step.is_multiple_of(300) {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let victim = 1 + (random >> 33) % 3;
            let other = 1 + victim % 3;
            let (victim_name, other_name) = (format!("n{victim}"), format!("n{other}"));
            if (random >> 40).is_multiple_of(2) {
                // Now and then all of them: only then nobody else has what one of them has not made durable.
                let all = (random >> 41).is_multiple_of(3);
                for (node_id, disk) in disks.iter().filter(|(node_id, _)| all || **node_id == victim) {
                    handles.lock().unwrap().remove(node_id);
                    hosts.crash(format!("n{node_id}"));
                    disk.crash(random ^ node_id);
                    hosts.bounce(format!("n{node_id}"));
                }
            } else {
                hosts.partition(victim_name.as_str(), other_name.as_str());
                for _ in 0..300 {
                    if hosts.step().unwrap() {
                        break;
                    }
                }
                hosts.repair(victim_name.as_str(), other_name.as_str());
            }
        }
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let longest = machines
        .values()
        .map(|machine| machine.lock().unwrap().commands())
        .max_by_key(Vec::len)
        .unwrap();
    let mut places = longest.iter();
    for command in &acknowledged {
        assert!(
            places.any(|applied| applied == command),
            "seed {seed}: {command} is lost or out of order"
        );
    }
    let events = events.lock().unwrap().clone();
    assert_eq!(acknowledged.len(), COMMANDS, "seed {seed}: {events}");
}

/// Runs on a thread of its own, which has drawn no random number yet.
fn run_alone(seed: u64) {
    std::thread::spawn(move || run(seed)).join().unwrap();
}

#[test]
fn acknowledged_commands_survive_simulated_crashes_and_partitions() {
    for seed in 1..=3 {
        run_alone(seed);
    }
}
