//! Term, commit and applied index of a replica never go back.
//!
//! *Within one start* this holds for all of them, sample by sample. *Across restarts on one disk* it holds for the term
//! of which the replica must have made a durable promise: one in which it led, or in which it was seen for
//! [`PROMISE_SETTLES`] (a term seen for a shorter time may not have reached the disk, and was then told to nobody). What
//! a replica knows to be committed, and what it has applied, is memory in Raft (§5.2, figure 2: "volatile state"): a
//! restart begins from its snapshot. A wiped disk begins anew altogether.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::{At, Facts};
use super::verdict::{Finding, Findings};
use crate::history::{Micros, ReplicaSample};

pub(super) const RULE: Rule = Rule {
    name: "replica-never-goes-back",
    what: "term, commit and applied index of a replica never go back",
    judge,
};

/// After this a vote that a replica has cast must be on its disk; the worst disk fault stalls a write for less.
const PROMISE_SETTLES: Micros = 5_000_000;

/// What is remembered of one replica's disk.
#[derive(Default)]
struct Disk {
    last: Option<(u64, ReplicaValues)>,
    /// The highest term that must be durable, and the line that shows it.
    promised: Option<(u64, usize)>,
    /// The term seen last, and since when in this start.
    since: Option<(u64, u64, Micros)>,
}

#[derive(Clone, Copy)]
struct ReplicaValues {
    line: usize,
    term: u64,
    committed: Option<u64>,
    applied: Option<u64>,
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut disks: BTreeMap<(u64, u64), Disk> = BTreeMap::new();
    for sample in &facts.replicas {
        findings.look();
        let disk = disks.entry((sample.is.node, sample.is.disk)).or_default();
        disk.compare_with_promise(sample, &mut findings);
        disk.compare_within_start(sample, &mut findings);
        disk.remember(sample);
    }
    findings.finding()
}

impl Disk {
    fn compare_with_promise(&self, sample: &At<'_, ReplicaSample>, findings: &mut Findings) {
        let Some((promised, line)) = self.promised else { return };
        let restarted = self.last.is_some_and(|(start, _)| start != sample.is.start);
        if restarted && sample.is.term < promised {
            findings.violated(
                format!(
                    "node {} was in term {promised} and came back on the same disk in term {}",
                    sample.is.node, sample.is.term
                ),
                [line, sample.line],
            );
        }
    }

    fn compare_within_start(&self, sample: &At<'_, ReplicaSample>, findings: &mut Findings) {
        let Some((start, before)) = self.last else { return };
        if start != sample.is.start {
            return;
        }
        let now = sample.is;
        let pairs = [
            ("term", Some(before.term), Some(now.term)),
            ("commit index", before.committed, now.committed),
            ("applied index", before.applied, now.applied),
        ];
        for (name, before_value, now_value) in pairs {
            // No index at all is less than any.
            if now_value < before_value {
                let shown = |value: Option<u64>| value.map_or("none".to_owned(), |value| value.to_string());
                findings.violated(
                    format!(
                        "the {name} of node {} went back from {} to {}",
                        now.node,
                        shown(before_value),
                        shown(now_value)
                    ),
                    [before.line, sample.line],
                );
            }
        }
    }

    fn remember(&mut self, sample: &At<'_, ReplicaSample>) {
        let now = sample.is;
        let since = match self.since {
            Some((start, term, since)) if start == now.start && term == now.term => since,
            _ => now.at,
        };
        self.since = Some((now.start, now.term, since));
        let durable = now.role == "leader" || now.at.saturating_sub(since) >= PROMISE_SETTLES;
        if durable && self.promised.is_none_or(|(term, _)| term < now.term) {
            self.promised = Some((now.term, sample.line));
        }
        let values = ReplicaValues {
            line: sample.line,
            term: now.term,
            committed: now.committed,
            applied: now.applied,
        };
        self.last = Some((now.start, values));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn sample(at: Micros, start: u64, term: u64, committed: u64, applied: u64) -> ReplicaSample {
        ReplicaSample {
            at,
            node: 1,
            start,
            term,
            role: "follower".into(),
            committed: Some(committed),
            applied: Some(applied),
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
    fn a_restart_may_forget_what_is_memory_in_raft_and_a_wipe_everything() {
        let wiped = ReplicaSample {
            disk: 1,
            ..sample(3, 3, 0, 0, 0)
        };
        held(&judged(&[sample(1, 1, 4, 9, 9), sample(2, 2, 4, 5, 5), wiped]), 3);
        // A vote that had no time to reach the disk was told to nobody.
        held(&judged(&[sample(1, 1, 4, 9, 9), sample(2, 2, 3, 5, 5)]), 2);
    }

    #[test]
    fn going_back_within_a_start_is_found() {
        let first = sample(1, 1, 4, 9, 9);
        for second in [
            sample(2, 1, 3, 9, 9),
            sample(2, 1, 4, 8, 9),
            sample(2, 1, 4, 9, 8),
            ReplicaSample {
                applied: None,
                ..sample(2, 1, 4, 9, 9)
            },
        ] {
            assert_eq!(violated(&judged(&[first.clone(), second])), [vec![2, 3]]);
        }
    }

    #[test]
    fn a_forgotten_term_is_found_if_it_must_have_been_durable() {
        let led = ReplicaSample {
            role: "leader".into(),
            ..sample(1, 1, 4, 9, 9)
        };
        assert_eq!(violated(&judged(&[led, sample(2, 2, 3, 9, 9)])), [vec![2, 3]]);
        let long = sample(1 + PROMISE_SETTLES, 1, 4, 9, 9);
        let back = sample(2 + PROMISE_SETTLES, 2, 3, 9, 9);
        assert_eq!(violated(&judged(&[sample(1, 1, 4, 9, 9), long, back])), [vec![3, 4]]);
    }
}
