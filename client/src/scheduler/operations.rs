//! Operations on the resources of offers: what to put into an ACCEPT, and how to learn what came of it.

use proto::v1::offer::{Operation, operation};
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{AcknowledgeOperationStatus, ReconcileOperations, Type, reconcile_operations};
use proto::v1::{AgentId, OperationId, OperationStatus, Resource};

use super::Scheduler;
use crate::outcome::CallOutcome;

fn of(kind: operation::Type) -> Operation {
    Operation {
        r#type: Some(kind.into()),
        ..Operation::default()
    }
}

/// Reserves resources of the offer: each with the reservation it shall have on top.
pub fn reserve(resources: Vec<Resource>) -> Operation {
    Operation {
        reserve: Some(operation::Reserve {
            resources,
            source: Vec::new(),
        }),
        ..of(operation::Type::Reserve)
    }
}

/// Takes the topmost, dynamic reservation off.
pub fn unreserve(resources: Vec<Resource>) -> Operation {
    Operation {
        unreserve: Some(operation::Unreserve { resources }),
        ..of(operation::Type::Unreserve)
    }
}

/// Makes persistent volumes of reserved disk.
pub fn create(volumes: Vec<Resource>) -> Operation {
    Operation {
        create: Some(operation::Create { volumes }),
        ..of(operation::Type::Create)
    }
}

/// Destroys persistent volumes with everything in them; the disk stays reserved.
pub fn destroy(volumes: Vec<Resource>) -> Operation {
    Operation {
        destroy: Some(operation::Destroy { volumes }),
        ..of(operation::Type::Destroy)
    }
}

/// The same operation with an id: what comes of it is told by UPDATE_OPERATION_STATUS.
#[must_use]
pub fn with_feedback(operation: Operation, id: &str) -> Operation {
    Operation {
        id: Some(OperationId { value: id.to_owned() }),
        ..operation
    }
}

impl Scheduler {
    /// Acknowledges the status of an operation; does nothing (and counts as accepted) when it needs none.
    pub async fn acknowledge_operation(&self, status: &OperationStatus) -> CallOutcome {
        let (Some(uuid), Some(operation_id)) = (&status.uuid, &status.operation_id) else {
            return CallOutcome::Accepted;
        };
        let acknowledge = AcknowledgeOperationStatus {
            agent_id: status.agent_id.clone(),
            resource_provider_id: status.resource_provider_id.clone(),
            uuid: uuid.value.clone(),
            operation_id: operation_id.clone(),
        };
        self.call(Call {
            r#type: Some(Type::AcknowledgeOperationStatus.into()),
            acknowledge_operation_status: Some(acknowledge),
            ..Call::default()
        })
        .await
    }

    /// Asks for the status of operations, each with its agent if known; answers arrive as events. None: all that the master
    /// holds for the framework.
    pub async fn reconcile_operations(&self, operations: Vec<(OperationId, Option<AgentId>)>) -> CallOutcome {
        let operations = operations
            .into_iter()
            .map(|(operation_id, agent_id)| reconcile_operations::Operation {
                operation_id,
                agent_id,
                resource_provider_id: None,
            })
            .collect();
        self.call(Call {
            r#type: Some(Type::ReconcileOperations.into()),
            reconcile_operations: Some(ReconcileOperations { operations }),
            ..Call::default()
        })
        .await
    }
}
