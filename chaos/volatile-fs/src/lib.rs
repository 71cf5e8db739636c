//! A file system in memory that forgets: what was written is durable once `fsync` or `fdatasync` arrives for the file, a
//! name once its directory was synced. Mounted through FUSE, it sees the real system calls; `sync_file_range` never
//! reaches it, exactly as it never reaches a disk's cache. On demand it loses power, fails, is full or slow.
//!
//! For tests and chaos runs only. Must never depend on another crate of the workspace.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod calls;
mod file;
mod nodes;
#[cfg(test)]
mod tests;

use std::fmt::{Debug, Formatter};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fuser::{BackgroundSession, Config};

use self::nodes::Nodes;

/// What is wrong with the disk at present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Writes fail with EIO.
    pub fail_writes: bool,
    /// Reads fail with EIO.
    pub fail_reads: bool,
    /// Syncs fail with EIO, and make nothing durable.
    pub fail_syncs: bool,
    /// Nothing grows: ENOSPC.
    pub full: bool,
    /// Each write and each sync takes so long; the others wait, as for a disk with one head.
    pub latency: Duration,
}

/// The file system; clones are the same.
#[derive(Clone)]
pub struct VolatileFs(Arc<Mutex<Disk>>);

struct Disk {
    nodes: Nodes,
    faults: Faults,
}

impl Debug for VolatileFs {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "VolatileFs({:?})", self.disk().faults)
    }
}

impl Default for VolatileFs {
    fn default() -> Self {
        Self::new()
    }
}

impl VolatileFs {
    /// An empty one.
    pub fn new() -> Self {
        VolatileFs(Arc::new(Mutex::new(Disk {
            nodes: Nodes::new(),
            faults: Faults::default(),
        })))
    }

    /// Mounts it at a directory until what is returned is dropped.
    ///
    /// # Errors
    /// There is no `/dev/fuse`, or this user may not mount.
    pub fn mount(&self, at: &Path) -> io::Result<BackgroundSession> {
        if !Path::new("/dev/fuse").exists() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no /dev/fuse"));
        }
        fuser::spawn_mount(self.clone(), at, &Config::default())
    }

    /// From now on this is wrong with the disk.
    pub fn set_faults(&self, faults: Faults) {
        self.disk().faults = faults;
    }

    /// Power is lost: everything is as it was made durable. With a number to draw from, some of what was not synced
    /// arrived all the same: any sectors of what was overwritten, a beginning of what was appended, a directory's names.
    /// To be called when no process has a file open.
    pub fn cut_power(&self, torn: Option<u64>) {
        self.disk().nodes.cut_power(torn);
    }

    /// Writes what the loss of power would leave, without losing it.
    ///
    /// # Errors
    /// Those of writing.
    pub fn after_power_cut(&self, to: &Path) -> io::Result<()> {
        self.disk().nodes.write_durable(to)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
