//! What masters say: who may say it, and what it means.
//!
//! Source of the sender checks: libprocess protocol, Mesos `src/slave/slave.cpp`. Malformed messages are dropped.

use std::time::Duration;

use bytes::Bytes;
use libprocess::Message;
use proto::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, CheckpointResourcesMessage, DrainSlaveMessage,
    FrameworkToExecutorMessage, KillTaskMessage, MasterSlaveConnection, PingSlaveMessage, RunTaskGroupMessage,
    RunTaskMessage, ShutdownExecutorMessage, ShutdownFrameworkMessage, ShutdownMessage, SlaveRegisteredMessage,
    SlaveReregisteredMessage, StatusUpdateAcknowledgementMessage, UpdateFrameworkMessage,
};
use proto::json::JsonMessage;
use tokio::time::Instant;

use super::{Actor, PING_TIMEOUT, SHUTDOWN_LIMIT};
use crate::AgentError;
use crate::messages::{self, from_master};

/// Decodes a message; one that does not decode is said and dropped.
fn decode<T: prost::Message + Default + JsonMessage>(message: &Message) -> Option<T> {
    match proto::wire::decode(&message.body, &message.name) {
        Ok(decoded) => Some(decoded),
        Err(error) => {
            tracing::warn!(name = message.name, %error, "dropped a message that does not decode");
            None
        }
    }
}

impl Actor {
    /// Takes one message.
    ///
    /// Errors: those that Mesos agents end for.
    pub(super) fn message(&mut self, message: Message) -> Result<(), AgentError> {
        let is_leader = message.from.is_some() && message.from == self.leader.as_ref().map(|leader| leader.pid.clone());
        match message.name.as_str() {
            from_master::PING => self.ping(&message),
            from_master::UPDATE_FRAMEWORK => {
                if let Some(update) = decode::<UpdateFrameworkMessage>(&message) {
                    self.book.update_framework(update);
                }
            }
            from_master::FRAMEWORK_TO_EXECUTOR => {
                if let Some(to) = decode::<FrameworkToExecutorMessage>(&message) {
                    self.book
                        .message_to_executor(&to.framework_id.value, &to.executor_id.value, to.data);
                }
            }
            from_master::CHECKPOINT_RESOURCES => {
                if let Some(list) = decode::<CheckpointResourcesMessage>(&message) {
                    self.book.set_checkpointed_resources(list.resources);
                }
            }
            from_master::APPLY_OPERATION => {
                if let Some(apply) = decode::<ApplyOperationMessage>(&message) {
                    self.book.apply_operation(apply);
                }
            }
            from_master::ACKNOWLEDGE_OPERATION => {
                if let Some(acknowledgement) = decode::<AcknowledgeOperationStatusMessage>(&message) {
                    self.book.acknowledge_operation(&acknowledgement);
                }
            }
            from_master::DRAIN => {
                if let Some(drain) = decode::<DrainSlaveMessage>(&message) {
                    self.book.drain(drain.config);
                }
            }
            from_master::ACKNOWLEDGE => {
                let claims_master = message.from.as_ref().is_some_and(|from| from.id.starts_with("master"));
                if claims_master && !is_leader {
                    tracing::warn!(from = ?message.from, "ignored an acknowledgement of a master that does not lead");
                } else if let Some(acknowledgement) = decode::<StatusUpdateAcknowledgementMessage>(&message)
                    && self.is_registered
                {
                    self.book.acknowledge(&acknowledgement);
                }
            }
            _ if !is_leader => {
                tracing::warn!(name = message.name, from = ?message.from, "ignored a message of somebody who does not lead");
            }
            _ => return self.leader_message(&message),
        }
        Ok(())
    }

    /// Messages that only the leading master may send.
    fn leader_message(&mut self, message: &Message) -> Result<(), AgentError> {
        match message.name.as_str() {
            from_master::REGISTERED => {
                if let Some(registered) = decode::<SlaveRegisteredMessage>(message) {
                    self.registered(&registered.slave_id.value, registered.connection)?;
                }
            }
            from_master::REREGISTERED => {
                if let Some(registered) = decode::<SlaveReregisteredMessage>(message) {
                    self.registered(&registered.slave_id.value, registered.connection)?;
                    for reconciliation in &registered.reconciliations {
                        self.book.reconcile(reconciliation);
                    }
                }
            }
            from_master::RUN_TASK => {
                if let Some(run) = decode::<RunTaskMessage>(message).filter(|_| self.ends_by.is_none()) {
                    self.book.run_task(run);
                }
            }
            from_master::RUN_TASK_GROUP => {
                if let Some(run) = decode::<RunTaskGroupMessage>(message).filter(|_| self.ends_by.is_none()) {
                    self.book.run_task_group(run);
                }
            }
            from_master::KILL_TASK => {
                if let Some(kill) = decode::<KillTaskMessage>(message) {
                    self.book.kill_task(&kill);
                }
            }
            from_master::SHUTDOWN_FRAMEWORK => {
                if let Some(shutdown) = decode::<ShutdownFrameworkMessage>(message) {
                    self.book.shut_down_framework(&shutdown.framework_id.value);
                }
            }
            from_master::SHUTDOWN_EXECUTOR => {
                if let Some(ShutdownExecutorMessage {
                    executor_id: Some(executor),
                    framework_id: Some(framework),
                }) = decode(message)
                {
                    self.book.shut_down_executor(&framework.value, &executor.value);
                }
            }
            from_master::SHUTDOWN => self.shut_down(message),
            name => tracing::warn!(name, "ignored a message this agent does not understand"),
        }
        Ok(())
    }

    fn ping(&mut self, message: &Message) {
        let Some(ping) = decode::<PingSlaveMessage>(message) else {
            return;
        };
        if let Some(from) = &message.from {
            self.links.send(crate::ACTOR_ID, from, messages::PONG, Bytes::new());
        }
        if self.is_registered {
            self.ping_deadline = Some(Instant::now() + self.ping_timeout);
            if !ping.connected {
                tracing::info!("the master believes this agent to be disconnected");
                self.suspect();
            }
        }
    }

    fn registered(&mut self, id: &str, connection: Option<MasterSlaveConnection>) -> Result<(), AgentError> {
        if let Some(own) = self.book.agent_id().filter(|own| *own != id) {
            return Err(AgentError::ForeignId {
                own: own.to_owned(),
                given: id.to_owned(),
            });
        }
        if self.ends_by.is_some() {
            return Ok(());
        }
        if self.is_registered {
            tracing::info!(agent_id = id, "registered already");
            return Ok(());
        }
        tracing::info!(agent_id = id, "registered");
        let seconds = connection.and_then(|connection| connection.total_ping_timeout_seconds);
        let timeout = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        self.ping_timeout = timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(PING_TIMEOUT);
        self.ping_deadline = Some(Instant::now() + self.ping_timeout);
        self.registration = None;
        self.is_registered = true;
        self.book.registered(id);
        Ok(())
    }

    /// The master wants this agent to end, with everything on it.
    fn shut_down(&mut self, message: &Message) {
        let reason = decode::<ShutdownMessage>(message).and_then(|shutdown| shutdown.message);
        tracing::warn!(reason = reason.unwrap_or_default(), "the master shuts this agent down");
        self.book.shut_down_everything();
        self.ends_by = Some(Instant::now() + SHUTDOWN_LIMIT);
    }
}
