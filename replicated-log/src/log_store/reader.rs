//! Reading the log: always from memory, never from the disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use openraft::RaftLogReader;

use super::LogStore;
use crate::type_config::{Entry, TypeConfig, Vote, payload_bytes};

/// Bytes of commands sent to a follower in one request, unless a single entry has more. Small enough that requests
/// flow steadily, large enough that their overhead does not count.
pub(crate) const APPEND_BYTES_MAX: usize = 1 << 20;

impl LogStore {
    fn entries(&self, start: u64, end: u64, bytes_max: usize) -> Vec<Entry> {
        let state = self.state();
        let Some(first) = state.first_index() else {
            return Vec::new();
        };
        let from = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let to = usize::try_from(end.saturating_sub(first))
            .unwrap_or(usize::MAX)
            .min(state.entries.len());
        if from >= to {
            return Vec::new();
        }
        let mut bytes = 0;
        let mut found = Vec::with_capacity((to - from).min(1024));
        for entry in state.entries.range(from..to) {
            bytes += payload_bytes(entry);
            if bytes > bytes_max && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        found
    }
}

impl LogStore {
    /// The first of the youngest entries that together have at most `bytes_max` bytes of commands; `None` when all
    /// entries together are that small.
    pub(crate) fn index_of_youngest(&self, bytes_max: u64) -> Option<u64> {
        let state = self.state();
        let mut bytes = 0;
        let too_old = state.entries.iter().rev().find(|entry| {
            bytes += payload_bytes(entry) as u64;
            bytes > bytes_max
        });
        too_old.map(|entry| entry.log_id.index + 1)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + Send>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        Ok(self.entries(start, end, usize::MAX))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        Ok(self.entries(start, end, APPEND_BYTES_MAX))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.state().vote)
    }
}
