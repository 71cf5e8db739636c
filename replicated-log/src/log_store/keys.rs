//! Names and keys of what sled stores.
//!
//! ```text
//! tree log    first index of the record u64 | part u16      both big-endian, so that sled's order is the log's
//! tree meta   one key per value, below
//! ```

/// Tree of the log's records.
pub(super) const LOG_TREE: &str = "log";
/// Tree of everything else.
pub(super) const META_TREE: &str = "meta";

/// [`FORMAT_VERSION`], one byte.
pub(super) const FORMAT: &str = "format";
/// A [`super::NodeRecord`].
pub(super) const NODE: &str = "node";
/// A [`super::ClusterRecord`].
pub(super) const CLUSTER: &str = "cluster";
/// The vote.
pub(super) const VOTE: &str = "vote";
/// The last log id known to be committed.
pub(super) const COMMITTED: &str = "committed";
/// The last log id purged.
pub(super) const PURGED: &str = "purged";
/// Number of writes so far, u64; see `sled/mark.rs`.
pub(super) const WRITES: &str = "writes";

/// Version of keys and records in this store. A store of another version is refused.
pub(super) const FORMAT_VERSION: u8 = 1;

/// Bytes of a log key.
const LOG_KEY_BYTES: usize = 10;

/// A key of the log tree.
pub(super) type LogKey = [u8; LOG_KEY_BYTES];

/// The key of one part of the record that starts at `first_index`.
pub(super) fn log_key(first_index: u64, part: u16) -> LogKey {
    let mut key = [0; LOG_KEY_BYTES];
    key[..8].copy_from_slice(&first_index.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The first index and part of a key; `None` when it is not a log key.
pub(super) fn parse_log_key(key: &[u8]) -> Option<(u64, u16)> {
    let (index, part) = key.split_at_checked(8)?;
    Some((
        u64::from_be_bytes(index.try_into().ok()?),
        u16::from_be_bytes(part.try_into().ok()?),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_the_log_does() {
        let ordered = [(0, 0), (0, 1), (1, 0), (255, 3), (256, 0), (u64::MAX, u16::MAX)];
        let keys: Vec<_> = ordered.iter().map(|(index, part)| log_key(*index, *part)).collect();
        assert!(keys.is_sorted());
        for (key, parsed) in keys.iter().zip(ordered) {
            assert_eq!(parse_log_key(key), Some(parsed));
        }
    }

    #[test]
    fn a_key_of_another_length_is_refused() {
        assert_eq!(parse_log_key(&[0; 9]), None);
        assert_eq!(parse_log_key(&[0; 11]), None);
        assert_eq!(parse_log_key(&[]), None);
    }
}
