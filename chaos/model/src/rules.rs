//! What masters and agents do: apply, the decision about a report, and the agent's treatment of messages.

use crate::check::Variant;
use crate::system::{
    AgentTask, Command, Leadership, MasterId, Message, Registry, Report, Reregistration, System, TASKS_MAX, Task,
    TaskId, TaskState,
};

/// Applies a committed command of `by`; says what the leader is to send.
pub fn apply(registry: &mut Registry, by: MasterId, command: Command, variant: Variant) -> Vec<Message> {
    match command {
        Command::Launch(id) => {
            if registry.tasks[id].is_some() {
                // Refused: the id is taken.
                return Vec::new();
            }
            let mut senders = [false; 2];
            senders[by.0] = true;
            registry.tasks[id] = Some(Task {
                state: TaskState::Staging,
                launch: Some(senders),
                kill: false,
            });
            match variant {
                // It was sent already.
                Variant::EffectBeforeCommit => Vec::new(),
                _ => vec![Message::Run(id)],
            }
        }
        Command::Kill(id) => match &mut registry.tasks[id] {
            Some(task) if !task.state.is_terminal() => {
                task.kill = true;
                vec![Message::Kill(id)]
            }
            _ => Vec::new(),
        },
        Command::Update(id, state) => {
            if let Some(task) = &mut registry.tasks[id]
                && !task.state.is_terminal()
            {
                task.state = state;
                task.launch = None;
            }
            Vec::new()
        }
        Command::Reregister(decision) => {
            for (id, reported) in decision.reported.into_iter().enumerate() {
                record_report(&mut registry.tasks[id], reported);
                if let Some(launch) = registry.tasks[id].as_mut().and_then(|task| task.launch.as_mut())
                    && decision.resend[id]
                {
                    launch[by.0] = true;
                }
            }
            Vec::new()
        }
    }
}

fn record_report(task: &mut Option<Task>, reported: Option<TaskState>) {
    let Some(state) = reported else { return };
    match task {
        Some(task) if task.state.is_terminal() => {}
        Some(task) => {
            task.state = state;
            task.launch = None;
        }
        None => {
            *task = Some(Task {
                state,
                launch: None,
                kill: false,
            });
        }
    }
}

/// What `master`, which knows `registry`, makes of a report; and whether that has to be committed first.
pub fn decide(registry: &Registry, master: MasterId, report: &Report, model: &Agents) -> (Reregistration, bool) {
    let mut decision = Reregistration {
        reported: report.tasks,
        resend: [false; TASKS_MAX],
        reconcile: [false; TASKS_MAX],
    };
    let mut has_news = false;
    for (id, (task, reported)) in registry.tasks.iter().zip(report.tasks).enumerate() {
        match (task, reported) {
            (Some(task), Some(state)) => {
                has_news |= !task.state.is_terminal() && (task.launch.is_some() || task.state != state);
            }
            (None, Some(_)) => has_news = true,
            (Some(task), None) => {
                let is_safe = |launch: [bool; 2]| {
                    model.deduplicates || model.variant == Variant::RedeliverWithoutAba || !launch[master.0]
                };
                decision.resend[id] = !task.state.is_terminal() && task.launch.is_some_and(is_safe);
                decision.reconcile[id] = !decision.resend[id];
                // Committed before it is sent again: behind what the agent has said before, and never by a deposed leader.
                let is_committed = !model.deduplicates || model.variant != Variant::ResendUncommitted;
                has_news |= decision.resend[id] && is_committed;
            }
            (None, None) => {}
        }
    }
    (decision, has_news)
}

/// What kind of agent there is, and which mistake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agents {
    /// The agent starts a launch that arrives twice once.
    pub deduplicates: bool,
    /// Which mistake.
    pub variant: Variant,
}

/// The agent's report is on record as far as it has to be: it is answered, and gets whatever it missed.
pub fn answer(leadership: &mut Leadership, registry: &Registry, decision: &Reregistration, variant: Variant) -> bool {
    leadership.has_met_agent = true;
    leadership.knows_agent = true;
    leadership.outbox.push(Message::Reregistered(decision.reconcile));
    let mut resent = false;
    for (id, task) in registry.tasks.iter().enumerate() {
        // Other commands may have come in between.
        let waits = task.is_some_and(|task| task.launch.is_some() && !task.state.is_terminal());
        if decision.resend[id] && waits {
            leadership.outbox.push(Message::Run(id));
            resent = true;
        }
    }
    for (id, task) in registry.tasks.iter().enumerate() {
        let is_wanted = task.is_some_and(|task| task.kill && !task.state.is_terminal());
        if is_wanted && variant != Variant::ForgetKill {
            leadership.outbox.push(Message::Kill(id));
        }
    }
    resent
}

/// The agent reads a message of `from`.
pub fn receive(system: &mut System, from: MasterId, message: Message, model: Agents) {
    let Agents { deduplicates, variant } = model;
    let agent = &mut system.agent;
    if agent.follows != Some(from) {
        return;
    }
    match message {
        Message::Run(id) => {
            if deduplicates && std::mem::replace(&mut agent.seen[id], true) {
                return;
            }
            if deduplicates && agent.denied[id] && variant != Variant::ForgetDenial {
                return;
            }
            agent.tasks[id] = AgentTask::Running;
            // More would only make the counter-example longer.
            let starts = &mut system.witness.starts[id];
            *starts = (*starts + 1).min(2);
        }
        Message::Kill(id) => match agent.tasks[id] {
            AgentTask::Running => agent.tasks[id] = AgentTask::Ended,
            AgentTask::Absent => deny(system, id),
            AgentTask::Ended | AgentTask::Denied | AgentTask::Forgotten => {}
        },
        Message::Reregistered(asked) => {
            agent.is_registered = true;
            for (id, _) in asked.into_iter().enumerate().filter(|(_, asked)| *asked) {
                if system.agent.tasks[id] == AgentTask::Absent {
                    deny(system, id);
                }
            }
        }
    }
}

fn deny(system: &mut System, id: TaskId) {
    system.agent.tasks[id] = AgentTask::Denied;
    system.agent.denied[id] = true;
    system.witness.denied[id] = true;
}
