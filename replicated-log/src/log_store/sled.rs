//! The disk of a real replica: a sled database, and our own `fdatasync`.
//!
//! sled's `flush` on Linux ends in `sync_file_range`, which survives the death of the process but not the loss of
//! power. So after each flush the file sled writes to is synced once more through a second handle, and only then is a
//! change reported as durable. That sled keeps its log in a file called `db` is checked at start-up.
//!
//! Layout: `keys` names trees and keys, `codec` the records. One value holds all entries that were flushed together,
//! but at most [`RECORD_BYTES_MAX`]: a key per entry is bound by the CPU at some ten thousand entries per second, and
//! a value above 128 KiB becomes a file of its own.

#[cfg(test)]
mod crash;
mod mark;
mod open;
#[cfg(test)]
mod power_loss;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use self::mark::Mark;
pub(crate) use self::open::{OpenError, check_node, open};
use super::codec::{RecordError, encode_record, encode_value, split_record};
use super::{Change, Disk, keys};
use crate::codec::CodecError;
use crate::type_config::{Entry, LogId, payload_bytes};

/// Bytes of one stored value; below sled's limit of a quarter segment (128 KiB), above which it writes separate files.
const RECORD_BYTES_MAX: usize = 96 << 10;

/// Entries of one record at most, so that purge and truncation work on small pieces.
const RECORD_ENTRIES_MAX: usize = 4096;

/// Purged records removed with one write at most. A purge covers tens of thousands of small records, and removing them in
/// one go would keep the next append waiting for long enough to make followers doubt the leader. More than one, so that
/// removing overtakes appending.
const RECORDS_REMOVED_PER_WRITE: usize = 64;

/// Space that must be free before a write begins: room for what sled writes behind our back and for one snapshot frame.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// Bytes of each entry that are not its commands.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// A record in the log tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    last_index: u64,
    parts: u16,
}

/// The writing side of the store; owned by the writer thread.
pub(crate) struct SledDisk {
    db: ::sled::Db,
    log: ::sled::Tree,
    meta: ::sled::Tree,
    /// The second handle, on sled's file.
    file: File,
    directory: PathBuf,
    /// Number of the last write begun, and the note of the last one that became durable.
    writes: u64,
    mark: Mark,
    /// First index to record, without a gap.
    records: BTreeMap<u64, Record>,
    /// Index up to which (inclusive) entries are purged; their records are removed write by write.
    purged_upto: Option<u64>,
    #[cfg(test)]
    pub(crate) sync: testing::SyncControl,
}

impl Disk for SledDisk {
    fn write(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut appended: Vec<Entry> = Vec::new();
        for change in changes {
            if let Change::Append(entries) = change {
                appended.extend(entries.iter().cloned());
                continue;
            }
            self.append(&std::mem::take(&mut appended))?;
            match change {
                Change::Append(_) => {}
                Change::Vote(vote) => self.put(keys::VOTE, vote)?,
                Change::Committed(committed) => self.put(keys::COMMITTED, committed)?,
                Change::TruncateFrom(from) => self.truncate(*from)?,
                Change::Purge(upto) => self.purge(*upto)?,
                Change::Cluster(cluster) => self.put(keys::CLUSTER, cluster)?,
            }
        }
        self.append(&appended)?;
        self.remove_purged(RECORDS_REMOVED_PER_WRITE)?;
        self.writes += 1;
        self.put(keys::WRITES, &self.writes)?;
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
        self.mark.note(self.writes)?;
        #[cfg(test)]
        self.sync.after_sync();
        Ok(())
    }

    fn put(&self, key: &str, value: &impl serde::Serialize) -> io::Result<()> {
        let bytes = encode_value(value).map_err(record_error)?;
        self.meta.insert(key, bytes).map_err(sled_error)?;
        Ok(())
    }

    fn append(&mut self, mut entries: &[Entry]) -> io::Result<()> {
        while !entries.is_empty() {
            let (record, rest) = entries.split_at(record_length(entries));
            self.put_record(record)?;
            entries = rest;
        }
        Ok(())
    }

