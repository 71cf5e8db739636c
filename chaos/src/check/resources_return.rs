//! Memory and file descriptors of replicas are back to where they began.
//!
//! The baseline is the most that any replica used before the first fault, because leading costs more than following and
//! moves around. Compared is the last sample of each replica in the end, when the load is over. A process that was
//! restarted only just now proves little, but nothing wrong either.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::{At, Facts};
use super::verdict::{Finding, Findings};
use crate::history::{Phase, ReplicaSample};

pub(super) const RULE: Rule = Rule {
    name: "memory-and-descriptors-return",
    what: "memory and file descriptors of replicas are back to their baseline in the end",
    judge,
};

/// Descriptors above the baseline that are no leak: connections of agents and frameworks, which all are at whoever leads
/// in the end and need not have been there at the beginning, and what was just closed by the other side.
const DESCRIPTORS_ABOVE_MAX: u64 = 64;

/// Bytes above the baseline that are no leak: the log entries kept behind a snapshot, the events kept for resuming
/// streams (128 MiB at most) and what the allocator of memory keeps.
const BYTES_ABOVE_MAX: u64 = 512 * 1024 * 1024;

/// What of a sample is compared.
type Measure = fn(&ReplicaSample) -> Option<u64>;

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let (Some(faults), Some(end)) = (facts.began(Phase::Faults), facts.began(Phase::End)) else {
        return findings.finding();
    };
    let mut last: BTreeMap<u64, &At<'_, ReplicaSample>> = BTreeMap::new();
    for sample in facts.replicas.iter().filter(|sample| sample.is.at >= end) {
        last.insert(sample.is.node, sample);
    }
    let kinds: [(&str, Measure, u64); 2] = [
        ("file descriptors", |sample| sample.descriptors, DESCRIPTORS_ABOVE_MAX),
        ("bytes of memory", |sample| sample.resident_bytes, BYTES_ABOVE_MAX),
    ];
    for (name, of, above_max) in kinds {
        let before = facts.replicas.iter().filter(|sample| sample.is.at <= faults);
        let Some((baseline, line)) = before.filter_map(|sample| Some((of(sample.is)?, sample.line))).max() else {
            continue;
        };
        for sample in last.values() {
            let Some(now) = of(sample.is) else { continue };
            findings.look();
            if now > baseline + above_max {
                let what = format!(
                    "node {} has {now} {name} in the end: at the beginning no replica had more than {baseline}",
                    sample.is.node
                );
                findings.violated(what, [line, sample.line]);
            }
        }
    }
    findings.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn ended_with(descriptors: u64, resident_bytes: u64) -> Finding {
        let sample = |descriptors, resident_bytes| ReplicaSample {
            node: 1,
            descriptors: Some(descriptors),
            resident_bytes: Some(resident_bytes),
            ..ReplicaSample::default()
        };
        let mut story = Story::default();
        story.replica(sample(100, 1 << 28));
        story.phase(Phase::Faults);
        story.replica(sample(100_000, 1 << 40));
        story.phase(Phase::End);
        story.replica(sample(descriptors, resident_bytes));
        story.judge(&RULE)
    }

    #[test]
    fn a_peak_in_between_is_fine() {
        held(&ended_with(100 + DESCRIPTORS_ABOVE_MAX, (1 << 28) + BYTES_ABOVE_MAX), 2);
    }

    #[test]
    fn what_does_not_come_back_is_found() {
        assert_eq!(violated(&ended_with(101 + DESCRIPTORS_ABOVE_MAX, 0)), [vec![2, 6]]);
        assert_eq!(violated(&ended_with(0, (1 << 28) + BYTES_ABOVE_MAX + 1)), [vec![2, 6]]);
    }
}
