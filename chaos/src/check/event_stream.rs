//! The operator event stream has no gap and no duplicate, across masters and resumptions.
//!
//! What an observer sees from a fresh state on, over all resumptions, is one *stretch*: positions rise, a resumption goes
//! on exactly where the observer was, and every event that anybody saw at a position within the stretch was seen in it.
//! At one position everybody sees the same event. A fresh state holds for each task what a stretch that covers its
//! position says. And a framework's updates are in it: when a stretch has come to a task whose launch was called after a
//! framework saw an update, it has shown the updated task at least that far.

use std::collections::BTreeMap;

use super::Rule;
use super::acknowledged_launches::launches;
use super::facts::Facts;
use super::tasks::{Class, TaskKey, class, stream_subject, updates};
use super::verdict::{Finding, Findings};
use crate::history::{Micros, Sight};

pub(super) const RULE: Rule = Rule {
    name: "event-stream-complete",
    what: "the operator event stream has no gap and no duplicate and agrees with what frameworks saw",
    judge,
};

/// An event: what it is, about what, in which state.
type Event<'a> = (&'a str, &'a str, &'a str);

/// What one observer saw in one go, resumptions included.
struct Stretch<'a> {
    /// The state it began with: after all events up to `from`.
    tasks: &'a BTreeMap<String, String>,
    begun: usize,
    from: u64,
    to: u64,
    /// Position and line, rising.
    events: Vec<(u64, usize, Event<'a>)>,
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let stretches = stretches(facts, &mut findings);
    compare(&stretches, &mut findings);
    compare_states(&stretches, &mut findings);
    compare_with_frameworks(facts, &stretches, &mut findings);
    findings.finding()
}

fn stretches<'a>(facts: &Facts<'a>, findings: &mut Findings) -> Vec<Stretch<'a>> {
    let mut done = Vec::new();
    let mut open: BTreeMap<&str, Stretch<'a>> = BTreeMap::new();
    for (line, seen, sight) in facts.sights() {
        let observer = seen.observer.as_str();
        match sight {
            Sight::StreamBegun {
                resumed,
                position,
                tasks,
            } => {
                findings.look();
                if let Some(stretch) = open.get_mut(observer).filter(|_| *resumed) {
                    if *position < stretch.to {
                        let last = stretch.events.last().map_or(stretch.begun, |(_, line, _)| *line);
                        let what = format!(
                            "{observer} had seen up to {} and was resumed after {position}",
                            stretch.to
                        );
                        findings.violated(what, [last, line]);
                    }
                    // Further on when the last it had was a heartbeat, which is not written down: whether an event lay
                    // in between is seen by comparing with the others.
                    stretch.to = stretch.to.max(*position);
                    continue;
                }
                let fresh = Stretch {
                    tasks,
                    begun: line,
                    from: *position,
                    to: *position,
                    events: Vec::new(),
                };
                done.extend(open.insert(observer, fresh));
            }
            Sight::StreamEvent {
                position,
                event,
                subject,
                state,
            } => {
                let Some(stretch) = open.get_mut(observer) else {
                    continue;
                };
                findings.look();
                if stream_subject(subject).is_some_and(|(framework, task)| framework.is_empty() || task.is_empty()) {
                    findings.violated(format!("{event} at position {position} names no task"), [line]);
                }
                if *position <= stretch.to {
                    let last = stretch.events.last().map_or(stretch.begun, |(_, line, _)| *line);
                    let what = format!("{observer} got position {position} after {}", stretch.to);
                    findings.violated(what, [last, line]);
                    continue;
                }
                stretch.to = *position;
                stretch.events.push((*position, line, (event, subject, state)));
            }
            _ => {}
        }
    }
    done.extend(open.into_values());
    done
}

