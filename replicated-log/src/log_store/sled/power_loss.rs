//! What survives the loss of power.
//!
//! The test keeps, beside the real directory, what a machine without any cache would have: the files as they were when
//! the store was opened (every one is synced then), and the content of sled's file at the end of each of our
//! `fdatasync` calls. After the "power cut" only that copy is opened. This works on any machine; that our call
//! reaches the right file is shown by the last test, on a file system of its own, where FUSE is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage};
use tempfile::TempDir;

use super::super::{LogStore, NodeRecord, Recovered};
use super::open;
use crate::type_config::{CommandGroup, Entry, LeaderId, LogId, TypeConfig, Vote};

const LEADER: LeaderId = LeaderId { term: 1, node_id: 1 };

fn node() -> NodeRecord {
    NodeRecord {
        node_id: 1,
        cluster_name: "power".into(),
    }
}

fn entry(index: u64) -> Entry {
    let commands = vec![Bytes::from(vec![index as u8; 200])];
    Entry {
        log_id: LogId {
            leader_id: LEADER,
            index,
        },
        payload: EntryPayload::Normal(CommandGroup::new(0, index, commands)),
    }
}

/// A store and what would be left of it without power.
struct Machine {
    _directory: TempDir,
    surviving: PathBuf,
    store: LogStore,
    /// Held while the surviving copy changes.
    copying: Arc<Mutex<()>>,
}

impl Machine {
    fn new(leave_out_sync: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (real, surviving) = (directory.path().join("real"), directory.path().join("surviving"));
        let (mut disk, recovered) = open(&real, &node()).unwrap();
        copy_files(&real, &surviving);
        let copying = Arc::new(Mutex::new(()));
        disk.sync.leave_out = leave_out_sync;
        disk.sync.after = Some({
            let (copying, surviving) = (Arc::clone(&copying), surviving.clone());
            Arc::new(move || {
                let _copying = copying.lock().unwrap();
                fs::copy(real.join("db"), surviving.join("db")).unwrap();
            })
        });
        Machine {
            _directory: directory,
            surviving,
            store: LogStore::on_thread(recovered, disk).unwrap(),
            copying,
        }
    }

    /// Appends and waits for the acknowledgement.
    async fn append(&mut self, entries: std::ops::Range<u64>) {
        append(&mut self.store, entries).await;
    }

    /// What a replica finds when the power comes back.
    fn after_power_cut(&self, at: &Path) -> Result<Recovered, String> {
        {
            let _copying = self.copying.lock().unwrap();
            copy_files(&self.surviving, at);
        }
        open(at, &node())
            .map(|(_, recovered)| recovered)
            .map_err(|error| format!("{error:?}"))
    }
}

async fn append(store: &mut LogStore, indexes: std::ops::Range<u64>) {
    let (sender, acknowledged) = <TypeConfig as openraft::type_config::TypeConfigExt>::oneshot();
    let entries: Vec<Entry> = indexes.map(entry).collect();
    store.append(entries, IOFlushed::signal(sender)).await.unwrap();
    acknowledged.await.unwrap().unwrap();
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from)
        .unwrap()
        .map(Result::unwrap)
        .filter(|file| file.path().is_file())
    {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn indexes(recovered: &Recovered) -> Vec<u64> {
    recovered.entries.iter().map(|entry| entry.log_id.index).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_survives() {
    let mut machine = Machine::new(false);
    let cuts = tempfile::tempdir().unwrap();
    let mut next = 0;
    for round in 0..25_u64 {
        let count = 1 + round * 7 % 40;
        machine.append(next..next + count).await;
        next += count;
        let vote = Vote {
            leader_id: LeaderId {
                term: round,
                node_id: 1,
            },
            committed: false,
        };
        machine.store.save_vote(&vote).await.unwrap();

        let recovered = machine.after_power_cut(&cuts.path().join(round.to_string())).unwrap();
        assert_eq!(indexes(&recovered), (0..next).collect::<Vec<_>>());
        assert_eq!(recovered.entries, (0..next).map(entry).collect::<Vec<_>>());
        assert_eq!(recovered.vote, Some(vote));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn truncation_and_purge_survive_in_order() {
    let mut machine = Machine::new(false);
    let cuts = tempfile::tempdir().unwrap();
    for first in (0..100).step_by(10) {
        machine.append(first..first + 10).await;
    }
    machine.store.truncate_after(Some(entry(64).log_id)).await.unwrap();
    machine.store.purge(entry(25).log_id).await.unwrap();
    machine.append(65..70).await;
    let recovered = machine.after_power_cut(&cuts.path().join("cut")).unwrap();
    assert_eq!(recovered.purged, Some(entry(25).log_id));
    // Whole records are purged: the one that holds 25 stays.
    assert_eq!(indexes(&recovered), (20..70).collect::<Vec<_>>());
}

/// Shows that the tests above would notice a missing sync: `flush` alone leaves an acknowledged entry in caches.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_explicit_sync_an_acknowledged_entry_is_lost() {
    let mut machine = Machine::new(true);
    let cuts = tempfile::tempdir().unwrap();
    machine.append(0..10).await;
    let recovered = machine.after_power_cut(&cuts.path().join("cut")).unwrap();
    assert_eq!(indexes(&recovered), [] as [u64; 0]);
}

/// The same on a file system that sees the real system calls and forgets what none of them made durable: the sync must
/// reach the right file, and the names of all files and directories must be durable too.
mod on_a_volatile_file_system {
    use volatile_fs::VolatileFs;

    use super::*;

    fn replica_directory(mount: &Path) -> PathBuf {
        mount.join("data").join("replica").join("log")
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whatever_was_acknowledged_survives_and_without_sync_it_does_not() {
        for leave_out_sync in [false, true] {
            let (mount, volatile) = (tempfile::tempdir().unwrap(), VolatileFs::new());
            let session = match volatile.mount(mount.path()) {
                Ok(session) => session,
                Err(error) => return println!("NOT TESTED: mounting a file system: {error}"),
            };
            let directory = replica_directory(mount.path());
            let (mut disk, recovered) = tokio::task::spawn_blocking(move || open(&directory, &node()).unwrap())
                .await
                .unwrap();
            disk.sync.leave_out = leave_out_sync;
            let mut store = LogStore::on_thread(recovered, disk).unwrap();
            let cuts = tempfile::tempdir().unwrap();
            let mut next = 0;
            for round in 0..12 {
                append(&mut store, next..next + 5).await;
                next += 5;
                if round == 8 {
                    store.purge(entry(11).log_id).await.unwrap();
                    append(&mut store, next..next + 5).await;
                    next += 5;
                }
                let cut = cuts.path().join(round.to_string());
                volatile.after_power_cut(&cut).unwrap();
                let log = replica_directory(&cut);
                assert!(leave_out_sync || log.exists(), "the directory's name was not durable");
                let (_, recovered) = open(&log, &node()).unwrap();
                let last = recovered.entries.last().map(|entry| entry.log_id.index);
                if leave_out_sync {
                    assert_eq!(last, None);
                } else {
                    assert_eq!(last, Some(next - 1), "round {round}");
                    let first = if round < 8 { 0 } else { 10 };
                    assert_eq!(recovered.entries, (first..next).map(entry).collect::<Vec<_>>());
                }
            }
            store.close().await;
            drop(session);
        }
    }
}
