//! What a seed decides before a run begins: how large the cluster is, its timers, and every fault.

use std::time::Duration;

use chaos::fault::FaultKind;
use serde::{Deserialize, Serialize};

use crate::random::Random;

/// Length of the phase with faults.
pub(crate) const FAULTS: Duration = Duration::from_secs(20);
/// The last fault begins so long before the end of the phase.
const LAST_FAULT: Duration = Duration::from_secs(2);
/// Faults of one run.
const FAULTS_MIN: u64 = 4;
const FAULTS_MAX: u64 = 12;

/// Faults that this simulator injects. All that [`FaultKind::in_simulation`] names, or a test fails.
pub(crate) fn injectable() -> Vec<FaultKind> {
    FaultKind::ALL
        .iter()
        .copied()
        .filter(|kind| kind.in_simulation())
        .collect()
}

/// One fault, before anybody knows who leads: the rest follows from `entropy` when it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fault {
    /// Number in the run.
    pub(crate) number: u64,
    /// What kind.
    pub(crate) kind: FaultKind,
    /// When it begins, milliseconds after the phase did.
    pub(crate) at: u64,
    /// How long it lasts, milliseconds.
    pub(crate) lasts: u64,
    /// From which targets and amounts follow.
    pub(crate) entropy: u64,
}

/// Raft timers, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timers {
    /// Between two heartbeats.
    pub(crate) heartbeat: u64,
    /// Lower bound of the election timeout.
    pub(crate) election_min: u64,
    /// Upper bound.
    pub(crate) election_max: u64,
}

/// Everything about a run that is decided before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// From which all of it follows.
    pub(crate) seed: u64,
    /// Masters at the beginning.
    pub(crate) masters: usize,
    /// Raft timers.
    pub(crate) timers: Timers,
    /// Applied entries between two snapshots.
    pub(crate) snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub(crate) entries_kept: u64,
    /// Most time a message takes, microseconds.
    pub(crate) latency_max: u64,
    /// Most time a sync of a disk takes, microseconds.
    pub(crate) sync_max: u64,
    /// Agents.
    pub(crate) agents: usize,
    /// How much load there is, compared with what the workloads take for usual.
    pub(crate) load: f64,
    /// The faults, in the order in which they begin.
    pub(crate) faults: Vec<Fault>,
}

impl Plan {
    /// The plan of a seed. `masters` overrides what it draws; faults are drawn from `kinds`.
    pub(crate) fn of(seed: u64, masters: Option<usize>, kinds: &[FaultKind]) -> Plan {
        let mut random = Random::of(seed, "plan");
        let drawn = if random.percent(70) { 3 } else { 5 };
        let timers = *random.one_of(&[(30, 100, 200), (50, 150, 300), (100, 300, 600)]);
        let mut plan = Plan {
            seed,
            masters: masters.unwrap_or(drawn),
            timers: Timers {
                heartbeat: timers.0,
                election_min: timers.1,
                election_max: timers.2,
            },
            snapshot_every: *random.one_of(&[10, 30, 100, 400]),
            entries_kept: *random.one_of(&[0, 5, 30]),
            latency_max: *random.one_of(&[2_000, 5_000, 15_000]),
            sync_max: *random.one_of(&[500, 2_000, 8_000, 25_000]),
            agents: usize::try_from(random.between(1, 3)).unwrap_or(1),
            load: *random.one_of(&[0.15, 0.3, 0.6]),
            faults: Vec::new(),
        };
        let count = random.between(FAULTS_MIN, FAULTS_MAX);
        if !kinds.is_empty() {
            plan.faults = (0..count).map(|number| fault(seed, number, kinds)).collect();
            plan.faults.sort_by_key(|fault| (fault.at, fault.number));
        }
        plan
    }

    /// Leaves out every fault that is not named.
    pub(crate) fn keep_only(&mut self, numbers: &[u64]) {
        self.faults.retain(|fault| numbers.contains(&fault.number));
    }
}

/// Each fault has a stream of its own, so that leaving one out changes no other.
fn fault(seed: u64, number: u64, kinds: &[FaultKind]) -> Fault {
    let mut random = Random::of(seed, &format!("fault/{number}"));
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let lasts = match random.next() % 4 {
        0 => random.between(20, 300),
        1 | 2 => random.between(300, 2_500),
        _ => random.between(2_500, 7_000),
    };
    Fault {
        number,
        kind: *random.one_of(kinds),
        at: random.between(0, millis(FAULTS - LAST_FAULT)),
        lasts,
        entropy: random.next(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaving_faults_out_changes_no_other() {
        let whole = Plan::of(7, None, &injectable());
        let number = whole.faults[1].number;
        let mut small = Plan::of(7, None, &injectable());
        small.keep_only(&[number]);
        assert_eq!(small.faults, [whole.faults[1].clone()]);
        assert_eq!(
            (small.masters, small.snapshot_every),
            (whole.masters, whole.snapshot_every)
        );
    }

    #[test]
    fn every_fault_that_a_simulator_can_inject_is_drawn_by_some_seed() {
        let drawn: std::collections::BTreeSet<FaultKind> = (0..500)
            .flat_map(|seed| Plan::of(seed, None, &injectable()).faults)
            .map(|fault| fault.kind)
            .collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), injectable());
    }
}
