//! No acknowledged launch is lost, none happens before it is committed, and no refused one happens.
//!
//! An ACCEPT that was answered is durable, but its answer does not say whether a task was launched: a refusal is an
//! update that nobody repeats. So a launch counts as *committed* from the moment at which anybody saw the task: its agent,
//! its framework, a reader, a subscriber of the event stream. From then on
//!
//! 1. no read called later finds no such task, unless it may have ended by then, or its framework did;
//! 2. the task is not lost in the end without a word to its framework, unless the framework or the agent ended, or the
//!    agent was unreachable. (Judged when a subscriber watched the event stream, which shows every agent that becomes so.)
//!
//! And of an acknowledged launch of which nobody ever saw anything,
//!
//! 3. a read called later does not find no such task, if the framework would have seen the refusal: it saw something
//!    newer on the same subscription, namely an update about what began only after the launch had been answered.
//!
//! 4. A task all of whose launches were refused is seen by nobody.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use super::facts::{At, Facts};
use super::tasks::{Class, TaskKey, class, ended_agents, ended_frameworks, reads, reports, stream_subject};
use super::verdict::{Finding, Findings};
use crate::history::{Call, Micros, Operation, Phase, Sight};

pub(super) const RULE: Rule = Rule {
    name: "acknowledged-launches-kept",
    what: "no acknowledged launch is lost, none happens before it is committed, and no refused one",
    judge,
};

/// When and where a task was first seen by anybody.
type Committed = (Micros, usize);

/// Of each task the first sight of it, by which its launch is known to be committed.
pub(super) fn committed<'a>(facts: &Facts<'a>) -> BTreeMap<TaskKey<'a>, Committed> {
    let mut first: BTreeMap<TaskKey<'a>, Committed> = BTreeMap::new();
    let mut note = |task: TaskKey<'a>, at: Micros, line: usize| {
        let known = first.entry(task).or_insert((at, line));
        *known = (*known).min((at, line));
    };
    for (line, seen, sight) in facts.sights() {
        match sight {
            Sight::LaunchReceived { framework, task, .. } | Sight::Started { framework, task, .. } => {
                note((framework, task), seen.at, line);
            }
            Sight::Updated {
                framework, task, state, ..
            } if matches!(class(state), Some(Class::Step(_))) => note((framework, task), seen.at, line),
            Sight::StreamEvent { event, subject, .. } if event == "TASK_ADDED" => {
                if let Some(task) = stream_subject(subject) {
                    note(task, seen.at, line);
                }
            }
            _ => {}
        }
    }
    for read in reads(facts) {
        if matches!(class(read.state), Some(Class::Step(_) | Class::Final)) {
            note(read.task, read.call.latest(), read.line);
        }
    }
    first
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let committed = committed(facts);
    let launches = launches(facts);
    let excuses = Excuses::of(facts, &launches);
    for read in reads(facts).filter(|read| read.state.is_empty()) {
        let Some((at, line)) = committed.get(&read.task).filter(|(at, _)| *at < read.call.called) else {
            continue;
        };
        if *at < read.call.called && !excuses.may_be_forgotten(read.task, read.call.latest()) {
            let (framework, task) = read.task;
            let what = format!("task {task} of {framework} had been seen, and later there was no such task");
            findings.violated(what, [*line, read.line]);
        }
    }
    let vanished = vanished(facts, &launches, &committed);
    for (task_key, calls) in &launches {
        findings.look();
        let (framework, task) = *task_key;
        if let Some((_, line)) = committed.get(task_key)
            && calls.iter().all(|call| call.is.is_refused())
        {
            let what = format!("task {task} of {framework} was launched, though that had been refused");
            findings.violated(what, calls.iter().map(|call| call.line).chain([*line]));
        }
        if let Some((call, read)) = vanished.get(task_key) {
            let what = format!("the launch of task {task} of {framework} was acknowledged, and nobody knows the task");
            findings.violated(what, [*call, *read]);
        }
    }
    judge_lost_in_the_end(facts, &committed, &excuses, &mut findings);
    findings.finding()
}

