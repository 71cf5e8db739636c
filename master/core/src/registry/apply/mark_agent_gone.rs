//! MarkAgentGone: an operator says that an agent never comes back.

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::Changes;
use super::changes::{Verdict, told_state};
use crate::command::MarkAgentGone;
use crate::effect::Effect;
use crate::ids::AgentId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::{GoneAgent, Registry};

/// Told to the agent when it tries to come back, too.
const MESSAGE: &str = "Agent has been marked gone";

impl Registry {
    pub(super) fn mark_agent_gone(
        &mut self,
        command: &MarkAgentGone,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let agent_id = &command.agent_id;
        let info = if let Some(agent) = self.agent(agent_id) {
            agent.info.encoded().clone()
        } else if let Some(agent) = self.unreachable_agent(agent_id) {
            agent.record.info.encoded().clone()
        } else if self.gone_agent(agent_id).is_some() {
            return Ok(Outcome::AgentGone {
                agent_id: agent_id.clone(),
            });
        } else {
            return Err(Rejection::AgentNotAdmitted(agent_id.clone()));
        };
        let verdict = Verdict {
            state: TaskState::TaskGoneByOperator,
            reason: Reason::AgentRemovedByOperator,
            message: MESSAGE,
        };
        for task in self.live_tasks_of_agent(agent_id) {
            self.end_task(&task, verdict, changes);
        }
        self.end_unreachable_tasks(agent_id, verdict, changes);
        self.drop_operations(agent_id, MESSAGE, changes);
        if self.take_agent(agent_id).is_some() {
            // Told before it is forgotten.
            changes.effect(Effect::ShutdownAgent {
                agent_id: agent_id.clone(),
                message: MESSAGE.to_owned(),
            });
            changes.effect(Effect::AgentLost {
                agent_id: agent_id.clone(),
            });
        }
        self.take_unreachable_agent(agent_id);
        let number = self.next_entry();
        self.push_gone_agent(
            number,
            GoneAgent {
                id: agent_id.clone(),
                info: Some(info),
                since: changes.now,
            },
        );
        Ok(Outcome::AgentGone {
            agent_id: agent_id.clone(),
        })
    }

    /// Tasks in the unreachable lists that were on the agent end.
    pub(super) fn end_unreachable_tasks(&mut self, agent_id: &AgentId, verdict: Verdict<'_>, changes: &mut Changes) {
        for task in self.unreachable_tasks_of_agent(agent_id) {
            self.take_unreachable_task(&task.framework_id, &task.id);
            let state = told_state(self.framework(&task.framework_id), verdict.state);
            let (ended, status) = changes.conclude(&task, Verdict { state, ..verdict });
            changes.tell(&task, status);
            self.complete(ended);
        }
    }
}
