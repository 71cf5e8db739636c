//! UpdateSlaveMessage: which part of it is news.

use proto::internal::{CheckpointResourcesMessage, UpdateSlaveMessage};
use proto::v1::Resource;

use super::facts::version_bytes;
use crate::command::{EncodedResources, UpdateAgent};
use crate::encoded::Encoded;
use crate::ids::AgentId;
use crate::registry::Registry;

/// The command for what differs from the registry; `None` when nothing does, or the agent is not admitted.
pub fn agent_update(registry: &Registry, agent_id: &AgentId, message: &UpdateSlaveMessage) -> Option<UpdateAgent> {
    let agent = registry.agent(agent_id)?;
    let version =
        version_bytes(message.resource_version_uuid.as_ref()).filter(|new| agent.resource_version != Some(*new));
    // Agents before 1.5 leave the flag out and always mean it.
    let oversubscribed = message
        .update_oversubscribed_resources
        .unwrap_or(true)
        .then(|| encoded(&message.oversubscribed_resources))
        .filter(|new| differs(agent.oversubscribed.as_ref(), new));
    let provider_resources = message
        .resource_providers
        .as_ref()
        .map(|all| {
            let resources: Vec<Resource> = all
                .providers
                .iter()
                .flat_map(|provider| provider.total_resources.iter().cloned())
                .collect();
            encoded(&resources)
        })
        .filter(|new| differs(agent.provider_resources.as_ref(), new));
    let nothing_new = version.is_none() && oversubscribed.is_none() && provider_resources.is_none();
    (!nothing_new).then(|| UpdateAgent {
        agent_id: agent_id.clone(),
        resource_version: version,
        oversubscribed,
        provider_resources,
        checkpointed_resources: None,
    })
}

fn encoded(resources: &[Resource]) -> EncodedResources {
    Encoded::new(&CheckpointResourcesMessage {
        resources: resources.to_vec(),
    })
}

/// Never having said anything is the same as having nothing.
fn differs(known: Option<&EncodedResources>, new: &EncodedResources) -> bool {
    match known {
        Some(known) => known != new,
        None => !new.as_bytes().is_empty(),
    }
}
