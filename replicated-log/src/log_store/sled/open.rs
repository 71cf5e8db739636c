//! Opening the store: whose it is, whether it is whole, and what it holds. Anything unexpected stops the start; nothing
//! is ever repaired here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::super::codec::{decode_record, decode_value, encode_value, parse_part};
use super::super::{NodeRecord, Recovered, keys};
use super::mark::Mark;
use super::{Record, SledDisk, record_error, sled_error};
use crate::durable;
use crate::type_config::Entry;

/// For how long the lock may stay with a dying process before the start fails.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two tries.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// sled's page cache. Entries are served from our own memory, so this needs to hold the recent pages only.
const CACHE_BYTES: u64 = 64 << 20;
/// The file in which sled keeps its log.
const SLED_FILE: &str = "db";

/// Why the store cannot be used.
#[derive(Debug)]
pub(crate) enum OpenError {
    /// It was made for another node or cluster.
    Foreign {
        what: &'static str,
        found: String,
        configured: String,
    },
    /// It is not what was written.
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

/// Opens or creates the store in `directory` for `node`. Blocks; call it off the runtime.
pub(crate) fn open(directory: &Path, node: &NodeRecord) -> Result<(SledDisk, Recovered), OpenError> {
    durable::create_directory(directory)?;
    let db = open_when_unlocked(directory)?;
    let log = db.open_tree(keys::LOG_TREE).map_err(sled_error)?;
    let meta = db.open_tree(keys::META_TREE).map_err(sled_error)?;
    check_identity(&meta, node, log.is_empty())?;
    let mark = Mark::open(directory)?;
    let writes = get::<u64>(&meta, keys::WRITES)?.unwrap_or(0);
    mark.check(writes)?;
    db.flush().map_err(sled_error)?;
    let file = open_sled_file(directory)?;
    let (records, entries) = read_log(&log)?;
    let recovered = Recovered {
        cluster: get(&meta, keys::CLUSTER)?,
        vote: get(&meta, keys::VOTE)?,
        committed: get::<Option<_>>(&meta, keys::COMMITTED)?.flatten(),
        purged: get::<Option<_>>(&meta, keys::PURGED)?.flatten(),
        entries,
    };
    check_continuity(&recovered)?;
    let disk = SledDisk {
        db,
        log,
        meta,
        file,
        directory: directory.to_owned(),
        writes,
        mark,
        records,
        purged_upto: None,
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

/// Checks for whom the store was made; a new one is made for `node`.
fn check_identity(meta: &::sled::Tree, node: &NodeRecord, log_is_empty: bool) -> Result<(), OpenError> {
    let Some(version) = meta.get(keys::FORMAT).map_err(sled_error)? else {
        if !(meta.is_empty() && log_is_empty) {
            return Err(OpenError::Damaged("the format version is missing".into()));
        }
        let mut batch = ::sled::Batch::default();
        batch.insert(keys::FORMAT, &[keys::FORMAT_VERSION]);
        batch.insert(keys::NODE, encode_value(node).map_err(record_error)?);
        return Ok(meta.apply_batch(batch).map_err(sled_error)?);
    };
    if *version != [keys::FORMAT_VERSION] {
        return Err(OpenError::Foreign {
            what: "format version",
            found: format!("{:?}", &*version),
            configured: format!("[{}]", keys::FORMAT_VERSION),
        });
    }
    let Some(stored) = get::<NodeRecord>(meta, keys::NODE)? else {
        return Err(OpenError::Damaged("the node id is missing".into()));
    };
    check_node(&stored, node)
}

/// Compares what is stored with what is configured.
pub(crate) fn check_node(stored: &NodeRecord, node: &NodeRecord) -> Result<(), OpenError> {
    if stored.cluster_name != node.cluster_name {
        return Err(OpenError::Foreign {
            what: "cluster",
            found: stored.cluster_name.clone(),
            configured: node.cluster_name.clone(),
        });
    }
    if stored.node_id != node.node_id {
        return Err(OpenError::Foreign {
            what: "node",
            found: stored.node_id.to_string(),
            configured: node.node_id.to_string(),
        });
    }
    Ok(())
}

fn get<T: DeserializeOwned>(meta: &::sled::Tree, key: &str) -> Result<Option<T>, OpenError> {
    let Some(bytes) = meta.get(key).map_err(sled_error)? else {
        return Ok(None);
    };
    match decode_value(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(OpenError::Damaged(format!("the stored {key}: {error}"))),
    }
}

/// Reads every record in order and checks that no index is missing between them.
fn read_log(log: &::sled::Tree) -> Result<(BTreeMap<u64, Record>, Vec<Entry>), OpenError> {
    let mut records = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut parts_left = 0;
    for item in log.iter() {
        let (key, value) = item.map_err(sled_error)?;
        let damaged =
            |reason: String| OpenError::Damaged(format!("log record {:?}: {reason}", keys::parse_log_key(&key)));
        let Some((first_index, part)) = keys::parse_log_key(&key) else {
            return Err(OpenError::Damaged(format!("a log key has {} bytes", key.len())));
        };
        let (parts, _) = parse_part(Bytes::copy_from_slice(&value)).map_err(|error| damaged(error.to_string()))?;
        if part != 0 {
            if parts_left == 0 {
                return Err(damaged("the parts before it are missing".into()));
            }
            parts_left -= 1;
            continue;
        }
        if parts_left != 0 {
            return Err(damaged("the record before it is not complete".into()));
        }
        parts_left = parts.saturating_sub(1);
        let found = read_record(log, first_index, parts).map_err(|error| damaged(error.to_string()))?;
        let expected = entries.last().map_or(first_index, |last| last.log_id.index + 1);
        for (index, entry) in (expected..).zip(&found) {
            if entry.log_id.index != index {
                return Err(damaged(format!(
                    "index {index} is missing, {} follows",
                    entry.log_id.index
                )));
            }
        }
        let Some(last) = found.last() else {
            return Err(damaged("it has no entries".into()));
        };
        records.insert(
            first_index,
            Record {
                last_index: last.log_id.index,
                parts,
            },
        );
        entries.extend(found);
    }
    if parts_left != 0 {
        return Err(OpenError::Damaged("the last log record is not complete".into()));
    }
    Ok((records, entries))
}

/// Reads and checks one record.
pub(super) fn read_record(log: &::sled::Tree, first_index: u64, parts: u16) -> io::Result<Vec<Entry>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut bytes = Vec::new();
    for part in 0..parts {
        let value = log.get(keys::log_key(first_index, part)).map_err(sled_error)?;
        let value = value.ok_or_else(|| invalid(format!("part {part} of {parts} is missing")))?;
        let (_, body) = parse_part(Bytes::copy_from_slice(&value)).map_err(|error| invalid(error.to_string()))?;
        bytes.extend_from_slice(&body);
    }
    let entries = decode_record(bytes.into()).map_err(|error| invalid(error.to_string()))?;
    match entries.first() {
        Some(first) if first.log_id.index == first_index => Ok(entries),
        _ => Err(invalid(format!("it does not start with index {first_index}"))),
    }
}

fn check_continuity(recovered: &Recovered) -> Result<(), OpenError> {
    let (Some(purged), Some(first)) = (recovered.purged, recovered.entries.first()) else {
        return Ok(());
    };
    if first.log_id.index > purged.index + 1 {
        return Err(OpenError::Damaged(format!(
            "the log starts at index {} but was purged up to {} only",
            first.log_id.index, purged.index
        )));
    }
    Ok(())
}
