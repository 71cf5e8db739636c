//! Tasks: a machine that only moves forward.
//!
//! A task is absent, staging, starting, running, killing, or has ended in one of the ways an agent reports. The instant of
//!
//! * a *launch* is its commit: an absent task is staging, or the launch was refused (its answer does not say which);
//! * a *report* of an agent is the commit of its first sending that counts: the task is at least so far, and a task that
//!   has ended stays as it is. It may be earlier than the report was made, but not than the agent had the task: an agent
//!   tells masters the newest state along with older updates and when it registers. It is before the acknowledgement.
//!   A state behind a report that was not acknowledged any more may be known so without a report of its own.
//!   A task on an agent that does not write the history (a real one) may have moved on before anything seen of it;
//! * a *read* is when the leader has confirmed that it leads: the task is exactly so. A read of "lost out of sight" is
//!   possible for any task that was launched, one of "killed" for any that has not ended (masters end tasks of frameworks
//!   that were removed). A read of "no such task" is possible for an absent task and for one that ended; for one that
//!   may have vanished with its framework or agent always;
//! * an *update* that a framework saw is when it was seen: the task, which never goes back, is at least so far;
//! * a *kill* changes nothing by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use super::super::Rule;
use super::super::facts::Facts;
use super::super::tasks::{
    Class, TaskKey, agents_that_write, class, ended_agents, ended_frameworks, reads, reports, updates,
};
use super::super::verdict::{Finding, Findings};
use super::search::{Model, Operation, Searched, search};
use crate::history::{Micros, Operation as Asked, Sight};

pub(crate) const RULE: Rule = Rule {
    name: "linearizable-tasks",
    what: "launches, reports, updates and reads of each task have an order that explains every answer",
    judge,
};

/// A state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum State<'a> {
    /// Not launched.
    Absent,
    /// Staging is 1, killing 4.
    Step(u8),
    /// Ended so.
    Ended(&'a str),
}

/// What is done to a task, or seen of it.
#[derive(Clone, Copy, Debug)]
enum Action<'a> {
    Launch,
    Report(&'a str),
    Read(&'a str),
    AtLeast(&'a str),
}

/// One task.
struct Task<'a> {
    /// It may be unknown at any time.
    may_vanish: bool,
    /// Its agent does not write down what it reports: the task may have moved on before anything that was seen of it.
    silent: bool,
    /// States that its agent reported; it may have had others that it came to report no more.
    reported: BTreeSet<&'a str>,
    /// Whether the agent had something left to report when the history ended, or ended itself, or its framework did.
    unfinished: bool,
    history: PhantomData<&'a ()>,
}

impl Task<'_> {
    /// Whether the masters may know of this state although the history has no report of it.
    fn may_be_unreported(&self, text: &str) -> bool {
        self.silent || ((self.unfinished || self.may_vanish) && !self.reported.contains(text))
    }
}

fn state(text: &str) -> Option<State<'_>> {
    match class(text)? {
        Class::Step(step) => Some(State::Step(step)),
        Class::Final => Some(State::Ended(text)),
        Class::Gone => None,
    }
}

impl<'a> Model for Task<'a> {
    type State = State<'a>;
    type Action = Action<'a>;

    fn initial(&self) -> State<'a> {
        State::Absent
    }

    fn step(&self, now: &State<'a>, action: &Action<'a>) -> Vec<State<'a>> {
        match (action, now) {
            (Action::Launch, State::Absent) => vec![State::Absent, State::Step(1)],
            (Action::Launch, _) => vec![*now],
            (Action::Report(text), State::Absent) => state(text).into_iter().filter(|_| self.may_vanish).collect(),
            (Action::Report(_), State::Ended(_)) => vec![*now],
            // Lost out of sight by the agent's own word changes nothing here.
            (Action::Report(text), State::Step(_)) => vec![state(text).map_or(*now, |reported| reported.max(*now))],
            (Action::Read(""), State::Absent | State::Ended(_)) => vec![*now],
            (Action::Read(""), State::Step(_)) => keep(*now, self.may_vanish),
            (Action::Read(text), _) => match (state(text), now) {
                (None, _) => keep(*now, *now != State::Absent),
                (Some(killed @ State::Ended("TASK_KILLED")), State::Step(_)) => vec![killed],
                (Some(read), State::Step(_)) if self.may_be_unreported(text) && read > *now => vec![read],
                (Some(read), _) => keep(*now, read == *now),
            },
            (Action::AtLeast(text), State::Step(_)) if self.may_be_unreported(text) && !reaches(*now, text) => {
                state(text).into_iter().collect()
            }
            (Action::AtLeast(text), _) => keep(*now, reaches(*now, text)),
        }
    }

    fn is_read(&self, action: &Action<'a>) -> bool {
        // Some say that the task just moved on; but where they change nothing now, waiting would gain nothing.
        matches!(action, Action::Read(_) | Action::AtLeast(_))
    }

    fn overwrites(&self) -> bool {
        false
    }
}