fn judge_lost_in_the_end(
    facts: &Facts<'_>,
    committed: &BTreeMap<TaskKey<'_>, Committed>,
    excuses: &Excuses<'_>,
    findings: &mut Findings,
) {
    let watched = facts
        .sights()
        .any(|(_, _, sight)| matches!(sight, Sight::StreamBegun { .. }));
    let Some(healed) = facts.began(Phase::Healed).filter(|_| watched) else {
        return;
    };
    let mut last = BTreeMap::new();
    for read in reads(facts).filter(|read| read.call.called >= healed) {
        last.insert(read.task, read);
    }
    for (key, read) in last {
        if class(read.state) == Some(Class::Gone)
            && !excuses.may_be_lost(key)
            && let Some((_, line)) = committed.get(&key)
        {
            let (framework, task) = key;
            let what = format!(
                "task {task} of {framework} was launched and is {} in the end, though its agent lives",
                read.state
            );
            findings.violated(what, [*line, read.line]);
        }
    }
}

/// The launches of each task.
pub(super) fn launches<'a>(facts: &Facts<'a>) -> BTreeMap<TaskKey<'a>, Vec<At<'a, Call>>> {
    let mut launches: BTreeMap<TaskKey<'a>, Vec<At<'a, Call>>> = BTreeMap::new();
    for call in &facts.calls {
        if let Operation::Launch { framework, tasks, .. } = &call.is.operation {
            for task in tasks {
                launches.entry((framework, task)).or_default().push(*call);
            }
        }
    }
    launches
}

/// Why a task may be forgotten or lost.
struct Excuses<'a> {
    frameworks: BTreeSet<&'a str>,
    agents: BTreeSet<&'a str>,
    /// From when on a task may have ended.
    ended: BTreeMap<TaskKey<'a>, Micros>,
    /// Tasks of which an agent or a master told the framework that they ended, or that it wanted to end.
    told: BTreeSet<TaskKey<'a>>,
    agent_of: BTreeMap<TaskKey<'a>, &'a str>,
}

impl<'a> Excuses<'a> {
    fn of(facts: &Facts<'a>, launches: &BTreeMap<TaskKey<'a>, Vec<At<'a, Call>>>) -> Self {
        let mut agent_of = BTreeMap::new();
        for (task, calls) in launches {
            if let Some(Operation::Launch { agent, .. }) = calls.first().map(|call| &call.is.operation) {
                agent_of.insert(*task, agent.as_str());
            }
        }
        let mut ended: BTreeMap<TaskKey<'a>, Micros> = BTreeMap::new();
        let mut end = |task: TaskKey<'a>, at: Micros| {
            let known = ended.entry(task).or_insert(at);
            *known = (*known).min(at);
        };
        let mut told = BTreeSet::new();
        for report in reports(facts) {
            if !matches!(class(report.state), Some(Class::Step(_))) {
                end(report.task, report.call.called);
                told.insert(report.task);
            }
        }
        for call in &facts.calls {
            if let Operation::Kill { framework, task } = &call.is.operation {
                end((framework, task), call.is.called);
                told.insert((framework, task));
            }
        }
        let mut agents = ended_agents(facts);
        for (_, seen, sight) in facts.sights() {
            let (task, state, reason) = match sight {
                Sight::Updated {
                    framework,
                    task,
                    state,
                    reason,
                    ..
                } => ((framework.as_str(), task.as_str()), state, reason.as_str()),
                Sight::StreamEvent { subject, state, .. } => match stream_subject(subject) {
                    // An event has no reason: taken for the excuse it may be.
                    Some(task) => (task, state, "REASON_AGENT_REMOVED"),
                    None => continue,
                },
                _ => continue,
            };
            let out_of_sight = matches!(state.as_str(), "TASK_UNREACHABLE" | "TASK_GONE_BY_OPERATOR")
                || (state == "TASK_LOST" && matches!(reason, "REASON_AGENT_REMOVED" | "REASON_SLAVE_REMOVED"));
            if out_of_sight {
                agents.extend(agent_of.get(&task));
            }
            if matches!(class(state), Some(Class::Final | Class::Gone)) && reason != "REASON_RECONCILIATION" {
                end(task, seen.at);
                if let Sight::Updated { .. } = sight {
                    told.insert(task);
                }
            }
        }
        for read in reads(facts).filter(|read| class(read.state) == Some(Class::Final)) {
            end(read.task, read.call.latest());
        }
        Excuses {
            frameworks: ended_frameworks(facts),
            agents,
            ended,
            told,
            agent_of,
        }
    }

    /// Whether a master may have dropped the task from its books by then: it remembers a bounded number of ended ones.
    fn may_be_forgotten(&self, task: TaskKey<'_>, by: Micros) -> bool {
        self.frameworks.contains(task.0)
            || self.ended.get(&task).is_some_and(|at| *at <= by)
            || self
                .agent_of
                .get(&task)
                .is_some_and(|agent| self.agents.contains(agent))
    }

    /// Whether a task that was launched may be lost in the end.
    fn may_be_lost(&self, task: TaskKey<'_>) -> bool {
        let agent = self.agent_of.get(&task);
        self.frameworks.contains(task.0)
            || self.told.contains(&task)
            || agent.is_none_or(|agent| self.agents.contains(agent))
    }
}

