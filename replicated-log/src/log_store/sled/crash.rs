//! Reopening: what was written is found again, what was damaged is refused.

use bytes::Bytes;
use openraft::EntryPayload;
use tempfile::TempDir;

use super::super::layout::OpenError;
use super::super::{Change, ClusterId, ClusterRecord, Disk, NodeRecord, Recovered, keys};
use super::{SledDisk, open};
use crate::type_config::{CommandGroup, Entry, LeaderId, LogId};

fn node() -> NodeRecord {
    NodeRecord {
        node_id: 1,
        cluster_name: "crash".into(),
    }
}

fn log_id(index: u64) -> LogId {
    LogId {
        leader_id: LeaderId { term: 3, node_id: 2 },
        index,
    }
}

fn entry(index: u64, bytes: usize) -> Entry {
    let commands = vec![Bytes::from(vec![index as u8; bytes])];
    Entry {
        log_id: log_id(index),
        payload: EntryPayload::Normal(CommandGroup::new(0, index, commands)),
    }
}

fn append(range: std::ops::Range<u64>) -> Change {
    Change::Append(range.map(|index| entry(index, 10)).collect())
}

fn write(disk: &mut SledDisk, changes: &[Change]) {
    disk.write(changes).unwrap();
    disk.make_durable().unwrap();
}

fn create(changes: &[Change]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let (mut disk, recovered) = open(directory.path(), &node()).unwrap();
    assert!(recovered.entries.is_empty());
    for change in changes {
        write(&mut disk, std::slice::from_ref(change));
    }
    directory
}

fn reopen(directory: &TempDir) -> (SledDisk, Recovered) {
    open(directory.path(), &node()).unwrap()
}

fn refusal(directory: &TempDir, node: &NodeRecord) -> OpenError {
    match open(directory.path(), node) {
        Ok((_, recovered)) => panic!("opened with {recovered:?}"),
        Err(error) => error,
    }
}

