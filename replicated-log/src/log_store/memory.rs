//! A disk that is a value in memory: for simulation and tests. Whatever the real one does to a replica it does too, at the
//! moment a test or a seed chooses.
//!
//! It has two layers. What a replica writes is seen by it at once, and is lost with the power until a sync has made it
//! durable. Beneath the log lie the same records with the same checksums as on sled (`layout`, `codec`); beside it lie
//! files for snapshots, whose contents and names become durable each by its own sync. Every change is one step: a loss of
//! power keeps those before a chosen one, may leave a torn one, and the start after it drops that and what follows.
//!
//! A disk on which no fault was ever set is durable at every sync, and a sync takes no time.
//!
//! This module draws no random number of its own and starts no thread: seeds come from outside, so a run repeats itself.

mod disk;
mod faults;
mod files;
mod mount;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use self::faults::{Faults, Random};
use self::files::Files;
pub(crate) use self::mount::Mount;
use super::keys::LogKey;

/// Stands in for the data directory of one replica: a replica started again with a clone finds its log and snapshot.
///
/// Clones are the same disk. It outlives the host of the replica, so that a simulator can crash one and keep the other.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Contents>>);

/// What is on the disk, and what is on its way there.
#[derive(Debug, Default)]
struct Contents {
    /// Counts mounts and losses of power; whoever comes with an older number has lost the disk.
    mount: u64,
    /// What the running replica sees.
    visible: Maps,
    /// What survives the loss of power.
    durable: Maps,
    /// Steps from `durable` to `visible`, in order.
    unsynced: Vec<Step>,
    /// How many of those a disk that reports early has reported.
    reported: usize,
    /// What a loss of power left behind the last whole step: bytes of steps, the first of them torn.
    tail: Vec<Vec<u8>>,
    /// Number of the last write that became durable; see `sled/mark.rs`.
    mark: u64,
    files: Files,
    /// Steps, syncs and changes of files since the store was made.
    operations: u64,
    torn_tails: u64,
    faults: Faults,
    random: Random,
}

/// The log's tree and the one beside it.
#[derive(Clone, Debug, Default)]
struct Maps {
    log: BTreeMap<LogKey, Bytes>,
    meta: BTreeMap<String, Bytes>,
}

impl Maps {
    fn apply(&mut self, step: Step) {
        for (key, value) in step.log {
            match value {
                Some(value) => self.log.insert(key, value),
                None => self.log.remove(&key),
            };
        }
        self.meta.extend(step.meta);
    }
}

/// One atomic change of the maps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Step {
    log: Vec<(LogKey, Option<Bytes>)>,
    meta: Vec<(String, Bytes)>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        // Changed by short, panic-free steps only.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the disk for a starting replica; an earlier mount can do nothing any more.
    pub(crate) fn mount(&self) -> Mount {
        let mut contents = self.contents();
        contents.mount += 1;
        contents.faults.power_lost = false;
        Mount::new(self.clone(), contents.mount)
    }
}

impl Contents {
    /// Counts an operation of a mount; fails when the mount or the disk is no more.
    fn operate(&mut self, mount: u64) -> io::Result<()> {
        if self.faults.broken {
            return Err(io::Error::other("the disk is broken"));
        }
        if mount != self.mount {
            return Err(io::Error::other("the disk was taken away"));
        }
        self.operations += 1;
        if let Some((left, entropy)) = self.faults.power_loss {
            if left == 0 {
                self.lose_power(entropy);
                return Err(io::Error::other("the power is gone"));
            }
            self.faults.power_loss = Some((left - 1, entropy));
        }
        Ok(())
    }

    fn step(&mut self, mount: u64, step: Step) -> io::Result<()> {
        self.operate(mount)?;
        self.faults.fail_write()?;
        self.unsynced.push(step.clone());
        self.visible.apply(step);
        Ok(())
    }

    /// Makes the log and what is beside it durable, and notes the number of the write.
    fn sync(&mut self, mount: u64, writes: u64) -> io::Result<()> {
        self.operate(mount)?;
        self.faults.fail_sync()?;
        let durable_upto = match self.faults.reports_early {
            true => self.reported,
            false => self.unsynced.len(),
        };
        for step in self.unsynced.drain(..durable_upto) {
            self.durable.apply(step);
        }
        self.reported = self.unsynced.len();
        self.mark = writes;
        Ok(())
    }
}
