//! Applies committed commands, one file per command.

mod acknowledge_operation_status;
mod acknowledge_status;
mod admit_agent;
mod announce_leader;
mod apply_operation;
mod changes;
mod kill_task;
mod launch_tasks;
mod lose_tasks;
mod mark_agent_gone;
mod mark_agent_unreachable;
mod remove_agent;
mod remove_executor;
mod remove_framework;
mod remove_quota;
mod reregister_agent;
mod set_quota;
mod subscribe_framework;
mod update_agent;
mod update_operation_status;
mod update_quota;
mod update_task_status;
mod update_weights;

use crate::command::{Command, CommandKind};
use crate::outcome::{Applied, Outcome, Rejection};
use crate::registry::{Position, Registry};

use changes::Changes;

impl Registry {
    /// Applies one committed command. Total and deterministic: whatever decodes is applied or refused, the same way on
    /// every replica, and nothing panics. Checks again what was validated before proposing, because other commands may
    /// have been committed in between.
    pub fn apply(&mut self, position: Position, command: &Command) -> Applied {
        let now = self.cluster().clock.max(command.proposed_at);
        if now != self.cluster().clock {
            self.cluster_mut().clock = now;
        }
        let mut changes = Changes::new(now);
        let result = self.dispatch(command, &mut changes);
        debug_assert!(
            self.check_sums().is_ok(),
            "{:?} after {} at {position:?}",
            self.check_sums(),
            command.kind.name()
        );
        match result {
            Ok(outcome) => changes.with(outcome),
            Err(rejection) => changes.with(Outcome::Rejected(rejection)),
        }
    }

    fn dispatch(&mut self, command: &Command, changes: &mut Changes) -> Result<Outcome, Rejection> {
        match &command.kind {
            CommandKind::AnnounceLeader(command) => self.announce_leader(command, changes),
            CommandKind::SubscribeFramework(command) => self.subscribe_framework(command, changes),
            CommandKind::UpdateFramework(command) => self.update_framework(command, changes),
            CommandKind::RemoveFramework(command) => self.remove_framework(command, changes),
            CommandKind::AdmitAgent(command) => self.admit_agent(command, changes),
            CommandKind::ReregisterAgent(command) => self.reregister_agent(command, changes),
            CommandKind::MarkAgentUnreachable(command) => self.mark_agent_unreachable(command, changes),
            CommandKind::RemoveAgent(command) => self.remove_agent(command, changes),
            CommandKind::MarkAgentGone(command) => self.mark_agent_gone(command, changes),
            CommandKind::UpdateAgent(command) => self.update_agent(command, changes),
            CommandKind::LaunchTasks(command) => self.launch_tasks(command, changes),
            CommandKind::UpdateTaskStatus(command) => self.update_task_status(command, changes),
            CommandKind::LoseTasks(command) => Ok(self.lose_tasks(command, changes)),
            CommandKind::AcknowledgeStatus(command) => Ok(self.acknowledge_status(command, changes)),
            CommandKind::KillTask(command) => self.kill_task(command, changes),
            CommandKind::RemoveExecutor(command) => self.remove_executor(command, changes),
            CommandKind::UpdateQuota(command) => self.update_quota(command),
            CommandKind::SetQuota(command) => self.set_quota(command),
            CommandKind::RemoveQuota(command) => self.remove_quota(command),
            CommandKind::UpdateWeights(command) => self.update_weights(command),
            CommandKind::ApplyOperation(command) => self.apply_operation(command, changes),
            CommandKind::UpdateOperationStatus(command) => self.update_operation_status(command, changes),
            CommandKind::AcknowledgeOperationStatus(command) => Ok(self.acknowledge_operation_status(command, changes)),
        }
    }
}
