//! Agents: admitted, unreachable or gone. Whether one is connected is soft state of the leader.

use std::sync::Arc;

use imbl::OrdMap;
use proto::v1::AgentInfo;
use proto::v1::agent_info::capability::Type as Capability;
use serde::{Deserialize, Serialize};

use crate::command::{EncodedResources, UuidBytes};
use crate::encoded::{Decoded, Encoded};
use crate::ids::{AgentId, ExecutorId, FrameworkId};
use crate::registry::Executor;
use crate::resources::{Kind, Resources};
use crate::timestamp::Timestamp;

/// What was last said about an agent; the stored part of [`Agent`], kept while it is unreachable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentRecord {
    /// Same as `info.id`.
    pub id: AgentId,
    /// Latest info, `id` filled in.
    pub info: Decoded<AgentInfo>,
    /// libprocess address `slave(1)@ip:port`.
    #[serde(deserialize_with = "crate::shared_text::deserialize")]
    pub pid: Arc<str>,
    /// Version text.
    pub version: Arc<str>,
    /// `AgentInfo.Capability.Type` numbers, sorted and unique.
    pub capabilities: Vec<i32>,
    /// Version of the agent's own resources.
    pub resource_version: Option<UuidBytes>,
    /// Dynamic reservations and volumes.
    pub checkpointed_resources: EncodedResources,
    /// Revocable resources from the agent's estimator.
    pub oversubscribed: Option<EncodedResources>,
    /// Resources of its local providers.
    pub provider_resources: Option<EncodedResources>,
    /// When it was admitted.
    pub registered_at: Timestamp,
    /// When it last came back.
    pub reregistered_at: Option<Timestamp>,
    /// The agent starts a launch that arrives twice once.
    pub deduplicates_launches: bool,
}

impl AgentRecord {
    /// It has the capability.
    pub fn has_capability(&self, capability: Capability) -> bool {
        self.capabilities.contains(&(capability as i32))
    }

    /// Where it runs.
    pub fn hostname(&self) -> &str {
        &self.info.hostname
    }
}

/// One admitted agent. Dereferences to its [`AgentRecord`].
#[derive(Clone, Debug, PartialEq)]
pub struct Agent {
    pub(crate) record: Arc<AgentRecord>,
    /// Everything it has, unallocated. Derived from the record.
    pub total: Resources,
    /// Sum over its executors and the tasks that have not ended, with their allocation roles. Derived.
    pub used: Resources,
    /// By framework and executor id.
    pub executors: OrdMap<(FrameworkId, ExecutorId), Arc<Executor>>,
}

impl Agent {
    /// What the registry stores of it.
    pub fn record(&self) -> &Arc<AgentRecord> {
        &self.record
    }

    /// What of it no task and no executor uses. A shared volume is in use as soon as one of them has it.
    pub fn free(&self) -> Resources {
        let used = self.used.unallocated();
        let is_used = |kind: &Kind| used.iter().any(|entry| entry.kind() == kind);
        let mut free = self
            .total
            .filter(|entry| !entry.kind().is_shared() || !is_used(entry.kind()));
        free.take_available(&used.filter(|entry| !entry.kind().is_shared()));
        free
    }

    /// As texts name it: `agent <id> at <pid> (<hostname>)`.
    pub fn named(&self) -> String {
        format!("agent {} at {} ({})", self.id, self.pid, self.hostname())
    }
}

impl std::ops::Deref for Agent {
    type Target = AgentRecord;
    fn deref(&self) -> &AgentRecord {
        &self.record
    }
}

/// An agent that did not answer for too long. It may come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreachableAgent {
    /// As it was.
    pub record: Arc<AgentRecord>,
    /// Since when.
    pub since: Timestamp,
}

/// An agent that will never come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneAgent {
    /// Which one.
    pub id: AgentId,
    /// Its info, if it was known.
    pub info: Option<Encoded<AgentInfo>>,
    /// Since when.
    pub since: Timestamp,
}
