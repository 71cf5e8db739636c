//! What the agent knows of itself and its tasks, on disk: `<work_dir>/meta`.
//!
//! Responsible for the layout, the versioned records and their atomic replacement. Must never decide anything: which
//! records exist and what they hold is the book's business ([`crate::book`]).
//!
//! ```text
//! meta/lock                                   held by the one agent of this work_dir
//! meta/notify                                 named pipe: supervisors tell which process changed
//! meta/boot_id                                the kernel's boot id of the last start
//! meta/agent                                  AgentRecord
//! meta/frameworks/<f>/framework               FrameworkRecord
//! meta/frameworks/<f>/executors/<c>/executor  ExecutorRecord, <c> the container id of the run
//! meta/frameworks/<f>/executors/<c>/tasks/<t> TaskRecord
//! meta/frameworks/<f>/executors/<c>/processes/<p>/...   supervisor files, see `supervisor::spec`
//! ```

pub(crate) mod atomic;
pub(crate) mod layout;
pub(crate) mod record;
mod recover;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

pub(crate) use layout::Layout;
pub(crate) use recover::{Recovered, RecoveredExecutor, RecoveredFramework, recover};

/// A write or read of the store failed; the agent cannot go on, since it may only speak about what is on disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An operation on a file failed.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A record does not decode.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The record.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another agent uses this work directory.
    #[error("{} is locked: another agent uses this work_dir", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
}

impl StoreError {
    pub(crate) fn io(operation: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| StoreError::Io {
            operation,
            path,
            source,
        }
    }
}

/// Changes that must be on disk before anything is said about them. Later changes of one file replace earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    writes: BTreeMap<PathBuf, Bytes>,
    removals: BTreeSet<PathBuf>,
}

impl Changes {
    /// Replaces the record at `path`.
    pub(crate) fn write(&mut self, path: PathBuf, content: Bytes) {
        self.removals.remove(&path);
        self.writes.insert(path, content);
    }

    /// Removes a record or a whole directory.
    pub(crate) fn remove(&mut self, path: PathBuf) {
        self.writes.retain(|written, _| !written.starts_with(&path));
        self.removals.insert(path);
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.removals.is_empty()
    }

    /// Makes every change durable, removals last: what they hold may be needed until its successor is there.
    pub(crate) fn commit(&mut self) -> Result<(), StoreError> {
        for (path, content) in std::mem::take(&mut self.writes) {
            if let Some(parent) = path.parent()
                && !parent.exists()
            {
                create_directories(parent)?;
            }
            atomic::write(&path, &content).map_err(StoreError::io("write", &path))?;
        }
        for path in std::mem::take(&mut self.removals) {
            let removed = if path.is_dir() {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(StoreError::io("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Attempts at a directory whose parents [`remove_with_empty_parents`] may take away meanwhile: it takes each once.
const CREATE_ATTEMPTS: u32 = 16;

/// Creates a directory with its missing parents, durably.
pub(crate) fn create_directories(path: &Path) -> Result<(), StoreError> {
    for _ in 1..CREATE_ATTEMPTS {
        match create_missing(path) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            result => return result,
        }
    }
    create_missing(path)
}

fn create_missing(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_missing(parent)?;
    }
    match fs::create_dir(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(StoreError::io("create", path)(error));
        }
        _ => {}
    }
    match path.parent() {
        Some(parent) => atomic::sync_directory(parent).map_err(StoreError::io("sync", parent)),
        None => Ok(()),
    }
}

/// Removes a directory, and of the `levels` directories above it those that it leaves empty.
pub(crate) fn remove_with_empty_parents(path: &Path, levels: usize) -> Result<(), StoreError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove", path)(error));
        }
        _ => {}
    }
    for parent in path.ancestors().skip(1).take(levels) {
        match fs::remove_dir(parent) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => break,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("remove", parent)(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_drops_pending_writes_below_it_and_a_later_write_revives() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("a/b/record");
        let mut changes = Changes::default();
        changes.write(file.clone(), Bytes::from_static(b"one"));
        changes.commit().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"one");

        changes.write(file.clone(), Bytes::from_static(b"two"));
        changes.remove(root.path().join("a"));
        changes.commit().unwrap();
        assert!(!root.path().join("a").exists());
        assert!(changes.is_empty());
    }
    #[test]
    fn only_parents_that_are_left_empty_go_with_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("f/a/1"), root.path().join("f/b/2"));
        for path in [&one, &two] {
            create_directories(path).unwrap();
            fs::write(path.join("stdout"), "text").unwrap();
        }
        remove_with_empty_parents(&one, 2).unwrap();
        assert!(!root.path().join("f/a").exists());
        assert!(two.join("stdout").exists());
        remove_with_empty_parents(&one, 2).unwrap();
        assert!(two.exists(), "what is gone already does no harm");
        remove_with_empty_parents(&two, 1).unwrap();
        assert!(!root.path().join("f/b").exists());
        assert!(root.path().join("f").exists(), "as many levels as were asked for");
    }

    #[test]
    fn a_directory_is_created_also_while_its_parents_are_being_removed() {
        let root = tempfile::tempdir().unwrap();
        let (old, new) = (root.path().join("f/e/runs/old"), root.path().join("f/e/runs/new"));
        for _ in 0..200 {
            create_directories(&old).unwrap();
            std::thread::scope(|scope| {
                let removal = scope.spawn(|| remove_with_empty_parents(&old, 3));
                create_directories(&new).unwrap();
                removal.join().unwrap().unwrap();
            });
            assert!(new.is_dir());
            fs::remove_dir(&new).unwrap();
        }
    }
}
