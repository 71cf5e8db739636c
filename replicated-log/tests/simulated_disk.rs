//! Whole replicas on simulated disks that fail.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use replicated_log::{MemoryStore, ReplicatedLog, StartError};
use seams::Seams;
use support::{Cluster, Replica, command, configs, wait_for};

fn disk(replica: &Replica) -> MemoryStore {
    replica.config.memory_store.clone().unwrap()
}

/// A single replica with a log, a snapshot and a purged front, stopped.
async fn a_stopped_replica() -> Replica {
    let mut config = configs(1, None).remove(0);
    config.snapshot_every = 20;
    config.entries_kept = 1;
    let mut replica = Replica::new(config);
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    for number in 0..60 {
        log.propose(command(number.to_string())).await.unwrap();
    }
    wait_for(log, "it has purged", |status| {
        status.purged.is_some_and(|purged| purged.index > 10)
    })
    .await;
    replica.kill().await;
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_refuses_every_damaged_disk_and_says_what_to_do() {
    let replica = a_stopped_replica().await;
    for entropy in 0..200 {
        let flipped = disk(&replica).corrupt(entropy).unwrap();
        let started = ReplicatedLog::start(replica.config.clone(), Seams::real(), replica.machine.clone()).await;
        let error = started.err().unwrap_or_else(|| panic!("{flipped} went unnoticed"));
        let is_expected = matches!(error, StartError::Damaged { .. } | StartError::ForeignDirectory { .. });
        assert!(is_expected, "{flipped}: {error}");
        // A start that was refused has changed nothing: the same bit turns back.
        assert_eq!(disk(&replica).corrupt(entropy).unwrap(), flipped);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_commands_survive_the_loss_of_all_replicas_power() {
    let mut cluster = Cluster::new(3, None).await;
    for node_id in 1..=3 {
        disk(cluster.replica(node_id)).set_latency(Duration::from_micros(100)..=Duration::from_millis(2));
    }
    let mut acknowledged = Vec::new();
    for entropy in 0..5 {
        for number in 0..20 {
            let text = format!("{entropy}.{number}");
            cluster.propose(&text).await;
            acknowledged.push(text);
        }
        for node_id in 1..=3 {
            disk(cluster.replica(node_id)).crash(entropy * 10 + node_id);
        }
        for node_id in 1..=3 {
            cluster.replica_mut(node_id).kill().await;
        }
        for node_id in 1..=3 {
            cluster.replica_mut(node_id).start().await;
        }
    }
    cluster.propose("the last").await;
    acknowledged.push("the last".to_owned());
    let commands = cluster.settled().await;
    let mut places = commands.iter();
    for text in &acknowledged {
        assert!(places.any(|applied| applied == text), "{text} is lost or out of order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_disk_fails_stops_and_the_others_go_on() {
    for fail in [MemoryStore::fail_next_write, MemoryStore::fail_next_sync] {
        let cluster = Cluster::new(3, None).await;
        cluster.propose("before").await;
        let victim = cluster.replica(1 + cluster.leader().await % 3);
        fail(&disk(victim));
        cluster.propose("after").await;
        let status = wait_for(victim.log(), "it is broken", |status| status.fatal.is_some()).await;
        assert!(!status.running);
        assert!(status.fatal.unwrap().contains("input/output error"));
        cluster.propose("still").await;
    }
}
