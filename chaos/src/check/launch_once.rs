//! A task id is launched at most once, and never on two agents.
//!
//! Looked at: what agents saw. Per framework and task id at most one agent may get the launch for the first time, once,
//! and at most one process may begin. An agent may get the launch again while the master cannot know that it has it
//! (then it ignores it); but a leadership must not send the launch of a task to an agent that registered with it *after*
//! an update of that task had been acknowledged to this agent: that update is committed, so that the master knows.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Operation, Sight};

pub(super) const RULE: Rule = Rule {
    name: "launched-once",
    what: "a task is launched at most once, on one agent",
    judge,
};

type Task<'a> = (&'a str, &'a str);

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut received: BTreeMap<Task<'_>, (&str, usize)> = BTreeMap::new();
    let mut started: BTreeMap<Task<'_>, (&str, usize)> = BTreeMap::new();
    // With whom each agent registered last, and when.
    let mut registered: BTreeMap<&str, (&str, Micros, usize)> = BTreeMap::new();
    let confirmed = confirmed(facts);
    for (line, seen, sight) in facts.sights() {
        match sight {
            Sight::LaunchReceived {
                agent,
                framework,
                task,
                master,
                repeated,
            } => {
                findings.look();
                let key = (framework.as_str(), task.as_str());
                let first = received.get(&key).copied();
                if let Some((other, other_line)) = first
                    && (!repeated || other != agent)
                {
                    let what = format!("the launch of task {task} of {framework} reached agents {other} and {agent}");
                    findings.violated(what, [other_line, line]);
                }
                if let (true, Some((since, at, at_line)), Some((returned, report))) = (
                    *repeated,
                    registered.get(agent.as_str()),
                    confirmed.get(&(agent.as_str(), framework.as_str(), task.as_str())),
                ) && since == master
                    && returned < at
                {
                    let what = format!(
                        "master {master} launched task {task} of {framework} again on {agent}, which had reported it \
                         and got the acknowledgement before it registered"
                    );
                    findings.violated(what, [*report, *at_line, line]);
                }
                received.entry(key).or_insert((agent, line));
            }
            Sight::Started { agent, framework, task } => {
                findings.look();
                let key = (framework.as_str(), task.as_str());
                if let Some((other, other_line)) = started.get(&key) {
                    let what = format!("task {task} of {framework} began on agent {other} and again on {agent}");
                    findings.violated(what, [*other_line, line]);
                }
                started.entry(key).or_insert((agent, line));
            }
            Sight::Registered { agent, master, .. } => {
                registered.insert(agent, (master, seen.at, line));
            }
            _ => {}
        }
    }
    findings.finding()
}

/// Of each task on its agent the first report that was acknowledged: when, and in which line.
fn confirmed<'a>(facts: &Facts<'a>) -> BTreeMap<(&'a str, &'a str, &'a str), (Micros, usize)> {
    let mut first = BTreeMap::new();
    for call in &facts.calls {
        if let (
            Operation::Report {
                agent, framework, task, ..
            },
            true,
            Some(returned),
        ) = (&call.is.operation, call.is.is_acknowledged(), call.is.returned)
        {
            let key = (agent.as_str(), framework.as_str(), task.as_str());
            let known = first.entry(key).or_insert((returned, call.line));
            *known = (*known).min((returned, call.line));
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn received(agent: &str, master: &str, repeated: bool) -> Sight {
        Sight::LaunchReceived {
            agent: agent.into(),
            framework: "f".into(),
            task: "t".into(),
            master: master.into(),
            repeated,
        }
    }

    fn started(agent: &str) -> Sight {
        Sight::Started {
            agent: agent.into(),
            framework: "f".into(),
            task: "t".into(),
        }
    }

    fn registered(master: &str) -> Sight {
        Sight::Registered {
            agent: "a".into(),
            master: master.into(),
            again: true,
        }
    }

    /// An agent that registers, gets a launch, begins and registers with the next master.
    fn good() -> Story {
        let mut story = Story::default();
        story.saw("a", registered("m1"));
        story.saw("a", received("a", "m1", false));
        story.saw("a", started("a"));
        story
    }

    #[test]
    fn a_launch_may_come_again_while_its_master_cannot_know_better() {
        let mut story = good();
        story.saw("a", registered("m2"));
        story.saw("a", received("a", "m2", true));
        held(&story.judge(&RULE), 3);
        let mut story = good();
        story.saw("a", registered("m2"));
        let report = story.report("a", "t", "TASK_RUNNING", "u");
        story.ok(report, "");
        // It may have been sent before the report was committed.
        story.saw("a", received("a", "m2", true));
        held(&story.judge(&RULE), 3);
    }

    #[test]
    fn a_second_launch_is_found() {
        for second in [
            received("a", "m1", false),
            received("b", "m1", false),
            received("b", "m1", true),
        ] {
            let mut story = good();
            story.saw("a", second);
            assert_eq!(violated(&story.judge(&RULE)), [vec![3, 5]]);
        }
        let mut story = good();
        story.saw("a", started("a"));
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 5]]);
    }

    #[test]
    fn a_launch_that_a_new_leader_should_know_to_be_done_is_found() {
        let mut story = good();
        let report = story.report("a", "t", "TASK_RUNNING", "u");
        story.ok(report, "");
        story.saw("a", registered("m2"));
        story.saw("a", received("a", "m2", true));
        assert_eq!(violated(&story.judge(&RULE)), [vec![5, 6, 7]]);
    }
}
