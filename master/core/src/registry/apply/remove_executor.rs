//! RemoveExecutor: an executor ended; its tasks end by updates of their own.

use super::Changes;
use crate::command::RemoveExecutor;
use crate::effect::Effect;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn remove_executor(
        &mut self,
        command: &RemoveExecutor,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let RemoveExecutor {
            agent_id,
            framework_id,
            executor_id,
            status,
        } = command;
        let Some(executor) = self.take_executor(agent_id, framework_id, executor_id) else {
            return Err(Rejection::UnknownExecutor(framework_id.clone(), executor_id.clone()));
        };
        changes.effect(Effect::RecoverResources {
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            resources: executor.resources.clone(),
        });
        changes.effect(Effect::ExecutorExited {
            framework_id: framework_id.clone(),
            agent_id: agent_id.clone(),
            executor_id: executor_id.clone(),
            status: *status,
        });
        Ok(Outcome::ExecutorRemoved)
    }
}
