//! Operator events in the form of the v1 API. A pure function of the event, so that every replica writes the same.

use master_core::Event as Happened;
use master_core::registry::{Agent, Framework};
use proto::ext::event_position::EventPosition;
use proto::v1::agent_info::Capability;
use proto::v1::master::event::{self, Type};
use proto::v1::master::response::{get_agents, get_frameworks};
use proto::v1::master::{Event, event::Subscribed};
use proto::v1::scheduler::OfferConstraints;

use crate::http::endpoint_format::endpoint_format;

/// The event that ends at `position`.
pub(super) fn event(happened: &Happened, position: EventPosition) -> Event {
    match happened {
        Happened::TaskAdded { task } => Event {
            task_added: Some(event::TaskAdded { task: task.to_proto() }),
            ..typed(Type::TaskAdded, position)
        },
        Happened::TaskUpdated {
            framework_id,
            status,
            state,
        } => Event {
            task_updated: Some(event::TaskUpdated {
                framework_id: framework_id.to_proto(),
                status: (**status).clone(),
                state: *state as i32,
            }),
            ..typed(Type::TaskUpdated, position)
        },
        Happened::AgentAdded { agent: added } => Event {
            agent_added: Some(event::AgentAdded {
                agent: agent(added, true),
            }),
            ..typed(Type::AgentAdded, position)
        },
        Happened::AgentRemoved { agent_id } => Event {
            agent_removed: Some(event::AgentRemoved {
                agent_id: agent_id.to_proto(),
            }),
            ..typed(Type::AgentRemoved, position)
        },
        Happened::FrameworkAdded { framework: added } => Event {
            framework_added: Some(event::FrameworkAdded {
                framework: framework(added),
            }),
            ..typed(Type::FrameworkAdded, position)
        },
        Happened::FrameworkUpdated { framework: updated } => Event {
            framework_updated: Some(event::FrameworkUpdated {
                framework: framework(updated),
            }),
            ..typed(Type::FrameworkUpdated, position)
        },
        Happened::FrameworkRemoved { framework: removed } => Event {
            framework_removed: Some(event::FrameworkRemoved {
                framework_info: (**removed.info.message()).clone(),
            }),
            ..typed(Type::FrameworkRemoved, position)
        },
    }
}

/// HEARTBEAT of a stream that has come to `position`.
pub(super) fn heartbeat(position: EventPosition) -> Event {
    typed(Type::Heartbeat, position)
}

/// SUBSCRIBED without a state: the first record of a stream that goes on behind `position`.
pub(super) fn resumed(position: EventPosition, heartbeat_interval_seconds: f64) -> Event {
    Event {
        subscribed: Some(Subscribed {
            get_state: None,
            heartbeat_interval_seconds: Some(heartbeat_interval_seconds),
        }),
        ..typed(Type::Subscribed, position)
    }
}

/// An event of this type; its sub-message is left to the caller.
pub(super) fn typed(kind: Type, position: EventPosition) -> Event {
    Event {
        r#type: Some(kind as i32),
        position: Some(position.to_string()),
        ..Event::default()
    }
}

/// An agent as the registry has it; `active` is what the caller knows of its connection.
pub(super) fn agent(agent: &Agent, active: bool) -> get_agents::Agent {
    get_agents::Agent {
        agent_info: (**agent.info.message()).clone(),
        active,
        deactivated: Some(false),
        version: agent.version.to_string(),
        pid: Some(agent.pid.to_string()),
        registered_time: Some(agent.registered_at.to_proto()),
        reregistered_time: agent.reregistered_at.map(|at| at.to_proto()),
        total_resources: endpoint_format(&agent.total),
        allocated_resources: endpoint_format(&agent.used),
        capabilities: agent
            .capabilities
            .iter()
            .map(|number| Capability { r#type: Some(*number) })
            .collect(),
        ..get_agents::Agent::default()
    }
}

/// A framework as the registry has it. It is connected when it was added or updated, unless only its agents know of it.
fn framework(framework: &Framework) -> get_frameworks::Framework {
    let subscribed = !framework.recovered;
    get_frameworks::Framework {
        framework_info: (**framework.info.message()).clone(),
        active: subscribed,
        connected: subscribed,
        recovered: framework.recovered,
        registered_time: Some(framework.registered_at.to_proto()),
        reregistered_time: Some(framework.reregistered_at.unwrap_or(framework.registered_at).to_proto()),
        offer_constraints: Some(OfferConstraints::default()),
        ..get_frameworks::Framework::default()
    }
}