fn keep<S>(state: S, possible: bool) -> Vec<S> {
    if possible { vec![state] } else { Vec::new() }
}

/// Whether a task has come so far. How it ended may differ: of a task that a master ended by itself the agent's own end
/// is passed on.
fn reaches(now: State<'_>, text: &str) -> bool {
    match (state(text), now) {
        (None, _) => true,
        (Some(State::Ended(_)), State::Ended(_)) => true,
        (Some(seen), _) => now >= seen,
    }
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let ended = ended_frameworks(facts);
    let dead = ended_agents(facts);
    let mut may_vanish: BTreeMap<TaskKey<'_>, bool> = BTreeMap::new();
    let mut tasks: BTreeMap<TaskKey<'_>, Vec<Operation<Action<'_>>>> = BTreeMap::new();
    let silent = silent(facts);
    let mut reported: BTreeMap<TaskKey<'_>, BTreeSet<&str>> = BTreeMap::new();
    let mut unfinished: BTreeMap<TaskKey<'_>, bool> = BTreeMap::new();
    for report in reports(facts) {
        reported.entry(report.task).or_default().insert(report.state);
        // In the order of their begin, so that the last one counts.
        unfinished.insert(report.task, !report.call.is_acknowledged());
    }
    collect(facts, &mut tasks, |task, agent| {
        *may_vanish.entry(task).or_default() |= ended.contains(task.0) || dead.contains(agent);
    });
    for update in updates(facts).filter(|update| class(update.state) == Some(Class::Gone)) {
        // Its master gave it up; whether its books still have it is not promised.
        may_vanish.insert(update.task, true);
    }
    for (key, operations) in tasks {
        let seen = |operation: &Operation<Action<'_>>| matches!(operation.action, Action::Read(_) | Action::AtLeast(_));
        if !operations.iter().any(seen) {
            continue;
        }
        findings.look();
        let model = Task {
            may_vanish: may_vanish.get(&key).copied().unwrap_or_default(),
            silent: silent.contains(&key),
            reported: reported.get(&key).cloned().unwrap_or_default(),
            unfinished: unfinished.get(&key).copied().unwrap_or(true),
            history: PhantomData,
        };
        let (framework, task) = key;
        match search(&model, &operations, super::STEPS_MAX) {
            Searched::Linearizable => {}
            Searched::Not { stuck, among } => {
                let what =
                    format!("nothing that may have happened to task {task} of {framework} explains line {stuck}");
                findings.violated(what, among.into_iter().chain([stuck]));
            }
            Searched::Undecided => {
                findings.undecided(format!(
                    "gave up on task {task} of {framework} after {} steps",
                    super::STEPS_MAX
                ));
            }
        }
    }
    findings.finding()
}

