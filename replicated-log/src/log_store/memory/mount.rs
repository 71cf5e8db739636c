//! The disk as the replica that runs on it sees it.

use std::io;

use bytes::Bytes;

use super::super::keys::LogKey;
use super::super::layout::{LogChange, Trees};
use super::{Contents, MemoryStore, Step};

/// The right to use the disk, until another takes it or the power is lost. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Mount {
    store: MemoryStore,
    number: u64,
}

impl Mount {
    pub(super) fn new(store: MemoryStore, number: u64) -> Self {
        Mount { store, number }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Contents, u64) -> T) -> T {
        work(&mut self.store.contents(), self.number)
    }

    /// Waits for as long as the disk takes for a sync.
    pub(crate) async fn pause(&self) {
        let (latency, mut is_stalled) = self.with(|contents, _| contents.next_latency());
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        while is_stalled {
            tokio::time::sleep(super::faults::STALL_POLL).await;
            is_stalled = self.with(|contents, _| contents.faults.stalled);
        }
    }

    /// Names of all files.
    pub(crate) fn file_names(&self) -> Vec<String> {
        self.with(|contents, _| contents.files.names())
    }

    /// The bytes of a file.
    pub(crate) fn read_file(&self, name: &str) -> io::Result<Bytes> {
        self.with(|contents, _| contents.files.read(name))
    }

    /// Creates an empty file, in the place of one of that name.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.faults.fail_write()?;
            contents.files.create(name);
            Ok(())
        })
    }

    /// Appends to a file.
    pub(crate) fn append_to_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.faults.fail_write()?;
            if contents.faults.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            contents.files.append(name, bytes)
        })
    }

    /// Makes the bytes of a file durable, not its name.
    pub(crate) fn sync_file(&self, name: &str) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.faults.fail_sync()?;
            contents.files.sync(name)
        })
    }

    /// Gives a file another name, in the place of one of that name.
    pub(crate) fn rename_file(&self, from: &str, to: &str) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.faults.fail_write()?;
            contents.files.rename(from, to)
        })
    }

    /// Makes all names durable.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.faults.fail_sync()?;
            contents.files.sync_names();
            Ok(())
        })
    }

    /// Removes a file.
    pub(crate) fn remove_file(&self, name: &str) -> io::Result<()> {
        self.with(|contents, number| {
            contents.operate(number)?;
            contents.files.remove(name)
        })
    }
}

/// The log's trees. Reads see what was written, durable or not.
impl Trees for Mount {
    fn change_log(&mut self, changes: Vec<LogChange>) -> io::Result<()> {
        let log = changes.into_iter().map(|(key, value)| (key, value.map(Bytes::from)));
        let step = Step {
            log: log.collect(),
            meta: Vec::new(),
        };
        self.with(|contents, number| contents.step(number, step))
    }

    fn log_value(&self, key: &LogKey) -> io::Result<Option<Bytes>> {
        Ok(self.with(|contents, _| contents.visible.log.get(key).cloned()))
    }

    fn log_values(&self) -> impl Iterator<Item = io::Result<(Bytes, Bytes)>> {
        let all = self.with(|contents, _| contents.visible.log.clone());
        all.into_iter()
            .map(|(key, value)| Ok((Bytes::copy_from_slice(&key), value)))
    }

    fn set_meta(&mut self, values: Vec<(&'static str, Vec<u8>)>) -> io::Result<()> {
        let meta = values.into_iter().map(|(key, value)| (key.to_owned(), value.into()));
        let step = Step {
            log: Vec::new(),
            meta: meta.collect(),
        };
        self.with(|contents, number| contents.step(number, step))
    }

    fn meta_value(&self, key: &str) -> io::Result<Option<Bytes>> {
        Ok(self.with(|contents, _| contents.visible.meta.get(key).cloned()))
    }

    fn are_empty(&self) -> bool {
        self.with(|contents, _| contents.visible.log.is_empty() && contents.visible.meta.is_empty())
    }
}
