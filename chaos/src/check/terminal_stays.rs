//! A task that ended stays as it ended.
//!
//! *Updates*: once a framework saw a final update of an agent (one with a uuid), it sees no living state of that task any
//! more, nor does a scheduler that subscribed afterwards. *Reads*: once a read returned a final state, every read called
//! later returns the same or none (the masters remember a bounded number). *Event stream*: behind a final state of a
//! task, in order of positions, comes no living one, and no other final one.
//!
//! Reads may be ahead of updates: agents tell masters the newest state along with the oldest unacknowledged update. So
//! nothing is concluded from a read about updates.

use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::tasks::{Class, TaskKey, class, reads, stream_subject, updates};
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Sight};

pub(super) const RULE: Rule = Rule {
    name: "terminal-stays-terminal",
    what: "a task that ended stays as it ended, in updates, reads and the event stream",
    judge,
};

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    judge_updates(facts, &mut findings);
    judge_reads(facts, &mut findings);
    judge_stream(facts, &mut findings);
    findings.finding()
}

fn judge_updates(facts: &Facts<'_>, findings: &mut Findings) {
    // Of each task the first final update: when, by whom, where.
    let mut ended: BTreeMap<TaskKey<'_>, (Micros, &str, usize)> = BTreeMap::new();
    let subscribed = subscriptions(facts);
    for update in updates(facts) {
        let known = ended.get(&update.task).copied();
        match class(update.state) {
            Some(Class::Final) if !update.uuid.is_empty() => {
                findings.look();
                ended
                    .entry(update.task)
                    .or_insert((update.at, update.observer, update.line));
            }
            Some(Class::Step(_)) => {
                let Some((at, observer, line)) = known else { continue };
                let since = subscribed
                    .get(update.observer)
                    .and_then(|times| times.iter().rev().find(|since| **since <= update.at));
                if observer == update.observer || since.is_some_and(|since| *since > at) {
                    let (framework, task) = update.task;
                    let what = format!(
                        "task {task} of {framework} was seen as {} after it had ended",
                        update.state
                    );
                    findings.violated(what, [line, update.line]);
                }
            }
            _ => {}
        }
    }
}

/// When each observer subscribed.
fn subscriptions<'a>(facts: &Facts<'a>) -> BTreeMap<&'a str, Vec<Micros>> {
    let mut times: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
    for (_, seen, sight) in facts.sights() {
        if let Sight::Subscribed { .. } = sight {
            times.entry(&seen.observer).or_default().push(seen.at);
        }
    }
    times
}

fn judge_reads(facts: &Facts<'_>, findings: &mut Findings) {
    let mut ended: BTreeMap<TaskKey<'_>, (Micros, &str, usize)> = BTreeMap::new();
    // In the order in which reads ended, so that the first final one is the earliest to compare with.
    for read in reads(facts) {
        let is_final = class(read.state) == Some(Class::Final);
        if let Some((at, state, line)) = ended.get(&read.task) {
            findings.look();
            if read.call.called > *at && !read.state.is_empty() && read.state != *state {
                let (framework, task) = read.task;
                let what = format!(
                    "task {task} of {framework} was read as {state} and later as {}",
                    read.state
                );
                findings.violated(what, [*line, read.line]);
            }
        } else if is_final {
            findings.look();
            ended.insert(read.task, (read.call.latest(), read.state, read.line));
        }
    }
}

fn judge_stream(facts: &Facts<'_>, findings: &mut Findings) {
    let mut events: Vec<(u64, usize, TaskKey<'_>, &str)> = Vec::new();
    for (line, _, sight) in facts.sights() {
        if let Sight::StreamEvent {
            position,
            event,
            subject,
            state,
        } = sight
            && matches!(event.as_str(), "TASK_ADDED" | "TASK_UPDATED")
            && let Some(task) = stream_subject(subject).filter(|(_, task)| !task.is_empty())
        {
            events.push((*position, line, task, state));
        }
    }
    events.sort_unstable();
    let mut ended: BTreeMap<TaskKey<'_>, (&str, usize)> = BTreeMap::new();
    for (_, line, task, state) in events {
        match (class(state), ended.get(&task)) {
            (Some(Class::Step(_) | Class::Final), Some((known, known_line))) if *known != state => {
                let (framework, task) = task;
                let what = format!("the event stream has task {task} of {framework} as {known} and then as {state}");
                findings.violated(what, [*known_line, line]);
            }
            (Some(Class::Final), None) => {
                findings.look();
                ended.insert(task, (state, line));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn good() -> Story {
        let mut story = Story::default();
        story.saw("s1", Story::subscribed("l1", false));
        story.saw("s1", Story::updated("t", "TASK_RUNNING", "u1"));
        story.read_task("t", "TASK_RUNNING");
        story.saw("s1", Story::updated("t", "TASK_FINISHED", "u2"));
        story.read_task("t", "TASK_FINISHED");
        story.event(1, "TASK_ADDED", "f/t", "TASK_STAGING");
        story.event(2, "TASK_UPDATED", "f/t", "TASK_FINISHED");
        story
    }

    #[test]
    fn an_ended_task_may_be_repeated_forgotten_and_answered_as_unknown() {
        let mut story = good();
        story.saw("s2", Story::subscribed("l2", true));
        story.saw("s2", Story::updated("t", "TASK_FINISHED", "u2"));
        story.saw("s2", Story::updated("t", "TASK_GONE", ""));
        story.read_task("t", "TASK_FINISHED");
        story.read_task("t", "");
        story.event(2, "TASK_UPDATED", "f/t", "TASK_FINISHED");
        held(&story.judge(&RULE), 6);
    }

    #[test]
    fn a_read_may_be_ahead_of_updates() {
        let mut story = Story::default();
        story.read_task("t", "TASK_FINISHED");
        story.saw("s1", Story::updated("t", "TASK_RUNNING", "u1"));
        held(&story.judge(&RULE), 1);
    }

    #[test]
    fn a_revived_task_is_found_in_updates_reads_and_events() {
        let mut story = good();
        story.saw("s1", Story::updated("t", "TASK_RUNNING", ""));
        assert_eq!(violated(&story.judge(&RULE)), [vec![5, 9]]);
        let mut story = good();
        story.saw("s2", Story::subscribed("l2", true));
        story.saw("s2", Story::updated("t", "TASK_RUNNING", "u3"));
        assert_eq!(violated(&story.judge(&RULE)), [vec![5, 10]]);
        for state in ["TASK_RUNNING", "TASK_FAILED", "TASK_LOST"] {
            let mut story = good();
            story.read_task("t", state);
            assert_eq!(violated(&story.judge(&RULE)), [vec![6, 9]]);
        }
        for state in ["TASK_RUNNING", "TASK_FAILED"] {
            let mut story = good();
            story.event(3, "TASK_UPDATED", "f/t", state);
            assert_eq!(violated(&story.judge(&RULE)), [vec![8, 9]]);
        }
    }
}