/// What was done to each task that was launched in this history; `on` is told which agents it was on.
fn collect<'a>(
    facts: &Facts<'a>,
    tasks: &mut BTreeMap<TaskKey<'a>, Vec<Operation<Action<'a>>>>,
    mut on: impl FnMut(TaskKey<'a>, &'a str),
) {
    let mut add = |task, line, called, returned, action| {
        let operation = Operation {
            line,
            called,
            returned,
            action,
        };
        tasks.entry(task).or_default().push(operation);
    };
    for call in &facts.calls {
        if let Asked::Launch {
            framework,
            agent,
            tasks,
            ..
        } = &call.is.operation
            && !call.is.is_refused()
        {
            let returned = call.is.is_acknowledged().then(|| call.is.latest());
            for task in tasks {
                let key = (framework.as_str(), task.as_str());
                add(key, call.line, call.is.called, returned, Action::Launch);
                on(key, agent);
            }
        }
    }
    let mut received: BTreeMap<(&str, TaskKey<'_>), Micros> = BTreeMap::new();
    for (_, seen, sight) in facts.sights() {
        if let Sight::LaunchReceived {
            agent, framework, task, ..
        } = sight
        {
            received.entry((agent, (framework, task))).or_insert(seen.at);
        }
    }
    for report in reports(facts) {
        let since = received.get(&(report.agent, report.task)).copied().unwrap_or(0);
        let returned = report.call.is_acknowledged().then(|| report.call.latest());
        // What is told of a task that its agent does not have is no news of it.
        if class(report.state) != Some(Class::Gone) {
            let called = since.min(report.call.called);
            add(report.task, report.line, called, returned, Action::Report(report.state));
            on(report.task, report.agent);
        }
    }
    for read in reads(facts) {
        let returned = Some(read.call.latest());
        add(
            read.task,
            read.line,
            read.call.called,
            returned,
            Action::Read(read.state),
        );
    }
    for update in updates(facts).filter(|update| !update.uuid.is_empty()) {
        add(
            update.task,
            update.line,
            0,
            Some(update.at),
            Action::AtLeast(update.state),
        );
    }
    // Of a task that was launched before the history began nothing is known.
    tasks.retain(|_, operations| operations.iter().any(|it| matches!(it.action, Action::Launch)));
}

/// Tasks on agents that do not write.
fn silent<'a>(facts: &Facts<'a>) -> BTreeSet<TaskKey<'a>> {
    let writers = agents_that_write(facts);
    let mut silent = BTreeSet::new();
    for call in &facts.calls {
        if let Asked::Launch {
            framework,
            agent,
            tasks,
            ..
        } = &call.is.operation
            && !writers.contains(agent.as_str())
        {
            silent.extend(tasks.iter().map(|task| (framework.as_str(), task.as_str())));
        }
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::fixture::{Story, held, violated};

    fn launched() -> Story {
        let mut story = Story::default();
        story.read_task("t", "");
        let launch = story.launch("t", "o");
        story.ok(launch, "");
        story.saw(
            "a",
            Sight::LaunchReceived {
                agent: "a".into(),
                framework: "f".into(),
                task: "t".into(),
                master: "m".into(),
                repeated: false,
            },
        );
        story
    }

    fn reported(state: &str) -> (Story, u64) {
        let mut story = launched();
        let report = story.report("a", "t", state, "u");
        (story, report)
    }

    #[test]
    fn a_task_that_moves_forward_is_explained() {
        let (mut story, report) = reported("TASK_RUNNING");
        story.read_task("t", "TASK_STAGING");
        story.read_task("t", "TASK_RUNNING");
        story.saw("s", Story::updated("t", "TASK_RUNNING", "u"));
        story.ok(report, "");
        story.read_task("t", "TASK_RUNNING");
        story.report("a", "t", "TASK_FINISHED", "u2");
        story.read_task("t", "TASK_RUNNING");
        story.read_task("t", "TASK_UNREACHABLE");
        story.read_task("t", "TASK_FINISHED");
        story.read_task("t", "");
        held(&story.judge(&RULE), 1);
    }

    #[test]
    fn a_refused_launch_by_update_leaves_the_task_absent_for_ever() {
        let mut story = Story::default();
        let launch = story.launch("t", "o");
        story.ok(launch, "");
        story.read_task("t", "");
        held(&story.judge(&RULE), 1);
        story.read_task("t", "TASK_STAGING");
        assert!(matches!(story.judge(&RULE), Finding::Violated { .. }));
    }

    #[test]
    fn going_back_is_found() {
        let (mut story, _) = reported("TASK_RUNNING");
        story.read_task("t", "TASK_RUNNING");
        for state in ["TASK_STAGING", ""] {
            let mut story = story.clone();
            story.read_task("t", state);
            assert_eq!(violated(&story.judge(&RULE)).len(), 1, "{state}");
        }
    }

    #[test]
    fn an_update_seen_before_it_is_committed_is_found_by_an_older_read() {
        let (mut story, report) = reported("TASK_RUNNING");
        story.saw("s", Story::updated("t", "TASK_RUNNING", "u"));
        story.read_task("t", "TASK_STAGING");
        story.ok(report, "");
        assert_eq!(violated(&story.judge(&RULE)).len(), 1);
    }

    #[test]
    fn an_acknowledged_report_that_is_not_read_is_found() {
        let (mut story, report) = reported("TASK_FINISHED");
        story.ok(report, "");
        story.read_task("t", "TASK_STAGING");
        assert_eq!(violated(&story.judge(&RULE)).len(), 1);
    }

    #[test]
    fn a_state_that_no_agent_reported_is_found() {
        let (mut story, report) = reported("TASK_STARTING");
        let mut open = story.clone();
        story.ok(report, "");
        story.read_task("t", "TASK_RUNNING");
        assert_eq!(violated(&story.judge(&RULE)).len(), 1);
        // The agent may have told it when it registered, and wait for the acknowledgement before it reports.
        open.read_task("t", "TASK_RUNNING");
        held(&open.judge(&RULE), 1);
    }

    #[test]
    fn a_task_of_an_agent_that_does_not_write_only_moves_forward() {
        let mut story = Story::default();
        let launch = story.launch("t", "o");
        story.ok(launch, "");
        story.saw("s", Story::updated("t", "TASK_STARTING", "u"));
        story.read_task("t", "TASK_RUNNING");
        held(&story.judge(&RULE), 1);
        story.read_task("t", "TASK_STARTING");
        assert_eq!(violated(&story.judge(&RULE)).len(), 1);
    }

    #[test]
    fn a_task_of_a_framework_that_ended_may_be_killed_and_vanish() {
        let mut story = launched();
        let framework = "f".to_owned();
        story.begin("o", Asked::Teardown { framework });
        story.read_task("t", "TASK_KILLED");
        story.read_task("t", "");
        held(&story.judge(&RULE), 1);
    }
}
