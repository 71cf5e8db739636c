//! Operations on the resources of agents: RESERVE, UNRESERVE, CREATE and DESTROY of an ACCEPT, and what frameworks and
//! agents say to each other about them. Those of operators are in `operations/operator.rs`.
//!
//! What an operation makes is offered to nobody, and the rest of its offers to nobody else, before it is committed.

mod operator;

use libprocess::HttpResponse;
use master_core::command::{AcknowledgeOperationStatus, ApplyOperation, UpdateOperationStatus};
use master_core::ids::{AgentId, FrameworkId};
use master_core::registry::{Operation, uuid_bytes};
use master_core::resources::{Conversion, Resources, upgrade_resource};
use master_core::{CommandKind, Encoded, Outcome, validate};
use proto::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, CheckpointResourcesMessage, ResourceVersionUuid,
    UpdateOperationStatusMessage,
};
use proto::v1::agent_info::capability::Type as Capability;
use proto::v1::scheduler::{Event, call, event};
use proto::v1::{self, OperationState, OperationStatus, Uuid, offer};

use super::Leadership;
use super::accept::{Pool, allocate_to};
use super::proposals::Pending;
use super::reply::{Reply, SharedReply};
use super::stream::event;
pub(crate) use operator::{HeldOperation, OperatorOperation};
use std::sync::Arc;

/// What is left of the offers of one ACCEPT while operations on them are on their way through the log.
#[derive(Debug)]
pub(crate) struct Remainder {
    framework_id: FrameworkId,
    agent_id: AgentId,
    under_way: usize,
    /// One of them was not carried out: the allocator's books do not have what was expected.
    has_failed: bool,
    /// Set once the whole ACCEPT was looked at.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    unused: Resources,
    refuse: Option<u64>,
    /// Made by operations: offered again at once.
    produced: Resources,
}

/// An operation of an ACCEPT on its way through the log.
#[derive(Debug)]
pub(crate) struct AcceptedOperation {
    accept: u64,
    framework_id: FrameworkId,
    agent_id: AgentId,
    conversions: Vec<Conversion>,
    pub(super) reply: SharedReply,
}

impl Leadership {
    /// One operation of an ACCEPT. Refused without an id it is silent, as in Mesos; the resources return with the rest.
    pub(super) fn offer_operation(&mut self, pool: &mut Pool, mut operation: offer::Operation) {
        match self.check_operation(pool, &mut operation) {
            Ok(conversions) => self.propose_operation(pool, operation, conversions),
            Err(problem) => {
                tracing::info!(
                    framework_id = %pool.framework_id,
                    agent_id = %pool.agent_id,
                    problem,
                    "refused an operation"
                );
                if let Some(id) = &operation.id {
                    self.operation_error(&pool.framework_id, id, &problem);
                }
            }
        }
    }

    /// Converts the pool. Errors: why the operation is not carried out; the pool is as it was.
    fn check_operation(&self, pool: &mut Pool, operation: &mut offer::Operation) -> Result<Vec<Conversion>, String> {
        for resource in validate::operation_resources(operation) {
            allocate_to(std::slice::from_mut(resource), &pool.role);
        }
        validate::operation_format(operation)
            .map_err(|why| format!("Operation attempted with invalid resources: {why}"))?;
        if operation
            .reserve
            .as_ref()
            .is_some_and(|reserve| !reserve.source.is_empty())
        {
            return Err(
                "Operation attempted with unsupported 'source': only operators can change reservations".to_owned(),
            );
        }
        for resource in validate::operation_resources(operation) {
            upgrade_resource(resource);
        }
        let (Some(agent), Some(framework)) = (
            self.registry.agent(&pool.agent_id),
            self.registry.framework(&pool.framework_id),
        ) else {
            return Err(format!("Agent {} is not registered", pool.agent_id));
        };
        let understands = agent.has_capability(Capability::ResourceProvider);
        if operation.id.is_some() && !(understands && agent.has_capability(Capability::AgentOperationFeedback)) {
            return Err(format!(
                "Operation on agent default resources requested feedback, but agent {} does not have the required \
                 AGENT_OPERATION_FEEDBACK and RESOURCE_PROVIDER capabilities",
                agent.id
            ));
        }
        validate::operation(agent, Some(framework), operation).map_err(|why| format!("{why}; on {}", agent.named()))?;
        let conversions = Conversion::of(operation).map_err(|error| error.0)?;
        pool.available.convert(&conversions).map_err(|error| error.0)?;
        for conversion in &conversions {
            pool.produced.take_available(&conversion.consumed);
            pool.produced.add(&conversion.converted);
        }
        Ok(conversions)
    }