/// Everybody sees the same event at the same position, and nobody misses one.
fn compare(stretches: &[Stretch<'_>], findings: &mut Findings) {
    let mut all: BTreeMap<u64, (usize, Event<'_>)> = BTreeMap::new();
    for stretch in stretches {
        for (position, line, event) in &stretch.events {
            let (first, known) = *all.entry(*position).or_insert((*line, *event));
            if known != *event {
                let what = format!(
                    "at position {position} one saw {} {} {}, another {} {} {}",
                    known.0, known.1, known.2, event.0, event.1, event.2
                );
                findings.violated(what, [first, *line]);
            }
        }
    }
    for stretch in stretches.iter().filter(|stretch| stretch.to > stretch.from) {
        let mut own = stretch.events.iter().map(|(position, ..)| *position).peekable();
        for (position, (line, event)) in all.range(stretch.from + 1..=stretch.to) {
            while own.next_if(|next| next < position).is_some() {}
            if own.peek() != Some(position) {
                let what = format!(
                    "{} {} {} at position {position} is missing in a stream that goes from {} to {}",
                    event.0, event.1, event.2, stretch.from, stretch.to
                );
                findings.violated(what, [stretch.begun, *line]);
            }
        }
    }
}

/// A fresh state agrees with every stretch that covers its position.
fn compare_states(stretches: &[Stretch<'_>], findings: &mut Findings) {
    for fresh in stretches {
        let covering = stretches
            .iter()
            .find(|other| other.begun != fresh.begun && other.from <= fresh.from && fresh.from <= other.to);
        let Some(other) = covering else { continue };
        findings.look();
        let mut expected: BTreeMap<&str, &str> = other
            .tasks
            .iter()
            .map(|(task, state)| (task.as_str(), state.as_str()))
            .collect();
        let mut removed = Vec::new();
        for (_, _, (event, subject, state)) in other.events.iter().take_while(|(at, ..)| *at <= fresh.from) {
            match *event {
                "TASK_ADDED" | "TASK_UPDATED" => {
                    expected.insert(subject, state);
                }
                "FRAMEWORK_REMOVED" => removed.push(*subject),
                _ => {}
            }
        }
        let excused = |task: &str| stream_subject(task).is_some_and(|(framework, _)| removed.contains(&framework));
        for (task, state) in &expected {
            let found = fresh.tasks.get(*task).map(String::as_str);
            // Masters remember a bounded number of tasks that are not there any more.
            let forgotten = found.is_none() && !matches!(class(state), Some(Class::Step(_)));
            if found != Some(state) && !forgotten && !excused(task) {
                let what = format!(
                    "the state at position {} has task {task} as {}, the events until there as {state}",
                    fresh.from,
                    found.unwrap_or("unknown")
                );
                findings.violated(what, [other.begun, fresh.begun]);
            }
        }
        for task in fresh.tasks.keys().filter(|task| !expected.contains_key(task.as_str())) {
            // An ended task that the other state had left out already may be in no event.
            if !excused(task)
                && fresh
                    .tasks
                    .get(task)
                    .is_some_and(|state| class(state) != Some(Class::Final))
            {
                let what = format!(
                    "the state at position {} has task {task}, of which no event until there tells",
                    fresh.from
                );
                findings.violated(what, [other.begun, fresh.begun]);
            }
        }
    }
}

/// What frameworks saw is in the stream before anything that was asked for afterwards.
fn compare_with_frameworks(facts: &Facts<'_>, stretches: &[Stretch<'_>], findings: &mut Findings) {
    let launches = launches(facts);
    for stretch in stretches {
        // Of each task how far it had come at which position.
        let mut tasks: BTreeMap<TaskKey<'_>, Vec<(u64, Option<Class>)>> = BTreeMap::new();
        for (task, state) in stretch.tasks {
            if let Some(task) = stream_subject(task) {
                tasks.entry(task).or_default().push((stretch.from, class(state)));
            }
        }
        // When the launch of each added task was called, and its position.
        let mut marks: Vec<(Micros, u64, usize)> = Vec::new();
        for (position, line, (event, subject, state)) in &stretch.events {
            let Some(task) = stream_subject(subject) else { continue };
            match *event {
                "TASK_ADDED" | "TASK_UPDATED" => {
                    tasks.entry(task).or_default().push((*position, class(state)));
                }
                _ => continue,
            }
            if *event == "TASK_ADDED"
                && let Some([call]) = launches.get(&task).map(Vec::as_slice)
            {
                marks.push((call.is.called, *position, *line));
            }
        }
        marks.sort_unstable();
        for index in (1..marks.len()).rev() {
            // The earliest position of all that were called at least as late.
            if let (Some(later), Some(this)) = (marks.get(index).copied(), marks.get_mut(index - 1))
                && later.1 < this.1
            {
                (this.1, this.2) = (later.1, later.2);
            }
        }
        for update in updates(facts).filter(|update| !update.uuid.is_empty()) {
            let (Some(known), Some(reached @ (Class::Step(_) | Class::Final))) =
                (tasks.get(&update.task), class(update.state))
            else {
                continue;
            };
            let first_after = marks.partition_point(|(called, ..)| *called <= update.at);
            let Some((_, position, line)) = marks.get(first_after) else {
                continue;
            };
            findings.look();
            let shown = known
                .iter()
                .take_while(|(at, _)| at <= position)
                .filter_map(|(_, class)| *class)
                .max();
            if known.first().is_some_and(|(at, _)| at <= position) && shown < Some(reached) {
                let (framework, task) = update.task;
                let what = format!(
                    "a framework saw {} of task {task} of {framework}, and the stream had not shown it when it came to \
                     what was asked for later",
                    update.state
                );
                findings.violated(what, [update.line, *line]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn begun(observer: &str, position: u64, resumed: bool, tasks: &[(&str, &str)], story: &mut Story) {
        let tasks = tasks
            .iter()
            .map(|(task, state)| ((*task).into(), (*state).into()))
            .collect();
        story.saw(
            observer,
            Sight::StreamBegun {
                resumed,
                position,
                tasks,
            },
        );
    }

    fn event(observer: &str, position: u64, state: &str, story: &mut Story) {
        let event = if state == "TASK_STAGING" {
            "TASK_ADDED"
        } else {
            "TASK_UPDATED"
        };
        story.saw(
            observer,
            Sight::StreamEvent {
                position,
                event: event.into(),
                subject: "f/t".into(),
                state: state.into(),
            },
        );
    }

    /// Observer `o` sees positions 3, 5 and, resumed, 6.
    fn good() -> Story {
        let mut story = Story::default();
        begun("o", 2, false, &[], &mut story);
        event("o", 3, "TASK_STAGING", &mut story);
        event("o", 5, "TASK_STARTING", &mut story);
        begun("o", 5, true, &[], &mut story);
        event("o", 6, "TASK_RUNNING", &mut story);
        story
    }

    #[test]
    fn observers_that_see_the_same_are_fine() {
        let mut story = good();
        begun("p", 3, false, &[("f/t", "TASK_STAGING")], &mut story);
        event("p", 5, "TASK_STARTING", &mut story);
        event("p", 6, "TASK_RUNNING", &mut story);
        event("p", 9, "TASK_KILLING", &mut story);
        held(&story.judge(&RULE), 10);
    }

    #[test]
    fn a_duplicate_and_a_wrong_resumption_are_found() {
        let mut story = good();
        event("o", 6, "TASK_RUNNING", &mut story);
        assert_eq!(violated(&story.judge(&RULE)), [vec![6, 7]]);
        let mut back = good();
        begun("o", 5, true, &[], &mut back);
        assert_eq!(violated(&back.judge(&RULE)), [vec![6, 7]]);
        // Behind a heartbeat, unless somebody saw an event before it.
        let mut ahead = good();
        begun("o", 8, true, &[], &mut ahead);
        held(&ahead.judge(&RULE), 6);
        begun("p", 6, false, &[("f/t", "TASK_RUNNING")], &mut ahead);
        event("p", 7, "TASK_KILLING", &mut ahead);
        assert_eq!(violated(&ahead.judge(&RULE)), [vec![2, 9]]);
    }

    #[test]
    fn a_gap_and_a_different_event_are_found() {
        let mut story = good();
        begun("p", 3, false, &[("f/t", "TASK_STAGING")], &mut story);
        let mut other = story.clone();
        event("p", 6, "TASK_RUNNING", &mut story);
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 7]]);
        event("p", 5, "TASK_KILLING", &mut other);
        assert_eq!(violated(&other.judge(&RULE)), [vec![4, 8]]);
    }

    #[test]
    fn a_fresh_state_that_differs_from_the_events_is_found() {
        for state in [
            &[("f/t", "TASK_RUNNING")][..],
            &[],
            &[("f/t", "TASK_STARTING"), ("f/u", "TASK_RUNNING")],
        ] {
            let mut story = good();
            begun("p", 5, false, state, &mut story);
            assert_eq!(violated(&story.judge(&RULE)), [vec![2, 7]]);
        }
    }

    #[test]
    fn an_update_that_is_not_in_the_stream_is_found() {
        let told = |late: bool| {
            let mut story = good();
            let state = if late { "TASK_KILLING" } else { "TASK_RUNNING" };
            story.saw("s", Story::updated("t", state, "u"));
            story.launch("t2", "o2");
            story.event(8, "TASK_ADDED", "f/t2", "TASK_STAGING");
            story.judge(&RULE)
        };
        held(&told(false), 7);
        assert_eq!(violated(&told(true)), [vec![7, 8]]);
    }
}
