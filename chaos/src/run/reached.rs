//! What a run has to reach to count: every fault it was to inject, and what these faults are for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::nemesis::Tally;
use crate::fault::FaultKind;

/// A run of this length has time for everything.
const LONG: Duration = Duration::from_secs(600);

/// A counter that is not 0 after a long run in which one of these faults could come.
struct Expected {
    counter: &'static str,
    after: &'static [FaultKind],
}

const EXPECTED: &[Expected] = &[
    Expected {
        counter: "raft/elections_by_takeover",
        after: &[FaultKind::Kill],
    },
    Expected {
        counter: "raft/elections_by_timer",
        after: &[FaultKind::Pause, FaultKind::Partition],
    },
    Expected {
        counter: "raft/elections_by_transfer",
        after: &[FaultKind::Transfer, FaultKind::Stop],
    },
    Expected {
        counter: "raft/snapshots_installed",
        after: &[FaultKind::Snapshot],
    },
    Expected {
        counter: "raft/snapshots_loaded",
        after: &[FaultKind::Kill],
    },
    Expected {
        counter: "raft/log_purges",
        after: &[FaultKind::Snapshot],
    },
    Expected {
        counter: "raft/log_truncations",
        after: &[FaultKind::Partition, FaultKind::PartitionOneWay],
    },
    Expected {
        counter: "raft/voters_removed",
        after: &[FaultKind::RemoveMember, FaultKind::ReplaceMember],
    },
    Expected {
        counter: "raft/voters_promoted",
        after: &[FaultKind::AddMember, FaultKind::ReplaceMember],
    },
    Expected {
        counter: "raft/disk_full_episodes",
        after: &[FaultKind::DiskFull],
    },
    Expected {
        counter: "master/slave_reregistrations_recovered",
        after: &[FaultKind::Kill],
    },
];

/// Why the run does not count: faults that never came, and what a long run did not reach.
pub(super) fn missing(
    kinds: &[FaultKind],
    duration: Duration,
    tally: &Tally,
    counted: &BTreeMap<String, u64>,
) -> Vec<String> {
    let absent = kinds.iter().filter(|kind| !tally.done.contains_key(kind));
    let mut missing: Vec<String> = absent
        .map(|kind| {
            let reason = tally.not_possible.get(kind).map(|reason| format!(": {reason}"));
            format!(
                "too short a run: fault '{kind}' never came to its end{}",
                reason.unwrap_or_default()
            )
        })
        .collect();
    if duration >= LONG {
        let expected = EXPECTED
            .iter()
            .filter(|expected| expected.after.iter().any(|kind| kinds.contains(kind)));
        let unreached = expected.filter(|expected| counted.get(expected.counter).copied().unwrap_or(0) == 0);
        missing.extend(unreached.map(|expected| format!("not reached: {}", expected.counter)));
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_never_came_and_what_a_long_run_did_not_reach_are_named() {
        let kinds = [FaultKind::Kill, FaultKind::Snapshot];
        let mut tally = Tally::default();
        tally.done.insert(FaultKind::Kill, 3);
        let counted = BTreeMap::from([("raft/elections_by_takeover".to_owned(), 1)]);
        let short = missing(&kinds, Duration::from_secs(60), &tally, &counted);
        assert_eq!(short.len(), 1);
        assert!(short[0].contains("'snapshot'"), "{short:?}");
        tally.done.insert(FaultKind::Snapshot, 1);
        let long = missing(&kinds, LONG, &tally, &counted);
        assert!(
            long.contains(&"not reached: raft/snapshots_installed".to_owned()),
            "{long:?}"
        );
        assert!(
            !long
                .iter()
                .any(|line| line.contains("takeover") || line.contains("disk_full"))
        );
    }
}
