//! One replica alone: proposals, reads, restarts.

#![allow(clippy::unwrap_used)]

mod support;

use replicated_log::{LogPosition, ProposeError};
use support::{Replica, command, configs, wait_for};

async fn one(directory: Option<&std::path::Path>) -> Replica {
    let mut replica = Replica::new(configs(1, directory).remove(0));
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    replica
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_is_applied_and_answered_with_its_outcome() {
    let replica = one(None).await;
    let first = replica.log().propose(command("a")).await.unwrap();
    let second = replica.log().propose(command("b")).await.unwrap();
    assert_eq!((first.outcome, second.outcome), (0, 1));
    assert!(first.position < second.position);
    assert_eq!(replica.machine.commands(), ["a", "b"]);
    assert_eq!(replica.log().read_barrier().await.unwrap(), second.position);
    assert!(second.position > LogPosition::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_proposed_together_share_entries_and_keep_their_order() {
    let replica = one(None).await;
    let (sender, mut receiver) = tokio::sync::mpsc::channel(5000);
    for number in 0..5000 {
        let sender = sender.clone();
        let reply = move |result: Result<_, _>| sender.try_send(result).unwrap();
        replica.log().propose_with(command(number.to_string()), reply).unwrap();
    }
    let mut entries = std::collections::BTreeSet::new();
    for number in 0..5000 {
        let applied = receiver.recv().await.unwrap().unwrap();
        assert_eq!(applied.outcome, number);
        entries.insert(applied.position);
    }
    assert!(entries.len() < 2500, "{} entries for 5000 commands", entries.len());
    assert!(
        replica
            .machine
            .commands()
            .into_iter()
            .eq((0..5000).map(|number| number.to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_above_the_limit_is_refused() {
    let replica = one(None).await;
    let refused = replica.log().propose(vec![0; 5 << 20].into()).await;
    assert_eq!(
        refused,
        Err(ProposeError::TooLarge {
            bytes: 5 << 20,
            limit: 4 << 20
        })
    );
    let large = replica.log().propose(vec![0; 4 << 20].into()).await;
    assert_eq!(large.unwrap().outcome, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_disk_applies_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut replica = one(Some(directory.path())).await;
    for number in 0..50 {
        replica.log().propose(command(number.to_string())).await.unwrap();
    }
    replica.log().propose(vec![b'x'; 3 << 20].into()).await.unwrap();
    let before = replica.machine.commands();
    replica.kill().await;
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    log.read_barrier().await.unwrap();
    assert_eq!(replica.machine.commands(), before);
    assert_eq!(replica.log().propose(command("after")).await.unwrap().outcome, 51);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_from_a_snapshot_has_the_same_state() {
    for directory in [None, Some(tempfile::tempdir().unwrap())] {
        let mut config = configs(1, directory.as_ref().map(|directory| directory.path())).remove(0);
        config.snapshot_every = 20;
        config.entries_kept = 5;
        let mut replica = Replica::new(config);
        let log = replica.start().await;
        wait_for(log, "it leads", |status| status.is_leader()).await;
        for number in 0..100 {
            log.propose(command(number.to_string())).await.unwrap();
        }
        wait_for(log, "it has purged", |status| {
            status.purged.is_some_and(|purged| purged.index > 50)
        })
        .await;
        let before = replica.machine.commands();
        replica.kill().await;
        let log = replica.start().await;
        wait_for(log, "it leads", |status| status.is_leader()).await;
        log.read_barrier().await.unwrap();
        assert_eq!(replica.machine.commands(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_nothing_is_accepted() {
    let replica = one(None).await;
    replica.log().shutdown(true).await;
    let refused = replica.log().propose(command("late")).await.unwrap_err();
    assert!(refused.is_certainly_not_proposed(), "{refused}");
    assert!(!replica.log().status().borrow().running);
}

/// Callers spawn these; a future that is not `Send` would only be noticed by them.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_can_be_spawned() {
    let replica = one(None).await;
    let log = replica.log().clone();
    tokio::spawn(async move {
        log.propose(command("a")).await.unwrap();
        log.read_barrier().await.unwrap();
        log.add_learner(2, "127.0.0.1:1").await.unwrap();
        log.promote(3).await.unwrap_err();
        log.remove(2).await.unwrap();
        log.transfer_leadership(None).await.unwrap_err();
        log.snapshot().await.unwrap();
        log.purge(0).await.unwrap();
        log.shutdown(true).await;
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_kept_small_in_bytes_too() {
    let mut config = configs(1, None).remove(0);
    config.snapshot_every_bytes = 1 << 20;
    config.bytes_kept = 200_000;
    let mut replica = Replica::new(config);
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    for _ in 0..20 {
        log.propose(vec![b'x'; 100_000].into()).await.unwrap();
    }
    let last = log.status().borrow().last_log.unwrap();
    wait_for(log, "it has purged all but the youngest", |status| {
        status.snapshot.is_some_and(|snapshot| snapshot.index + 10 > last)
            && status.purged.is_some_and(|purged| purged.index + 10 > last)
    })
    .await;
    replica.kill().await;
    let log = replica.start().await;
    wait_for(log, "it leads", |status| status.is_leader()).await;
    log.read_barrier().await.unwrap();
    assert_eq!(replica.machine.commands().len(), 20);
}
