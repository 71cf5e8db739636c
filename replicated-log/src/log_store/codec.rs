//! Records on disk.
//!
//! ```text
//! record of the log   version u8 | entries u32 | entries × (length u32 | crc32 u32 | entry)
//! part of a record    version u8 | parts u16 | bytes of the record
//! value of meta       version u8 | crc32 u32 | postcard
//! ```
//! All integers are little-endian. A checksum covers each entry, because a store that hands back a damaged entry must
//! stop the replica and not mislead it.

use bytes::{Buf, BufMut, Bytes};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{CodecError, decode_entry, encode_entry};
use crate::type_config::Entry;

/// Version of the records below.
const RECORD_VERSION: u8 = 1;

/// Why a stored value is not what was written.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    #[error("record version {0} is not {RECORD_VERSION}; it was written by another version")]
    Version(u8),
    #[error("it ends too early")]
    Short,
    #[error("the checksum of entry number {0} is wrong")]
    Checksum(u32),
    #[error("the checksum is wrong")]
    ValueChecksum,
    #[error("{0} bytes follow the last entry")]
    Trailing(usize),
    #[error("entry number {number}: {error}")]
    Entry { number: u32, error: CodecError },
    #[error("{0}")]
    Value(String),
}

/// A record of the entries, with the version and the number of entries in front.
pub(super) fn encode_record(entries: &[Entry]) -> Result<Vec<u8>, CodecError> {
    let mut record = Vec::new();
    record.put_u8(RECORD_VERSION);
    record.put_u32_le(u32::try_from(entries.len()).expect("a record has at most some thousand entries"));
    let mut entry_bytes = Vec::new();
    for entry in entries {
        entry_bytes.clear();
        encode_entry(entry, &mut entry_bytes)?;
        record.put_u32_le(u32::try_from(entry_bytes.len()).expect("an entry has at most some MiB"));
        record.put_u32_le(crc32fast::hash(&entry_bytes));
        record.put_slice(&entry_bytes);
    }
    Ok(record)
}

pub(super) fn decode_record(mut record: Bytes) -> Result<Vec<Entry>, RecordError> {
    if record.remaining() < 5 {
        return Err(RecordError::Short);
    }
    let version = record.get_u8();
    if version != RECORD_VERSION {
        return Err(RecordError::Version(version));
    }
    let count = record.get_u32_le();
    let mut entries = Vec::new();
    for number in 0..count {
        if record.remaining() < 8 {
            return Err(RecordError::Short);
        }
        let length = record.get_u32_le() as usize;
        let checksum = record.get_u32_le();
        if record.remaining() < length {
            return Err(RecordError::Short);
        }
        let entry = record.split_to(length);
        if crc32fast::hash(&entry) != checksum {
            return Err(RecordError::Checksum(number));
        }
        entries.push(decode_entry(entry).map_err(|error| RecordError::Entry { number, error })?);
    }
    if record.has_remaining() {
        return Err(RecordError::Trailing(record.remaining()));
    }
    Ok(entries)
}

/// Splits a record into values of at most `bytes_max` bytes of it; one, unless the record has a huge entry.
pub(super) fn split_record(record: &[u8], bytes_max: usize) -> Vec<Vec<u8>> {
    let chunks = record.chunks(bytes_max);
    let parts = u16::try_from(chunks.len()).expect("a record has at most some MiB, a part about 100 KiB");
    chunks
        .map(|chunk| {
            let mut value = Vec::with_capacity(chunk.len() + 3);
            value.put_u8(RECORD_VERSION);
            value.put_u16_le(parts);
            value.put_slice(chunk);
            value
        })
        .collect()
}

/// The number of parts and the bytes of one part.
pub(super) fn parse_part(mut value: Bytes) -> Result<(u16, Bytes), RecordError> {
    if value.remaining() < 3 {
        return Err(RecordError::Short);
    }
    let version = value.get_u8();
    if version != RECORD_VERSION {
        return Err(RecordError::Version(version));
    }
    Ok((value.get_u16_le(), value))
}

pub(super) fn encode_value(value: &impl Serialize) -> Result<Vec<u8>, RecordError> {
    let body = postcard::to_allocvec(value).map_err(|error| RecordError::Value(error.to_string()))?;
    let mut bytes = Vec::with_capacity(body.len() + 5);
    bytes.put_u8(RECORD_VERSION);
    bytes.put_u32_le(crc32fast::hash(&body));
    bytes.put_slice(&body);
    Ok(bytes)
}

pub(super) fn decode_value<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, RecordError> {
    if bytes.remaining() < 5 {
        return Err(RecordError::Short);
    }
    let version = bytes.get_u8();
    if version != RECORD_VERSION {
        return Err(RecordError::Version(version));
    }
    if bytes.get_u32_le() != crc32fast::hash(bytes) {
        return Err(RecordError::ValueChecksum);
    }
    postcard::from_bytes(bytes).map_err(|error| RecordError::Value(error.to_string()))
}

#[cfg(test)]
mod tests {
    use openraft::EntryPayload;

    use super::*;
    use crate::type_config::{CommandGroup, LeaderId, LogId};

    fn entries() -> Vec<Entry> {
        (0..5)
            .map(|index| Entry {
                log_id: LogId {
                    leader_id: LeaderId { term: 1, node_id: 1 },
                    index,
                },
                payload: EntryPayload::Normal(CommandGroup::new(1, index, vec![Bytes::from(vec![7; 100])])),
            })
            .collect()
    }

    #[test]
    fn a_record_survives_being_split_and_joined() {
        let record = encode_record(&entries()).unwrap();
        let parts = split_record(&record, 64);
        assert!(parts.len() > 5);
        let mut joined = Vec::new();
        for part in &parts {
            let (count, bytes) = parse_part(Bytes::copy_from_slice(part)).unwrap();
            assert_eq!(usize::from(count), parts.len());
            joined.extend_from_slice(&bytes);
        }
        assert_eq!(decode_record(joined.into()).unwrap(), entries());
    }

    #[test]
    fn every_damaged_byte_is_noticed() {
        let record = encode_record(&entries()).unwrap();
        for at in 0..record.len() {
            let mut damaged = record.clone();
            damaged[at] ^= 1;
            assert_ne!(decode_record(damaged.into()).ok(), Some(entries()), "byte {at}");
        }
        for end in 0..record.len() {
            assert!(
                decode_record(Bytes::copy_from_slice(&record[..end])).is_err(),
                "cut to {end}"
            );
        }
    }

    #[test]
    fn a_damaged_value_is_refused() {
        let mut value = encode_value(&42_u64).unwrap();
        assert_eq!(decode_value::<u64>(&value), Ok(42));
        *value.last_mut().unwrap() ^= 1;
        assert_eq!(decode_value::<u64>(&value), Err(RecordError::ValueChecksum));
    }
}
