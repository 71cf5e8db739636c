//! Replicas that have applied the same entries have the same state (Raft §5.4.3, State Machine Safety).
//!
//! Looked at: every hash that a replica reported, whatever it had been through by then: restarts, installed snapshots, a
//! new disk.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};

pub(super) const RULE: Rule = Rule {
    name: "same-state-at-same-index",
    what: "all replicas have the same state hash at the same index, also after a snapshot is restored",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut first: BTreeMap<u64, (&str, u64, usize)> = BTreeMap::new();
    for sample in &facts.replicas {
        let (Some(hash), Some(index)) = (&sample.is.hash, sample.is.hash_index) else {
            continue;
        };
        findings.look();
        let (known, node, line) = *first.entry(index).or_insert((hash, sample.is.node, sample.line));
        if known != hash {
            findings.violated(
                format!(
                    "at index {index} node {node} has the state hash {known}, node {} has {hash}",
                    sample.is.node
                ),
                [line, sample.line],
            );
        }
    }
    findings.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};
    use crate::history::ReplicaSample;

    fn judged(samples: &[(u64, u64, &str)]) -> Finding {
        let mut story = Story::default();
        for (node, index, hash) in samples {
            story.replica(ReplicaSample {
                node: *node,
                hash: Some((*hash).to_owned()),
                hash_index: Some(*index),
                ..ReplicaSample::default()
            });
        }
        story.judge(&RULE)
    }

    #[test]
    fn hashes_may_differ_only_between_indexes() {
        held(&judged(&[(1, 5, "a"), (2, 5, "a"), (1, 6, "b"), (3, 6, "b")]), 4);
        assert_eq!(judged(&[]), Finding::NothingToCheck);
    }

    #[test]
    fn another_hash_at_the_same_index_is_found_on_another_replica_and_on_the_same() {
        assert_eq!(
            violated(&judged(&[(1, 5, "a"), (2, 6, "b"), (2, 5, "x")])),
            [vec![2, 4]]
        );
        assert_eq!(violated(&judged(&[(1, 5, "a"), (1, 5, "x")])), [vec![2, 3]]);
    }
}
