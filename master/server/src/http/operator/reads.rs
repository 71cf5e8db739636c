//! The answers of the operator API that show the state of the cluster.

use proto::v1::agent_info::Capability;
use proto::v1::master::response::{self, get_agents, get_executors, get_frameworks};
use proto::v1::scheduler::OfferConstraints;
use proto::v1::{self, master::call};

use super::event_message;
use super::writer::{Writer, response};
use crate::http::endpoint_format::endpoint_format;
use crate::http::roles::Roles;
use crate::http::view::{AgentView, FrameworkView, TasksOf, View, framework_ids};
use crate::leadership::stream::MediaType;

/// The body for a call that reads the state; `None` for any other call.
pub(super) fn body(kind: call::Type, media_type: MediaType, view: &View<'_>) -> Option<Vec<u8>> {
    use response::Type;
    Some(match kind {
        call::Type::GetState => response(media_type, Type::GetState, (9, "get_state"), |to| state(to, view)),
        call::Type::GetAgents => response(media_type, Type::GetAgents, (10, "get_agents"), |to| agents(to, view)),
        call::Type::GetFrameworks => response(media_type, Type::GetFrameworks, (11, "get_frameworks"), |to| {
            frameworks(to, view)
        }),
        call::Type::GetExecutors => response(media_type, Type::GetExecutors, (12, "get_executors"), |to| {
            executors(to, view)
        }),
        call::Type::GetTasks => response(media_type, Type::GetTasks, (13, "get_tasks"), |to| tasks(to, view)),
        call::Type::GetRoles => response(media_type, Type::GetRoles, (14, "get_roles"), |to| roles(to, view)),
        _ => return None,
    })
}

/// The state a stream of events starts from. Events tell of changes of the registry only, and an agent that comes back
/// unchanged to a new leader changes nothing: so every admitted agent is listed among `agents`, those not back as not active.
pub(super) fn stream_state(to: &mut Writer, view: &View<'_>) {
    to.message(1, "get_tasks", |to| tasks(to, view));
    to.message(2, "get_executors", |to| executors(to, view));
    to.message(3, "get_frameworks", |to| frameworks(to, view));
    to.message(4, "get_agents", |to| {
        let is_back = |id| view.state.agents.get(id).is_some_and(|agent| agent.connected);
        let all = view.state.registry.agents();
        to.list(
            1,
            "agents",
            all.map(|agent| event_message::agent(agent, is_back(&agent.id))),
        );
        to.list(2, "recovered_agents", std::iter::empty::<v1::AgentInfo>());
    });
}

fn state(to: &mut Writer, view: &View<'_>) {
    to.message(1, "get_tasks", |to| tasks(to, view));
    to.message(2, "get_executors", |to| executors(to, view));
    to.message(3, "get_frameworks", |to| frameworks(to, view));
    to.message(4, "get_agents", |to| agents(to, view));
}

fn tasks(to: &mut Writer, view: &View<'_>) {
    let of_all = || framework_ids(view.state).map(|id| TasksOf::new(view.state, id));
    to.list(
        2,
        "tasks",
        of_all().flat_map(|tasks| tasks.live()).map(|task| task.to_proto()),
    );
    to.list(
        5,
        "unreachable_tasks",
        of_all()
            .flat_map(|tasks| tasks.unreachable())
            .map(|task| task.to_proto()),
    );
    to.list(
        3,
        "completed_tasks",
        of_all().flat_map(|tasks| tasks.completed()).map(|task| task.to_proto()),
    );
}

fn executors(to: &mut Writer, view: &View<'_>) {
    let all = view.state.registry.agents().flat_map(|agent| agent.executors.values());
    let shown = all.map(|executor| get_executors::Executor {
        // What the registry holds was encoded or checked there, so it decodes.
        executor_info: executor.info.decode().unwrap_or_default(),
        agent_id: executor.agent_id.to_proto(),
    });
    to.list(1, "executors", shown);
}