    fn propose_operation(&mut self, pool: &Pool, operation: offer::Operation, conversions: Vec<Conversion>) {
        let remainder = self.remainders.entry(pool.number).or_insert_with(|| Remainder {
            framework_id: pool.framework_id.clone(),
            agent_id: pool.agent_id.clone(),
            under_way: 0,
            has_failed: false,
            rest: None,
        });
        remainder.under_way += 1;
        let command = self.operation_command(&pool.agent_id, Some(&pool.framework_id), operation);
        let pending = AcceptedOperation {
            accept: pool.number,
            framework_id: pool.framework_id.clone(),
            agent_id: pool.agent_id.clone(),
            conversions,
            reply: pool.reply.for_command(),
        };
        self.propose(command, Pending::Operation(Box::new(pending)));
    }

    fn operation_command(
        &self,
        agent_id: &AgentId,
        framework_id: Option<&FrameworkId>,
        mut operation: offer::Operation,
    ) -> CommandKind {
        // An agent's resources are allocated to nobody.
        for resource in validate::operation_resources(&mut operation) {
            resource.allocation_info = None;
        }
        CommandKind::ApplyOperation(ApplyOperation {
            agent_id: agent_id.clone(),
            framework_id: framework_id.cloned(),
            operation: Encoded::new(&operation),
            uuid: self.context.seams.random_uuid(),
        })
    }

    /// All operations of an ACCEPT were looked at: what they left returns, at once or when they are committed.
    pub(super) fn return_rest(&mut self, pool: Pool, refuse: Option<u64>) {
        let Pool {
            framework_id,
            agent_id,
            available,
            produced,
            number,
            ..
        } = pool;
        let Some(remainder) = self.remainders.get_mut(&number) else {
            if !available.is_empty() {
                self.recover_offered(&framework_id, &agent_id, &available, refuse);
            }
            return;
        };
        let mut unused = available;
        let missing = unused.take_available(&produced);
        let mut left = produced;
        left.take_available(&missing);
        remainder.rest = Some(Rest {
            unused,
            refuse,
            produced: left,
        });
        self.settle_remainder(number);
    }

    /// An operation of an ACCEPT came out of the log.
    pub(super) fn account_operation(&mut self, operation: &AcceptedOperation, outcome: &Outcome) {
        if !matches!(outcome, Outcome::OperationApplied { .. }) {
            self.operation_failed(operation);
            return;
        }
        let converted = operation.conversions.iter().all(|conversion| {
            self.allocator.convert(
                &operation.framework_id,
                &operation.agent_id,
                &conversion.consumed,
                &conversion.converted,
            )
        });
        self.operation_settled(operation, converted);
    }

    /// An operation of an ACCEPT was not carried out, or nobody knows.
    pub(super) fn operation_failed(&mut self, operation: &AcceptedOperation) {
        self.operation_settled(operation, false);
    }

    fn operation_settled(&mut self, operation: &AcceptedOperation, is_done: bool) {
        if let Some(remainder) = self.remainders.get_mut(&operation.accept) {
            remainder.under_way = remainder.under_way.saturating_sub(1);
            remainder.has_failed |= !is_done;
        }
        self.settle_remainder(operation.accept);
    }

    fn settle_remainder(&mut self, number: u64) {
        let is_settled = |remainder: &Remainder| remainder.under_way == 0 && remainder.rest.is_some();
        if !self.remainders.get(&number).is_some_and(is_settled) {
            return;
        }
        let Some(Remainder {
            framework_id,
            agent_id,
            has_failed,
            rest: Some(rest),
            ..
        }) = self.remainders.remove(&number)
        else {
            return;
        };
        if has_failed {
            // What is held is not what was expected: the registry's books are the ones that hold.
            self.agent_total_changed(&agent_id);
            return;
        }
        self.recover_offered(&framework_id, &agent_id, &rest.produced, None);
        if !rest.unused.is_empty() {
            self.recover_offered(&framework_id, &agent_id, &rest.unused, rest.refuse);
        }
    }

