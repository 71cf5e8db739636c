//! UpdateOperationStatus: an agent says what came of an operation.

use std::sync::Arc;

use proto::v1::{OperationState, OperationStatus};

use super::Changes;
use crate::command::{UpdateOperationStatus, UuidBytes};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::ids::AgentId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::operation::encoded_resources;
use crate::registry::{AgentRecord, Operation, Registry, uuid_bytes};
use crate::resources::Conversion;

impl Registry {
    pub(super) fn update_operation_status(
        &mut self,
        command: &UpdateOperationStatus,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let update = command.update.decode().map_err(|error| Rejection::Malformed {
            what: "operation status",
            why: error.to_string(),
        })?;
        let status_uuid = uuid_bytes(update.status.uuid.as_ref().map(|uuid| &*uuid.value));
        let Some(uuid) = uuid_bytes(update.operation_uuid.as_ref().map(|uuid| &*uuid.value)) else {
            return Ok(Outcome::OperationStatusRecorded);
        };
        let Some(operation) = self.operation(&command.agent_id, &uuid).cloned() else {
            // Settled before, or of another master: the agent need not repeat it.
            acknowledge(&command.agent_id, status_uuid, uuid, changes);
            return Ok(Outcome::OperationStatusRecorded);
        };
        let failed = matches!(
            update.status.state(),
            OperationState::OperationFailed | OperationState::OperationError | OperationState::OperationDropped
        );
        if failed && operation.is_pending() {
            self.undo(&operation, changes);
        }
        self.record_operation_status(&operation, update.status, status_uuid, changes);
        Ok(Outcome::OperationStatusRecorded)
    }

    /// Records a status and tells the framework that asked for it. Where nobody did, the operation is over and the agent
    /// gets its acknowledgement at once.
    fn record_operation_status(
        &mut self,
        operation: &Arc<Operation>,
        status: OperationStatus,
        status_uuid: Option<UuidBytes>,
        changes: &mut Changes,
    ) {
        let listener = operation
            .framework_id
            .as_ref()
            .filter(|framework_id| operation.id().is_some() && self.framework(framework_id).is_some());
        if let Some(framework_id) = listener {
            changes.effect(Effect::ForwardOperationStatus {
                framework_id: framework_id.clone(),
                status: Box::new(status.clone()),
            });
        }
        if !is_terminal(status.state()) || (listener.is_some() && status_uuid.is_some()) {
            self.put_operation(Operation {
                status: Encoded::new(&status),
                ..Operation::clone(operation)
            });
        } else {
            self.take_operation(operation);
        }
        if listener.is_none() {
            acknowledge(&operation.agent_id, status_uuid, operation.uuid, changes);
        }
    }

    /// The agent did not carry it out: the registry's list follows, or, where the result is in use already, the agent does.
    fn undo(&mut self, operation: &Operation, changes: &mut Changes) {
        let Some(agent) = self.agent(&operation.agent_id).cloned() else {
            return;
        };
        let back: Vec<Conversion> = operation
            .conversions()
            .into_iter()
            .rev()
            .map(Conversion::reversed)
            .collect();
        let mut total = agent.total.clone();
        if agent.free().convert(&back).is_err() || total.convert(&back).is_err() {
            changes.effect(Effect::CheckpointResources {
                agent_id: agent.id.clone(),
            });
            return;
        }
        self.put_agent(AgentRecord {
            checkpointed_resources: encoded_resources(&total.checkpointed()),
            ..AgentRecord::clone(agent.record())
        });
        changes.effect(Effect::AgentTotalChanged {
            agent_id: agent.id.clone(),
        });
    }

    /// Operations end by the master's word.
    pub(super) fn end_operations(
        &mut self,
        operations: &[Arc<Operation>],
        state: OperationState,
        message: &str,
        changes: &mut Changes,
    ) {
        for operation in operations.iter().filter(|operation| operation.is_pending()) {
            let status = operation_verdict(operation, state, message);
            self.record_operation_status(operation, status, None, changes);
        }
    }

    /// An agent is unreachable: its operations stay, since it may come back, but frameworks that wait are told.
    pub(super) fn tell_operations_unreachable(&self, agent_id: &AgentId, changes: &mut Changes) {
        for operation in self
            .operations_of_agent(agent_id)
            .filter(|operation| operation.is_pending())
        {
            let (Some(framework_id), Some(_)) = (&operation.framework_id, operation.id()) else {
                continue;
            };
            let status = operation_verdict(operation, OperationState::OperationUnreachable, "Agent is unreachable");
            changes.effect(Effect::ForwardOperationStatus {
                framework_id: framework_id.clone(),
                status: Box::new(status),
            });
        }
    }

    /// An agent leaves for good: frameworks that wait for its operations are told.
    pub(super) fn drop_operations(&mut self, agent_id: &AgentId, message: &str, changes: &mut Changes) {
        let operations: Vec<Arc<Operation>> = self.operations_of_agent(agent_id).cloned().collect();
        self.end_operations(&operations, OperationState::OperationGoneByOperator, message, changes);
        self.take_operations(agent_id);
    }
}

/// A status the master makes.
fn operation_verdict(operation: &Operation, state: OperationState, message: &str) -> OperationStatus {
    OperationStatus {
        operation_id: operation.id(),
        state: state.into(),
        message: Some(message.to_owned()),
        agent_id: Some(operation.agent_id.to_proto()),
        ..OperationStatus::default()
    }
}

/// Terminal operation states do not change any more.
fn is_terminal(state: OperationState) -> bool {
    matches!(
        state,
        OperationState::OperationFinished
            | OperationState::OperationFailed
            | OperationState::OperationError
            | OperationState::OperationDropped
            | OperationState::OperationGoneByOperator
    )
}

fn acknowledge(agent_id: &AgentId, status_uuid: Option<UuidBytes>, operation_uuid: UuidBytes, changes: &mut Changes) {
    if let Some(status_uuid) = status_uuid {
        changes.effect(Effect::AcknowledgeOperation {
            agent_id: agent_id.clone(),
            status_uuid,
            operation_uuid,
        });
    }
}
