//! When the faults are over the cluster becomes well by itself.
//!
//! Within [`WRITE_WITHIN`] a write is acknowledged, and within [`EQUAL_WITHIN`] every replica that still answers has
//! applied all that was committed anywhere when the faults ended.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Phase};

pub(super) const RULE: Rule = Rule {
    name: "heals",
    what: "after the faults a write is acknowledged within 5 s, and all replicas are equal within 30 s",
    judge,
};

/// An election takes a fraction of this, also when votes are split a few times.
const WRITE_WITHIN: Micros = 5_000_000;

/// A replica that was away for the whole run installs a snapshot in a fraction of this.
const EQUAL_WITHIN: Micros = 30_000_000;

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    if let Some(healed) = facts.began(Phase::Healed) {
        judge_write(facts, healed, &mut findings);
        judge_replicas(facts, healed, &mut findings);
    }
    findings.finding()
}

fn judge_write(facts: &Facts<'_>, healed: Micros, findings: &mut Findings) {
    let deadline = healed + WRITE_WITHIN;
    let ended = |call: &&super::facts::At<'_, crate::history::Call>| call.is.is_write() && call.is.latest() >= healed;
    // Somebody must have tried, with a second to spare for the answer, and the history must go on until the deadline.
    let tried = facts
        .calls
        .iter()
        .filter(ended)
        .find(|call| call.is.called + WRITE_WITHIN / 5 <= deadline && call.is.called + WRITE_WITHIN >= healed);
    let Some(tried) = tried.filter(|_| facts.end >= deadline) else {
        return;
    };
    findings.look();
    let done = |call: &super::facts::At<'_, crate::history::Call>| {
        call.is.is_write() && call.is.is_acknowledged() && (healed..=deadline).contains(&call.is.latest())
    };
    if !facts.calls.iter().any(done) {
        let what = format!(
            "no write was acknowledged within {} s after the faults",
            WRITE_WITHIN / 1_000_000
        );
        findings.violated(what, [tried.line]);
    }
}

fn judge_replicas(facts: &Facts<'_>, healed: Micros, findings: &mut Findings) {
    let deadline = healed + EQUAL_WITHIN;
    let before = facts.replicas.iter().filter(|sample| sample.is.at <= healed);
    let Some(goal) = before.filter_map(|sample| sample.is.committed).max() else {
        return;
    };
    // Of each replica that is sampled after the deadline: whether it had got there by then, and its last line by then.
    let mut reached: BTreeMap<u64, (bool, usize)> = BTreeMap::new();
    for sample in facts
        .replicas
        .iter()
        .filter(|sample| sample.is.at >= healed && sample.is.at <= deadline)
    {
        let there = sample.is.applied.is_some_and(|applied| applied >= goal);
        let known = reached.entry(sample.is.node).or_insert((there, sample.line));
        *known = (known.0 || there, sample.line);
    }
    reached.retain(|_, (there, _)| {
        if *there {
            findings.look();
        }
        !*there
    });
    // The rest had its time only if it is still there when that is over.
    for sample in facts.replicas.iter().filter(|sample| sample.is.at > deadline) {
        let Some((_, line)) = reached.remove(&sample.is.node) else {
            continue;
        };
        findings.look();
        let what = format!(
            "node {} had not applied index {goal} {} s after the faults",
            sample.is.node,
            EQUAL_WITHIN / 1_000_000
        );
        findings.violated(what, [line, sample.line]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};
    use crate::history::ReplicaSample;

    fn sample(node: u64, at: Micros, applied: u64) -> ReplicaSample {
        ReplicaSample {
            at,
            node,
            committed: Some(applied),
            applied: Some(applied),
            ..ReplicaSample::default()
        }
    }

    #[test]
    fn a_write_and_equal_replicas_in_time_are_well() {
        let mut story = Story::default();
        story.replica(sample(1, 0, 9));
        story.phase(Phase::Healed);
        let write = story.write("r", "1");
        story.now += WRITE_WITHIN / 2;
        story.ok(write, "");
        story.replica(sample(1, 0, 9));
        story.replica(sample(2, 0, 10));
        story.now += EQUAL_WITHIN;
        story.replica(sample(1, 0, 10));
        story.replica(sample(2, 0, 10));
        held(&story.judge(&RULE), 3);
    }

    #[test]
    fn late_writes_and_replicas_that_stay_behind_are_found() {
        let mut story = Story::default();
        story.replica(sample(1, 0, 9));
        story.phase(Phase::Healed);
        let write = story.write("r", "1");
        story.replica(sample(1, 0, 9));
        story.replica(sample(2, 0, 4));
        story.now += EQUAL_WITHIN;
        story.ok(write, "");
        story.replica(sample(1, 0, 9));
        story.replica(sample(2, 0, 10));
        assert_eq!(violated(&story.judge(&RULE)), [vec![6], vec![5, 8]]);
    }
}
