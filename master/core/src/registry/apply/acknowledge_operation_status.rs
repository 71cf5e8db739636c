//! AcknowledgeOperationStatus: a framework knows what came of its operation.

use super::Changes;
use crate::command::AcknowledgeOperationStatus;
use crate::effect::Effect;
use crate::outcome::Outcome;
use crate::registry::{Registry, uuid_bytes};

impl Registry {
    pub(super) fn acknowledge_operation_status(
        &mut self,
        command: &AcknowledgeOperationStatus,
        changes: &mut Changes,
    ) -> Outcome {
        let acknowledged = self.operations_of_agent(&command.agent_id).find(|operation| {
            let uuid = operation.latest_status().uuid;
            operation.framework_id.as_ref() == Some(&command.framework_id)
                && uuid_bytes(uuid.as_ref().map(|uuid| &*uuid.value)) == Some(command.status_uuid)
        });
        if let Some(operation) = acknowledged.cloned() {
            self.take_operation(&operation);
            changes.effect(Effect::AcknowledgeOperation {
                agent_id: command.agent_id.clone(),
                status_uuid: command.status_uuid,
                operation_uuid: operation.uuid,
            });
        }
        Outcome::OperationStatusRecorded
    }
}
