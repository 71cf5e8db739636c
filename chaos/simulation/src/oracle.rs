//! What must hold at every moment, looked at while the run goes on: cheap, and at once when it breaks.
//!
//! The checkers of `chaos::check` judge the whole history again at the end, by rules of their own.

use std::collections::BTreeMap;

use chaos::history::ReplicaSample;
use serde::{Deserialize, Serialize};

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Violation {
    /// Name of the rule.
    pub(crate) rule: String,
    /// What was seen.
    pub(crate) what: String,
}

/// What replicas have said so far.
#[derive(Debug, Default)]
pub(crate) struct Oracle {
    last: BTreeMap<(u64, u64), ReplicaSample>,
    /// Hash by index.
    hashes: BTreeMap<u64, (String, u64)>,
    /// Who led, by term, with when it was first seen.
    leaders: BTreeMap<u64, BTreeMap<u64, u64>>,
    /// The first broken rules.
    pub(crate) violations: Vec<Violation>,
}

/// Violations kept; the first ones tell, the rest follows from them.
const VIOLATIONS_MAX: usize = 10;

impl Oracle {
    /// A rule is broken.
    pub(crate) fn violated(&mut self, rule: &str, what: String) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation {
                rule: rule.to_owned(),
                what,
            });
        }
    }

    /// Looks at what a replica said; `true` if it is news.
    pub(crate) fn look(&mut self, sample: &ReplicaSample) -> bool {
        let key = (sample.node, sample.disk);
        if let Some(last) = self.last.get(&key) {
            if unchanged(last, sample) {
                return false;
            }
            let last = last.clone();
            self.never_goes_back(&last, sample);
        }
        self.last.insert(key, sample.clone());
        self.same_state(sample);
        if sample.role == "leader" {
            self.one_leader(sample);
        }
        true
    }

    /// Terms with more than one leader, in turn.
    pub(crate) fn shared_terms(&self) -> u64 {
        self.leaders.values().filter(|leaders| leaders.len() > 1).count() as u64
    }

    /// Leaderships seen.
    pub(crate) fn leaderships(&self) -> u64 {
        self.leaders.values().map(|leaders| leaders.len() as u64).sum()
    }

    fn never_goes_back(&mut self, last: &ReplicaSample, sample: &ReplicaSample) {
        // Only durably stored things survive a restart: the term does, what was committed and applied is told again.
        let same_run = last.start == sample.start;
        let mut checks = vec![("term", Some(last.term), Some(sample.term))];
        if same_run {
            checks.push(("committed", last.committed, sample.committed));
            checks.push(("applied", last.applied, sample.applied));
            checks.push(("snapshot", last.snapshot, sample.snapshot));
        }
        for (what, before, after) in checks {
            if after < before {
                let text = format!(
                    "node {}: {what} went from {before:?} to {after:?} at {} us",
                    sample.node, sample.at
                );
                self.violated("never-goes-back", text);
            }
        }
    }

    fn same_state(&mut self, sample: &ReplicaSample) {
        let (Some(hash), Some(index)) = (&sample.hash, sample.hash_index) else {
            return;
        };
        match self.hashes.get(&index) {
            None => {
                self.hashes.insert(index, (hash.clone(), sample.node));
            }
            Some((known, node)) if known != hash => {
                let text = format!(
                    "at index {index} node {node} has the state {known}, node {} has {hash}",
                    sample.node
                );
                self.violated("same-state", text);
            }
            Some(_) => {}
        }
    }

    fn one_leader(&mut self, sample: &ReplicaSample) {
        let leaders = self.leaders.entry(sample.term).or_default();
        leaders.entry(sample.node).or_insert(sample.at);
    }
}

fn unchanged(last: &ReplicaSample, sample: &ReplicaSample) -> bool {
    let timeless = |sample: &ReplicaSample| ReplicaSample {
        at: 0,
        ..sample.clone()
    };
    last.at <= sample.at && timeless(last) == timeless(sample)
}
