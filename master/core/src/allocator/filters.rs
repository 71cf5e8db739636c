//! Refusals: what a framework does not want to be offered again for a while.
//!
//! A filter suppresses an offer when the refused bundle contains the whole prospective offer; more or other resources on
//! the agent break through.

use crate::resources::Resources;
use proto::v1;
use std::collections::{BTreeMap, BTreeSet};

/// One second in the allocator's unit.
pub const MICROS_PER_SECOND: u64 = 1_000_000;

/// How long a refusal lasts when the framework says nothing (Mesos `Filters.refuse_seconds`).
pub const DEFAULT_REFUSE_SECONDS: f64 = 5.0;

/// The longest refusal; longer ones are cut to it.
pub const MAX_REFUSE_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// How long a refusal with these filters lasts, in microseconds; None when the framework wants no filter (0 seconds).
pub fn refuse_duration(filters: Option<&v1::Filters>) -> Option<u64> {
    let seconds = filters.map_or(DEFAULT_REFUSE_SECONDS, v1::Filters::refuse_seconds);
    let seconds = if seconds.is_nan() || seconds < 0.0 {
        DEFAULT_REFUSE_SECONDS
    } else {
        seconds.min(MAX_REFUSE_SECONDS)
    };
    let micros = (seconds * MICROS_PER_SECOND as f64) as u64;
    (micros > 0).then_some(micros)
}

#[derive(Clone, Debug)]
struct Refusal {
    refused: Resources,
    until: u64,
}

/// The refusals of one agent, by slot.
#[derive(Clone, Debug, Default)]
pub(super) struct AgentFilters(BTreeMap<u32, Vec<Refusal>>);

impl AgentFilters {
    pub(super) fn add(&mut self, slot: u32, refused: Resources, until: u64) {
        let refusals = self.0.entry(slot).or_default();
        // A bundle inside a newer, longer lasting one says nothing more.
        refusals.retain(|old| old.until > until || !refused.contains(&old.refused));
        refusals.push(Refusal { refused, until });
    }

    pub(super) fn refuses(&self, slot: u32, offer: &Resources) -> bool {
        self.0
            .get(&slot)
            .is_some_and(|refusals| refusals.iter().any(|refusal| refusal.refused.contains(offer)))
    }

    pub(super) fn remove(&mut self, slot: u32) -> bool {
        self.0.remove(&slot).is_some()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn expire(&mut self, slot: u32, now: u64) {
        if let Some(refusals) = self.0.get_mut(&slot) {
            refusals.retain(|refusal| refusal.until > now);
            if refusals.is_empty() {
                self.0.remove(&slot);
            }
        }
    }
}

/// When which refusals end. An entry whose refusal is gone already does nothing.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(u64, u32, u32)>);

impl Expiries {
    pub(super) fn add(&mut self, until: u64, agent: u32, slot: u32) {
        self.0.insert((until, agent, slot));
    }

    /// The refusals that end at `now` or before, as (agent, slot).
    pub(super) fn take_due(&mut self, now: u64) -> Vec<(u32, u32)> {
        let mut due = Vec::new();
        while let Some(&(until, agent, slot)) = self.0.first() {
            if until > now {
                break;
            }
            self.0.pop_first();
            due.push((agent, slot));
        }
        due
    }
}

/// Ends what is due in one agent's list.
pub(super) fn expire(filters: &mut AgentFilters, slot: u32, now: u64) {
    filters.expire(slot, now);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_last_as_long_as_in_mesos() {
        let lasting = |seconds| {
            refuse_duration(Some(&v1::Filters {
                refuse_seconds: Some(seconds),
            }))
        };
        assert_eq!(refuse_duration(None), Some(5_000_000));
        assert_eq!(refuse_duration(Some(&v1::Filters::default())), Some(5_000_000));
        assert_eq!(lasting(0.0), None);
        assert_eq!(lasting(0.5), Some(500_000));
        assert_eq!(lasting(-3.0), Some(5_000_000));
        assert_eq!(lasting(f64::NAN), Some(5_000_000));
        assert_eq!(lasting(1e30), Some(365 * 24 * 3600 * 1_000_000));
        assert_eq!(lasting(f64::INFINITY), Some(365 * 24 * 3600 * 1_000_000));
    }
}
