//! Replicas that come, go and catch up.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use replicated_log::{Config, MembershipError, MemoryStore, ProposeError, Role, Timers};
use support::{Cluster, Replica, configs, free_address, wait_for};

/// A replica that joins `cluster` through replica 1.
fn newcomer(cluster: &Cluster, node_id: u64) -> Replica {
    let address = free_address();
    let mut config = Config::new(node_id, "test", address);
    config.memory_store = Some(MemoryStore::new());
    config.timers = support::CALM;
    config.join = Some(cluster.replica(1).config.advertise.clone());
    Replica::new(config)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_joins_catches_up_and_votes() {
    let mut cluster = Cluster::new(3, None).await;
    for number in 0..50 {
        cluster.propose(&number.to_string()).await;
    }
    let mut joining = newcomer(&cluster, 4);
    let log = joining.start().await;
    wait_for(log, "it votes", |status| {
        status.voters.contains_key(&4) && status.role == Role::Follower
    })
    .await;
    cluster.replicas.push(joining);
    cluster.propose("four").await;
    assert_eq!(cluster.settled().await.len(), 51);

    // Started again, it needs nobody's permission.
    cluster.replica_mut(4).kill().await;
    cluster.propose("without it").await;
    cluster.replica_mut(4).start().await;
    assert_eq!(cluster.settled().await.len(), 52);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_learner_behind_a_purged_log_catches_up_by_a_snapshot() {
    for directory in [None, Some(tempfile::tempdir().unwrap())] {
        let directory = directory.as_ref().map(|directory| directory.path());
        let mut configs = configs(3, directory);
        for config in &mut configs {
            config.snapshot_every = 50;
            config.entries_kept = 5;
        }
        let mut cluster = Cluster::of(configs).await;
        for number in 0..200 {
            cluster.propose(&format!("{number:01000}")).await;
        }
        for replica in cluster.running() {
            wait_for(replica.log(), "it has purged", |status| {
                status.purged.is_some_and(|purged| purged.index > 100)
            })
            .await;
        }
        let mut joining = newcomer(&cluster, 4);
        joining.config.data_dir = directory.map(|directory| directory.join("4"));
        let log = joining.start().await;
        let status = wait_for(log, "it votes", |status| status.voters.contains_key(&4)).await;
        assert!(
            status.snapshot.is_some_and(|snapshot| snapshot.index > 100),
            "{status:#?}"
        );
        cluster.replicas.push(joining);
        cluster.propose("last").await;
        assert_eq!(cluster.settled().await.len(), 201);
        // And it starts again from the snapshot it was sent.
        cluster.replica_mut(4).kill().await;
        cluster.replica_mut(4).start().await;
        assert_eq!(cluster.settled().await.len(), 201);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_replica_is_no_member_and_a_removed_leader_steps_down() {
    let mut cluster = Cluster::new(3, None).await;
    let leader = cluster.leader().await;
    let follower = [1, 2, 3].into_iter().find(|id| *id != leader).unwrap();
    let log = cluster.replica(leader).log();
    log.remove(follower).await.unwrap();
    wait_for(log, "it is gone", |status| {
        !status.voters.contains_key(&follower) && status.learners.is_empty()
    })
    .await;
    let again = log.remove(follower).await.unwrap_err();
    assert_eq!(
        again,
        MembershipError::Rejected {
            reason: format!("node {follower} is not a member")
        }
    );
    cluster.replica_mut(follower).kill().await;
    cluster.propose("two left").await;

    cluster.replica(leader).log().remove(leader).await.unwrap();
    let last = [1, 2, 3]
        .into_iter()
        .find(|id| ![leader, follower].contains(id))
        .unwrap();
    wait_for(cluster.replica(last).log(), "it leads alone", |status| {
        status.is_leader() && status.voters.len() == 1
    })
    .await;
    cluster.replica_mut(leader).kill().await;
    cluster.propose("one left").await;
    assert_eq!(cluster.settled().await, ["two left", "one left"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn membership_changes_are_the_leaders_matter() {
    let cluster = Cluster::new(3, None).await;
    let leader = cluster.leader().await;
    let follower = [1, 2, 3].into_iter().find(|id| *id != leader).unwrap();
    let log = cluster.replica(follower).log();
    let not_leader = MembershipError::NotLeader { leader: Some(leader) };
    assert_eq!(log.add_learner(4, "127.0.0.1:1").await, Err(not_leader.clone()));
    assert_eq!(log.transfer_leadership(None).await, Err(not_leader));
    let log = cluster.replica(leader).log();
    assert!(matches!(log.promote(9).await, Err(MembershipError::Rejected { .. })));
    assert!(matches!(
        log.transfer_leadership(Some(9)).await,
        Err(MembershipError::Rejected { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn leadership_goes_to_whom_it_is_given() {
    let cluster = Cluster::new(3, None).await;
    for round in 0..6 {
        cluster.propose(&round.to_string()).await;
        let leader = cluster.leader().await;
        let to = 1 + leader % 3;
        cluster
            .replica(leader)
            .log()
            .transfer_leadership(Some(to))
            .await
            .unwrap();
        wait_for(cluster.replica(to).log(), "it leads", |status| status.is_leader()).await;
    }
    assert_eq!(cluster.settled().await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_over_leaves_no_proposal_of_unknown_fate() {
    let cluster = Cluster::new(3, None).await;
    let (mut applied, mut refused) = (0, 0);
    for round in 0..6 {
        let leader = cluster.leader().await;
        let to = 1 + leader % 3;
        let log = cluster.replica(leader).log();
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let log = log.clone();
                tokio::spawn(async move {
                    let mut applied = 0;
                    loop {
                        match log.propose(format!("{round} {writer} {applied}").into()).await {
                            Ok(_) => applied += 1,
                            Err(error) => return (applied, error),
                        }
                    }
                })
            })
            .collect();
        // Some entries are under way when the hand-over begins.
        wait_for(log, "writes are applied", |status| {
            status.applied.is_some_and(|applied| applied.index > 20 * (round + 1))
        })
        .await;
        log.transfer_leadership(Some(to)).await.unwrap();
        for writer in writers {
            let (count, error) = writer.await.unwrap();
            // Between the vote for the next leader and its first message nobody is known to lead.
            let certain =
                matches!(error, ProposeError::NotLeader { leader } if leader.is_none_or(|leader| leader == to));
            assert!(certain, "{error}");
            applied += count;
            refused += 1;
        }
        wait_for(cluster.replica(to).log(), "it leads", |status| status.is_leader()).await;
    }
    assert_eq!(refused, 48);
    assert_eq!(cluster.settled().await.len(), applied);
}

/// With timers this slow only a broken connection can lead to an election in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_leader_is_replaced_without_waiting_for_the_timers() {
    let mut configs = configs(3, None);
    for config in &mut configs {
        config.timers = Timers {
            heartbeat: Duration::from_secs(5),
            election_min: Duration::from_secs(100),
            election_max: Duration::from_secs(200),
        };
    }
    let mut cluster = Cluster::of(configs).await;
    for round in 0..4 {
        cluster.propose(&round.to_string()).await;
        let dead = cluster.leader().await;
        // Whoever comes back must be followed and watched before the next one goes.
        cluster.settled().await;
        cluster.replica_mut(dead).kill().await;
        cluster.leader().await;
        cluster.propose(&format!("{round} after")).await;
        cluster.replica_mut(dead).start().await;
    }
    assert_eq!(cluster.settled().await.len(), 8);
}