fn damage(directory: &TempDir) -> String {
    match refusal(directory, &node()) {
        OpenError::Damaged(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_store_written_in_any_steps_is_found_again() {
    let cluster = ClusterRecord::founded(ClusterId([7; 16]));
    let directory = create(&[
        Change::Cluster(cluster.clone()),
        append(0..50),
        append(50..60),
        Change::TruncateFrom(55),
        Change::Append(vec![entry(55, 10), entry(56, 300_000), entry(57, 10)]),
        Change::Committed(Some(log_id(40))),
        Change::Purge(log_id(20)),
    ]);
    let (mut disk, recovered) = reopen(&directory);
    assert_eq!(recovered.cluster, Some(cluster));
    assert_eq!(
        (recovered.committed, recovered.purged),
        (Some(log_id(40)), Some(log_id(20)))
    );
    assert_eq!(recovered.entries.len(), 58);
    assert_eq!(recovered.entries[56], entry(56, 300_000));

    // The huge entry lies in several parts; they go and come as one.
    write(
        &mut disk,
        &[Change::TruncateFrom(56), append(56..58), Change::Purge(log_id(54))],
    );
    drop(disk);
    let (_, recovered) = reopen(&directory);
    assert_eq!(
        recovered
            .entries
            .iter()
            .map(|entry| entry.log_id.index)
            .collect::<Vec<_>>(),
        [55, 56, 57]
    );
    assert_eq!(recovered.entries[1], entry(56, 10));
}

/// sled itself takes the damaged place for the end of its log.
#[test]
fn damage_in_the_middle_of_the_file_is_no_shorter_log() {
    let directory = create(&[append(0..20), append(20..40), append(40..60)]);
    let path = directory.path().join("db");
    let mut bytes = std::fs::read(&path).unwrap();
    // Entry 30 holds the byte 30 ten times over.
    let places: Vec<usize> = (0..bytes.len() - 10)
        .filter(|at| bytes[*at..at + 10] == [30; 10])
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let reason = damage(&directory);
    assert!(reason.contains("write 3 had become durable"), "{reason}");
    // Looking at it does not heal it.
    assert_eq!(damage(&directory), reason);
}

#[test]
fn changes_written_together_equal_changes_written_one_by_one() {
    let changes = [
        append(0..5),
        append(5..9),
        Change::TruncateFrom(7),
        append(7..8),
        Change::Purge(log_id(3)),
    ];
    let one_by_one = create(&changes);
    let together = create(&[]);
    write(&mut reopen(&together).0, &changes);
    let entries = |directory: &TempDir| {
        let kept = reopen(directory)
            .1
            .entries
            .into_iter()
            .filter(|entry| entry.log_id.index > 3);
        kept.collect::<Vec<_>>()
    };
    assert_eq!(entries(&one_by_one), entries(&together));
    assert_eq!(entries(&together).len(), 4);
}

#[test]
fn the_store_of_another_node_or_cluster_is_refused_with_both_values() {
    let directory = create(&[]);
    let other_node = NodeRecord { node_id: 2, ..node() };
    let other_cluster = NodeRecord {
        cluster_name: "other".into(),
        ..node()
    };
    for (node, expected) in [
        (other_node, ("node", "1", "2")),
        (other_cluster, ("cluster", "crash", "other")),
    ] {
        match refusal(&directory, &node) {
            OpenError::Foreign {
                what,
                found,
                configured,
            } => {
                assert_eq!((what, found.as_str(), configured.as_str()), expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_damaged_record_is_refused() {
    let directory = create(&[append(0..5), append(5..9)]);
    {
        let (disk, _) = reopen(&directory);
        let mut value = disk
            .layout
            .trees
            .log
            .get(keys::log_key(5, 0))
            .unwrap()
            .unwrap()
            .to_vec();
        *value.last_mut().unwrap() ^= 1;
        disk.layout.trees.log.insert(keys::log_key(5, 0), value).unwrap();
        disk.make_durable().unwrap();
    }
    let reason = damage(&directory);
    assert!(reason.contains("(5, 0)") && reason.contains("checksum"), "{reason}");
}

#[test]
fn a_missing_record_is_refused() {
    let directory = create(&[append(0..5), append(5..9), append(9..12)]);
    {
        let (disk, _) = reopen(&directory);
        disk.layout.trees.log.remove(keys::log_key(5, 0)).unwrap();
        disk.make_durable().unwrap();
    }
    let reason = damage(&directory);
    assert!(reason.contains("index 5 is missing, 9 follows"), "{reason}");
}

#[test]
fn a_missing_part_of_a_record_is_refused() {
    for part in 0..4 {
        let directory = create(&[append(0..5), Change::Append(vec![entry(5, 300_000)]), append(6..7)]);
        {
            let (disk, _) = reopen(&directory);
            assert!(disk.layout.trees.log.remove(keys::log_key(5, part)).unwrap().is_some());
            disk.make_durable().unwrap();
        }
        damage(&directory);
    }
}

#[test]
fn a_log_that_starts_after_what_was_purged_is_refused() {
    let directory = create(&[append(0..5), append(5..9), Change::Purge(log_id(4))]);
    {
        let (mut disk, _) = reopen(&directory);
        disk.layout.put(keys::PURGED, &Some(log_id(2))).unwrap();
        disk.make_durable().unwrap();
    }
    let reason = damage(&directory);
    assert!(
        reason.contains("starts at index 5 but was purged up to 2 only"),
        "{reason}"
    );
}

#[test]
fn a_store_of_a_newer_version_is_refused() {
    let directory = create(&[]);
    {
        let (disk, _) = reopen(&directory);
        disk.layout.trees.meta.insert(keys::FORMAT, &[9]).unwrap();
        disk.make_durable().unwrap();
    }
    assert!(matches!(
        refusal(&directory, &node()),
        OpenError::Foreign {
            what: "format version",
            ..
        }
    ));
}

#[test]
fn a_start_waits_while_a_dying_process_holds_the_lock() {
    let directory = create(&[append(0..5)]);
    let (held, _) = reopen(&directory);
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let holder = std::thread::spawn(move || {
        released.recv().unwrap();
        drop(held);
    });
    let path = directory.path().to_owned();
    let opener = std::thread::spawn(move || open(&path, &node()).map(|(_, recovered)| recovered.entries.len()));
    assert!(!opener.is_finished());
    release.send(()).unwrap();
    holder.join().unwrap();
    assert_eq!(opener.join().unwrap().unwrap(), 5);
}
