//! AcknowledgeStatus: the framework has the terminal update; the task is completed.

use super::Changes;
use crate::command::AcknowledgeStatus;
use crate::effect::Effect;
use crate::outcome::Outcome;
use crate::registry::{Registry, Task};

impl Registry {
    pub(super) fn acknowledge_status(&mut self, command: &AcknowledgeStatus, changes: &mut Changes) -> Outcome {
        let AcknowledgeStatus {
            framework_id,
            task_id,
            agent_id,
            uuid,
        } = command;
        let completed = self.acknowledgement_completes(framework_id, task_id, uuid);
        if completed && let Some(task) = self.take_task(framework_id, task_id) {
            // Keeps the uuid: an agent that missed the acknowledgement is told again, not the framework.
            let mut ended = Task::clone(&task);
            ended.launch = None;
            ended.kill = None;
            self.complete(ended);
        }
        changes.effect(Effect::AcknowledgeToAgent {
            agent_id: agent_id.clone(),
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            uuid: *uuid,
        });
        Outcome::StatusAcknowledged { completed }
    }
}
