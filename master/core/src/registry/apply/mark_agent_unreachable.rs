//! MarkAgentUnreachable: the agent did not answer for too long; it may come back.

use std::sync::Arc;

use proto::v1::task_status::Reason;
use proto::v1::{TaskState, TaskStatus};

use super::Changes;
use super::changes::{Verdict, told_state};
use crate::command::MarkAgentUnreachable;
use crate::effect::Effect;
use crate::event::Event;
use crate::outcome::{Outcome, Rejection};
use crate::registry::{Registry, Task, UnreachableAgent};

/// Text of the updates.
const MESSAGE: &str = "Agent is unreachable";

impl Registry {
    pub(super) fn mark_agent_unreachable(
        &mut self,
        command: &MarkAgentUnreachable,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let agent_id = &command.agent_id;
        if self.agent(agent_id).is_none() {
            return Err(Rejection::AgentNotAdmitted(agent_id.clone()));
        }
        let mut tasks = Vec::new();
        for task in self.live_tasks_of_agent(agent_id) {
            if task.is_terminal() {
                // Ended, and its acknowledgement cannot reach the agent: nothing is lost for the framework, which the
                // agent tells again if it ever comes back.
                let verdict = Verdict {
                    state: task.state,
                    reason: Reason::AgentRemoved,
                    message: MESSAGE,
                };
                self.end_task(&task, verdict, changes);
            } else {
                tasks.push(self.lose_sight(&task, command, changes));
            }
        }
        if let Some(agent) = self.take_agent(agent_id) {
            let number = self.next_entry();
            let unreachable = UnreachableAgent {
                record: agent.record().clone(),
                since: command.since,
            };
            self.push_unreachable_agent(number, unreachable);
        }
        self.tell_operations_unreachable(agent_id, changes);
        changes.effect(Effect::AgentLost {
            agent_id: agent_id.clone(),
        });
        Ok(Outcome::AgentUnreachable {
            agent_id: agent_id.clone(),
            tasks,
        })
    }

    /// The task moves to its framework's unreachable list.
    fn lose_sight(&mut self, task: &Arc<Task>, command: &MarkAgentUnreachable, changes: &mut Changes) -> Arc<Task> {
        let state = told_state(self.framework(&task.framework_id), TaskState::TaskUnreachable);
        let status = TaskStatus {
            unreachable_time: Some(command.since.to_proto()),
            ..changes.status(task, state, Reason::AgentRemoved, MESSAGE)
        };
        let mut lost = Task::clone(task);
        lost.state = state;
        lost.status_update_state = None;
        lost.status_update_uuid = None;
        lost.launch = None;
        lost.push_status(&status);
        self.take_task(&task.framework_id, &task.id);
        let number = self.next_entry();
        let lost = Arc::new(lost);
        self.push_unreachable_task(number, lost.clone());
        changes.event(Event::TaskUpdated {
            framework_id: task.framework_id.clone(),
            status: Box::new(status.clone()),
            state,
        });
        changes.tell(task, status);
        lost
    }
}
