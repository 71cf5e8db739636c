//! A status update reaches a framework only after it is committed.
//!
//! What is committed is seen by everybody from then on: after a framework saw an update, no read of the task at any
//! master returns an earlier state, or that there is no such task. And an agent must have made the update before.
//!
//! Excused: reads after which nothing is promised, of a task that ended (masters remember a bounded number), of a
//! framework that ended, and states by which a master says that it lost a task out of sight.

use std::collections::BTreeMap;

use super::Rule;
use super::acknowledged_launches::launches;
use super::facts::{At, Facts};
use super::tasks::{Class, TaskKey, Update, agents_that_write, class, ended_frameworks, reads, reports, updates};
use super::verdict::{Finding, Findings};
use crate::history::{Call, Micros, Operation};

pub(super) const RULE: Rule = Rule {
    name: "updates-after-commit",
    what: "a status update reaches the framework only after it is committed: no later read is older",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut made: BTreeMap<&str, Micros> = BTreeMap::new();
    for report in reports(facts) {
        made.entry(report.uuid).or_insert(report.call.called);
    }
    let ended = ended_frameworks(facts);
    let writers = agents_that_write(facts);
    let launches = launches(facts);
    // Whether every agent that the task was launched on would have written down that it made the update.
    let is_written = |task: &TaskKey<'_>| {
        let agent = |call: &At<'_, Call>| match &call.is.operation {
            Operation::Launch { agent, .. } => writers.contains(agent.as_str()),
            _ => false,
        };
        launches.get(task).is_some_and(|calls| calls.iter().all(agent))
    };
    // Of each task the updates in order of time, each at least as far as those before.
    let mut frontier: BTreeMap<TaskKey<'_>, Vec<(Class, Update<'_>)>> = BTreeMap::new();
    for update in updates(facts).filter(|update| !update.uuid.is_empty()) {
        findings.look();
        if made.get(update.uuid).is_none_or(|called| *called > update.at) && is_written(&update.task) {
            let (framework, task) = update.task;
            let what = format!(
                "{} of task {task} of {framework} was seen before an agent made it",
                update.state
            );
            findings.violated(what, [update.line]);
        }
        let Some(now @ (Class::Step(_) | Class::Final)) = class(update.state) else {
            continue;
        };
        let steps = frontier.entry(update.task).or_default();
        if steps.last().is_none_or(|(before, _)| now > *before) {
            steps.push((now, update));
        }
    }
    for read in reads(facts) {
        let Some(steps) = frontier.get(&read.task) else {
            continue;
        };
        let before = steps.partition_point(|(_, update)| update.at < read.call.called);
        let Some((reached, update)) = before.checked_sub(1).and_then(|index| steps.get(index)) else {
            continue;
        };
        findings.look();
        let older = match class(read.state) {
            Some(state @ Class::Step(_)) => state < *reached,
            None => *reached != Class::Final && !ended.contains(read.task.0),
            Some(Class::Final | Class::Gone) => false,
        };
        if older {
            let (framework, task) = read.task;
            let shown = if read.state.is_empty() { "unknown" } else { read.state };
            let what = format!(
                "task {task} of {framework} was read as {shown} after its framework had seen {}",
                update.state
            );
            findings.violated(what, [update.line, read.line]);
        }
    }
    findings.finding()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn good() -> Story {
        let mut story = Story::default();
        story.report("a", "t", "TASK_RUNNING", "u1");
        story.read_task("t", "TASK_STAGING");
        story.saw("s", Story::updated("t", "TASK_RUNNING", "u1"));
        story.read_task("t", "TASK_RUNNING");
        story
    }

    #[test]
    fn later_reads_may_be_newer_or_say_that_the_task_is_out_of_sight() {
        let mut story = good();
        story.read_task("t", "TASK_UNREACHABLE");
        story.read_task("t", "TASK_FINISHED");
        held(&story.judge(&RULE), 4);
        let mut story = good();
        let framework = "f".to_owned();
        let torn = story.begin("o", Operation::Teardown { framework });
        story.unknown(torn);
        story.read_task("t", "");
        held(&story.judge(&RULE), 3);
    }

    #[test]
    fn a_later_read_of_an_earlier_state_is_found() {
        for state in ["TASK_STAGING", ""] {
            let mut story = good();
            story.read_task("t", state);
            assert_eq!(violated(&story.judge(&RULE)), [vec![3, 5]]);
        }
    }

    #[test]
    fn an_update_that_no_agent_made_by_then_is_found() {
        let mut story = good();
        // An agent that does not write, like a real one.
        story.saw("s", Story::updated("t", "TASK_FAILED", "u9"));
        held(&story.judge(&RULE), 3);
        story.launch("t", "o");
        assert_eq!(violated(&story.judge(&RULE)), [vec![5]]);
    }
}
