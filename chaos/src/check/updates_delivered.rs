//! Status updates reach the framework at least once.
//!
//! An agent drops an update when it gets the acknowledgement; so by then the framework must have seen it and asked for
//! the acknowledgement of this very update. And an update that was made before the faults ended must have been seen
//! [`DELIVERY_WITHIN`] after its agent was seen connected again, if the framework is subscribed and the agent lives.
//!
//! Excused: frameworks and agents that ended; frameworks that no observer of the history speaks for.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use super::facts::Facts;
use super::tasks::{Report, connected_since, ended_agents, ended_frameworks, reports, subscribed_at_the_end, updates};
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Operation, Phase, Sight};

pub(super) const RULE: Rule = Rule {
    name: "updates-delivered",
    what: "every status update reaches the framework at least once, and is acknowledged only by it",
    judge,
};

/// An agent repeats what is not acknowledged every 10 s.
const DELIVERY_WITHIN: Micros = 15_000_000;

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut seen: BTreeMap<&str, Micros> = BTreeMap::new();
    for update in updates(facts) {
        seen.entry(update.uuid).or_insert(update.at);
    }
    let mut asked: BTreeMap<&str, Micros> = BTreeMap::new();
    for call in &facts.calls {
        if let Operation::Acknowledge { uuid, .. } = &call.is.operation {
            let first = asked.entry(uuid).or_insert(call.is.called);
            *first = (*first).min(call.is.called);
        }
    }
    let observed: BTreeSet<&str> = facts
        .sights()
        .filter_map(|(_, _, sight)| match sight {
            Sight::Subscribed { framework, .. } => Some(framework.as_str()),
            _ => None,
        })
        .collect();
    let ended = ended_frameworks(facts);
    let dead = ended_agents(facts);
    let subscribed = subscribed_at_the_end(facts);
    let healed = facts.began(Phase::Healed).unwrap_or(Micros::MAX);
    let connected = connected_since(facts, healed);
    let is_due = |report: &Report<'_>| {
        let since = connected.get(report.agent);
        report.call.called < healed && since.is_some_and(|since| facts.end - since >= DELIVERY_WITHIN)
    };
    for report in reports(facts) {
        let framework = report.task.0;
        if !observed.contains(framework) || ended.contains(framework) {
            continue;
        }
        if report.call.is_acknowledged() {
            findings.look();
            let by = report.call.latest();
            if seen.get(report.uuid).is_none_or(|at| *at > by) {
                let what = format!(
                    "{} was acknowledged to its agent, but its framework had not seen it",
                    named(&report)
                );
                findings.violated(what, [report.line]);
            } else if !asked.is_empty() && asked.get(report.uuid).is_none_or(|at| *at > by) {
                let what = format!(
                    "{} was acknowledged to its agent, but not by its framework",
                    named(&report)
                );
                findings.violated(what, [report.line]);
            }
        } else if is_due(&report) && subscribed.contains(framework) && !dead.contains(report.agent) {
            findings.look();
            if !seen.contains_key(report.uuid) {
                let what = format!("{} never reached its framework, which was subscribed", named(&report));
                findings.violated(what, [report.line]);
            }
        }
    }
    findings.finding()
}

fn named(report: &Report<'_>) -> String {
    let (framework, task) = report.task;
    format!("{} of task {task} of {framework}", report.state)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    /// An update is made and seen, not acknowledged.
    fn seen() -> (Story, u64) {
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l", false));
        let report = story.report("a", "t", "TASK_RUNNING", "u1");
        story.saw("s", Story::updated("t", "TASK_RUNNING", "u1"));
        (story, report)
    }

    fn acknowledge(story: &mut Story, uuid: &str) {
        let operation = Operation::Acknowledge {
            framework: "f".into(),
            task: "t".into(),
            uuid: uuid.into(),
        };
        let call = story.begin("s", operation);
        story.ok(call, "");
    }

    /// The faults end, and so long goes by.
    fn healed(story: &mut Story) {
        story.phase(Phase::Healed);
        story.saw("a", Story::registered());
        story.now += DELIVERY_WITHIN;
        story.phase(Phase::End);
    }

    #[test]
    fn an_update_that_was_seen_and_acknowledged_by_its_framework_is_delivered() {
        let (mut story, report) = seen();
        acknowledge(&mut story, "u1");
        story.ok(report, "");
        story.report("a", "t", "TASK_FINISHED", "u2");
        // Not long enough for the second to be due.
        story.phase(Phase::Healed);
        held(&story.judge(&RULE), 1);
    }

    #[test]
    fn an_acknowledgement_that_the_framework_did_not_give_is_found() {
        let (mut story, report) = seen();
        acknowledge(&mut story, "u0");
        story.ok(report, "");
        assert_eq!(violated(&story.judge(&RULE)), [vec![5]]);
        let (mut story, _) = seen();
        let other = story.report("a", "t2", "TASK_RUNNING", "u2");
        story.ok(other, "");
        assert_eq!(violated(&story.judge(&RULE)), [vec![4]]);
    }

    #[test]
    fn an_update_that_never_arrives_is_found_unless_somebody_ended() {
        let (mut story, _) = seen();
        story.report("a", "t2", "TASK_RUNNING", "u2");
        let mut gone = story.clone();
        healed(&mut story);
        assert_eq!(violated(&story.judge(&RULE)).len(), 1);
        gone.saw(
            "a",
            Sight::AgentEnded {
                agent: "a".into(),
                reason: "killed".into(),
            },
        );
        healed(&mut gone);
        assert_eq!(gone.judge(&RULE), Finding::NothingToCheck);
    }
}
