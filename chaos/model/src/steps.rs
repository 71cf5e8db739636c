//! What can happen in a state, and what it leads to.

use std::collections::VecDeque;

use crate::check::{LaunchModel, Variant};
use crate::rules::{self, Agents};
use crate::system::{
    AgentTask, Command, Connection, Leadership, MASTERS, MasterId, Message, Report, System, TaskId, TaskState,
};

/// Leaders beyond this number are not told apart.
const LEADERS_COUNTED: u8 = 3;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// The framework accepts an offer with this task, and the leader proposes it.
    Accept(TaskId),
    /// The framework asks for a kill, and the leader proposes it.
    AskKill(TaskId),
    /// The oldest proposal becomes durable and is applied.
    Commit,
    /// A master sends what it has to.
    Send(MasterId),
    /// The agent reads the next message of a connection (counted from the oldest).
    Deliver(usize),
    /// The agent sees who leads, or is asked to come back, and reports.
    ReportTo(MasterId),
    /// The same once more, although the first is on its way.
    RepeatReport,
    /// A master that believes it leads reads the next report.
    ReadReport,
    /// The next report comes to a master that does not lead.
    LoseReport,
    /// The agent tells the leader the state of a task.
    Update(TaskId),
    /// The agent learns that the end of a task is on record, and forgets the task.
    Acknowledge(TaskId),
    /// A task ends by itself.
    Finish(TaskId),
    /// A master that was deposed notices it.
    StepDown(MasterId),
    /// The leader is dead and this master is elected.
    Succeed(MasterId),
    /// Fault: this master is elected although the leader lives (it was paused, or cut off), or after having lost the lead.
    Depose(MasterId),
    /// Fault: a master's process dies and is started again; what it sent arrives or does not.
    Crash {
        /// Which one.
        master: MasterId,
        /// What it had sent and the agent had not read is lost too.
        loses_sent: bool,
    },
    /// Fault: the agent's process dies and is started again; its tasks live on, what was sent to it is lost.
    RestartAgent,
    /// Fault: a connection breaks with what is in it, and its master notices.
    Break(usize),
}

impl Step {
    /// Nothing makes it happen.
    pub fn is_fault(self) -> bool {
        matches!(
            self,
            Step::Depose(_) | Step::Crash { .. } | Step::RestartAgent | Step::Break(_) | Step::RepeatReport
        )
    }

    /// The framework decides on it, or the task does: nothing has to happen.
    pub fn is_choice(self) -> bool {
        matches!(self, Step::Accept(_) | Step::AskKill(_) | Step::Finish(_))
    }
}

fn masters() -> impl Iterator<Item = MasterId> {
    (0..MASTERS).map(MasterId)
}

impl LaunchModel {
    /// Every step that is possible.
    pub fn steps(&self, system: &System, steps: &mut Vec<Step>) {
        let leading = system.leading();
        for id in 0..self.bounds.tasks {
            let is_proposed = |wanted: &dyn Fn(&Command) -> bool| system.proposals.iter().any(wanted);
            let task = system.registry.tasks[id];
            if task.is_none()
                && leading.is_some_and(|leadership| leadership.knows_agent)
                && !is_proposed(&|command| *command == Command::Launch(id))
            {
                steps.push(Step::Accept(id));
            }
            let can_be_killed = task.is_some_and(|task| !task.state.is_terminal());
            if self.bounds.kills && can_be_killed && !system.kills_asked[id] && leading.is_some() {
                steps.push(Step::AskKill(id));
            }
            if system.agent.tasks[id] == AgentTask::Running && self.bounds.finishes {
                steps.push(Step::Finish(id));
            }
            self.update_steps(system, id, steps);
        }
        if !system.proposals.is_empty() {
            steps.push(Step::Commit);
        }
        for master in masters() {
            if let Some(leadership) = &system.leaderships[master.0] {
                if !leadership.outbox.is_empty() {
                    steps.push(Step::Send(master));
                }
                if leadership.stale_view.is_some() {
                    steps.push(Step::StepDown(master));
                }
            }
        }
        for (index, connection) in system.connections.iter().enumerate() {
            if !connection.messages.is_empty() {
                steps.push(Step::Deliver(index));
            }
        }
        report_steps(system, steps);
        self.fault_steps(system, steps);
    }

    fn update_steps(&self, system: &System, id: TaskId, steps: &mut Vec<Step>) {
        let agent = &system.agent;
        let is_heard = agent.is_registered
            && agent.follows == Some(system.registry.leader)
            && system.leading().is_some_and(|leadership| leadership.knows_agent);
        let Some(task) = system.registry.tasks[id].filter(|_| is_heard) else {
            return;
        };
        let Some(state) = told_state(agent.tasks[id]) else {
            return;
        };
        let is_news = !task.state.is_terminal() && (task.state != state || task.launch.is_some());
        let is_proposed = system.proposals.contains(&Command::Update(id, state));
        if is_news && !is_proposed {
            steps.push(Step::Update(id));
        }
        if task.state.is_terminal() && state.is_terminal() {
            steps.push(Step::Acknowledge(id));
        }
    }

