//! How the log lies in two ordered maps, whatever gives them: sled, or the simulated disk.
//!
//! `keys` names trees and keys, `codec` the records. One value holds all entries that were flushed together, but at most
//! [`RECORD_BYTES_MAX`]: a key per entry is bound by the CPU at some ten thousand entries per second, and sled gives a
//! value above 128 KiB a file of its own.
//!
//! The steps of a write are ordered so that a crash after any of them leaves a log without a gap. Nothing here makes
//! anything durable.

mod loading;

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

pub(crate) use self::loading::OpenError;
pub(super) use self::loading::{check_identity, load, writes};
use super::codec::{RecordError, encode_record, encode_value, split_record};
use super::keys::LogKey;
use super::{Change, keys};
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

/// Bytes of each entry that are not its commands.
const ENTRY_OVERHEAD_BYTES: usize = 64;

/// The new value of a key, or that it is to be removed.
pub(super) type LogChange = (LogKey, Option<Vec<u8>>);

/// Two ordered maps of bytes to bytes. Changes are seen at once by the process that makes them, and survive it in their
/// order, each as a whole or not at all.
pub(super) trait Trees: Send + 'static {
    /// Changes keys of the log in one atomic step.
    fn change_log(&mut self, changes: Vec<LogChange>) -> io::Result<()>;

    /// A value of the log.
    fn log_value(&self, key: &LogKey) -> io::Result<Option<Bytes>>;

    /// All keys and values of the log, in order.
    fn log_values(&self) -> impl Iterator<Item = io::Result<(Bytes, Bytes)>>;

    /// Sets keys beside the log in one atomic step.
    fn set_meta(&mut self, values: Vec<(&'static str, Vec<u8>)>) -> io::Result<()>;

    /// A value beside the log.
    fn meta_value(&self, key: &str) -> io::Result<Option<Bytes>>;

    /// Whether nothing was ever written.
    fn are_empty(&self) -> bool;
}

/// A record in the log tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    last_index: u64,
    parts: u16,
}

/// Writes changes into the trees.
#[derive(Debug)]
pub(super) struct Layout<T> {
    pub(super) trees: T,
    /// Number of the last write begun.
    pub(super) writes: u64,
    /// First index to record, without a gap.
    records: BTreeMap<u64, Record>,
    /// Index up to which (inclusive) entries are purged; their records are removed write by write.
    purged_upto: Option<u64>,
}

impl<T: Trees> Layout<T> {
    /// Applies changes in order and numbers the write.
    pub(super) fn write(&mut self, changes: &[Change]) -> io::Result<()> {
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
        self.put(keys::WRITES, &self.writes.clone())
    }

    pub(super) fn put(&mut self, key: &'static str, value: &impl serde::Serialize) -> io::Result<()> {
        let bytes = encode_value(value).map_err(record_error)?;
        self.trees.set_meta(vec![(key, bytes)])
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
        let parts = record_parts(first_index, entries)?;
        let record = Record {
            last_index: last.log_id.index,
            parts: u16::try_from(parts.len()).expect("checked by split_record"),
        };
        // In one step, so a record of several parts is there as a whole or not at all.
        self.trees.change_log(parts)?;
        self.records.insert(first_index, record);
        Ok(())
    }

    fn remove_record(&mut self, first_index: u64) -> io::Result<()> {
        let Some(record) = self.records.remove(&first_index) else {
            return Ok(());
        };
        let removed = (0..record.parts).map(|part| (keys::log_key(first_index, part), None));
        self.trees.change_log(removed.collect())
    }

    /// Deletes from the end backwards, so that a crash in between leaves no gap; then writes the kept front of the
    /// record that `from` lies in.
    fn truncate(&mut self, from: u64) -> io::Result<()> {
        while let Some((&first_index, &record)) = self.records.last_key_value() {
            if record.last_index < from {
                break;
            }
            let kept = if first_index < from {
                let mut entries = loading::read_record(&self.trees, first_index, record.parts)?;
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
        let mut changes = record_parts(first_index, kept)?;
        let parts = u16::try_from(changes.len()).expect("checked by split_record");
        changes.extend((parts..old.parts).map(|part| (keys::log_key(first_index, part), None)));
        self.trees.change_log(changes)?;
        let last_index = kept.last().map_or(first_index, |entry| entry.log_id.index);
        self.records.insert(first_index, Record { last_index, parts });
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

/// The keys and values of one record.
fn record_parts(first_index: u64, entries: &[Entry]) -> io::Result<Vec<LogChange>> {
    let bytes = encode_record(entries).map_err(codec_error)?;
    let values = (0..).zip(split_record(&bytes, RECORD_BYTES_MAX));
    Ok(values
        .map(|(part, value)| (keys::log_key(first_index, part), Some(value)))
        .collect())
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

fn codec_error(error: CodecError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

fn record_error(error: RecordError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}
