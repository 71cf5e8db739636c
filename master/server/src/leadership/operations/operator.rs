//! Operations of operators: RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES, DESTROY_VOLUMES.
//!
//! Offers of the agent are taken back until what is wanted is free; it is offered to nobody until the operation came out
//! of the log.

use libprocess::HttpResponse;
use master_core::allocator::{DEFAULT_REFUSE_SECONDS, MICROS_PER_SECOND};
use master_core::ids::{AgentId, FrameworkId, OfferId};
use master_core::resources::{Conversion, Resources, upgrade_resource};
use master_core::{Outcome, validate};
use proto::v1::offer;
use proto::v1::offer::operation::Type;

use super::super::Leadership;
use super::super::proposals::{Pending, unknown_outcome};
use super::super::reply::Reply;

/// Stands for operators in the allocator's books; masters mint no such id.
const HOLDER: &str = "operator";

/// Frameworks are not offered again at once what was taken back from them, as if they had declined it without a filter of
/// their own.
const REFUSE_MICROS: u64 = DEFAULT_REFUSE_SECONDS as u64 * MICROS_PER_SECOND;

/// What an operator asks.
#[derive(Debug)]
pub(crate) struct OperatorOperation {
    pub(crate) agent_id: AgentId,
    pub(crate) operation: offer::Operation,
    pub(crate) reply: Reply,
}

/// The same on its way through the log.
#[derive(Debug)]
pub(crate) struct HeldOperation {
    agent_id: AgentId,
    /// What of the agent's free resources changes.
    change: Conversion,
    /// `None` once the caller was told that the outcome is unknown.
    pub(in crate::leadership) reply: Option<Reply>,
}

impl HeldOperation {
    /// Tells the caller what came of it.
    pub(in crate::leadership) fn answer(self, outcome: &Outcome) {
        let Some(reply) = self.reply else { return };
        reply.send(match outcome {
            Outcome::OperationApplied { .. } => HttpResponse::new(202),
            Outcome::Rejected(rejection) => HttpResponse::text(409, rejection.to_string()),
            _ => unknown_outcome(),
        });
    }

    /// The caller waits no longer.
    pub(in crate::leadership) fn give_up(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply.send(unknown_outcome());
        }
    }
}

impl Leadership {
    pub(crate) fn operator_operation(&mut self, asked: OperatorOperation) {
        let OperatorOperation {
            agent_id,
            mut operation,
            reply,
        } = asked;
        let change = match self.free_for_operator(&agent_id, &mut operation) {
            Ok(change) => change,
            Err(response) => {
                reply.send(response);
                return;
            }
        };
        let held = change.consumed.clone();
        self.allocator
            .use_unoffered(&FrameworkId::from(HOLDER), &agent_id, &held);
        let command = self.operation_command(&agent_id, None, operation);
        let pending = HeldOperation {
            agent_id,
            change,
            reply: Some(reply),
        };
        self.propose(command, Pending::OperatorOperation(Box::new(pending)));
    }

    /// Checks the operation and takes offers back until it can be carried out. Errors: the answer.
    fn free_for_operator(
        &mut self,
        agent_id: &AgentId,
        operation: &mut offer::Operation,
    ) -> Result<Conversion, HttpResponse> {
        let Some(agent) = self.registry.agent(agent_id).cloned() else {
            return Err(HttpResponse::text(400, "No agent found with specified ID"));
        };
        validate::operation_format(operation).map_err(|problem| HttpResponse::text(400, problem))?;
        for resource in validate::operation_resources(operation) {
            upgrade_resource(resource);
        }
        let kind = operation.r#type();
        validate::operation(&agent, None, operation).map_err(|problem| {
            let name = kind.as_str_name();
            let at = match kind {
                Type::Reserve | Type::Create => format!(" on {}", agent.named()),
                _ => String::new(),
            };
            HttpResponse::text(400, format!("Invalid {name} operation{at}: {problem}"))
        })?;
        let conversions = Conversion::of(operation).map_err(|error| HttpResponse::text(400, error.0))?;
        let conflict = |error: master_core::resources::ResourceError| HttpResponse::text(409, error.0);
        agent.total.clone().convert(&conversions).map_err(conflict)?;
        agent.free().convert(&conversions).map_err(conflict)?;
        if !self.allocator.knows_agent(agent_id) {
            // It has not come back to this leadership: nothing of it is offered.
            return Ok(Conversion::default());
        }
        self.rescind_for_operator(agent_id, &conversions);
        let available = self.allocator.available(agent_id).cloned().unwrap_or_default();
        let mut after = available.clone();
        // What is not offered and not used is on its way to become a task or another reservation.
        after.convert(&conversions).map_err(conflict)?;
        Ok(Conversion {
            consumed: without(&available, &after),
            converted: without(&after, &available),
        })
    }

    fn rescind_for_operator(&mut self, agent_id: &AgentId, conversions: &[Conversion]) {
        let mut wanted = Resources::new();
        for conversion in conversions {
            wanted.add(&conversion.consumed);
        }
        let offers: Vec<(OfferId, Resources)> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.agent_id == *agent_id)
            .map(|(id, offer)| (id.clone(), offer.resources.unallocated()))
            .collect();
        for (offer_id, offered) in offers {
            let is_free = |available: &Resources| available.clone().convert(conversions).is_ok();
            if self.allocator.available(agent_id).is_some_and(is_free) {
                return;
            }
            let helps = without(&wanted, &offered) != wanted;
            if helps {
                self.rescind_refused(&offer_id, Some(REFUSE_MICROS));
            }
        }
    }

    /// An operator's operation came out of the log.
    pub(in crate::leadership) fn account_operator(&mut self, operation: &HeldOperation, outcome: &Outcome) {
        let was_held = self.release_held(operation);
        if !matches!(outcome, Outcome::OperationApplied { .. }) || !self.allocator.knows_agent(&operation.agent_id) {
            return;
        }
        let Conversion { consumed, converted } = &operation.change;
        let is_done = was_held
            && !consumed.is_empty()
            && self
                .allocator
                .convert_available(&operation.agent_id, consumed, converted);
        if !is_done {
            // The agent was counted anew, or came back, while the command was on its way.
            self.agent_total_changed(&operation.agent_id);
        }
    }

    /// What was held for an operation is free again; whether all of it was still held.
    pub(in crate::leadership) fn release_held(&mut self, operation: &HeldOperation) -> bool {
        let holder = FrameworkId::from(HOLDER);
        let missing = self
            .allocator
            .recover_used(&holder, &operation.agent_id, &operation.change.consumed);
        missing.is_empty()
    }
}

fn without(from: &Resources, part: &Resources) -> Resources {
    let mut rest = from.clone();
    rest.take_available(part);
    rest
}
