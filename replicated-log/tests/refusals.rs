//! What a replica refuses, and the sentence with which it does.

#![allow(clippy::unwrap_used)]

mod support;

use replicated_log::{ReplicatedLog, StartError};
use seams::Seams;
use support::{Cluster, Recorder, Replica, configs, wait_for};

async fn refusal(replica: &Replica) -> StartError {
    match ReplicatedLog::start(replica.config.clone(), Seams::real(), Recorder::default()).await {
        Ok(log) => panic!("it started: {:#?}", log.status().borrow().clone()),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_cluster_or_node_is_refused_with_both_values() {
    let directory = tempfile::tempdir().unwrap();
    let mut replica = Replica::new(configs(1, Some(directory.path())).remove(0));
    replica.start().await;
    replica.kill().await;

    replica.config.cluster_name = "elsewhere".into();
    let text = refusal(&replica).await.to_string();
    assert!(
        text.contains("belongs to cluster 'test'") && text.contains("as cluster 'elsewhere'"),
        "{text}"
    );

    replica.config.cluster_name = "test".into();
    let address = replica.config.initial_members.remove(&1).unwrap();
    replica.config.initial_members.insert(8, address);
    replica.config.node_id = 8;
    let text = refusal(&replica).await.to_string();
    assert!(
        text.contains("belongs to node '1'") && text.contains("as node '8'"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_directory_is_empty_is_refused() {
    let mut cluster = Cluster::new(3, None).await;
    cluster.propose("before").await;
    // The founder as well as another: neither may be taken for a new replica.
    for node_id in [1, 3] {
        cluster.replica_mut(node_id).kill().await;
        let store = cluster.replica(node_id).config.memory_store.clone().unwrap();
        store.wipe();
        let error = refusal(cluster.replica(node_id)).await;
        assert!(
            matches!(error, StartError::LostDirectory { node_id: refused, .. } if refused == node_id),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(&format!("Remove member {node_id} from the cluster and add it again")),
            "{text}"
        );
        // Joining under the old id is no way around it.
        let mut joining = Replica::new(cluster.replica(node_id).config.clone());
        joining.config.initial_members.clear();
        joining.config.join = Some(cluster.replica(2).config.advertise.clone());
        assert!(matches!(refusal(&joining).await, StartError::LostDirectory { .. }));
        if node_id == 1 {
            // The way out: under a new id.
            let leader = cluster.leader().await;
            cluster.replica(leader).log().remove(1).await.unwrap();
            joining.config.node_id = 4;
            store.wipe();
            joining.start().await;
            wait_for(joining.log(), "it votes", |status| status.voters.contains_key(&4)).await;
            cluster.replicas.push(joining);
            cluster.propose("after").await;
            assert_eq!(cluster.settled().await, ["before", "after"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_directory_is_empty_does_not_vote_while_nobody_answers() {
    let mut cluster = Cluster::new(3, None).await;
    cluster.propose("before").await;
    for node_id in 1..=3 {
        cluster.replica_mut(node_id).kill().await;
    }
    // Two replaced disks would be a quorum of empty replicas.
    for node_id in [1, 2] {
        cluster.replica(node_id).config.memory_store.clone().unwrap().wipe();
        cluster.replica_mut(node_id).start().await;
    }
    cluster.replica_mut(3).start().await;
    for node_id in [1, 2] {
        let status = wait_for(cluster.replica(node_id).log(), "it refuses", |status| {
            status.fatal.is_some()
        })
        .await;
        assert!(status.fatal.unwrap().contains("knows it as a voter"));
    }
    // The one replica with data gets no vote.
    let refused = cluster
        .replica(3)
        .log()
        .propose(support::command("no"))
        .await
        .unwrap_err();
    assert!(refused.is_certainly_not_proposed(), "{refused}");
    assert!(!cluster.replica(3).log().status().borrow().is_leader());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_log_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut replica = Replica::new(configs(1, Some(directory.path())).remove(0));
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    for number in 0..20 {
        log.propose(support::command(number.to_string())).await.unwrap();
    }
    replica.kill().await;
    {
        let db = sled::open(directory.path().join("1").join("log")).unwrap();
        let tree = db.open_tree("log").unwrap();
        let key = tree.iter().keys().nth(5).unwrap().unwrap();
        tree.update_and_fetch(&key, |value| {
            let mut bytes = value.unwrap().to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            Some(bytes)
        })
        .unwrap();
        db.flush().unwrap();
    }
    let error = refusal(&replica).await;
    assert!(matches!(error, StartError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("checksum") && text.contains("remove member 1 from the cluster"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_snapshot_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = configs(1, Some(directory.path())).remove(0);
    config.snapshot_every = 20;
    config.entries_kept = 1;
    let mut replica = Replica::new(config);
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    for number in 0..60 {
        log.propose(support::command(number.to_string())).await.unwrap();
    }
    wait_for(log, "it has purged", |status| {
        status.purged.is_some_and(|purged| purged.index > 10)
    })
    .await;
    replica.kill().await;

    let snapshots = directory.path().join("1").join("snapshots");
    let file = std::fs::read_dir(&snapshots).unwrap().next().unwrap().unwrap().path();
    let good = std::fs::read(&file).unwrap();
    for at in [3, 20, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&file, bad).unwrap();
        let error = refusal(&replica).await;
        assert!(matches!(error, StartError::Damaged { .. }), "byte {at}: {error}");
    }
    std::fs::remove_file(&file).unwrap();
    let text = refusal(&replica).await.to_string();
    assert!(
        text.contains("the snapshot does not reach that far: there is none"),
        "{text}"
    );
    std::fs::write(&file, good).unwrap();
    replica.start().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_of_another_cluster_is_refused_and_counted() {
    let mut ours = Cluster::new(3, None).await;
    ours.propose("ours").await;
    ours.replica_mut(3).kill().await;
    // Another cluster of the same name, which takes our third member's address for its own.
    let mut configs = configs(3, None);
    for config in &mut configs {
        config
            .initial_members
            .insert(3, ours.replica(3).config.advertise.clone());
    }
    configs[2].listen = ours.replica(3).config.listen;
    configs[2].advertise = ours.replica(3).config.advertise.clone();
    let theirs = Cluster::of(configs).await;
    theirs.propose("theirs").await;
    // Our leader keeps sending to its third member, which now is theirs.
    let stranger = theirs.replica(3).log();
    tokio::time::timeout(support::PATIENCE, async {
        while stranger.refused_calls() == 0 {
            ours.propose("more").await;
        }
    })
    .await
    .unwrap();
    assert_eq!(theirs.settled().await, ["theirs"]);
    assert_eq!(ours.settled().await.first().unwrap(), "ours");
}
