//! What operators' tools see and change, through the public client.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use replicated_log::{Admin, AdminError, Config, Members, MemoryStore, Timers};
use seams::Seams;
use support::{Cluster, PATIENCE, Replica, configs, free_address, wait_for};

/// A client that knows one member only.
fn admin_at(cluster: &Cluster, node_id: u64) -> Admin {
    Admin::new(vec![cluster.replica(node_id).config.advertise.clone()], Seams::real())
}

fn refused(error: AdminError) -> String {
    match error {
        AdminError::Refused { reason, .. } => reason,
        other => panic!("not refused: {other}"),
    }
}

/// Waits until the leader sees the members so.
async fn wait_for_members(admin: &Admin, condition: impl Fn(&Members) -> bool) {
    let waited = async {
        while !condition(&admin.members().await.unwrap()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap();
}

/// Leadership changes only where it is asked for, however busy the machine is.
const NO_ELECTIONS: Timers = Timers {
    heartbeat: Duration::from_millis(50),
    election_min: Duration::from_secs(100),
    election_max: Duration::from_secs(200),
};

async fn cluster() -> Cluster {
    let mut configs = configs(3, None);
    for config in &mut configs {
        config.timers = NO_ELECTIONS;
    }
    Cluster::of(configs).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_replaces_a_member_from_a_followers_address() {
    let mut cluster = cluster().await;
    cluster.propose("first").await;
    let leader = cluster.leader().await;
    let [follower, lost] = [1 + leader % 3, 1 + (leader + 1) % 3];
    let admin = admin_at(&cluster, follower);
    let members = admin.members().await.unwrap();
    assert_eq!(members.leader, leader);
    assert_eq!(members.members.len(), 3);
    assert!(members.members.iter().all(|member| member.votes), "{members:?}");

    cluster.replica_mut(lost).kill().await;
    admin.remove(lost).await.unwrap();
    wait_for_members(&admin, |members| {
        members.get(lost).is_none() && members.members.len() == 2
    })
    .await;
    assert_eq!(
        refused(admin.remove(lost).await.unwrap_err()),
        format!("node {lost} is not a member")
    );

    // The new one starts only after it was added, and does not make itself a voter before it has caught up.
    let address = free_address();
    let at = address.to_string();
    admin.add_learner(4, &at).await.unwrap();
    admin.add_learner(4, &at).await.unwrap();
    wait_for_members(&admin, |members| members.get(4).is_some_and(|member| !member.votes)).await;
    let early = refused(admin.promote(4).await.unwrap_err());
    assert!(early.contains("has confirmed no entry"), "{early}");

    let mut config = Config::new(4, "test", address);
    config.memory_store = Some(MemoryStore::new());
    config.timers = NO_ELECTIONS;
    config.join = Some(cluster.replica(leader).config.advertise.clone());
    let mut joining = Replica::new(config);
    wait_for(joining.start().await, "it votes", |status| {
        status.voters.contains_key(&4)
    })
    .await;
    cluster.replicas.push(joining);
    admin.promote(4).await.unwrap();
    wait_for_members(&admin, |members| {
        members
            .get(4)
            .is_some_and(|member| member.votes && member.lag == Some(0))
    })
    .await;

    assert_eq!(admin.transfer_leadership(Some(4)).await.unwrap(), 4);
    assert_eq!(
        refused(admin.transfer_leadership(Some(4)).await.unwrap_err()),
        "node 4 leads already"
    );
    assert_ne!(admin.transfer_leadership(None).await.unwrap(), 4);
    cluster.propose("last").await;
    assert_eq!(cluster.settled().await, ["first", "last"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_have_another_effect_than_meant_is_refused() {
    let cluster = cluster().await;
    let admin = admin_at(&cluster, 1);
    let taken = cluster.replica(2).config.advertise.clone();
    assert_eq!(
        refused(admin.add_learner(4, &taken).await.unwrap_err()),
        format!("at {taken} is member 2")
    );
    assert_eq!(
        refused(admin.add_learner(2, "127.0.0.1:1").await.unwrap_err()),
        format!("node 2 is a member already, at {taken}")
    );
    let stranger = refused(admin.promote(9).await.unwrap_err());
    assert!(stranger.contains('9'), "{stranger}");
    assert_eq!(
        refused(admin.transfer_leadership(Some(9)).await.unwrap_err()),
        "node 9 is not a voter"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_leader_the_error_says_what_everybody_answered() {
    let nobody = free_address().to_string();
    let error = Admin::new(vec![nobody.clone()], Seams::real())
        .members()
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with(&format!("no leader found: {nobody}: ")), "{text}");
    assert!(text.contains("refused"), "{text}");
}