    /// OPERATION_ERROR of an operation that never came to be: no uuid, nothing recorded.
    pub(super) fn operation_error(&mut self, framework_id: &FrameworkId, id: &v1::OperationId, message: &str) {
        let status = OperationStatus {
            operation_id: Some(id.clone()),
            state: OperationState::OperationError as i32,
            message: Some(message.to_owned()),
            ..OperationStatus::default()
        };
        self.forward_operation_status(framework_id, status);
    }

    /// UPDATE_OPERATION_STATUS, if the framework is connected.
    pub(super) fn forward_operation_status(&mut self, framework_id: &FrameworkId, status: OperationStatus) -> bool {
        let update = Event {
            update_operation_status: Some(event::UpdateOperationStatus { status }),
            ..event(event::Type::UpdateOperationStatus)
        };
        self.send_event(framework_id, &update)
    }

    /// ApplyOperationMessage. An agent that is away gets it when it reregisters.
    pub(super) fn send_operation(&self, operation: &Operation) {
        let Some(agent) = self.registry.agent(&operation.agent_id) else {
            return;
        };
        let Ok(operation_info) = operation.info.decode() else {
            return;
        };
        let version = agent.resource_version.unwrap_or_default();
        let message = ApplyOperationMessage {
            framework_id: operation.framework_id.as_ref().map(FrameworkId::to_proto),
            operation_info,
            operation_uuid: uuid(&operation.uuid),
            resource_version_uuid: ResourceVersionUuid {
                resource_provider_id: None,
                uuid: uuid(&version),
            },
        };
        self.send_to_agent(&operation.agent_id, &message);
    }

    /// CheckpointResourcesMessage with the whole list.
    pub(super) fn send_checkpointed_resources(&self, agent_id: &AgentId) {
        let Some(agent) = self.registry.agent(agent_id) else {
            return;
        };
        let checkpointed = agent.total.checkpointed();
        let resources = if agent.has_capability(Capability::ReservationRefinement) {
            checkpointed.to_proto()
        } else {
            checkpointed.to_proto_pre_refinement()
        };
        self.send_to_agent(agent_id, &CheckpointResourcesMessage { resources });
    }

    /// An agent is back: it gets the operations it has missed, or the whole list if it does not understand operations.
    pub(super) fn bring_reservations_up_to_date(&self, agent_id: &AgentId, operations: &[Arc<Operation>]) {
        let Some(agent) = self.registry.agent(agent_id) else {
            return;
        };
        if !agent.has_capability(Capability::ResourceProvider) {
            self.send_checkpointed_resources(agent_id);
        }
        for operation in operations {
            tracing::info!(%agent_id, number = operation.number, "sending an operation again");
            self.send_operation(operation);
        }
    }

    pub(super) fn acknowledge_operation(&self, agent_id: &AgentId, status: &[u8; 16], operation: &[u8; 16]) {
        let message = AcknowledgeOperationStatusMessage {
            status_uuid: uuid(status),
            operation_uuid: uuid(operation),
            resource_provider_id: None,
        };
        self.send_to_agent(agent_id, &message);
    }

