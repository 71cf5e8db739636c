//! Three replicas: founding, replication, failover, restarts, the loss of the quorum.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use replicated_log::{ProposeError, ReadError};
use support::{Cluster, Replica, command, configs, read, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_leader_acknowledges_is_applied_everywhere() {
    let cluster = Cluster::new(3, None).await;
    for number in 0..100 {
        cluster.propose(&number.to_string()).await;
    }
    assert!(
        cluster
            .settled()
            .await
            .into_iter()
            .eq((0..100).map(|number| number.to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_started_in_any_order_found_one_cluster() {
    for order in [[3, 2, 1], [2, 1, 3], [1, 3, 2]] {
        let mut cluster = Cluster {
            replicas: configs(3, None).into_iter().map(Replica::new).collect(),
        };
        for node_id in order {
            // Until all were there, nobody may have a cluster.
            assert!(
                cluster
                    .running()
                    .all(|replica| replica.log().status().borrow().cluster_id.is_none())
            );
            cluster.replica_mut(node_id).start().await;
        }
        cluster.propose("first").await;
        let mut ids: Vec<_> = cluster
            .running()
            .map(|replica| replica.log().status().borrow().cluster_id.clone().unwrap())
            .collect();
        ids.dedup();
        assert_eq!(ids.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_refuses_proposals_and_names_the_leader() {
    let cluster = Cluster::new(3, None).await;
    let leader = cluster.leader().await;
    for follower in [1, 2, 3].into_iter().filter(|id| *id != leader) {
        let refused = cluster.replica(follower).log().propose(command("no")).await;
        assert_eq!(refused, Err(ProposeError::NotLeader { leader: Some(leader) }));
    }
    assert!(cluster.settled().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_serves_linearizable_reads() {
    let cluster = Cluster::new(3, None).await;
    let leader = cluster.leader().await;
    for round in 0..20 {
        let written = cluster.propose(&round.to_string()).await;
        for replica in cluster.running() {
            let read = read(replica.log()).await;
            assert!(read >= written, "{read} is before {written}");
            assert_eq!(replica.machine.commands().len(), round + 1, "leader {leader}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_leader_is_replaced_and_its_acknowledged_commands_stay() {
    let mut cluster = Cluster::new(3, None).await;
    let mut expected = Vec::new();
    for round in 0..6 {
        for number in 0..10 {
            let text = format!("{round}.{number}");
            cluster.propose(&text).await;
            expected.push(text);
        }
        let dead = cluster.leader().await;
        cluster.replica_mut(dead).kill().await;
        let text = format!("{round} after");
        cluster.propose(&text).await;
        expected.push(text);
        cluster.replica_mut(dead).start().await;
        assert_eq!(cluster.settled().await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_broken_connection_the_timers_replace_the_leader() {
    let mut configs = configs(3, None);
    for config in &mut configs {
        config.takeover_on_disconnect = false;
    }
    let mut cluster = Cluster::of(configs).await;
    cluster.propose("before").await;
    let dead = cluster.leader().await;
    cluster.replica_mut(dead).kill().await;
    cluster.propose("after").await;
    assert_eq!(cluster.settled().await, ["before", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_killed_at_once_come_back_with_everything() {
    let directory = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(3, Some(directory.path())).await;
    for number in 0..30 {
        cluster.propose(&number.to_string()).await;
    }
    let before = cluster.settled().await;
    let id = cluster.replica(1).log().status().borrow().cluster_id.clone();
    for node_id in 1..=3 {
        cluster.replica_mut(node_id).kill().await;
    }
    // Two are enough: nobody has to be asked.
    for node_id in [3, 2] {
        cluster.replica_mut(node_id).start().await;
    }
    assert_eq!(cluster.settled().await, before);
    cluster.replica_mut(1).start().await;
    cluster.propose("after").await;
    assert_eq!(cluster.settled().await.len(), before.len() + 1);
    assert_eq!(cluster.replica(2).log().status().borrow().cluster_id, id);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_nothing_is_acknowledged_and_nothing_read() {
    let mut configs = configs(3, None);
    for config in &mut configs {
        config.propose_timeout = Duration::from_secs(2);
        config.read_timeout = Duration::from_secs(2);
    }
    let mut cluster = Cluster::of(configs).await;
    cluster.propose("before").await;
    let leader = cluster.leader().await;
    let followers: Vec<_> = [1, 2, 3].into_iter().filter(|id| *id != leader).collect();
    for follower in &followers {
        cluster.replica_mut(*follower).kill().await;
    }
    let log = cluster.replica(leader).log();
    for _ in 0..3 {
        let refused = log.propose(command("lost?")).await.unwrap_err();
        assert!(!matches!(refused, ProposeError::Fatal { .. }), "{refused}");
        let refused = log.read_barrier().await.unwrap_err();
        assert!(
            matches!(refused, ReadError::Unavailable { .. } | ReadError::NotLeader { .. }),
            "{refused}"
        );
    }
    assert_eq!(cluster.replica(leader).machine.commands(), ["before"]);
    cluster.replica_mut(followers[0]).start().await;
    cluster.propose("after").await;
    let commands = cluster.settled().await;
    assert_eq!(
        (commands.first().unwrap().as_str(), commands.last().unwrap().as_str()),
        ("before", "after")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planned_stop_hands_the_leadership_over_first() {
    let mut cluster = Cluster::new(3, None).await;
    for round in 0..3 {
        cluster.propose(&round.to_string()).await;
        let leader = cluster.leader().await;
        let term = cluster.replica(leader).log().status().borrow().term;
        let log = cluster.replica_mut(leader).log.take().unwrap();
        log.shutdown(true).await;
        // It had seen its successor before it stopped.
        assert_ne!(log.status().borrow().leader, Some(leader));
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        wait_for(cluster.replica(next).log(), "the term is newer", |status| {
            status.term > term
        })
        .await;
        cluster.replica_mut(leader).start().await;
    }
    assert_eq!(cluster.settled().await, ["0", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_on_the_port_do_no_harm() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let cluster = Cluster::new(3, None).await;
    for replica in cluster.running() {
        for seed in 0..20_u8 {
            let mut stream = tokio::net::TcpStream::connect(replica.log().raft_address())
                .await
                .unwrap();
            let mut bytes: Vec<u8> = (0..4096_u32)
                .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8 ^ seed)
                .collect();
            if seed % 2 == 0 {
                bytes.splice(0..0, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            }
            // The replica may close before it has read all.
            drop(stream.write_all(&bytes).await);
            drop(stream.shutdown().await);
            let mut answer = Vec::new();
            drop(
                tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut answer))
                    .await
                    .unwrap(),
            );
        }
    }
    cluster.propose("still here").await;
    assert_eq!(cluster.settled().await, ["still here"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_a_broken_disk_stops_and_the_others_go_on() {
    let mut cluster = Cluster::new(3, None).await;
    cluster.propose("before").await;
    let broken = cluster.leader().await;
    cluster
        .replica(broken)
        .config
        .memory_store
        .as_ref()
        .unwrap()
        .break_down();
    // The others may still commit it; this replica cannot know.
    let failed = cluster.replica(broken).log().propose(command("during")).await;
    assert!(
        matches!(failed, Ok(_) | Err(ProposeError::Fatal { .. } | ProposeError::Unknown)),
        "{failed:?}"
    );
    let status = wait_for(cluster.replica(broken).log(), "it says so", |status| {
        status.fatal.is_some()
    })
    .await;
    assert!(!status.running && !status.is_leader());
    let late = cluster
        .replica(broken)
        .log()
        .propose(command("late"))
        .await
        .unwrap_err();
    assert!(matches!(late, ProposeError::Fatal { .. }), "{late}");
    cluster.replica_mut(broken).kill().await;
    cluster.propose("after").await;
    let commands = cluster.settled().await;
    assert_eq!(commands.first().unwrap(), "before");
    assert_eq!(commands.last().unwrap(), "after");
    assert!(!commands.contains(&"late".to_owned()));
}
