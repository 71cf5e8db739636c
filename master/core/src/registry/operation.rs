//! Operations on an agent's own resources, from their commit until nobody waits for them any more; and what is to be
//! thought of an agent that reports other reservations than the registry holds.
//!
//! The registry's list already has an operation in it when it is recorded here. It stays recorded until its agent has
//! carried it out, and, where its framework asked for feedback, until the framework knows.

use std::sync::Arc;

use proto::v1::agent_info::capability::Type as Capability;
use proto::v1::{self, OperationState, OperationStatus, offer};
use serde::{Deserialize, Serialize};

use crate::command::{AgentFacts, EncodedResources, UuidBytes};
use crate::encoded::Encoded;
use crate::ids::{AgentId, FrameworkId};
use crate::registry::store::decode_resources;
use crate::registry::{AgentRecord, Registry};
use crate::resources::{Conversion, Resources};

/// One operation that is under way or not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Names it between masters and agent.
    pub uuid: UuidBytes,
    /// Later ones have larger numbers.
    pub number: u64,
    /// Whose resources.
    pub agent_id: AgentId,
    /// Who asked; `None`: an operator.
    pub framework_id: Option<FrameworkId>,
    /// Without allocation roles; with the framework's operation id if it chose one.
    pub info: Encoded<offer::Operation>,
    /// OPERATION_PENDING until the agent has reported.
    pub status: Encoded<OperationStatus>,
}

impl Operation {
    /// The agent has not reported what came of it.
    pub fn is_pending(&self) -> bool {
        self.latest_status().state() == OperationState::OperationPending
    }

    /// What is known of it.
    pub fn latest_status(&self) -> OperationStatus {
        // Encoded by apply from this very type.
        self.status.decode().unwrap_or_default()
    }

    /// The id its framework chose; then it wants to know.
    pub fn id(&self) -> Option<v1::OperationId> {
        self.info.decode().ok().and_then(|info| info.id)
    }

    /// What it does to the agent's total.
    pub fn conversions(&self) -> Vec<Conversion> {
        let info = self.info.decode().unwrap_or_default();
        Conversion::of(&info).unwrap_or_default()
    }

    /// As frameworks and operators see it.
    pub fn to_proto(&self) -> v1::Operation {
        v1::Operation {
            framework_id: self.framework_id.as_ref().map(FrameworkId::to_proto),
            agent_id: Some(self.agent_id.to_proto()),
            info: self.info.decode().unwrap_or_default(),
            latest_status: self.latest_status(),
            statuses: vec![self.latest_status()],
            uuid: v1::Uuid {
                value: self.uuid.to_vec().into(),
            },
        }
    }
}

/// An agent's reservations after it has reported its own list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The list that holds from now on.
    pub checkpointed: EncodedResources,
    /// Pending operations that the agent has carried out.
    pub carried_out: Vec<Arc<Operation>>,
    /// Pending operations that it has not: they are sent again, in this order.
    pub missing: Vec<Arc<Operation>>,
    /// Pending operations that it cannot carry out any more.
    pub lost: Vec<Arc<Operation>>,
}

impl Settlement {
    /// Compares what an agent reports with what the registry holds of it.
    ///
    /// Shapes: `known` is the registry's list, `resources` are those of the agent's flags, `reported` its own list (valid on
    /// top of them), `pending` what it has not confirmed, in order. If the report and some last part of `pending` give the registry's list, the list stays and
    /// that part is missing. Otherwise the agent knows better (it has come from another master, or was restored): its list
    /// is taken over, and what is pending goes on top of it where it fits.
    pub fn of(
        known: &EncodedResources,
        understands_operations: bool,
        resources: &[v1::Resource],
        reported: &EncodedResources,
        pending: &[Arc<Operation>],
    ) -> Settlement {
        let list = |encoded: &EncodedResources| encoded.decode().unwrap_or_default().resources;
        let total = |list: &[v1::Resource]| Resources::agent_total(resources, list).ok();
        let settled = |checkpointed: &EncodedResources, missing: usize| Settlement {
            checkpointed: checkpointed.clone(),
            carried_out: pending[..missing].to_vec(),
            missing: pending[missing..].to_vec(),
            lost: Vec::new(),
        };
        if known == reported && pending.is_empty() {
            // Nearly always, and many agents come back at once.
            return settled(known, 0);
        }
        let kept = total(&list(known));
        if !understands_operations && kept.is_some() {
            // It is told the whole list each time: the master's view stays.
            return settled(known, pending.len());
        }
        let Some(base) = total(&list(reported)) else {
            // Refused by whoever asks; until then nothing changes.
            return settled(known, pending.len());
        };
        for missing in 0..=pending.len() {
            let mut with = base.clone();
            let fits = pending[missing..]
                .iter()
                .all(|operation| with.convert(&operation.conversions()).is_ok());
            if fits && Some(&with) == kept.as_ref() {
                return settled(known, missing);
            }
        }
        let mut with = base;
        let (mut missing, mut lost) = (Vec::new(), Vec::new());
        for operation in pending {
            match with.convert(&operation.conversions()) {
                Ok(()) => missing.push(operation.clone()),
                Err(_) => lost.push(operation.clone()),
            }
        }
        Settlement {
            checkpointed: encoded_resources(&with.checkpointed()),
            carried_out: Vec::new(),
            missing,
            lost,
        }
    }

    /// Whether the registry has to change for it: another list, or operations about which nobody else will say anything.
    pub fn is_news(&self, known: &EncodedResources) -> bool {
        let same = self.checkpointed == *known || decode_resources(&self.checkpointed) == decode_resources(known);
        !same || !self.lost.is_empty() || self.carried_out.iter().any(|operation| operation.id().is_none())
    }
}

impl Registry {
    /// What becomes of an agent's reservations and operations when it reports `facts`; `resources` are those of its flags.
    pub fn settlement(&self, known: &AgentRecord, facts: &AgentFacts, resources: &[v1::Resource]) -> Settlement {
        let pending: Vec<Arc<Operation>> = self
            .operations_of_agent(&known.id)
            .filter(|operation| operation.is_pending())
            .cloned()
            .collect();
        let understands = facts.capabilities.contains(&(Capability::ResourceProvider as i32));
        Settlement::of(
            &known.checkpointed_resources,
            understands,
            resources,
            &facts.checkpointed_resources,
            &pending,
        )
    }
}

/// A list in the form records keep it.
pub(crate) fn encoded_resources(resources: &Resources) -> EncodedResources {
    Encoded::new(&proto::internal::CheckpointResourcesMessage {
        resources: resources.to_proto(),
    })
}
