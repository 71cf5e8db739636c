//! AdmitAgent: an agent registers for the first time.

use super::Changes;
use crate::command::{AdmitAgent, AgentFacts, AgentRemoval};
use crate::encoded::Decoded;
use crate::event::Event;
use crate::ids::AgentId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::{AgentRecord, Registry};
use crate::resources::Resources;
use crate::timestamp::Timestamp;

impl Registry {
    pub(super) fn admit_agent(&mut self, command: &AdmitAgent, changes: &mut Changes) -> Result<Outcome, Rejection> {
        // Looked at before anything changes.
        agent_record(&AgentId::from("new"), &command.facts, changes.now)?;
        if let Some(replaced) = &command.replaces
            && self.agent(replaced).is_some()
        {
            self.remove_admitted_agent(replaced, AgentRemoval::Replaced, changes);
        }
        let agent_id = self.mint_agent_id();
        let record = agent_record(&agent_id, &command.facts, changes.now)?;
        let agent = self.put_agent(record);
        changes.event(Event::AgentAdded { agent });
        Ok(Outcome::AgentAdmitted { agent_id })
    }

    /// A new id. One that an agent of unknown origin brought along is passed over.
    fn mint_agent_id(&mut self) -> AgentId {
        loop {
            let number = self.cluster().next_agent;
            self.cluster_mut().next_agent = number.saturating_add(1);
            let id = AgentId::from(self.minted(&format!("S{number}")));
            let taken = self.agent(&id).is_some()
                || self.unreachable_agent(&id).is_some()
                || self.gone_agent(&id).is_some()
                || self.tasks_of_agent(&id).next().is_some();
            if !taken {
                return id;
            }
        }
    }
}

/// What is stored of an agent that says `facts` of itself. Errors: what of it makes no sense.
pub(super) fn agent_record(agent_id: &AgentId, facts: &AgentFacts, now: Timestamp) -> Result<AgentRecord, Rejection> {
    let malformed = |why: String| Rejection::Malformed { what: "agent", why };
    let mut info = facts.info.decode().map_err(|error| malformed(error.to_string()))?;
    info.id = Some(agent_id.to_proto());
    let checkpointed = facts
        .checkpointed_resources
        .decode()
        .map_err(|error| malformed(error.to_string()))?
        .resources;
    Resources::agent_total(&info.resources, &checkpointed).map_err(|error| malformed(error.to_string()))?;
    Ok(AgentRecord {
        id: agent_id.clone(),
        info: Decoded::new(info),
        pid: facts.pid.clone(),
        version: facts.version.clone(),
        capabilities: facts.capabilities.clone(),
        resource_version: facts.resource_version,
        checkpointed_resources: facts.checkpointed_resources.clone(),
        oversubscribed: None,
        provider_resources: None,
        registered_at: now,
        reregistered_at: None,
        deduplicates_launches: facts.deduplicates_launches,
    })
}
