//! What the rules about tasks share: how states follow each other, which reports there were, and which frameworks and
//! agents are excused because they ended.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{At, Facts};
use crate::history::{Call, Micros, Operation, Sight};

/// Framework id and task id.
pub(super) type TaskKey<'a> = (&'a str, &'a str);

/// What a state says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// It lives: staging, starting, running, killing, in this order. A task only moves forward.
    Step(u8),
    /// It ended as its agent says: finished, failed, killed, error. It stays so.
    Final,
    /// The master lost it out of sight (unreachable, lost, dropped, gone, unknown). Says nothing about what is next: the
    /// agent may come back with it.
    Gone,
}

/// What a state says; `None` for the empty text, which says that there is no such task.
pub(super) fn class(state: &str) -> Option<Class> {
    Some(match state {
        "" => return None,
        "TASK_STAGING" => Class::Step(1),
        "TASK_STARTING" => Class::Step(2),
        "TASK_RUNNING" => Class::Step(3),
        "TASK_KILLING" => Class::Step(4),
        "TASK_FINISHED" | "TASK_FAILED" | "TASK_KILLED" | "TASK_ERROR" => Class::Final,
        _ => Class::Gone,
    })
}

/// One report of an agent, from its first sending to the acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report<'a> {
    pub(super) line: usize,
    pub(super) call: &'a Call,
    pub(super) agent: &'a str,
    pub(super) task: TaskKey<'a>,
    pub(super) state: &'a str,
    pub(super) uuid: &'a str,
}

/// All reports, in the order in which they were first made.
pub(super) fn reports<'a>(facts: &Facts<'a>) -> Vec<Report<'a>> {
    let mut reports: Vec<Report<'a>> = facts.calls.iter().filter_map(report).collect();
    reports.sort_by_key(|report| (report.call.called, report.call.id));
    reports
}

fn report<'a>(call: &At<'a, Call>) -> Option<Report<'a>> {
    match &call.is.operation {
        Operation::Report {
            agent,
            framework,
            task,
            state,
            uuid,
        } => Some(Report {
            line: call.line,
            call: call.is,
            agent,
            task: (framework, task),
            state,
            uuid,
        }),
        _ => None,
    }
}

/// An update that a framework saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Update<'a> {
    pub(super) line: usize,
    pub(super) at: Micros,
    pub(super) observer: &'a str,
    pub(super) task: TaskKey<'a>,
    pub(super) state: &'a str,
    /// Empty for one that the master made.
    pub(super) uuid: &'a str,
}

/// All updates that frameworks saw, in order.
pub(super) fn updates<'a>(facts: &Facts<'a>) -> impl Iterator<Item = Update<'a>> {
    facts.sights().filter_map(|(line, seen, sight)| match sight {
        Sight::Updated {
            framework,
            task,
            state,
            uuid,
            ..
        } => Some(Update {
            line,
            at: seen.at,
            observer: &seen.observer,
            task: (framework, task),
            state,
            uuid,
        }),
        _ => None,
    })
}

/// A read of a task that was answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct TaskRead<'a> {
    pub(super) line: usize,
    pub(super) call: &'a Call,
    pub(super) task: TaskKey<'a>,
    /// `TASK_…`, or empty when the master knew no such task.
    pub(super) state: &'a str,
}

/// All answered reads of tasks, in the order in which they ended.
pub(super) fn reads<'a>(facts: &Facts<'a>) -> impl Iterator<Item = TaskRead<'a>> {
    facts.calls.iter().filter_map(|call| match &call.is.operation {
        Operation::ReadTask { framework, task, .. } => Some(TaskRead {
            line: call.line,
            call: call.is,
            task: (framework, task),
            state: call.is.value()?,
        }),
        _ => None,
    })
}

/// Frameworks that ended, or may have: torn down, removed, or refused without coming back.
pub(super) fn ended_frameworks<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let mut ended = BTreeSet::new();
    for call in &facts.calls {
        if let Operation::Teardown { framework } = &call.is.operation
            && !call.is.is_refused()
        {
            ended.insert(framework.as_str());
        }
    }
    // The last word about each that was refused or replaced.
    let mut last: BTreeMap<&str, bool> = BTreeMap::new();
    for (_, _, sight) in facts.sights() {
        match sight {
            Sight::StreamEvent { event, subject, .. } if event == "FRAMEWORK_REMOVED" => {
                ended.insert(subject);
            }
            Sight::Ended { framework, .. } => {
                last.insert(framework, true);
            }
            Sight::Subscribed { framework, .. } => {
                last.insert(framework, false);
            }
            _ => {}
        }
    }
    ended.extend(
        last.into_iter()
            .filter(|(_, ended)| *ended)
            .map(|(framework, _)| framework),
    );
    ended
}

/// Agents whose own words are in the history. Real agents do not write: of those only what others saw is known.
pub(super) fn agents_that_write<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let saw = facts.sights().filter_map(|(_, _, sight)| match sight {
        Sight::LaunchReceived { agent, .. } => Some(agent.as_str()),
        _ => None,
    });
    saw.chain(reports(facts).into_iter().map(|report| report.agent))
        .collect()
}

/// Agents that were told to stop or died with their tasks, and those whose name registered under a new id later.
pub(super) fn ended_agents<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let mut ended = BTreeSet::new();
    let mut ids: BTreeMap<&str, &str> = BTreeMap::new();
    for (_, seen, sight) in facts.sights() {
        match sight {
            Sight::AgentEnded { agent, .. } => {
                ended.insert(agent.as_str());
            }
            Sight::Registered { agent, .. } => {
                if let Some(former) = ids.insert(&seen.observer, agent)
                    && former != agent
                {
                    ended.insert(former);
                }
            }
            _ => {}
        }
    }
    ended
}

/// When each agent first showed, at or after `from`, that it is connected with the leader: it registered, got a launch, or
/// got an acknowledgement.
pub(super) fn connected_since<'a>(facts: &Facts<'a>, from: Micros) -> BTreeMap<&'a str, Micros> {
    let mut connected: BTreeMap<&'a str, Micros> = BTreeMap::new();
    let mut note = |agent: &'a str, at: Micros| {
        if at >= from && at != Micros::MAX {
            let known = connected.entry(agent).or_insert(at);
            *known = (*known).min(at);
        }
    };
    for (_, seen, sight) in facts.sights() {
        if let Sight::Registered { agent, .. } | Sight::LaunchReceived { agent, .. } = sight {
            note(agent, seen.at);
        }
    }
    for report in reports(facts) {
        note(report.agent, report.call.latest());
    }
    connected
}

/// Frameworks whose last word is that they are subscribed.
pub(super) fn subscribed_at_the_end<'a>(facts: &Facts<'a>) -> BTreeSet<&'a str> {
    let mut subscribed = BTreeSet::new();
    for (_, _, sight) in facts.sights() {
        match sight {
            Sight::Subscribed { framework, .. } => {
                subscribed.insert(framework.as_str());
            }
            Sight::Disconnected { framework } | Sight::Ended { framework, .. } => {
                subscribed.remove(framework.as_str());
            }
            _ => {}
        }
    }
    subscribed
}

/// `framework/task` as the operator event stream names a task.
pub(super) fn stream_subject(subject: &str) -> Option<TaskKey<'_>> {
    subject.split_once('/')
}
