//! Status updates of a task reach its framework in the order in which its agent made them, none left out.
//!
//! An agent makes the next update known only when the one before is acknowledged. So when a framework sees an update,
//! the one before it on the same agent was seen earlier, by this scheduler or another one of the framework; and a
//! scheduler that saw an update sees none of those before it again, once they were acknowledged before it was made.
//! Repetitions of the newest are legal: delivery is at least once.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use super::facts::Facts;
use super::tasks::{Report, TaskKey, reports, updates};
use super::verdict::{Finding, Findings};

pub(super) const RULE: Rule = Rule {
    name: "updates-in-order",
    what: "status updates of a task reach the framework in the order in which its agent made them",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let reports = reports(facts);
    // Of each task on each agent its reports in order; of each uuid its place there.
    let mut chains: BTreeMap<(&str, TaskKey<'_>), Vec<&Report<'_>>> = BTreeMap::new();
    let mut places: BTreeMap<&str, (&str, TaskKey<'_>, usize)> = BTreeMap::new();
    for report in &reports {
        let chain = chains.entry((report.agent, report.task)).or_default();
        places
            .entry(report.uuid)
            .or_insert((report.agent, report.task, chain.len()));
        chain.push(report);
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    // The newest update that each observer saw of each task: its place and line.
    let mut newest: BTreeMap<(&str, &str, TaskKey<'_>), (usize, usize)> = BTreeMap::new();
    for update in updates(facts).filter(|update| !update.uuid.is_empty()) {
        let Some((agent, key, place)) = places.get(update.uuid).copied() else {
            continue;
        };
        let Some(chain) = chains.get(&(agent, key)) else {
            continue;
        };
        findings.look();
        let (framework, task) = key;
        let before = place.checked_sub(1).and_then(|before| chain.get(before));
        if let Some(before) = before.filter(|before| !seen.contains(before.uuid))
            && seen.insert(update.uuid)
        {
            let what = format!(
                "{} of task {task} of {framework} was seen before {}, which its agent had made earlier",
                update.state, before.state
            );
            findings.violated(what, [before.line, update.line]);
        }
        seen.insert(update.uuid);
        let last = newest
            .entry((update.observer, agent, key))
            .or_insert((place, update.line));
        if last.0 > place {
            let settled = chain.get(last.0).zip(chain.get(place)).is_some_and(|(later, earlier)| {
                earlier.call.is_acknowledged() && earlier.call.latest() < later.call.called
            });
            if settled {
                let what = format!(
                    "{} of task {task} of {framework} was seen again after a later update, though it had been \
                     acknowledged before that was made",
                    update.state
                );
                findings.violated(what, [last.1, update.line]);
            }
        } else {
            *last = (place, update.line);
        }
    }
    findings.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    /// Both updates are made, seen and acknowledged.
    fn told(order: &[&str]) -> Story {
        let mut story = Story::default();
        let first = story.report("a", "t", "TASK_RUNNING", "u1");
        story.ok(first, "");
        let second = story.report("a", "t", "TASK_FINISHED", "u2");
        for uuid in order {
            let state = if *uuid == "u1" { "TASK_RUNNING" } else { "TASK_FINISHED" };
            story.saw("s", Story::updated("t", state, uuid));
        }
        story.ok(second, "");
        story
    }

    #[test]
    fn updates_may_be_repeated() {
        held(&told(&["u1", "u1", "u2", "u2"]).judge(&RULE), 4);
        // The second scheduler of a framework does not see what the first one settled.
        let mut story = told(&["u1"]);
        story.saw("s2", Story::updated("t", "TASK_FINISHED", "u2"));
        held(&story.judge(&RULE), 2);
    }

    #[test]
    fn another_order_and_a_gap_are_found() {
        assert_eq!(violated(&told(&["u2", "u1"]).judge(&RULE)), [vec![2, 3], vec![3, 4]]);
        assert_eq!(violated(&told(&["u2"]).judge(&RULE)), [vec![2, 3]]);
        assert_eq!(violated(&told(&["u1", "u2", "u1"]).judge(&RULE)), [vec![4, 5]]);
    }
}
