//! KillTask: remembered until the task ended, so that it survives the leader and is repeated to an agent that was away.

use std::sync::Arc;

use planted::{Bug, is_planted};

use super::Changes;
use crate::command::KillTask;
use crate::effect::{Effect, SendKill};
use crate::outcome::{Outcome, Rejection};
use crate::registry::{KillRequest, Registry, Task};

impl Registry {
    pub(super) fn kill_task(&mut self, command: &KillTask, changes: &mut Changes) -> Result<Outcome, Rejection> {
        let KillTask {
            framework_id,
            task_id,
            kill_policy,
        } = command;
        let Some(task) = self.task(framework_id, task_id).cloned() else {
            return Err(Rejection::UnknownTask(framework_id.clone(), task_id.clone()));
        };
        if task.is_terminal() {
            return Ok(Outcome::KillRecorded);
        }
        let mut killed = Task::clone(&task);
        killed.kill = Some(Arc::new(KillRequest {
            policy: kill_policy.clone(),
        }));
        let killed = if is_planted(Bug::KillForgotten) {
            task
        } else {
            self.put_task(killed)
        };
        changes.effect(Effect::SendKill(SendKill {
            agent_id: killed.agent_id.clone(),
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            kill_policy: kill_policy.clone(),
        }));
        Ok(Outcome::KillRecorded)
    }
}
