//! What readers are told of the soft state: a copy made in one turn of the actor, encoded elsewhere.

use std::collections::BTreeMap;

use master_core::Registry;
use master_core::ids::{AgentId, FrameworkId, OfferId};
use master_core::resources::Resources;
use proto::v1::MasterInfo;
use tokio::sync::watch;

use super::Leadership;

/// The leadership as one consistent picture, with the registry it refers to.
#[derive(Clone, Debug)]
pub(crate) struct SoftState {
    pub(crate) registry: Registry,
    pub(crate) master_info: MasterInfo,
    /// Microseconds of the wall clock.
    pub(crate) elected_at: u64,
    pub(crate) frameworks: BTreeMap<FrameworkId, FrameworkSoftState>,
    /// Agents that registered or reregistered with this leadership; the others of the registry are recovered.
    pub(crate) agents: BTreeMap<AgentId, AgentSoftState>,
    pub(crate) offers: BTreeMap<OfferId, OfferSoftState>,
    /// Commands on their way through the log.
    pub(crate) proposals: usize,
}

/// Where a stream of operator events starts.
#[derive(Debug)]
pub(crate) struct StreamStart {
    pub(crate) state: SoftState,
    /// Index of the last log entry in that state.
    pub(crate) applied_index: u64,
    /// Closed when the leadership is over.
    pub(crate) leadership: watch::Receiver<()>,
}

/// A framework's connection.
#[derive(Clone, Debug)]
pub(crate) struct FrameworkSoftState {
    pub(crate) connected: bool,
    /// Microseconds of the wall clock.
    pub(crate) subscribed_at: Option<u64>,
    pub(crate) suppressed_roles: Vec<String>,
}

/// An agent's connection.
#[derive(Clone, Debug)]
pub(crate) struct AgentSoftState {
    pub(crate) pid: String,
    pub(crate) connected: bool,
    /// Microseconds of the wall clock.
    pub(crate) registered_at: u64,
}

/// An outstanding offer.
#[derive(Clone, Debug)]
pub(crate) struct OfferSoftState {
    pub(crate) framework_id: FrameworkId,
    pub(crate) agent_id: AgentId,
    pub(crate) role: String,
    pub(crate) resources: Resources,
}

impl Leadership {
    /// The state as of the last batch, with the index it was applied up to.
    pub(crate) fn stream_start(&self) -> StreamStart {
        StreamStart {
            state: self.soft_state(),
            applied_index: self.applied_index,
            leadership: self.ends.subscribe(),
        }
    }

    /// Copies what readers need; the registry's clone shares its records.
    pub(crate) fn soft_state(&self) -> SoftState {
        SoftState {
            registry: self.registry.clone(),
            master_info: self.master_info(),
            elected_at: self.elected_at,
            frameworks: self
                .frameworks
                .iter()
                .map(|(id, connection)| {
                    let soft = FrameworkSoftState {
                        connected: connection.stream.is_some(),
                        subscribed_at: connection.subscribed_at,
                        suppressed_roles: connection.suppressed_roles.iter().cloned().collect(),
                    };
                    (id.clone(), soft)
                })
                .collect(),
            agents: self
                .agents
                .iter()
                .map(|(id, agent)| {
                    let soft = AgentSoftState {
                        pid: agent.pid.to_string(),
                        connected: agent.connected,
                        registered_at: agent.registered_at,
                    };
                    (id.clone(), soft)
                })
                .collect(),
            offers: self
                .offers
                .iter()
                .map(|(id, offer)| {
                    let soft = OfferSoftState {
                        framework_id: offer.framework_id.clone(),
                        agent_id: offer.agent_id.clone(),
                        role: offer.role.clone(),
                        resources: offer.resources.clone(),
                    };
                    (id.clone(), soft)
                })
                .collect(),
            proposals: self.proposals.len(),
        }
    }
}
