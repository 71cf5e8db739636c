//! What each fault does to a store, and what it must never do.

mod power_loss;
mod snapshots;

use std::time::Duration;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};

use super::super::{LogStore, NodeRecord, OpenError, Recovered, StorageHealth};
use super::MemoryStore;
use crate::snapshot::SnapshotStore;
use crate::type_config::{CommandGroup, Entry, LeaderId, LogId, TypeConfig, Vote};

const LATENCY: Duration = Duration::from_millis(10);

fn node() -> NodeRecord {
    NodeRecord {
        node_id: 1,
        cluster_name: "simulated".into(),
    }
}

fn log_id(index: u64) -> LogId {
    LogId {
        leader_id: LeaderId { term: 3, node_id: 2 },
        index,
    }
}

fn entry(index: u64) -> Entry {
    let commands = vec![Bytes::from(vec![index as u8; 20])];
    Entry {
        log_id: log_id(index),
        payload: EntryPayload::Normal(CommandGroup::new(0, index, commands)),
    }
}

fn vote(term: u64) -> Vote {
    Vote {
        leader_id: LeaderId { term, node_id: 1 },
        committed: false,
    }
}

fn recover(disk: &MemoryStore) -> Result<Recovered, OpenError> {
    disk.mount().open_log(&node()).map(|(_, recovered)| recovered)
}

fn start(disk: &MemoryStore) -> LogStore {
    let (memory_disk, recovered) = disk.mount().open_log(&node()).unwrap();
    LogStore::in_task(recovered, memory_disk)
}

type Acknowledgement = openraft::type_config::alias::OneshotReceiverOf<TypeConfig, Result<(), std::io::Error>>;

/// Appends; the acknowledgement comes later.
async fn append(store: &mut LogStore, indexes: std::ops::Range<u64>) -> Acknowledgement {
    let (sender, acknowledged) = <TypeConfig as openraft::type_config::TypeConfigExt>::oneshot();
    let entries: Vec<Entry> = indexes.map(entry).collect();
    store.append(entries, IOFlushed::signal(sender)).await.unwrap();
    acknowledged
}

async fn append_and_wait(store: &mut LogStore, indexes: std::ops::Range<u64>) {
    append(store, indexes).await.await.unwrap().unwrap();
}

/// The index after the last; fails unless the entries are those that were appended, without a gap.
fn end_of(recovered: &Recovered) -> u64 {
    for (expected, found) in (0..).zip(&recovered.entries) {
        assert_eq!(*found, entry(expected));
    }
    recovered.entries.len() as u64
}

