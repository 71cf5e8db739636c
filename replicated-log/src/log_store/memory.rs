//! A disk that is a value in memory: for simulation and tests. It behaves as the sled one does, only that everything
//! is durable at once; the conformance suite runs on both.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::{Change, Disk, NodeRecord, Recovered};

/// Stands in for the data directory of one replica: a replica started again with a clone finds its log and snapshot.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

#[derive(Debug, Default)]
struct Contents {
    node: Option<NodeRecord>,
    log: Recovered,
    snapshot: Option<Bytes>,
    broken: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, as a replaced disk does.
    pub fn wipe(&self) {
        *self.contents() = Contents::default();
    }

    /// From now on every write fails, as on a broken disk. [`MemoryStore::wipe`] repairs it.
    pub fn break_down(&self) {
        self.contents().broken = true;
    }

    fn contents(&self) -> std::sync::MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a replica finds when it starts.
    pub(crate) fn recovered(&self) -> Recovered {
        self.contents().log.clone()
    }

    /// The node this store belongs to; set to `node` when it is new.
    pub(crate) fn node_record(&self, node: &NodeRecord) -> NodeRecord {
        self.contents().node.get_or_insert_with(|| node.clone()).clone()
    }

    pub(crate) fn snapshot(&self) -> Option<Bytes> {
        self.contents().snapshot.clone()
    }

    pub(crate) fn save_snapshot(&self, image: Bytes) {
        self.contents().snapshot = Some(image);
    }
}

/// The writing side of a [`MemoryStore`].
#[derive(Debug)]
pub(crate) struct MemoryDisk(pub(crate) MemoryStore);

impl Disk for MemoryDisk {
    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut contents = self.0.contents();
        if contents.broken {
            return Err(io::Error::other("the disk is broken"));
        }
        for change in changes {
            contents.log.apply(change);
        }
        Ok(())
    }
}

impl Recovered {
    fn apply(&mut self, change: &Change) {
        match change {
            Change::Append(entries) => self.entries.extend(entries.iter().cloned()),
            Change::Vote(vote) => self.vote = Some(*vote),
            Change::Committed(committed) => self.committed = *committed,
            Change::TruncateFrom(from) => self.entries.retain(|entry| entry.log_id.index < *from),
            Change::Purge(upto) => {
                self.purged = self.purged.max(Some(*upto));
                self.entries.retain(|entry| entry.log_id.index > upto.index);
            }
            Change::Cluster(cluster) => self.cluster = Some(cluster.clone()),
        }
    }
}