fn frameworks(to: &mut Writer, view: &View<'_>) {
    to.list(
        1,
        "frameworks",
        view.frameworks().map(|framework| framework_message(view, &framework)),
    );
    to.list(
        2,
        "completed_frameworks",
        view.completed_frameworks()
            .map(|framework| framework_message(view, &framework)),
    );
}

fn framework_message(view: &View<'_>, shown: &FrameworkView<'_>) -> get_frameworks::Framework {
    let framework = shown.framework;
    get_frameworks::Framework {
        framework_info: (**framework.info.message()).clone(),
        active: shown.active,
        connected: shown.connected,
        recovered: shown.recovered,
        registered_time: Some(framework.registered_at.to_proto()),
        reregistered_time: Some(framework.reregistered_at.unwrap_or(framework.registered_at).to_proto()),
        unregistered_time: shown.removed_at.map(|at| at.to_proto()),
        offers: offers(view, shown),
        allocated_resources: endpoint_format(&shown.used),
        offered_resources: endpoint_format(&shown.offered),
        offer_constraints: Some(OfferConstraints::default()),
        ..get_frameworks::Framework::default()
    }
}

fn offers(view: &View<'_>, framework: &FrameworkView<'_>) -> Vec<v1::Offer> {
    let message = |id: &master_core::ids::OfferId, offer: &crate::leadership::soft_state::OfferSoftState| {
        let agent = view.state.registry.agent(&offer.agent_id);
        v1::Offer {
            id: id.to_proto(),
            framework_id: offer.framework_id.to_proto(),
            agent_id: offer.agent_id.to_proto(),
            hostname: agent.map(|agent| agent.hostname().to_owned()).unwrap_or_default(),
            attributes: agent.map(|agent| agent.info.attributes.clone()).unwrap_or_default(),
            domain: agent.and_then(|agent| agent.info.domain.clone()),
            resources: endpoint_format(&offer.resources),
            allocation_info: Some(v1::resource::AllocationInfo {
                role: Some(offer.role.clone()),
            }),
            ..v1::Offer::default()
        }
    };
    framework.offers.iter().map(|(id, offer)| message(id, offer)).collect()
}

fn agents(to: &mut Writer, view: &View<'_>) {
    to.list(1, "agents", view.agents().map(|agent| agent_message(&agent)));
    to.list(
        2,
        "recovered_agents",
        view.recovered_agents().map(|agent| (**agent.info.message()).clone()),
    );
}

