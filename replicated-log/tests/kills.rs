//! Replicas killed at random while commands are proposed: what was acknowledged is there once, in order, everywhere.

#![allow(clippy::unwrap_used)]

mod support;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use replicated_log::{LogPosition, ReplicatedLog};
use support::{Cluster, Recorder, command, configs};

/// The handles of the running replicas.
type Handles = Arc<Mutex<HashMap<u64, ReplicatedLog<Recorder>>>>;

/// What became of the proposals of one writer.
#[derive(Default)]
struct History {
    acknowledged: Vec<(String, LogPosition)>,
    refused: Vec<String>,
}

/// Numbers that are the same in each run of a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn write(writer: u64, handles: Handles, stop: Arc<AtomicBool>, acknowledged: Arc<AtomicU64>) -> History {
    let mut history = History::default();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        let leader = {
            let handles = handles.lock().unwrap();
            handles.values().find(|log| log.status().borrow().is_leader()).cloned()
        };
        let Some(leader) = leader else {
            tokio::time::sleep(Duration::from_millis(1)).await;
            continue;
        };
        number += 1;
        let text = format!("{writer}.{number}");
        match leader.propose(command(text.clone())).await {
            Ok(applied) => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                history.acknowledged.push((text, applied.position));
            }
            Err(error) if error.is_certainly_not_proposed() => history.refused.push(text),
            Err(_) => {}
        }
    }
    history
}

fn check(commands: &[String], histories: &[History]) {
    let mut found: HashMap<&str, usize> = HashMap::new();
    for (place, text) in commands.iter().enumerate() {
        assert_eq!(found.insert(text, place), None, "{text} is there twice");
    }
    for history in histories {
        let mut last = None;
        for (text, position) in &history.acknowledged {
            let place = found.get(text.as_str()).copied();
            assert!(place.is_some(), "{text}, acknowledged at {position}, is lost");
            assert!(place > last, "{text} is before what was acknowledged earlier");
            last = place;
        }
        for text in &history.refused {
            assert!(
                !found.contains_key(text.as_str()),
                "{text} was certainly not proposed and is there"
            );
        }
    }
}

async fn run(seed: u64, directory: Option<&std::path::Path>, rounds: u64) {
    let mut random = Random(seed);
    let mut configs = configs(3, directory);
    for config in &mut configs {
        config.snapshot_every = 60;
        config.entries_kept = 10;
        config.propose_timeout = Duration::from_secs(2);
    }
    let mut cluster = Cluster::of(configs).await;
    let handles: Handles = Arc::default();
    for replica in cluster.running() {
        handles
            .lock()
            .unwrap()
            .insert(replica.config.node_id, replica.log().clone());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..6)
        .map(|writer| {
            tokio::spawn(write(
                writer,
                Arc::clone(&handles),
                Arc::clone(&stop),
                Arc::clone(&acknowledged),
            ))
        })
        .collect();
    for _ in 0..rounds {
        // Mostly the leader, sometimes anybody, rarely two.
        let leader = cluster.leader().await;
        let first = if random.below(3) > 0 {
            leader
        } else {
            1 + random.below(3)
        };
        let mut victims = vec![first];
        if random.below(4) == 0 {
            victims.push(1 + first % 3);
        }
        for victim in &victims {
            handles.lock().unwrap().remove(victim);
            cluster.replica_mut(*victim).kill().await;
        }
        if victims.len() == 1 {
            await_progress(&cluster, &acknowledged, random.below(200)).await;
        }
        for victim in &victims {
            let log = cluster.replica_mut(*victim).start().await.clone();
            handles.lock().unwrap().insert(*victim, log);
        }
        await_progress(&cluster, &acknowledged, random.below(200)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut histories = Vec::new();
    for writer in writers {
        histories.push(writer.await.unwrap());
    }
    let commands = cluster.settled().await;
    check(&commands, &histories);
    assert!(commands.len() > 100, "seed {seed}: only {} commands", commands.len());
}

/// Waits until so many more commands were acknowledged.
async fn await_progress(cluster: &Cluster, acknowledged: &AtomicU64, count: u64) {
    let goal = acknowledged.load(Ordering::SeqCst) + count;
    let reached = async {
        while acknowledged.load(Ordering::SeqCst) < goal {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    if tokio::time::timeout(support::PATIENCE, reached).await.is_err() {
        let running = cluster.running().map(|replica| replica.log().status().borrow().clone());
        panic!(
            "{} commands acknowledged, waited in vain for {goal}; {:#?}",
            acknowledged.load(Ordering::SeqCst),
            running.collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_memory_lose_and_repeat_nothing() {
    for seed in 1..=4 {
        run(seed, None, 8).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_on_disk_lose_and_repeat_nothing() {
    let directory = tempfile::tempdir().unwrap();
    run(7, Some(directory.path()), 8).await;
}
