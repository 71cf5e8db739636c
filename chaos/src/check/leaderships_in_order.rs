//! Leaderships follow each other in one order, and no replica goes back to an older one.
//!
//! A leadership is a pair of term and node id, ordered in this way. The log uses openraft's ordered form of leader ids:
//! of two candidates of one term the one with the higher id wins, also over one that leads already, so that they do not
//! block each other. A term may therefore have several leaders one after the other, where Raft §5.2 has one; what
//! Election Safety is for is kept by the order of the pairs.
//!
//! Looked at: what replicas say of themselves (`leader`), and whom followers and learners hold for the leader of their
//! term, within one start (what is not durable yet was promised to nobody). A candidate's word is not taken: it may still
//! name the leader of the term before.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};

pub(super) const RULE: Rule = Rule {
    name: "leaderships-in-order",
    what: "no replica goes back to an older leadership",
    judge,
};

/// Term and node id.
type Leadership = (u64, u64);

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    // The newest leadership that each start of each replica has named, with the line that names it.
    let mut newest: BTreeMap<(u64, u64), (Leadership, usize)> = BTreeMap::new();
    for sample in &facts.replicas {
        let leader = match sample.is.role.as_str() {
            "leader" => Some(sample.is.node),
            "follower" | "learner" => sample.is.leader,
            _ => None,
        };
        let Some(leader) = leader else { continue };
        findings.look();
        let named = (sample.is.term, leader);
        let known = newest
            .entry((sample.is.node, sample.is.start))
            .or_insert((named, sample.line));
        if named < known.0 {
            let (term, node) = known.0;
            findings.violated(
                format!(
                    "node {} knew that node {node} leads in term {term} and went back to node {leader} in term {}",
                    sample.is.node, sample.is.term
                ),
                [known.1, sample.line],
            );
        } else if named > known.0 {
            *known = (named, sample.line);
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
    fn within_a_term_leadership_passes_to_higher_ids_only() {
        let follows = |leader| sample(3, 4, "follower", Some(leader));
        held(&judged(&[follows(1), follows(2), sample(3, 4, "leader", Some(3))]), 3);
        assert_eq!(violated(&judged(&[follows(2), follows(1)])), [vec![2, 3]]);
        let restarted = ReplicaSample { start: 1, ..follows(1) };
        held(&judged(&[follows(2), restarted]), 2);
    }

    #[test]
    fn a_replica_that_follows_an_older_term_again_is_found() {
        assert_eq!(
            violated(&judged(&[
                sample(1, 4, "leader", Some(1)),
                sample(1, 3, "follower", Some(2))
            ])),
            [vec![2, 3]]
        );
    }
}