    fn put_record(&mut self, entries: &[Entry]) -> io::Result<()> {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        let first_index = first.log_id.index;
        let bytes = encode_record(entries).map_err(codec_error)?;
        let parts = split_record(&bytes, RECORD_BYTES_MAX);
        let record = Record {
            last_index: last.log_id.index,
            parts: u16::try_from(parts.len()).expect("checked by split_record"),
        };
        if let [value] = &parts[..] {
            // Atomic by itself. A batch costs two more writes and waits for the disk: sled begins a new buffer before it
            // and another within.
            self.log
                .insert(keys::log_key(first_index, 0), value.as_slice())
                .map_err(sled_error)?;
        } else {
            // One batch is atomic, so a record of several parts is there as a whole or not at all.
            let mut batch = ::sled::Batch::default();
            for (part, value) in (0..).zip(parts) {
                batch.insert(&keys::log_key(first_index, part), value);
            }
            self.log.apply_batch(batch).map_err(sled_error)?;
        }
        self.records.insert(first_index, record);
        Ok(())
    }

    fn remove_record(&mut self, first_index: u64) -> io::Result<()> {
        let Some(record) = self.records.remove(&first_index) else {
            return Ok(());
        };
        if record.parts == 1 {
            // As in `put_record`: a batch would cost two writes of its own.
            self.log.remove(keys::log_key(first_index, 0)).map_err(sled_error)?;
            return Ok(());
        }
        let mut batch = ::sled::Batch::default();
        for part in 0..record.parts {
            batch.remove(&keys::log_key(first_index, part));
        }
        self.log.apply_batch(batch).map_err(sled_error)
    }

    /// Deletes from the end backwards, so that a crash in between leaves no gap; then writes the kept front of the
    /// record that `from` lies in.
    fn truncate(&mut self, from: u64) -> io::Result<()> {
        while let Some((&first_index, &record)) = self.records.last_key_value() {
            if record.last_index < from {
                break;
            }
            let kept = if first_index < from {
                let mut entries = open::read_record(&self.log, first_index, record.parts)?;
                entries.retain(|entry| entry.log_id.index < from);
                entries
            } else {
                Vec::new()
            };
            if kept.is_empty() {
                self.remove_record(first_index)?;
            } else {
                self.replace_record(first_index, record, &kept)?;
            }
        }
        Ok(())
    }

    /// Puts a shorter record in the place of a longer one, in one atomic step.
    fn replace_record(&mut self, first_index: u64, old: Record, kept: &[Entry]) -> io::Result<()> {
        let bytes = encode_record(kept).map_err(codec_error)?;
        let parts = split_record(&bytes, RECORD_BYTES_MAX);
        let count = u16::try_from(parts.len()).expect("checked by split_record");
        let mut batch = ::sled::Batch::default();
        for (part, value) in (0..).zip(parts) {
            batch.insert(&keys::log_key(first_index, part), value);
        }
        for part in count..old.parts {
            batch.remove(&keys::log_key(first_index, part));
        }
        self.log.apply_batch(batch).map_err(sled_error)?;
        let last_index = kept.last().map_or(first_index, |entry| entry.log_id.index);
        self.records.insert(
            first_index,
            Record {
                last_index,
                parts: count,
            },
        );
        Ok(())
    }

    /// The purged id first, then whole records: the record that `upto` lies in stays until it is covered as a whole.
    ///
    /// A crash in between leaves records that nobody looks at; the next purge removes them too. When everything is purged,
    /// because a snapshot replaces the log, everything is removed at once: what follows does not join on to it.
    fn purge(&mut self, upto: LogId) -> io::Result<()> {
        self.put(keys::PURGED, &Some(upto))?;
        self.purged_upto = self.purged_upto.max(Some(upto.index));
        let last = self.records.last_key_value().map(|(_, record)| record.last_index);
        if last.is_some_and(|last| last <= upto.index) {
            self.remove_purged(usize::MAX)?;
        }
        Ok(())
    }

    fn remove_purged(&mut self, count_max: usize) -> io::Result<()> {
        let Some(upto) = self.purged_upto else {
            return Ok(());
        };
        for _ in 0..count_max {
            match self.records.first_key_value() {
                Some((&first_index, record)) if record.last_index <= upto => self.remove_record(first_index)?,
                _ => break,
            }
        }
        Ok(())
    }
}

/// How many of the entries go into one record; at least one.
fn record_length(entries: &[Entry]) -> usize {
    let mut bytes = 0;
    let fitting = entries.iter().take(RECORD_ENTRIES_MAX).take_while(|entry| {
        bytes += payload_bytes(entry) + ENTRY_OVERHEAD_BYTES;
        bytes <= RECORD_BYTES_MAX
    });
    fitting.count().max(1)
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

fn codec_error(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn record_error(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
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
