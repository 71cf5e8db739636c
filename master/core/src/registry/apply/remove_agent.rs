//! RemoveAgent: it said goodbye, or another registered at its address; its tasks are lost.

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::Changes;
use super::changes::Verdict;
use crate::command::{AgentRemoval, RemoveAgent};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::AgentId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn remove_agent(&mut self, command: &RemoveAgent, changes: &mut Changes) -> Result<Outcome, Rejection> {
        if self.agent(&command.agent_id).is_none() {
            return Err(Rejection::AgentNotAdmitted(command.agent_id.clone()));
        }
        self.remove_admitted_agent(&command.agent_id, command.reason, changes);
        Ok(Outcome::AgentRemoved {
            agent_id: command.agent_id.clone(),
        })
    }

    pub(super) fn remove_admitted_agent(&mut self, agent_id: &AgentId, reason: AgentRemoval, changes: &mut Changes) {
        let message = match reason {
            AgentRemoval::Unregistered => "Agent unregistered",
            AgentRemoval::Replaced => "A new agent registered at the same address",
        };
        let verdict = Verdict {
            state: TaskState::TaskLost,
            reason: Reason::AgentRemoved,
            message,
        };
        for task in self.live_tasks_of_agent(agent_id) {
            self.end_task(&task, verdict, changes);
        }
        self.drop_operations(agent_id, message, changes);
        self.take_agent(agent_id);
        changes.effect(Effect::AgentLost {
            agent_id: agent_id.clone(),
        });
        changes.event(Event::AgentRemoved {
            agent_id: agent_id.clone(),
        });
    }
}
