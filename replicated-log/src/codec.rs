//! The byte form of one log entry, the same on disk and between peers.
//!
//! ```text
//! term u64 | node u64 | index u64 | kind u8 | body           all integers little-endian
//! kind 0 blank       body empty
//! kind 1 commands    origin u64 | group u64 | count u32 | count × (length u32 | bytes)
//! kind 2 membership  postcard
//! ```
//! Integrity is the container's matter (a checksum on disk, TCP and HTTP/2 between peers); decoding is total: any
//! bytes give an entry or an error, never a panic and never an allocation larger than the input.

use bytes::{Buf, BufMut, Bytes};
use openraft::EntryPayload;

use crate::type_config::{CommandGroup, Entry, LeaderId, LogId, Membership};

const KIND_BLANK: u8 = 0;
const KIND_COMMANDS: u8 = 1;
const KIND_MEMBERSHIP: u8 = 2;

/// Bytes before the body.
const HEADER_BYTES: usize = 25;

/// The bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("the entry ends after {0} bytes")]
    Short(usize),
    #[error("entry kind {0} is unknown; it was written by a newer version")]
    Kind(u8),
    #[error("{0} bytes follow the entry")]
    Trailing(usize),
    #[error("membership: {0}")]
    Membership(String),
}

/// Appends the byte form of `entry` to `out`.
pub(crate) fn encode_entry(entry: &Entry, out: &mut Vec<u8>) -> Result<(), CodecError> {
    out.put_u64_le(entry.log_id.leader_id.term);
    out.put_u64_le(entry.log_id.leader_id.node_id);
    out.put_u64_le(entry.log_id.index);
    match &entry.payload {
        EntryPayload::Blank => out.put_u8(KIND_BLANK),
        EntryPayload::Normal(group) => {
            out.reserve(HEADER_BYTES + 20 + group.bytes() + 4 * group.commands().len());
            out.put_u8(KIND_COMMANDS);
            out.put_u64_le(group.origin);
            out.put_u64_le(group.group);
            out.put_u32_le(length(group.commands().len()));
            for command in group.commands().iter() {
                out.put_u32_le(length(command.len()));
                out.put_slice(command);
            }
        }
        EntryPayload::Membership(membership) => {
            out.put_u8(KIND_MEMBERSHIP);
            let body = postcard::to_allocvec(membership).map_err(|error| CodecError::Membership(error.to_string()))?;
            out.put_slice(&body);
        }
    }
    Ok(())
}

fn length(count: usize) -> u32 {
    u32::try_from(count).expect("the batcher bounds commands and their number far below 2^32")
}

/// Reads an entry; its commands share the memory of `input`.
pub(crate) fn decode_entry(mut input: Bytes) -> Result<Entry, CodecError> {
    let total = input.len();
    need(&input, HEADER_BYTES, total)?;
    let leader_id = LeaderId {
        term: input.get_u64_le(),
        node_id: input.get_u64_le(),
    };
    let log_id = LogId {
        leader_id,
        index: input.get_u64_le(),
    };
    let payload = match input.get_u8() {
        KIND_BLANK => EntryPayload::Blank,
        KIND_COMMANDS => EntryPayload::Normal(decode_group(&mut input, total)?),
        KIND_MEMBERSHIP => {
            let (membership, rest) = postcard::take_from_bytes::<Membership>(&input)
                .map_err(|error| CodecError::Membership(error.to_string()))?;
            let rest = rest.len();
            input.advance(input.len() - rest);
            EntryPayload::Membership(membership)
        }
        kind => return Err(CodecError::Kind(kind)),
    };
    if input.has_remaining() {
        return Err(CodecError::Trailing(input.len()));
    }
    Ok(Entry { log_id, payload })
}

fn decode_group(input: &mut Bytes, total: usize) -> Result<CommandGroup, CodecError> {
    need(input, 20, total)?;
    let origin = input.get_u64_le();
    let group = input.get_u64_le();
    let count = input.get_u32_le() as usize;
    // Each command takes four bytes at least, so a forged count cannot reserve more than the input's size.
    need(input, count.saturating_mul(4), total)?;
    let mut commands = Vec::with_capacity(count);
    for _ in 0..count {
        need(input, 4, total)?;
        let bytes = input.get_u32_le() as usize;
        need(input, bytes, total)?;
        commands.push(input.split_to(bytes));
    }
    Ok(CommandGroup::new(origin, group, commands))
}

fn need(input: &Bytes, bytes: usize, total: usize) -> Result<(), CodecError> {
    if input.remaining() < bytes {
        return Err(CodecError::Short(total));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::type_config::Node;

    fn entries() -> Vec<Entry> {
        let log_id = |index| LogId {
            leader_id: LeaderId { term: 7, node_id: 3 },
            index,
        };
        let membership = Membership::new(
            vec![BTreeSet::from([1, 2]), BTreeSet::from([2, 3])],
            BTreeMap::from([1, 2, 3].map(|id| (id, Node::new(format!("host{id}:1"))))),
        )
        .unwrap();
        let group = |commands| CommandGroup::new(u64::MAX, 1, commands);
        vec![
            Entry {
                log_id: log_id(0),
                payload: EntryPayload::Blank,
            },
            Entry {
                log_id: log_id(1),
                payload: EntryPayload::Membership(membership),
            },
            Entry {
                log_id: log_id(2),
                payload: EntryPayload::Normal(group(vec![])),
            },
            Entry {
                log_id: log_id(u64::MAX),
                payload: EntryPayload::Normal(group(vec![Bytes::new(), Bytes::from_static(b"abc")])),
            },
        ]
    }

    #[test]
    fn an_entry_survives_the_round_trip() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode_entry(&entry, &mut bytes).unwrap();
            assert_eq!(decode_entry(bytes.into()).unwrap(), entry);
        }
    }

    #[test]
    fn a_shortened_lengthened_or_damaged_entry_never_panics() {
        for entry in entries() {
            let mut bytes = Vec::new();
            encode_entry(&entry, &mut bytes).unwrap();
            for end in 0..bytes.len() {
                assert!(
                    decode_entry(Bytes::copy_from_slice(&bytes[..end])).is_err(),
                    "{entry} cut to {end}"
                );
            }
            for at in 0..bytes.len() {
                let mut damaged = bytes.clone();
                damaged[at] ^= 0xff;
                drop(decode_entry(damaged.into()));
            }
            bytes.push(0);
            assert!(decode_entry(bytes.into()).is_err());
        }
    }
}
