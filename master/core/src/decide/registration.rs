//! RegisterSlaveMessage: a new agent, one that was admitted but never told so, or one that takes another's place.

use proto::v1::AgentInfo;

use crate::command::AgentFacts;
use crate::encoded::Encoded;
use crate::ids::AgentId;
use crate::registry::{Agent, Registry};

/// What to do about a registration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It was admitted with these very facts, and its answer was lost: it gets the id it has.
    Known(AgentId),
    /// It has to be admitted; the agent that was registered at its address is removed first.
    Admit {
        /// Registered at the same pid.
        replaces: Option<AgentId>,
    },
}

/// Decides by what is registered at the sender's pid.
///
/// An agent that was admitted never reregistered, has no tasks and no executors, and says exactly the same: the leader
/// died between admitting it and telling it so, and a second id would leave a ghost behind.
pub fn registration(registry: &Registry, facts: &AgentFacts) -> Registration {
    let Some(agent) = registry.agents_at(&facts.pid).next() else {
        return Registration::Admit { replaces: None };
    };
    let untouched = agent.reregistered_at.is_none()
        && agent.executors.is_empty()
        && registry.tasks_of_agent(&agent.id).next().is_none();
    let same = agent.checkpointed_resources == facts.checkpointed_resources && says_the_same_otherwise(agent, facts);
    if untouched && same {
        Registration::Known(agent.id.clone())
    } else {
        Registration::Admit {
            replaces: Some(agent.id.clone()),
        }
    }
}

/// Whether the registry holds these very facts, apart from reservations and volumes.
pub(super) fn says_the_same_otherwise(agent: &Agent, facts: &AgentFacts) -> bool {
    let info = AgentInfo {
        id: None,
        ..agent.info.message().as_ref().clone()
    };
    agent.pid == facts.pid
        && agent.version == facts.version
        && agent.capabilities == facts.capabilities
        && agent.resource_version == facts.resource_version
        && agent.deduplicates_launches == facts.deduplicates_launches
        && Encoded::new(&info) == facts.info
}
