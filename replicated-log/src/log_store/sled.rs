//! The disk of a real replica: a sled database, and our own `fdatasync`.
//!
//! sled's `flush` on Linux ends in `sync_file_range`, which survives the death of the process but not the loss of
//! power. So after each flush the file sled writes to is synced once more through a second handle, and only then is a
//! change reported as durable. That sled keeps its log in a file called `db` is checked at start-up. What is in the
//! trees is the concern of `layout`.

#[cfg(test)]
mod crash;
mod mark;
mod open;
#[cfg(test)]
mod power_loss;
mod trees;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use self::mark::Mark;
pub(crate) use self::open::open;
use self::trees::SledTrees;
use super::layout::Layout;
use super::{Change, Disk};

/// Space that must be free before a write begins: room for what sled writes behind our back and for one snapshot frame.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// The writing side of the store; owned by the writer thread.
pub(crate) struct SledDisk {
    db: ::sled::Db,
    layout: Layout<SledTrees>,
    /// The second handle, on sled's file.
    file: File,
    directory: PathBuf,
    /// The note of the last write that became durable.
    mark: Mark,
    #[cfg(test)]
    pub(crate) sync: testing::SyncControl,
}

impl Disk for SledDisk {
    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        self.layout.write(changes)
    }

    async fn sync(&mut self) -> io::Result<()> {
        self.make_durable()
    }

    fn has_space(&mut self) -> io::Result<bool> {
        let stat = nix::sys::statvfs::statvfs(&self.directory)?;
        Ok(stat.blocks_available() as u64 * stat.fragment_size() as u64 >= FREE_BYTES_MIN)
    }
}

impl SledDisk {
    /// The promise that rests on this: whatever was written before it survives the loss of power.
    fn make_durable(&self) -> io::Result<()> {
        self.db.flush().map_err(sled_error)?;
        #[cfg(test)]
        if !self.sync.before_sync() {
            return Ok(());
        }
        self.file.sync_data()?;
        self.mark.note(self.layout.writes)?;
        #[cfg(test)]
        self.sync.after_sync();
        Ok(())
    }
}

fn sled_error(error: ::sled::Error) -> io::Error {
    match error {
        ::sled::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => io::Error::new(
            io::ErrorKind::StorageFull,
            "the disk became full in the middle of a write; make space and restart the replica",
        ),
        ::sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

/// Hooks with which tests leave out the sync or watch it. Not in release builds.
#[cfg(test)]
pub(crate) mod testing {
    use std::sync::Arc;

    /// Called after each sync.
    type Hook = Arc<dyn Fn() + Send + Sync>;

    #[derive(Clone, Default)]
    pub(crate) struct SyncControl {
        pub(crate) leave_out: bool,
        pub(crate) after: Option<Hook>,
    }

    impl SyncControl {
        pub(super) fn before_sync(&self) -> bool {
            !self.leave_out
        }

        pub(super) fn after_sync(&self) {
            if let Some(after) = &self.after {
                after();
            }
        }
    }
}
