//! What one command makes happen, collected while it is applied; and the updates that the master itself makes.

use std::sync::Arc;

use proto::internal::StatusUpdate;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{TaskState, TaskStatus};

use crate::effect::Effect;
use crate::event::Event;
use crate::ids::ExecutorId;
use crate::outcome::{Applied, Outcome};
use crate::registry::{Framework, Registry, Task};
use crate::resources::Resources;
use crate::timestamp::Timestamp;

/// Effects and events in order, and the time of the command.
#[derive(Debug)]
pub(super) struct Changes {
    pub(super) now: Timestamp,
    effects: Vec<Effect>,
    events: Vec<Event>,
}

/// Why a task ends, or stops being known to run, by the master's word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    /// As a partition-aware framework sees it.
    pub(super) state: TaskState,
    pub(super) reason: Reason,
    pub(super) message: &'a str,
}

impl Changes {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            now,
            effects: Vec::new(),
            events: Vec::new(),
        }
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn event(&mut self, event: Event) {
        self.events.push(event);
    }

    pub(super) fn with(self, outcome: Outcome) -> Applied {
        Applied {
            outcome,
            effects: self.effects,
            events: self.events,
        }
    }

    /// Tells the framework of a task what the master knows about it: no uuid, nobody acknowledges it.
    pub(super) fn tell(&mut self, task: &Task, status: TaskStatus) {
        let update = StatusUpdate {
            framework_id: task.framework_id.to_proto(),
            executor_id: task.executor_id.as_ref().map(ExecutorId::to_proto),
            slave_id: Some(task.agent_id.to_proto()),
            timestamp: self.now.as_seconds_f64(),
            uuid: None,
            latest_state: Some(status.state),
            status,
        };
        self.effect(Effect::ForwardStatus {
            framework_id: task.framework_id.clone(),
            update: Box::new(update),
        });
    }

    /// What a live task held is free.
    pub(super) fn recover(&mut self, task: &Task) {
        self.effect(Effect::RecoverResources {
            framework_id: task.framework_id.clone(),
            agent_id: task.agent_id.clone(),
            resources: Resources::clone(&task.resources),
        });
    }

    /// The task as it ends by the master's word, in exactly the state of the verdict, with the status that says so.
    /// Operators are told; whether the framework is, and whether resources become free, the caller decides.
    pub(super) fn conclude(&mut self, task: &Task, verdict: Verdict<'_>) -> (Task, TaskStatus) {
        let status = self.status(task, verdict.state, verdict.reason, verdict.message);
        let mut ended = Task::clone(task);
        ended.state = verdict.state;
        ended.launch = None;
        ended.kill = None;
        // Not acknowledged: if its agent sends an update after all, the framework gets it.
        ended.status_update_state = None;
        ended.status_update_uuid = None;
        ended.push_status(&status);
        self.event(Event::TaskUpdated {
            framework_id: task.framework_id.clone(),
            status: Box::new(status.clone()),
            state: verdict.state,
        });
        (ended, status)
    }

    /// A status the master makes.
    pub(super) fn status(&self, task: &Task, state: TaskState, reason: Reason, message: &str) -> TaskStatus {
        TaskStatus {
            task_id: task.id.to_proto(),
            state: state as i32,
            message: Some(message.to_owned()),
            source: Some(Source::Master as i32),
            reason: Some(reason as i32),
            agent_id: Some(task.agent_id.to_proto()),
            timestamp: Some(self.now.as_seconds_f64()),
            ..TaskStatus::default()
        }
    }
}

/// The state as this framework understands it: without PARTITION_AWARE every kind of disappearance is TASK_LOST.
pub(super) fn told_state(framework: Option<&Arc<Framework>>, state: TaskState) -> TaskState {
    let aware = framework.is_some_and(|framework| framework.is_partition_aware());
    match state {
        TaskState::TaskUnreachable
        | TaskState::TaskDropped
        | TaskState::TaskGone
        | TaskState::TaskGoneByOperator
        | TaskState::TaskUnknown
            if !aware =>
        {
            TaskState::TaskLost
        }
        state => state,
    }
}

impl Registry {
    /// Ends a live task by the master's word: it is completed, what it held is free, its framework is told.
    /// A task that had ended already keeps its state and nobody is told.
    pub(super) fn end_task(&mut self, task: &Arc<Task>, verdict: Verdict<'_>, changes: &mut Changes) -> Arc<Task> {
        let Some(task) = self.take_task(&task.framework_id, &task.id) else {
            return task.clone();
        };
        if task.is_terminal() {
            let ended = Task {
                launch: None,
                kill: None,
                // Not acknowledged: if its agent sends the update after all, the framework gets it.
                status_update_uuid: None,
                ..Task::clone(&task)
            };
            return self.complete(ended);
        }
        let state = told_state(self.framework(&task.framework_id), verdict.state);
        let (ended, status) = changes.conclude(&task, Verdict { state, ..verdict });
        changes.recover(&task);
        changes.tell(&task, status);
        self.complete(ended)
    }

    /// A task that was taken out of its list goes to its framework's completed ones.
    pub(super) fn complete(&mut self, ended: Task) -> Arc<Task> {
        let number = self.next_entry();
        let ended = Arc::new(ended);
        self.push_completed_task(number, ended.clone());
        ended
    }

    /// All live tasks of an agent, in order.
    pub(super) fn live_tasks_of_agent(&self, agent_id: &crate::ids::AgentId) -> Vec<Arc<Task>> {
        self.tasks_of_agent(agent_id).cloned().collect()
    }
}