    fn fault_steps(&self, system: &System, steps: &mut Vec<Step>) {
        let faults = system.faults;
        for master in masters() {
            if system.leading().is_none() {
                steps.push(Step::Succeed(master));
            } else if faults.elections > 0 {
                steps.push(Step::Depose(master));
            }
            if faults.crashes > 0 && system.leaderships[master.0].is_some() {
                for loses_sent in [false, true] {
                    steps.push(Step::Crash { master, loses_sent });
                }
            }
        }
        if faults.agent_restarts > 0 {
            steps.push(Step::RestartAgent);
        }
        if faults.breaks > 0 {
            let all = 0..system.connections.len();
            steps.extend(all.filter(|index| system.connections[*index].is_open).map(Step::Break));
        }
        if faults.repeats > 0 && system.reports.len() == 1 {
            steps.push(Step::RepeatReport);
        }
    }

    /// The state behind a step.
    pub fn after(&self, system: &System, step: Step) -> System {
        let mut next = system.clone();
        match step {
            Step::Accept(id) => {
                next.proposals.push_back(Command::Launch(id));
                if self.variant == Variant::EffectBeforeCommit
                    && let Some(leadership) = &mut next.leaderships[system.registry.leader.0]
                {
                    leadership.outbox.push(Message::Run(id));
                }
            }
            Step::AskKill(id) => {
                next.kills_asked[id] = true;
                next.proposals.push_back(Command::Kill(id));
            }
            Step::Commit => self.commit(&mut next),
            Step::Send(master) => send(&mut next, master),
            Step::Deliver(index) => self.deliver(&mut next, index),
            Step::ReportTo(master) => {
                if master != system.registry.leader {
                    next.faults.wrong_detections -= 1;
                }
                if system.agent.follows != Some(master) && !self.bounds.late_messages {
                    // It has read what came from there while it followed another, and dropped it.
                    for connection in next.connections.iter_mut().filter(|it| it.master == master) {
                        connection.messages.clear();
                    }
                    next.connections
                        .retain(|connection| connection.is_open || !connection.messages.is_empty());
                }
                next.agent.follows = Some(master);
                next.agent.is_registered = false;
                next.reports.push_back(Report {
                    to: master,
                    tasks: next.reported(),
                });
            }
            Step::RepeatReport => {
                next.faults.repeats -= 1;
                next.reports.extend(system.reports.front().map(|report| Report {
                    tasks: system.reported(),
                    ..*report
                }));
            }
            Step::ReadReport => self.read_report(&mut next),
            Step::LoseReport => drop(next.reports.pop_front()),
            Step::Update(id) => {
                if let Some(state) = told_state(system.agent.tasks[id]) {
                    next.proposals.push_back(Command::Update(id, state));
                }
            }
            Step::Acknowledge(id) => next.agent.tasks[id] = AgentTask::Forgotten,
            Step::Finish(id) => next.agent.tasks[id] = AgentTask::Ended,
            Step::StepDown(master) => end_leadership(&mut next, master),
            Step::Succeed(master) => self.elect(&mut next, master),
            Step::Depose(master) => {
                next.faults.elections -= 1;
                self.elect(&mut next, master);
            }
            Step::Crash { master, loses_sent } => crash(&mut next, master, loses_sent),
            Step::RestartAgent => {
                next.faults.agent_restarts -= 1;
                next.connections.clear();
                forget_denials(&mut next);
                for leadership in next.leaderships.iter_mut().flatten() {
                    leadership.knows_agent = false;
                }
                next.agent.follows = None;
                next.agent.is_registered = false;
            }
            Step::Break(index) => {
                next.faults.breaks -= 1;
                let broken = next.connections.remove(index);
                if let Some(leadership) = &mut next.leaderships[broken.master.0] {
                    leadership.knows_agent = false;
                }
            }
        }
        next
    }

    fn agents(&self) -> Agents {
        Agents {
            deduplicates: self.deduplicates,
            variant: self.variant,
        }
    }

    fn commit(&self, next: &mut System) {
        let Some(command) = next.proposals.pop_front() else {
            return;
        };
        let by = next.registry.leader;
        let messages = rules::apply(&mut next.registry, by, command, self.variant);
        for (id, task) in next.registry.tasks.iter().enumerate() {
            next.witness.ended[id] |= task.is_some_and(|task| task.state.is_terminal());
        }
        // A leader that died in between loses what it had to send.
        let Some(leadership) = &mut next.leaderships[by.0] else {
            return;
        };
        if leadership.has_met_agent {
            leadership.outbox.extend(messages);
        }
        if let Command::Reregister(decision) = command {
            next.witness.resent |= rules::answer(leadership, &next.registry, &decision, self.variant);
        }
    }

    fn deliver(&self, next: &mut System, index: usize) {
        let connection = &mut next.connections[index];
        let from = connection.master;
        let message = connection.messages.pop_front();
        if connection.messages.is_empty() && !connection.is_open {
            next.connections.remove(index);
        }
        if let Some(message) = message {
            rules::receive(next, from, message, self.agents());
        }
    }

