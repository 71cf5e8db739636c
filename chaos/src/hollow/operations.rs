//! Reservations and volumes of a hollow agent: a list that operations change, and what is to be said about them.

use std::collections::BTreeMap;

use bytes::Bytes;
use master_core::resources::{Conversion, Resources};
use proto::internal::{AcknowledgeOperationStatusMessage, ApplyOperationMessage, UpdateOperationStatusMessage};
use proto::v1::{AgentInfo, OperationState, OperationStatus, Resource, Uuid};

/// What is checkpointed of operations.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    /// Dynamic reservations and volumes.
    pub(super) checkpointed: Vec<Resource>,
    /// By the operation's uuid: what came of it; without the status once that is acknowledged.
    known: BTreeMap<Bytes, Option<UpdateOperationStatusMessage>>,
}

impl Operations {
    /// Applies an operation once; returns what is to be said about it.
    pub(super) fn apply(
        &mut self,
        info: &AgentInfo,
        message: &ApplyOperationMessage,
        status_uuid: [u8; 16],
    ) -> Option<UpdateOperationStatusMessage> {
        let uuid = &message.operation_uuid;
        if let Some(known) = self.known.get(&uuid.value) {
            return known.clone();
        }
        let mut status = OperationStatus {
            operation_id: message.operation_info.id.clone(),
            state: OperationState::OperationFinished.into(),
            uuid: Some(Uuid {
                value: status_uuid.to_vec().into(),
            }),
            agent_id: info.id.clone(),
            ..OperationStatus::default()
        };
        match self.converted(info, message) {
            Ok(checkpointed) => self.checkpointed = checkpointed,
            Err(problem) => {
                status.state = OperationState::OperationDropped.into();
                status.message = Some(problem);
            }
        }
        let update = UpdateOperationStatusMessage {
            framework_id: message.framework_id.clone(),
            slave_id: info.id.clone(),
            latest_status: Some(status.clone()),
            status,
            operation_uuid: Some(uuid.clone()),
        };
        self.known.insert(uuid.value.clone(), Some(update.clone()));
        Some(update)
    }

    fn converted(&self, info: &AgentInfo, message: &ApplyOperationMessage) -> Result<Vec<Resource>, String> {
        let text = |error: master_core::resources::ResourceError| error.to_string();
        let mut total = Resources::agent_total(&info.resources, &self.checkpointed).map_err(text)?;
        let conversions = Conversion::of(&message.operation_info).map_err(text)?;
        let conversions: Vec<Conversion> = conversions.iter().map(Conversion::unallocated).collect();
        total.convert(&conversions).map_err(text)?;
        Ok(total.checkpointed().to_proto())
    }

    /// It is known what came of an operation.
    pub(super) fn acknowledged(&mut self, message: &AcknowledgeOperationStatusMessage) {
        if let Some(known) = self.known.get_mut(&message.operation_uuid.value) {
            *known = None;
        }
    }

    /// Everything that is not acknowledged.
    pub(super) fn unacknowledged(&self) -> impl Iterator<Item = &UpdateOperationStatusMessage> {
        self.known.values().flatten()
    }
}