/// Acknowledged launches of tasks that nobody ever saw, and the read that found none: case 3.
fn vanished<'a>(
    facts: &Facts<'a>,
    launches: &BTreeMap<TaskKey<'a>, Vec<At<'a, Call>>>,
    committed: &BTreeMap<TaskKey<'a>, Committed>,
) -> BTreeMap<TaskKey<'a>, (usize, usize)> {
    let mut updated: BTreeSet<TaskKey<'_>> = BTreeSet::new();
    for (_, _, sight) in facts.sights() {
        if let Sight::Updated {
            framework,
            task,
            reason,
            ..
        } = sight
            && reason != "REASON_RECONCILIATION"
        {
            updated.insert((framework, task));
        }
    }
    let subscriptions = Subscriptions::of(facts, launches);
    let mut found = BTreeMap::new();
    for read in reads(facts).filter(|read| read.state.is_empty()) {
        if committed.contains_key(&read.task) || updated.contains(&read.task) {
            continue;
        }
        let answered = launches.get(&read.task).into_iter().flatten().find(|launch| {
            launch.is.is_acknowledged()
                && launch.is.latest() < read.call.called
                && subscriptions.saw_something_newer(launch.is)
        });
        if let Some(launch) = answered {
            found.entry(read.task).or_insert((launch.line, read.line));
        }
    }
    found
}

/// Per observer: when its subscription began or ended, and when it saw an update about something that began when.
struct Subscriptions<'a> {
    breaks: BTreeMap<&'a str, Vec<Micros>>,
    /// (seen at, what it is about began at)
    marks: BTreeMap<&'a str, Vec<(Micros, Micros)>>,
}

impl<'a> Subscriptions<'a> {
    fn of(facts: &Facts<'a>, launches: &BTreeMap<TaskKey<'a>, Vec<At<'a, Call>>>) -> Self {
        let mut began: BTreeMap<&str, Micros> = BTreeMap::new();
        for report in reports(facts) {
            began.entry(report.uuid).or_insert(report.call.called);
        }
        let mut breaks: BTreeMap<&str, Vec<Micros>> = BTreeMap::new();
        let mut marks: BTreeMap<&str, Vec<(Micros, Micros)>> = BTreeMap::new();
        for (_, seen, sight) in facts.sights() {
            match sight {
                Sight::Subscribed { .. } | Sight::Disconnected { .. } | Sight::Ended { .. } => {
                    breaks.entry(&seen.observer).or_default().push(seen.at);
                }
                Sight::Updated {
                    framework, task, uuid, ..
                } => {
                    let launched = launches
                        .get(&(framework.as_str(), task.as_str()))
                        .and_then(|calls| calls.iter().map(|call| call.is.called).min());
                    if let Some(origin) = began.get(uuid.as_str()).copied().max(launched) {
                        marks.entry(&seen.observer).or_default().push((seen.at, origin));
                    }
                }
                _ => {}
            }
        }
        Subscriptions { breaks, marks }
    }

