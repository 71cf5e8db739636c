//! What happens to replicas is counted, and by what caused it.

#![allow(clippy::unwrap_used)]

mod support;

use replicated_log::Event;
use support::{Cluster, wait_for};

/// Over all running replicas.
fn sum(cluster: &Cluster, event: Event) -> u64 {
    cluster
        .running()
        .map(|replica| replica.log().counters().get(event))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn elections_are_counted_by_what_caused_them() {
    let mut cluster = Cluster::new(3, None).await;
    cluster.propose("founded").await;
    assert_eq!(sum(&cluster, Event::ClustersFounded), 1);
    assert_eq!(sum(&cluster, Event::ClustersAdopted), 2);
    assert_eq!(sum(&cluster, Event::ElectionsByFounding), 1);
    assert!(sum(&cluster, Event::ElectionsWon) >= 1);

    let (former, next) = (cluster.leader().await, 1 + cluster.leader().await % 3);
    cluster
        .replica(former)
        .log()
        .transfer_leadership(Some(next))
        .await
        .unwrap();
    wait_for(cluster.replica(next).log(), "it leads", |status| status.is_leader()).await;
    wait_for(cluster.replica(former).log(), "it knows", |status| {
        status.leader == Some(next)
    })
    .await;
    let counted = |node_id, event| cluster.replica(node_id).log().counters().get(event);
    assert_eq!(counted(former, Event::TransfersAsked), 1);
    assert_eq!(counted(former, Event::LeadershipsEnded), 1);
    assert!(counted(next, Event::ElectionsByTransfer) >= 1);

    // On a machine so slow that the timers are first, the next dead leader may be found.
    for _ in 0..10 {
        cluster.propose("with a leader").await;
        let dead = cluster.leader().await;
        cluster.replica_mut(dead).kill().await;
        cluster.propose("with another").await;
        if sum(&cluster, Event::LeadersFoundDead) > 0 && sum(&cluster, Event::ElectionsByTakeover) > 0 {
            return;
        }
        cluster.replica_mut(dead).start().await;
        cluster.settled().await;
    }
    panic!("ten leaders died and none was found dead");
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_counted_where_they_are_written_sent_and_installed() {
    let mut configs = support::configs(3, None);
    for config in &mut configs {
        config.snapshot_every = 10;
        config.entries_kept = 1;
    }
    let mut cluster = Cluster::of(configs).await;
    let lagging = 1 + cluster.leader().await % 3;
    cluster.replica_mut(lagging).kill().await;
    for number in 0..60 {
        cluster.propose(&number.to_string()).await;
    }
    let leader = cluster.leader().await;
    wait_for(cluster.replica(leader).log(), "it has purged", |status| {
        status.purged.is_some_and(|purged| purged.index > 20)
    })
    .await;
    assert!(sum(&cluster, Event::SnapshotsBuilt) > 0);
    assert!(sum(&cluster, Event::LogPurges) > 0);
    cluster.replica_mut(lagging).start().await;
    cluster.settled().await;
    let installed = cluster.replica(lagging).log().counters().get(Event::SnapshotsInstalled);
    assert!(installed > 0);
    assert!(sum(&cluster, Event::SnapshotsSent) > 0);
}
