//! What a long run has to reach to say something: every fault, every way to a leader, everything a log goes through.

use std::collections::BTreeMap;

use chaos::fault::FaultKind;

use crate::plan::injectable;

/// Things to be reached besides the faults.
const EVENTS: &[&str] = &[
    "election/leaderships",
    "master/stopped",
    "master/failed-after-disk-fault",
    "master/replaced",
    "membership/removed",
    "membership/transferred",
    "network/reset",
    "network/said-again",
    "log/snapshot-asked",
];

/// Beginnings of the names of the masters' counters that all have to be above 0.
const COUNTED: &[&str] = &["master/commands_applied/", "raft/"];

/// What was never reached. `kinds` are the faults there were to draw from, all if empty.
pub(crate) fn missing(coverage: &BTreeMap<String, u64>, kinds: &[FaultKind]) -> Vec<String> {
    let reached = |name: &String| coverage.get(name).is_some_and(|count| *count > 0);
    let faults = injectable();
    let faults = if kinds.is_empty() { faults.as_slice() } else { kinds };
    let mut names: Vec<String> = faults.iter().map(|kind| format!("fault/{kind}")).collect();
    if kinds.is_empty() {
        names.extend(EVENTS.iter().map(|name| (*name).to_owned()));
    }
    names.retain(|name| !reached(name));
    // What the masters count by themselves: every command kind, every way to a leader, everything a log goes through.
    if kinds.is_empty() {
        let counted = |name: &&String| COUNTED.iter().any(|prefix| name.starts_with(prefix));
        let never = coverage.iter().filter(|(_, count)| **count == 0).map(|(name, _)| name);
        names.extend(never.filter(counted).cloned());
    }
    names
}