    /// UpdateOperationStatusMessage.
    pub(super) fn operation_status(&mut self, message: UpdateOperationStatusMessage) {
        let Some(agent_id) = message.slave_id.as_ref().map(AgentId::from) else {
            return;
        };
        if !self.agents.contains_key(&agent_id) {
            // The agent sends it again once it is registered with this leadership.
            self.context.metrics.dropped_message();
            return;
        }
        let framework_id = message.framework_id.as_ref().map(FrameworkId::from);
        let operation_uuid = message.operation_uuid.as_ref().map(|uuid| &*uuid.value);
        let Some(operation_uuid) = uuid_bytes(operation_uuid) else {
            // The answer to a framework's reconciliation.
            if let Some(framework_id) = framework_id {
                self.forward_operation_status(&framework_id, message.status);
            }
            return;
        };
        let status_uuid = uuid_bytes(message.status.uuid.as_ref().map(|uuid| &*uuid.value));
        let Some(known) = self.registry.operation(&agent_id, &operation_uuid) else {
            // Settled before: the agent need not repeat it.
            if let Some(status_uuid) = status_uuid {
                self.acknowledge_operation(&agent_id, &status_uuid, &operation_uuid);
            }
            return;
        };
        if known.latest_status() == message.status {
            // On record; its framework has not acknowledged it.
            if let Some(framework_id) = known.framework_id.clone() {
                self.forward_operation_status(&framework_id, message.status);
            }
            return;
        }
        let command = UpdateOperationStatus {
            agent_id,
            update: Encoded::new(&message),
        };
        self.propose(CommandKind::UpdateOperationStatus(command), Pending::Nobody);
    }

    /// ACKNOWLEDGE_OPERATION_STATUS; what is not known is passed over.
    pub(super) fn acknowledge_operation_status(
        &mut self,
        framework_id: &FrameworkId,
        acknowledge: &call::AcknowledgeOperationStatus,
        reply: Reply,
    ) {
        let agent_id = acknowledge.agent_id.as_ref().map(AgentId::from);
        let (Some(agent_id), Some(status_uuid)) = (agent_id, uuid_bytes(Some(&acknowledge.uuid))) else {
            reply.send(HttpResponse::new(202));
            return;
        };
        let command = AcknowledgeOperationStatus {
            framework_id: framework_id.clone(),
            agent_id,
            status_uuid,
        };
        self.propose(CommandKind::AcknowledgeOperationStatus(command), Pending::Call(reply));
    }

    /// RECONCILE_OPERATIONS, once the lead is confirmed: one UPDATE_OPERATION_STATUS per operation, without uuid.
    pub(super) fn reconcile_operations(
        &mut self,
        framework_id: &FrameworkId,
        asked: &[call::reconcile_operations::Operation],
        reply: Reply,
    ) {
        let statuses: Vec<OperationStatus> = if asked.is_empty() {
            let own = self.registry.operations();
            let own = own.filter(|operation| operation.framework_id.as_ref() == Some(framework_id));
            own.map(|operation| operation.latest_status()).collect()
        } else {
            asked.iter().map(|one| self.reconciled(framework_id, one)).collect()
        };
        for mut status in statuses {
            status.uuid = None;
            if !self.forward_operation_status(framework_id, status) {
                break;
            }
        }
        reply.send(HttpResponse::new(202));
    }

    fn reconciled(&self, framework_id: &FrameworkId, asked: &call::reconcile_operations::Operation) -> OperationStatus {
        let known = self.registry.operations().find(|operation| {
            operation.framework_id.as_ref() == Some(framework_id)
                && operation.id().as_ref() == Some(&asked.operation_id)
        });
        let agent_id = asked.agent_id.as_ref().map(AgentId::from);
        if let Some(known) = known {
            return known.latest_status();
        }
        let (state, text) = match &agent_id {
            None => (
                OperationState::OperationUnknown,
                "Operation is unknown and no 'agent_id' was provided",
            ),
            Some(id) if self.registry.agent(id).is_some() => (OperationState::OperationUnknown, "Operation is unknown"),
            Some(id) if self.registry.unreachable_agent(id).is_some() => (
                OperationState::OperationUnreachable,
                "Operation is unknown and its agent is unreachable",
            ),
            Some(id) if self.registry.gone_agent(id).is_some() => (
                OperationState::OperationGoneByOperator,
                "Operation is unknown and its agent is gone",
            ),
            Some(_) => (OperationState::OperationUnknown, "Both operation and agent are unknown"),
        };
        OperationStatus {
            operation_id: Some(asked.operation_id.clone()),
            state: state.into(),
            message: Some(format!("Reconciliation: {text}")),
            agent_id: asked.agent_id.clone(),
            resource_provider_id: asked.resource_provider_id.clone(),
            ..OperationStatus::default()
        }
    }
}

fn uuid(bytes: &[u8; 16]) -> Uuid {
    Uuid {
        value: bytes.to_vec().into(),
    }
}
