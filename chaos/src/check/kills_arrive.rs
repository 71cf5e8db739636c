//! A kill that was acknowledged arrives.
//!
//! It is remembered in the log until the task ended, and repeated when the agent registers. So [`ARRIVES_WITHIN`] after the
//! faults ended and the agent was seen connected, it got the kill, or the task ended or was lost out of sight.
//!
//! Excused: frameworks and agents that ended.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use super::acknowledged_launches::committed;
use super::facts::Facts;
use super::tasks::{Class, TaskKey, class, connected_since, ended_agents, ended_frameworks, reads, reports, updates};
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Operation, Phase, Sight};

pub(super) const RULE: Rule = Rule {
    name: "kills-arrive",
    what: "an acknowledged kill reaches the agent or the task has ended, also when the leader changes",
    judge,
};

/// A kill is sent as soon as the agent is connected; the rest is for a task that takes its time to end.
const ARRIVES_WITHIN: Micros = 15_000_000;

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let Some(healed) = facts.began(Phase::Healed) else {
        return findings.finding();
    };
    let settled = settled(facts);
    let known = committed(facts);
    let frameworks = ended_frameworks(facts);
    let dead = ended_agents(facts);
    let connected = connected_since(facts, healed);
    let mut homes = BTreeMap::new();
    for (_, _, sight) in facts.sights() {
        if let Sight::LaunchReceived {
            agent, framework, task, ..
        } = sight
        {
            homes.insert((framework.as_str(), task.as_str()), agent.as_str());
        }
    }
    for call in &facts.calls {
        let Operation::Kill { framework, task } = &call.is.operation else {
            continue;
        };
        let key = (framework.as_str(), task.as_str());
        // Where the task is not known the history has no word of its agent.
        let since = homes.get(&key).and_then(|agent| connected.get(agent)).copied();
        let since = since.map(|since| since.max(call.is.latest()));
        let due =
            call.is.is_acknowledged() && since.is_some_and(|since| facts.end.saturating_sub(since) >= ARRIVES_WITHIN);
        // A kill of a task that the masters did not know yet is answered, and is nothing to be remembered.
        let was_known = known.get(&key).is_some_and(|(at, _)| *at < call.is.called);
        let excused = frameworks.contains(key.0) || homes.get(&key).is_some_and(|agent| dead.contains(agent));
        if !due || !was_known || excused {
            continue;
        }
        findings.look();
        if !settled.contains(&key) {
            let what = format!("the kill of task {task} of {framework} was acknowledged and never reached its agent");
            findings.violated(what, [call.line]);
        }
    }
    findings.finding()
}

/// Tasks that got a kill, ended, or were lost out of sight at any time.
fn settled<'a>(facts: &Facts<'a>) -> BTreeSet<TaskKey<'a>> {
    let lives = |state: &str| matches!(class(state), Some(Class::Step(_)));
    let mut settled = BTreeSet::new();
    for (_, _, sight) in facts.sights() {
        if let Sight::KillReceived { framework, task, .. } = sight {
            settled.insert((framework.as_str(), task.as_str()));
        }
    }
    settled.extend(
        reports(facts)
            .into_iter()
            .filter(|it| !lives(it.state))
            .map(|it| it.task),
    );
    settled.extend(updates(facts).filter(|it| !lives(it.state)).map(|it| it.task));
    settled.extend(
        reads(facts)
            .filter(|it| !lives(it.state) && !it.state.is_empty())
            .map(|it| it.task),
    );
    settled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn killed(arrives: bool, wait: Micros) -> Story {
        let mut story = Story::default();
        story.saw("a", Story::launch_received());
        let (framework, task) = ("f".to_owned(), "t".to_owned());
        let kill = story.begin("s", Operation::Kill { framework, task });
        story.ok(kill, "");
        story.phase(Phase::Healed);
        story.saw("a", Story::registered());
        if arrives {
            story.saw(
                "a",
                Sight::KillReceived {
                    agent: "a".into(),
                    framework: "f".into(),
                    task: "t".into(),
                },
            );
        }
        story.now += wait;
        story.phase(Phase::End);
        story
    }

    #[test]
    fn a_kill_that_arrives_is_fine_and_one_that_had_no_time_is_not_judged() {
        held(&killed(true, ARRIVES_WITHIN).judge(&RULE), 1);
        assert_eq!(killed(false, ARRIVES_WITHIN / 2).judge(&RULE), Finding::NothingToCheck);
    }

    #[test]
    fn a_kill_that_was_forgotten_is_found() {
        assert_eq!(violated(&killed(false, ARRIVES_WITHIN).judge(&RULE)), [vec![3]]);
    }
}
