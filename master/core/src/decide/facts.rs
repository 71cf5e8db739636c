//! What an agent says about itself, in the form the registry stores.

use proto::internal::{CheckpointResourcesMessage, RegisterSlaveMessage, ReregisterSlaveMessage};
use proto::v1::{AgentInfo, Resource, Uuid, agent_info};

use crate::command::{AgentFacts, UuidBytes};
use crate::encoded::Encoded;
use crate::registry::uuid_bytes;

/// The facts of a first registration; `pid` is the sender.
pub fn facts_of_registration(message: &RegisterSlaveMessage, pid: &str) -> AgentFacts {
    facts(
        &message.slave,
        pid,
        message.version.as_deref(),
        &message.agent_capabilities,
        &message.checkpointed_resources,
        message.resource_version_uuid.as_ref(),
        message.deduplicates_launches(),
    )
}

/// The facts of a reregistration; `pid` is the sender.
pub fn facts_of_reregistration(message: &ReregisterSlaveMessage, pid: &str) -> AgentFacts {
    facts(
        &message.slave,
        pid,
        message.version.as_deref(),
        &message.agent_capabilities,
        &message.checkpointed_resources,
        message.resource_version_uuid.as_ref(),
        message.deduplicates_launches(),
    )
}

fn facts(
    info: &AgentInfo,
    pid: &str,
    version: Option<&str>,
    capabilities: &[agent_info::Capability],
    checkpointed: &[Resource],
    resource_version: Option<&Uuid>,
    deduplicates_launches: bool,
) -> AgentFacts {
    // Without the id, so that the same agent has the same facts before and after it got one.
    let info = AgentInfo {
        id: None,
        ..info.clone()
    };
    let mut capabilities: Vec<i32> = capabilities.iter().filter_map(|capability| capability.r#type).collect();
    capabilities.sort_unstable();
    capabilities.dedup();
    AgentFacts {
        info: Encoded::new(&info),
        pid: pid.into(),
        version: version.unwrap_or_default().into(),
        capabilities,
        checkpointed_resources: Encoded::new(&CheckpointResourcesMessage {
            resources: checkpointed.to_vec(),
        }),
        resource_version: version_bytes(resource_version),
        deduplicates_launches,
    }
}

pub(super) fn version_bytes(uuid: Option<&Uuid>) -> Option<UuidBytes> {
    uuid.and_then(|uuid| uuid_bytes(Some(&uuid.value)))
}
