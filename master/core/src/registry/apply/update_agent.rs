//! UpdateAgent: what an admitted agent says of its resources after it registered.

use super::Changes;
use crate::command::UpdateAgent;
use crate::effect::Effect;
use crate::outcome::{Outcome, Rejection};
use crate::registry::store::decode_resources;
use crate::registry::{AgentRecord, Registry};
use crate::resources::Resources;

impl Registry {
    pub(super) fn update_agent(&mut self, command: &UpdateAgent, changes: &mut Changes) -> Result<Outcome, Rejection> {
        let agent_id = &command.agent_id;
        let Some(agent) = self.agent(agent_id).cloned() else {
            return Err(Rejection::AgentNotAdmitted(agent_id.clone()));
        };
        let malformed = |why: String| Rejection::Malformed {
            what: "agent resources",
            why,
        };
        for resources in [&command.oversubscribed, &command.provider_resources]
            .into_iter()
            .flatten()
        {
            decode_resources(resources).map_err(malformed)?;
        }
        if let Some(checkpointed) = &command.checkpointed_resources {
            let checkpointed = checkpointed
                .decode()
                .map_err(|error| malformed(error.to_string()))?
                .resources;
            Resources::agent_total(&agent.info.resources, &checkpointed)
                .map_err(|error| malformed(error.to_string()))?;
        }
        let mut record = AgentRecord::clone(agent.record());
        if command.resource_version.is_some() {
            record.resource_version = command.resource_version;
        }
        if let Some(checkpointed) = &command.checkpointed_resources {
            record.checkpointed_resources = checkpointed.clone();
        }
        record.oversubscribed = command.oversubscribed.clone().or(record.oversubscribed);
        record.provider_resources = command.provider_resources.clone().or(record.provider_resources);
        let updated = self.put_agent(record);
        let total_changed = updated.total != agent.total;
        if total_changed {
            changes.effect(Effect::AgentTotalChanged {
                agent_id: agent_id.clone(),
            });
        }
        Ok(Outcome::AgentUpdated {
            agent_id: agent_id.clone(),
            total_changed,
        })
    }
}