fn agent_message(shown: &AgentView<'_>) -> get_agents::Agent {
    let agent = shown.agent;
    get_agents::Agent {
        agent_info: (**agent.info.message()).clone(),
        active: shown.soft.connected,
        deactivated: Some(false),
        version: agent.version.to_string(),
        pid: Some(shown.soft.pid.clone()),
        registered_time: Some(agent.registered_at.to_proto()),
        reregistered_time: shown.reregistered_at.map(|at| at.to_proto()),
        total_resources: endpoint_format(&agent.total),
        allocated_resources: endpoint_format(&agent.used),
        offered_resources: shown.offered.map(endpoint_format).unwrap_or_default(),
        capabilities: agent
            .capabilities
            .iter()
            .map(|number| Capability { r#type: Some(*number) })
            .collect(),
        ..get_agents::Agent::default()
    }
}

fn roles(to: &mut Writer, view: &View<'_>) {
    let roles = Roles::new(view);
    let messages = roles.iter().map(|(name, role)| v1::Role {
        name: name.to_owned(),
        weight: role.weight(),
        frameworks: role.frameworks.iter().map(|id| id.to_proto()).collect(),
        resources: role.held().filter(|entry| entry.scalar() > 0).to_proto(),
    });
    to.list(1, "roles", messages);
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::v1::master::Response;
    use serde_json::Value;

    use super::*;
    use crate::http::tests::cluster::soft_state;

    const READS: [call::Type; 6] = [
        call::Type::GetState,
        call::Type::GetAgents,
        call::Type::GetFrameworks,
        call::Type::GetExecutors,
        call::Type::GetTasks,
        call::Type::GetRoles,
    ];

    fn json(kind: call::Type) -> Value {
        let state = soft_state();
        serde_json::from_slice(&body(kind, MediaType::Json, &View::new(&state)).unwrap()).unwrap()
    }

    fn keys(value: &Value) -> String {
        let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.join(" ")
    }

    #[test]
    fn both_encodings_say_the_same() {
        let state = soft_state();
        for kind in READS {
            let binary = body(kind, MediaType::Protobuf, &View::new(&state)).unwrap();
            let from_binary = proto::json::to_vec(&Response::decode(&*binary).unwrap());
            let text = body(kind, MediaType::Json, &View::new(&state)).unwrap();
            let from_text = proto::json::to_vec(&proto::json::from_slice::<Response>(&text, "Response").unwrap());
            assert_eq!(
                String::from_utf8_lossy(&from_binary),
                String::from_utf8_lossy(&from_text)
            );
        }
    }

    #[test]
    fn every_answer_has_the_keys_of_an_unmodified_master() {
        let state = json(call::Type::GetState);
        assert_eq!(state["type"], "GET_STATE");
        assert_eq!(
            keys(&state["get_state"]),
            "get_agents get_executors get_frameworks get_tasks"
        );
        assert_eq!(
            keys(&state["get_state"]["get_tasks"]),
            "completed_tasks tasks unreachable_tasks"
        );
        let agents = &state["get_state"]["get_agents"];
        assert_eq!(
            keys(&agents["agents"][0]),
            "active agent_info allocated_resources capabilities deactivated offered_resources pid registered_time \
             total_resources version"
        );
        assert_eq!(
            keys(&agents["agents"][0]["total_resources"][0]),
            "name role scalar type"
        );
        assert_eq!(
            keys(&agents["agents"][0]["allocated_resources"][0]),
            "allocation_info name role scalar type"
        );
        assert_eq!(agents["recovered_agents"][0]["id"]["value"], "c-S1");
        let frameworks = &state["get_state"]["get_frameworks"];
        assert_eq!(
            keys(&frameworks["frameworks"][0]),
            "active allocated_resources connected framework_info offer_constraints offered_resources offers recovered \
             registered_time reregistered_time"
        );
        assert_eq!(
            keys(&frameworks["completed_frameworks"][0]),
            "active connected framework_info offer_constraints recovered registered_time reregistered_time unregistered_time"
        );
        assert_eq!(
            keys(&state["get_state"]["get_executors"]["executors"][0]),
            "agent_id executor_info"
        );
    }

    #[test]
    fn tasks_are_listed_where_they_stand() {
        let tasks = &json(call::Type::GetTasks)["get_tasks"];
        let ids = |list: &str| -> Vec<&str> {
            tasks[list]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["task_id"]["value"].as_str().unwrap())
                .collect()
        };
        assert_eq!(ids("tasks"), ["running", "with-executor"]);
        assert_eq!(ids("unreachable_tasks"), ["away"]);
        assert_eq!(ids("completed_tasks"), ["done"]);
        assert_eq!(tasks["tasks"][0]["state"], "TASK_RUNNING");
    }

    #[test]
    fn a_role_shows_what_its_frameworks_hold() {
        let roles = &json(call::Type::GetRoles)["get_roles"]["roles"];
        assert_eq!(keys(&roles[0]), "frameworks name resources weight");
        assert_eq!(roles[0]["name"], "web");
        assert_eq!(roles[0]["weight"], 2.5);
        // Two tasks of 0.5, an executor of 0.1 and an offer of 1.
        assert_eq!(roles[0]["resources"][0]["scalar"]["value"], 2.1);
        assert_eq!(roles.as_array().unwrap().len(), 1);
    }
}