    fn saw_something_newer(&self, launch: &Call) -> bool {
        let observer = launch.client.as_str();
        let breaks = self.breaks.get(observer).map_or(&[][..], Vec::as_slice);
        let marks = self.marks.get(observer).map_or(&[][..], Vec::as_slice);
        marks
            .iter()
            .filter(|(_, origin)| *origin > launch.latest())
            .any(|(seen, _)| !breaks.iter().any(|at| *at >= launch.called && at <= seen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};
    use std::collections::BTreeMap as Map;

    fn received() -> Sight {
        Sight::LaunchReceived {
            agent: "a".into(),
            framework: "f".into(),
            task: "t".into(),
            master: "m".into(),
            repeated: false,
        }
    }

    fn launched() -> Story {
        let mut story = Story::default();
        story.saw("s", Story::subscribed("l", false));
        let launch = story.launch("t", "o1");
        story.ok(launch, "");
        story
    }

    /// A later task of the same framework is launched and heard of.
    fn heard_of_another(story: &mut Story) {
        let launch = story.launch("t2", "o2");
        story.ok(launch, "");
        story.saw("s", Story::updated("t2", "TASK_RUNNING", "u2"));
    }

    #[test]
    fn a_launch_that_is_kept_and_one_that_was_refused_by_update_are_fine() {
        let mut story = launched();
        story.read_task("t", "");
        story.saw("a", received());
        story.read_task("t", "TASK_STAGING");
        heard_of_another(&mut story);
        held(&story.judge(&RULE), 2);
        let mut story = launched();
        story.saw("s", Story::updated("t", "TASK_ERROR", ""));
        heard_of_another(&mut story);
        story.read_task("t", "");
        held(&story.judge(&RULE), 2);
    }

    #[test]
    fn a_task_that_was_seen_and_is_not_known_later_is_found_unless_it_may_have_ended() {
        let mut story = launched();
        story.saw("a", received());
        let mut ended = story.clone();
        story.read_task("t", "");
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 5]]);
        ended.report("a", "t", "TASK_FINISHED", "u");
        ended.read_task("t", "");
        held(&ended.judge(&RULE), 1);
    }

    #[test]
    fn an_acknowledged_launch_that_nobody_knows_is_found_if_the_refusal_would_have_been_seen() {
        let mut story = launched();
        let mut broken = story.clone();
        heard_of_another(&mut story);
        story.read_task("t", "");
        assert_eq!(violated(&story.judge(&RULE)), [vec![3, 6]]);
        broken.saw("s", Story::subscribed("l2", true));
        heard_of_another(&mut broken);
        broken.read_task("t", "");
        held(&broken.judge(&RULE), 2);
    }

    #[test]
    fn a_task_lost_in_the_end_is_found_unless_its_agent_was_out_of_sight() {
        let mut story = launched();
        story.saw("a", received());
        story.saw(
            "o",
            Sight::StreamBegun {
                resumed: false,
                position: 0,
                tasks: Map::new(),
            },
        );
        let mut excused = story.clone();
        story.event(3, "TASK_UPDATED", "f/t", "TASK_GONE");
        story.phase(Phase::Healed);
        story.read_task("t", "TASK_GONE");
        assert_eq!(violated(&story.judge(&RULE)), [vec![4, 8]]);
        excused.event(3, "TASK_UPDATED", "f/t", "TASK_UNREACHABLE");
        excused.phase(Phase::Healed);
        excused.read_task("t", "TASK_GONE");
        held(&excused.judge(&RULE), 1);
    }

    #[test]
    fn a_refused_launch_that_happens_is_found() {
        let mut story = Story::default();
        let launch = story.launch("t", "o1");
        story.refused(launch);
        story.saw("a", received());
        assert_eq!(violated(&story.judge(&RULE)), [vec![2, 3]]);
    }
}