    /// A leadership that has been deposed without noticing answers too, from what it knows, where nothing has to be committed.
    fn read_report(&self, next: &mut System) {
        let Some(report) = next.reports.pop_front() else {
            return;
        };
        let Some(leadership) = &mut next.leaderships[report.to.0] else {
            return;
        };
        if next
            .proposals
            .iter()
            .any(|command| matches!(command, Command::Reregister(_)))
            && leadership.stale_view.is_none()
        {
            // One at a time.
            return;
        }
        let view = leadership.stale_view.unwrap_or(next.registry);
        let (decision, has_news) = rules::decide(&view, report.to, &report, &self.agents());
        if !has_news {
            next.witness.resent |= rules::answer(leadership, &view, &decision, self.variant);
        } else if leadership.stale_view.is_none() {
            next.proposals.push_back(Command::Reregister(decision));
        }
    }

    fn elect(&self, next: &mut System, master: MasterId) {
        let old = next.registry.leader;
        // What was not committed was never proposed.
        next.proposals.clear();
        let registry = next.registry;
        if let Some(deposed) = &mut next.leaderships[old.0] {
            deposed.stale_view = Some(registry);
        }
        end_leadership(next, master);
        next.registry.leader = master;
        next.leaderships[master.0] = Some(Leadership::new());
        next.witness.leaders = (next.witness.leaders + 1).min(LEADERS_COUNTED);
    }
}

/// Denials live in the agent's memory only, and so do the updates that tell of them.
fn forget_denials(next: &mut System) {
    next.agent.denied = Default::default();
    for task in &mut next.agent.tasks {
        if *task == AgentTask::Denied {
            *task = AgentTask::Absent;
        }
    }
}

/// What an agent tells of a task, if anything.
fn told_state(task: AgentTask) -> Option<TaskState> {
    match task {
        AgentTask::Running => Some(TaskState::Running),
        AgentTask::Ended => Some(TaskState::Ended),
        AgentTask::Denied => Some(TaskState::Dropped),
        AgentTask::Absent | AgentTask::Forgotten => None,
    }
}

fn report_steps(system: &System, steps: &mut Vec<Step>) {
    let leader = system.registry.leader;
    let agent = &system.agent;
    let knows_agent = system.leading().is_some_and(|leadership| leadership.knows_agent);
    let is_answer = |message: &Message| matches!(message, Message::Reregistered(_));
    let is_answered = system
        .leaderships
        .iter()
        .flatten()
        .any(|leadership| leadership.outbox.iter().any(is_answer))
        || system
            .connections
            .iter()
            .any(|connection| connection.messages.iter().any(is_answer));
    let is_proposed = system
        .proposals
        .iter()
        .any(|command| matches!(command, Command::Reregister(_)));
    let is_under_way = !system.reports.is_empty() || is_proposed;
    // A new detection, a ping of a leader that does not know the agent, or an answer that does not come.
    let is_asked_back = !knows_agent;
    let waits_in_vain = !agent.is_registered && !is_answered;
    for master in masters().filter(|_| !is_under_way) {
        let detects = agent.follows != Some(master);
        let returns = master == leader && (is_asked_back || waits_in_vain);
        // A deposed leader that has not noticed still says that it leads.
        let is_possible = master == leader || system.faults.wrong_detections > 0;
        if system.leaderships[master.0].is_some() && is_possible && (detects || returns) {
            steps.push(Step::ReportTo(master));
        }
    }
    if let Some(report) = system.reports.front() {
        match system.leaderships[report.to.0] {
            Some(_) => steps.push(Step::ReadReport),
            None => steps.push(Step::LoseReport),
        }
    }
}

fn send(next: &mut System, master: MasterId) {
    let Some(leadership) = &mut next.leaderships[master.0] else {
        return;
    };
    let messages = std::mem::take(&mut leadership.outbox);
    let open = |connection: &&mut Connection| connection.master == master && connection.is_open;
    match next.connections.iter_mut().rfind(open) {
        Some(connection) => connection.messages.extend(messages),
        None => next.connections.push(Connection {
            master,
            messages: VecDeque::from(messages),
            is_open: true,
        }),
    }
}

/// What was sent is still on its way; what was not is forgotten. The next leadership of this master opens another connection.
fn end_leadership(next: &mut System, master: MasterId) {
    next.leaderships[master.0] = None;
    close(next, master);
}

fn close(next: &mut System, master: MasterId) {
    for connection in next
        .connections
        .iter_mut()
        .filter(|connection| connection.master == master)
    {
        connection.is_open = false;
    }
    next.connections
        .retain(|connection| connection.is_open || !connection.messages.is_empty());
}

fn crash(next: &mut System, master: MasterId, loses_sent: bool) {
    next.faults.crashes -= 1;
    next.leaderships[master.0] = None;
    if loses_sent {
        next.connections.retain(|connection| connection.master != master);
    } else {
        close(next, master);
    }
}
