//! Opening sled: waits for a dying process to let go, makes all names durable, and hands over to `layout`.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::layout::{self, OpenError};
use super::super::{NodeRecord, Recovered, keys};
use super::mark::Mark;
use super::trees::SledTrees;
use super::{SledDisk, sled_error};
use crate::durable;

/// For how long the lock may stay with a dying process before the start fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// sled's page cache. Entries are served from our own memory, so this needs to hold the recent pages only.
const CACHE_BYTES: u64 = 64 << 20;
/// The file in which sled keeps its log.
const SLED_FILE: &str = "db";

/// Opens or creates the store in `directory` for `node`. Blocks; call it off the runtime.
pub(crate) fn open(directory: &Path, node: &NodeRecord) -> Result<(SledDisk, Recovered), OpenError> {
    durable::create_directory(directory)?;
    let db = open_when_unlocked(directory)?;
    let mut trees = SledTrees {
        log: db.open_tree(keys::LOG_TREE).map_err(sled_error)?,
        meta: db.open_tree(keys::META_TREE).map_err(sled_error)?,
    };
    layout::check_identity(&mut trees, node)?;
    let mark = Mark::open(directory)?;
    mark.check(layout::writes(&trees)?)?;
    db.flush().map_err(sled_error)?;
    let file = open_sled_file(directory)?;
    let (layout, recovered) = layout::load(trees)?;
    let disk = SledDisk {
        db,
        layout,
        file,
        directory: directory.to_owned(),
        mark,
        #[cfg(test)]
        sync: super::testing::SyncControl::default(),
    };
    Ok((disk, recovered))
}

fn open_when_unlocked(directory: &Path) -> Result<::sled::Db, OpenError> {
    let start = Instant::now();
    loop {
        let opened = ::sled::Config::new()
            .path(directory)
            .mode(::sled::Mode::LowSpace)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .open();
        match opened {
            Ok(db) => return Ok(db),
            Err(::sled::Error::Io(error)) if is_locked(&error) && start.elapsed() < LOCK_PATIENCE => {
                std::thread::sleep(LOCK_POLL);
            }
            Err(::sled::Error::Corruption { at, .. }) => {
                return Err(OpenError::Damaged(format!("sled reports corruption at {at:?}")));
            }
            Err(error) => return Err(sled_error(error).into()),
        }
    }
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

/// Opens the second handle and makes the new files' names durable as well.
fn open_sled_file(directory: &Path) -> Result<File, OpenError> {
    let file = File::open(directory.join(SLED_FILE)).map_err(|error| {
        let text = format!("sled keeps its log in another file than '{SLED_FILE}', so it cannot be synced: {error}");
        io::Error::new(error.kind(), text)
    })?;
    file.sync_all()?;
    for entry in fs::read_dir(directory)? {
        File::open(entry?.path())?.sync_all()?;
    }
    durable::sync_directory(directory)?;
    Ok(file)
}
