//! In a term at most one replica leads (Raft §5.2, Election Safety).
//!
//! Looked at: what replicas say of themselves (`leader`), and whom followers and learners hold for the leader of their
//! term. A candidate's word is not taken: it may still name the leader of the term before.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};

pub(super) const RULE: Rule = Rule {
    name: "one-leader-per-term",
    what: "at most one replica leads in a term",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    // The leaders of each term, with the first line that names them.
    let mut leaders: BTreeMap<u64, BTreeMap<u64, usize>> = BTreeMap::new();
    for sample in &facts.replicas {
        let leader = match sample.is.role.as_str() {
            "leader" => Some(sample.is.node),
            "follower" | "learner" => sample.is.leader,
            _ => None,
        };
        let Some(leader) = leader else { continue };
        findings.look();
        let known = leaders.entry(sample.is.term).or_default();
        if known.contains_key(&leader) {
            continue;
        }
        known.insert(leader, sample.line);
        if known.len() > 1 {
            let names: Vec<String> = known.keys().map(u64::to_string).collect();
            findings.violated(
                format!(
                    "term {} has several leaders: nodes {}",
                    sample.is.term,
                    names.join(", ")
                ),
                known.values().copied(),
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

    fn sample(node: u64, term: u64, role: &str, leader: Option<u64>) -> ReplicaSample {
        ReplicaSample {
            node,
            term,
            role: role.into(),
            leader,
            ..ReplicaSample::default()
        }
    }

    fn judged(samples: &[ReplicaSample]) -> Finding {
        let mut story = Story::default();
        for sample in samples {
            story.replica(sample.clone());
        }
        story.judge(&RULE)
    }

    #[test]
    fn leaders_of_different_terms_may_overlap() {
        held(
            &judged(&[
                sample(1, 1, "leader", Some(1)),
                sample(2, 1, "follower", Some(1)),
                sample(3, 2, "candidate", Some(1)),
                sample(3, 2, "leader", Some(3)),
                sample(1, 1, "leader", Some(1)),
            ]),
            4,
        );
        assert_eq!(judged(&[sample(3, 2, "candidate", None)]), Finding::NothingToCheck);
    }

    #[test]
    fn two_leaders_of_one_term_are_found_by_their_own_word_or_that_of_followers() {
        let leader = sample(1, 4, "leader", Some(1));
        assert_eq!(
            violated(&judged(&[leader.clone(), sample(2, 4, "leader", Some(2))])),
            [vec![2, 3]]
        );
        assert_eq!(
            violated(&judged(&[leader, sample(3, 4, "follower", Some(2))])),
            [vec![2, 3]]
        );
    }
}
