//! Messages to the actor `master`. An unknown name or a body that cannot be read is logged and dropped, as in Mesos.

use libprocess::{Message, Upid};
use master_core::command::{AgentRemoval, RemoveAgent, RemoveExecutor, UpdateAgent, UpdateTaskStatus};
use master_core::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use master_core::{CommandKind, Encoded};
use planted::{Bug, is_planted};
use proto::internal::{
    ExecutorToFrameworkMessage, ExitedExecutorMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    StatusUpdateMessage, SubmitSchedulerResponse, UnregisterSlaveMessage, UpdateOperationStatusMessage,
    UpdateSlaveMessage,
};
use proto::v1::scheduler::{Event, event};

use super::Leadership;
use super::proposals::Pending;
use super::stream::event;

impl Leadership {
    pub(super) fn agent_message(&mut self, message: &Message) {
        self.context.metrics.message(&message.name);
        let name = message.name.strip_prefix("mesos.internal.").unwrap_or(&message.name);
        match name {
            "PongSlaveMessage" => {
                if let Some(from) = &message.from {
                    self.pong(from);
                }
            }
            "RegisterSlaveMessage" => self.decoded::<RegisterSlaveMessage>(message, Self::register),
            "ReregisterSlaveMessage" => self.decoded::<ReregisterSlaveMessage>(message, Self::reregister),
            "StatusUpdateMessage" => self.decoded::<StatusUpdateMessage>(message, Self::status_update),
            "ExitedExecutorMessage" => {
                self.decoded::<ExitedExecutorMessage>(message, |this, _, it| this.exited_executor(&it));
            }
            "ExecutorToFrameworkMessage" => {
                self.decoded::<ExecutorToFrameworkMessage>(message, |this, _, it| this.executor_message(it));
            }
            "UpdateSlaveMessage" => self.decoded::<UpdateSlaveMessage>(message, |this, _, it| this.update_agent(&it)),
            "UpdateOperationStatusMessage" => {
                self.decoded::<UpdateOperationStatusMessage>(message, |this, _, it| this.operation_status(it));
            }
            "UnregisterSlaveMessage" => self.decoded::<UnregisterSlaveMessage>(message, Self::unregister),
            "SubmitSchedulerRequest" => {
                if let Some(from) = &message.from {
                    self.send_to_pid(from, &SubmitSchedulerResponse { okay: false });
                }
            }
            _ => {
                tracing::debug!(message = message.name, from = ?message.from, "dropping a message of unknown name");
                self.context.metrics.dropped_message();
            }
        }
    }

    fn decoded<M: prost::Message + Default + proto::json::JsonMessage>(
        &mut self,
        message: &Message,
        then: impl FnOnce(&mut Self, &Upid, M),
    ) {
        let Some(from) = &message.from else {
            tracing::debug!(message = message.name, "dropping a message without a sender");
            self.context.metrics.dropped_message();
            return;
        };
        match proto::wire::decode::<M>(&message.body, &message.name) {
            Ok(decoded) => then(self, from, decoded),
            Err(error) => {
                tracing::info!(message = message.name, %from, %error, "dropping a message that cannot be read");
                self.context.metrics.dropped_message();
            }
        }
    }

    fn status_update(&mut self, from: &Upid, message: StatusUpdateMessage) {
        // Mesos aborts without a pid; nothing we do needs it.
        let Some(agent_id) = message.update.slave_id.as_ref().map(AgentId::from) else {
            return;
        };
        let framework_id = FrameworkId::from(&message.update.framework_id);
        let task_id = TaskId::from(&message.update.status.task_id);
        let uuid = message
            .update
            .uuid
            .as_ref()
            .map(|uuid| uuid.to_vec())
            .unwrap_or_default();
        if uuid.len() != 16 {
            tracing::info!(%agent_id, %framework_id, %task_id, "dropping a status update without uuid");
            self.context.metrics.dropped_message();
            return;
        }
        if !self.agents.contains_key(&agent_id) {
            // The agent sends it again once it is registered with this leadership.
            tracing::info!(%agent_id, %framework_id, %task_id, "dropping a status update of an agent that is not back");
            self.context.metrics.dropped_message();
            if self.registry.agent(&agent_id).is_some() && !self.registering.contains_key(&from.to_string()) {
                self.nudge(from);
            }
            return;
        }
        let key = (framework_id.clone(), task_id.clone(), uuid.clone());
        if !self.updating.insert(key) {
            return;
        }
        if is_planted(Bug::UpdateBeforeCommit) {
            self.forward_status(&framework_id, message.update.clone());
        }
        let command = UpdateTaskStatus {
            agent_id,
            update: Encoded::new(&message.update),
        };
        self.propose(
            CommandKind::UpdateTaskStatus(command),
            Pending::StatusUpdate(framework_id, task_id, uuid),
        );
    }

    fn exited_executor(&mut self, message: &ExitedExecutorMessage) {
        let agent_id = AgentId::from(&message.slave_id);
        let framework_id = FrameworkId::from(&message.framework_id);
        let executor_id = ExecutorId::from(&message.executor_id);
        let known = self.registry.agent(&agent_id).is_some_and(|agent| {
            agent
                .executors
                .contains_key(&(framework_id.clone(), executor_id.clone()))
        });
        if !known || !self.agents.contains_key(&agent_id) {
            return;
        }
        let command = RemoveExecutor {
            agent_id,
            framework_id,
            executor_id,
            status: message.status,
        };
        self.propose(CommandKind::RemoveExecutor(command), Pending::Nobody);
    }

    fn executor_message(&mut self, message: ExecutorToFrameworkMessage) {
        let framework_id = FrameworkId::from(&message.framework_id);
        let event = Event {
            message: Some(event::Message {
                agent_id: message.slave_id,
                executor_id: message.executor_id,
                data: message.data,
            }),
            ..event(event::Type::Message)
        };
        self.send_event(&framework_id, &event);
    }

    /// Proposes only what differs from the registry.
    fn update_agent(&mut self, message: &UpdateSlaveMessage) {
        let agent_id = AgentId::from(&message.slave_id);
        if !self.agents.contains_key(&agent_id) {
            return;
        }
        let Some(command) = master_core::decide::agent_update(&self.registry, &agent_id, message) else {
            return;
        };
        self.propose(CommandKind::UpdateAgent(UpdateAgent { ..command }), Pending::Nobody);
    }

    fn unregister(&mut self, from: &Upid, message: UnregisterSlaveMessage) {
        let agent_id = AgentId::from(&message.slave_id);
        if self.agents.get(&agent_id).is_none_or(|agent| agent.pid != *from) {
            tracing::info!(%agent_id, %from, "ignoring the unregistration of an agent by another");
            return;
        }
        let command = RemoveAgent {
            agent_id,
            reason: AgentRemoval::Unregistered,
        };
        self.propose(CommandKind::RemoveAgent(command), Pending::Nobody);
    }
}
