//! Reading the log back: whose it is, whether it is whole, and what it holds. Anything unexpected stops the start;
//! nothing is ever repaired here.

use std::collections::BTreeMap;
use std::io;

use planted::{Bug, is_planted};
use serde::de::DeserializeOwned;

use super::super::codec::{decode_record, decode_value, encode_value, parse_part};
use super::super::{NodeRecord, Recovered, keys};
use super::{Layout, Record, Trees, record_error};
use crate::type_config::Entry;

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

/// Checks for whom the store was made; a new one is made for `node`.
pub(in super::super) fn check_identity<T: Trees>(trees: &mut T, node: &NodeRecord) -> Result<(), OpenError> {
    let Some(version) = trees.meta_value(keys::FORMAT)? else {
        if !trees.are_empty() {
            return Err(OpenError::Damaged("the format version is missing".into()));
        }
        let node = encode_value(node).map_err(record_error)?;
        let format = vec![keys::FORMAT_VERSION];
        return Ok(trees.set_meta(vec![(keys::FORMAT, format), (keys::NODE, node)])?);
    };
    if *version != [keys::FORMAT_VERSION] {
        return Err(OpenError::Foreign {
            what: "format version",
            found: format!("{:?}", &*version),
            configured: format!("[{}]", keys::FORMAT_VERSION),
        });
    }
    let Some(stored) = get::<NodeRecord>(trees, keys::NODE)? else {
        return Err(OpenError::Damaged("the node id is missing".into()));
    };
    check_node(&stored, node)
}

/// Compares what is stored with what is configured.
fn check_node(stored: &NodeRecord, node: &NodeRecord) -> Result<(), OpenError> {
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

/// Number of the last write.
pub(in super::super) fn writes(trees: &impl Trees) -> Result<u64, OpenError> {
    Ok(get(trees, keys::WRITES)?.unwrap_or(0))
}

/// Reads and checks everything.
pub(in super::super) fn load<T: Trees>(trees: T) -> Result<(Layout<T>, Recovered), OpenError> {
    let (records, entries) = read_log(&trees)?;
    let recovered = Recovered {
        cluster: get(&trees, keys::CLUSTER)?,
        vote: get(&trees, keys::VOTE)?,
        committed: get::<Option<_>>(&trees, keys::COMMITTED)?.flatten(),
        purged: get::<Option<_>>(&trees, keys::PURGED)?.flatten(),
        entries,
        torn: false,
    };
    check_continuity(&recovered)?;
    let layout = Layout {
        writes: writes(&trees)?,
        trees,
        records,
        purged_upto: None,
    };
    Ok((layout, recovered))
}

fn get<T: DeserializeOwned>(trees: &impl Trees, key: &str) -> Result<Option<T>, OpenError> {
    let Some(bytes) = trees.meta_value(key)? else {
        return Ok(None);
    };
    match decode_value(&bytes) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(OpenError::Damaged(format!("the stored {key}: {error}"))),
    }
}

/// Reads every record in order and checks that no index is missing between them.
fn read_log(trees: &impl Trees) -> Result<(BTreeMap<u64, Record>, Vec<Entry>), OpenError> {
    let mut records = BTreeMap::new();
    let mut entries: Vec<Entry> = Vec::new();
    let mut parts_left = 0;
    for item in trees.log_values() {
        let (key, value) = item?;
        let damaged =
            |reason: String| OpenError::Damaged(format!("log record {:?}: {reason}", keys::parse_log_key(&key)));
        let Some((first_index, part)) = keys::parse_log_key(&key) else {
            return Err(OpenError::Damaged(format!("a log key has {} bytes", key.len())));
        };
        let (parts, _) = parse_part(value).map_err(|error| damaged(error.to_string()))?;
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
        let found = match read_record(trees, first_index, parts) {
            Err(_) if is_planted(Bug::CutDamagedLog) => break,
            found => found.map_err(|error| damaged(error.to_string()))?,
        };
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
pub(super) fn read_record(trees: &impl Trees, first_index: u64, parts: u16) -> io::Result<Vec<Entry>> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut bytes = Vec::new();
    for part in 0..parts {
        let value = trees.log_value(&keys::log_key(first_index, part))?;
        let value = value.ok_or_else(|| invalid(format!("part {part} of {parts} is missing")))?;
        let (count, body) = parse_part(value).map_err(|error| invalid(error.to_string()))?;
        if count != parts {
            return Err(invalid(format!(
                "part {part} is one of {count}, the first one of {parts}"
            )));
        }
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
