//! UpdateTaskStatus: what an agent reports of a task.
//!
//! Two states per task, as in Mesos: `state` is the newest the agent knows (`latest_state`), `status_update_state` the one
//! of the update that was relayed last. A terminal state stays; updates that come behind it are still relayed in order.

use planted::{Bug, is_planted};
use proto::internal::StatusUpdate;
use proto::v1::task_status::Reason;
use proto::v1::{TaskState, TaskStatus};

use super::Changes;
use crate::command::{UpdateTaskStatus, UuidBytes};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{FrameworkId, TaskId};
use crate::outcome::{Outcome, Rejection, StatusChange};
use crate::registry::{Registry, Task, is_terminal, uuid_bytes};

impl Registry {
    pub(super) fn update_task_status(
        &mut self,
        command: &UpdateTaskStatus,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let malformed = |why: String| Rejection::Malformed {
            what: "status update",
            why,
        };
        let update = command.update.decode().map_err(|error| malformed(error.to_string()))?;
        let framework_id = FrameworkId::from(&update.framework_id);
        let task_id = TaskId::from(&update.status.task_id);
        let Some(uuid) = uuid_bytes(update.uuid.as_deref()) else {
            return Err(malformed("uuid is not 16 bytes".to_owned()));
        };
        let state = TaskState::try_from(update.status.state)
            .map_err(|_| malformed(format!("unknown state {}", update.status.state)))?;
        if self.framework(&framework_id).is_none() {
            return Err(Rejection::UnknownFramework(framework_id));
        }
        if self.agent(&command.agent_id).is_none() {
            return Err(Rejection::AgentNotAdmitted(command.agent_id.clone()));
        }
        let task = self
            .task(&framework_id, &task_id)
            .filter(|task| task.agent_id == command.agent_id)
            .cloned();
        let change = match task {
            Some(task) => self.record_status(&task, &update, state, uuid, changes),
            None if self.was_acknowledged(&framework_id, &task_id, &uuid) => {
                changes.effect(Effect::AcknowledgeToAgent {
                    agent_id: command.agent_id.clone(),
                    framework_id,
                    task_id,
                    uuid,
                });
                return Ok(Outcome::TaskStatusUpdated {
                    change: StatusChange::AlreadyAcknowledged,
                });
            }
            None => StatusChange::UnknownTask,
        };
        changes.effect(Effect::ForwardStatus {
            framework_id,
            update: Box::new(update),
        });
        Ok(Outcome::TaskStatusUpdated { change })
    }

    fn record_status(
        &mut self,
        task: &Task,
        update: &StatusUpdate,
        state: TaskState,
        uuid: UuidBytes,
        changes: &mut Changes,
    ) -> StatusChange {
        // A terminal update counts once more under another uuid: it is the one the framework will acknowledge.
        let relayed_last = task.status_update_state.is_some_and(is_terminal);
        let relayed_last = relayed_last && !is_planted(Bug::TerminalRevives);
        if task.status_update_uuid == Some(uuid) || (relayed_last && !is_terminal(state)) {
            return StatusChange::Repeated;
        }
        let latest = update
            .latest_state
            .and_then(|number| TaskState::try_from(number).ok())
            .filter(|latest| is_terminal(*latest) || !is_terminal(state))
            .unwrap_or(state);
        let mut updated = Task::clone(task);
        if !task.is_terminal() || is_planted(Bug::TerminalRevives) {
            updated.state = latest;
        }
        updated.status_update_state = Some(state);
        updated.status_update_uuid = Some(uuid);
        // The agent has the task.
        updated.launch = None;
        updated.push_status(&update.status);
        let updated = self.put_task(updated);
        if updated.is_terminal() && !task.is_terminal() {
            changes.recover(task);
        }
        // A state that the task went through unseen is told of as well: its agent was ahead of its updates.
        if updated.state != task.state || is_about_health(&update.status) || !task.went_through(state) {
            changes.event(Event::TaskUpdated {
                framework_id: task.framework_id.clone(),
                status: Box::new(update.status.clone()),
                state: updated.state,
            });
        }
        StatusChange::Recorded
    }

    /// The task is completed and its framework acknowledged this very update; the acknowledgement was lost on its way.
    fn was_acknowledged(&self, framework_id: &FrameworkId, task_id: &TaskId, uuid: &UuidBytes) -> bool {
        self.completed_task(framework_id, task_id)
            .is_some_and(|task| task.status_update_uuid == Some(*uuid))
    }
}

/// The update tells a task's health or the result of its check: operators hear of it although the state is the same.
fn is_about_health(status: &TaskStatus) -> bool {
    status.reason.is_some()
        && matches!(
            status.reason(),
            Reason::TaskHealthCheckStatusUpdated | Reason::TaskCheckStatusUpdated
        )
}