/// Lets what is queued be written, without giving a sync the time it takes.
async fn write_but_do_not_sync(disk: &MemoryStore) {
    while disk.unsynced() == 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_its_sync_has_ended() {
    let disk = MemoryStore::new();
    disk.set_latency(LATENCY..=LATENCY);
    let mut store = start(&disk);
    let begun = tokio::time::Instant::now();
    append_and_wait(&mut store, 0..1).await;
    assert_eq!(begun.elapsed(), LATENCY);
    // What waits during a sync is written together and shares the next one.
    let first = append(&mut store, 1..2).await;
    tokio::time::sleep(LATENCY / 2).await;
    let (second, third) = (append(&mut store, 2..3).await, append(&mut store, 3..4).await);
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    third.await.unwrap().unwrap();
    assert_eq!(begun.elapsed(), 3 * LATENCY);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_draws_the_same_latencies() {
    let mut durations = Vec::new();
    for seed in [7, 7, 8] {
        let disk = MemoryStore::with_seed(seed);
        disk.set_latency(Duration::from_micros(10)..=Duration::from_millis(50));
        let mut store = start(&disk);
        let begun = tokio::time::Instant::now();
        for index in 0..10 {
            append_and_wait(&mut store, index..index + 1).await;
        }
        durations.push(begun.elapsed());
    }
    assert_eq!(durations[0], durations[1]);
    assert_ne!(durations[0], durations[2]);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_disk_acknowledges_nothing_until_it_goes_on() {
    let disk = MemoryStore::new();
    let mut store = start(&disk);
    disk.set_stalled(true);
    let acknowledged = append(&mut store, 0..1).await;
    tokio::pin!(acknowledged);
    assert!(
        tokio::time::timeout(Duration::from_secs(60), &mut acknowledged)
            .await
            .is_err()
    );
    disk.set_stalled(false);
    acknowledged.await.unwrap().unwrap();

    disk.stall_for(Duration::from_secs(3));
    let begun = tokio::time::Instant::now();
    append_and_wait(&mut store, 1..2).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    append_and_wait(&mut store, 2..3).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_acknowledges_nothing_until_there_is_space() {
    let disk = MemoryStore::new();
    let mut store = start(&disk);
    let mut health = store.health();
    disk.set_full(true);
    let acknowledged = append(&mut store, 0..1).await;
    health.wait_for(|health| *health == StorageHealth::Full).await.unwrap();
    assert_eq!(disk.unsynced(), 0);
    disk.set_full(false);
    acknowledged.await.unwrap().unwrap();
    assert_eq!(*health.borrow(), StorageHealth::Working);
}

#[tokio::test(start_paused = true)]
async fn after_an_input_output_error_nothing_is_acknowledged_any_more() {
    for fail in [
        MemoryStore::fail_next_write,
        MemoryStore::fail_next_sync,
        MemoryStore::break_down,
    ] {
        let disk = MemoryStore::new();
        let mut store = start(&disk);
        append_and_wait(&mut store, 0..3).await;
        fail(&disk);
        assert!(append(&mut store, 3..4).await.await.unwrap().is_err());
        assert!(matches!(&*store.health().borrow(), StorageHealth::Failed(_)));
        // The disk would work again, but what it has forgotten nobody knows.
        let operations = disk.operations();
        assert!(append(&mut store, 4..5).await.await.unwrap().is_err());
        assert_eq!(disk.operations(), operations);
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_dies_alone_leaves_what_it_has_written() {
    let disk = MemoryStore::new();
    let mut store = start(&disk);
    disk.set_stalled(true);
    let unanswered = append(&mut store, 0..3).await;
    write_but_do_not_sync(&disk).await;
    assert_eq!(end_of(&recover(&disk).unwrap()), 3);
    drop(unanswered);
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_the_disk_to_another_start_writes_no_more() {
    let disk = MemoryStore::new();
    let mut before = start(&disk);
    append_and_wait(&mut before, 0..2).await;
    let mut after = start(&disk);
    assert!(append(&mut before, 2..3).await.await.unwrap().is_err());
    append_and_wait(&mut after, 2..4).await;
    assert_eq!(end_of(&recover(&disk).unwrap()), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_disk_is_new_also_for_another_node() {
    let disk = MemoryStore::new();
    let mut store = start(&disk);
    append_and_wait(&mut store, 0..2).await;
    disk.wipe();
    let other = NodeRecord { node_id: 9, ..node() };
    assert!(disk.mount().open_log(&other).unwrap().1.entries.is_empty());
    assert!(matches!(recover(&disk), Err(OpenError::Foreign { what: "node", .. })));
}

/// A store with records, votes, a purge and a snapshot.
async fn a_used_disk() -> MemoryStore {
    let disk = MemoryStore::new();
    let mut store = start(&disk);
    for index in 0..30 {
        append_and_wait(&mut store, index..index + 1).await;
    }
    let huge = Entry {
        log_id: log_id(30),
        payload: EntryPayload::Normal(CommandGroup::new(0, 30, vec![Bytes::from(vec![7; 300_000])])),
    };
    let (sender, acknowledged) = <TypeConfig as openraft::type_config::TypeConfigExt>::oneshot();
    store.append([huge], IOFlushed::signal(sender)).await.unwrap();
    acknowledged.await.unwrap().unwrap();
    store.save_committed(Some(log_id(20))).await.unwrap();
    store.purge(log_id(9)).await.unwrap();
    store.save_vote(&vote(4)).await.unwrap();
    store.close().await;
    let mount = disk.mount();
    mount.open_log(&node()).unwrap();
    snapshots::keep(&SnapshotStore::in_memory(mount).unwrap(), 9, "content").unwrap();
    disk
}

#[tokio::test(start_paused = true)]
async fn every_flipped_bit_is_refused_with_a_sentence() {
    let mut places = std::collections::BTreeSet::new();
    for entropy in 0..2_000 {
        let disk = a_used_disk().await;
        let flipped = disk.corrupt(entropy).unwrap();
        let mount = disk.mount();
        let opened = mount.open_log(&node());
        let log = match opened {
            Err(OpenError::Damaged(reason)) => Err(reason),
            Err(OpenError::Foreign { what, found, .. }) => Err(format!("{what} {found}")),
            Err(OpenError::Io(error)) => panic!("{flipped}: {error}"),
            Ok(_) => Ok(()),
        };
        let snapshot = snapshots::read(mount);
        assert!(log.is_err() || snapshot.is_err(), "{flipped} went unnoticed");
        assert!(log.err().or(snapshot.err()).is_some_and(|reason| !reason.is_empty()));
        places.insert(flipped.split_once(" of ").unwrap().1.to_owned());
    }
    for place in [
        "the stored vote",
        "the stored format",
        "log record Some((15, 0))",
        "log record Some((30, 3))",
    ] {
        assert!(places.contains(place), "{place} is not among {places:?}");
    }
    assert!(places.iter().any(|place| place.ends_with(".snapshot'")), "{places:?}");
}

#[test]
fn an_empty_disk_has_nothing_to_corrupt() {
    assert_eq!(MemoryStore::new().corrupt(1), None);
}
