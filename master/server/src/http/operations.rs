//! Reservations and volumes by operators: the v1 calls, the older `/reserve`, `/unreserve`, `/create-volumes` and
//! `/destroy-volumes`, and GET_OPERATIONS. Statuses and texts are Mesos's.

use libprocess::percent::decode_query;
use libprocess::{HttpRequest, HttpResponse};
use master_core::ids::AgentId;
use master_core::{Registry, validate};
use proto::json::Node;
use proto::v1::master::{Call, call, response};
use proto::v1::offer::{Operation, operation};
use proto::v1::{self, Resource};

use super::service::current_state;
use crate::actor::{Context, Input};
use crate::leadership::operations::OperatorOperation;
use crate::leadership::reply::{Answer, Reply};

/// What the older endpoints take, by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Reserve,
    Unreserve,
    CreateVolumes,
    DestroyVolumes,
}

impl Endpoint {
    /// All of them with their paths.
    pub(super) const ALL: [(&'static str, Endpoint); 4] = [
        ("/master/reserve", Endpoint::Reserve),
        ("/master/unreserve", Endpoint::Unreserve),
        ("/master/create-volumes", Endpoint::CreateVolumes),
        ("/master/destroy-volumes", Endpoint::DestroyVolumes),
    ];

    /// The name of the list, and how a refusal of it begins.
    fn list(self) -> (&'static str, &'static str) {
        match self {
            Endpoint::Reserve => ("resources", "Error parsing"),
            Endpoint::Unreserve => ("resources", "Error in parsing"),
            Endpoint::CreateVolumes | Endpoint::DestroyVolumes => ("volumes", "Error in parsing"),
        }
    }

    fn operation(self, resources: Vec<Resource>, source: Vec<Resource>) -> Operation {
        match self {
            Endpoint::Reserve => reserve(resources, source),
            Endpoint::Unreserve => unreserve(resources),
            Endpoint::CreateVolumes => create(resources),
            Endpoint::DestroyVolumes => destroy(resources),
        }
    }
}

fn of(kind: operation::Type) -> Operation {
    Operation {
        r#type: Some(kind.into()),
        ..Operation::default()
    }
}

fn reserve(resources: Vec<Resource>, source: Vec<Resource>) -> Operation {
    Operation {
        reserve: Some(operation::Reserve { resources, source }),
        ..of(operation::Type::Reserve)
    }
}

fn unreserve(resources: Vec<Resource>) -> Operation {
    Operation {
        unreserve: Some(operation::Unreserve { resources }),
        ..of(operation::Type::Unreserve)
    }
}

fn create(volumes: Vec<Resource>) -> Operation {
    Operation {
        create: Some(operation::Create { volumes }),
        ..of(operation::Type::Create)
    }
}

fn destroy(volumes: Vec<Resource>) -> Operation {
    Operation {
        destroy: Some(operation::Destroy { volumes }),
        ..of(operation::Type::Destroy)
    }
}

/// RESERVE_RESOURCES, UNRESERVE_RESOURCES, CREATE_VOLUMES or DESTROY_VOLUMES.
pub(super) async fn call(context: &Context, kind: call::Type, call: Call) -> Answer {
    let (agent_id, mut operation) = match kind {
        call::Type::ReserveResources => {
            let it = call.reserve_resources.unwrap_or_default();
            (it.agent_id, reserve(it.resources, it.source))
        }
        call::Type::UnreserveResources => {
            let it = call.unreserve_resources.unwrap_or_default();
            (it.agent_id, unreserve(it.resources))
        }
        call::Type::CreateVolumes => {
            let it = call.create_volumes.unwrap_or_default();
            (it.agent_id, create(it.volumes))
        }
        _ => {
            let it = call.destroy_volumes.unwrap_or_default();
            (it.agent_id, destroy(it.volumes))
        }
    };
    if let Err(problem) = validate::operation_format(&mut operation) {
        return HttpResponse::text(400, format!("Failed to validate master::Call: {problem}")).into();
    }
    carry_out(context, agent_id, operation).await
}

async fn carry_out(context: &Context, agent_id: v1::AgentId, operation: Operation) -> Answer {
    let (reply, answer) = Reply::channel();
    let asked = OperatorOperation {
        agent_id: AgentId::from(&agent_id),
        operation,
        reply,
    };
    if context.mailbox.send(Input::Operation(Box::new(asked))).await.is_err() {
        return HttpResponse::text(503, "The master is stopping").into();
    }
    answer
        .await
        .unwrap_or_else(|_| crate::leadership::unknown_outcome().into())
}

/// The older endpoints: `slaveId=…&resources=<JSON list>` in the body.
pub(super) async fn endpoint(context: &Context, endpoint: Endpoint, request: HttpRequest) -> Answer {
    if request.method != "POST" {
        return HttpResponse::method_not_allowed(&["POST"], request.method).into();
    }
    let registry = match current_state(context).await {
        Ok(state) => state.registry,
        Err(answer) => return answer,
    };
    match wanted(endpoint, &request.body, &registry) {
        Ok((agent_id, operation)) => carry_out(context, agent_id, operation).await,
        Err(problem) => HttpResponse::text(400, problem).into(),
    }
}

fn wanted(endpoint: Endpoint, body: &[u8], registry: &Registry) -> Result<(v1::AgentId, Operation), String> {
    let parameters = decode_query(&String::from_utf8_lossy(body))
        .map_err(|problem| format!("Unable to decode query string: {problem}"))?;
    let parameter = |name: &str| {
        parameters
            .get(name)
            .ok_or_else(|| format!("Missing '{name}' query parameter in the request body"))
    };
    let (list, beginning) = endpoint.list();
    let agent_id = AgentId::from(parameter("slaveId")?.as_str());
    let text = parameter(list)?;
    if registry.agent(&agent_id).is_none() {
        return Err("No agent found with specified ID".to_owned());
    }
    let read = |name: &str, text: &str| {
        resources(text).map_err(|why| format!("{beginning} '{name}' query parameter in the request body: {why}"))
    };
    let resources = read(list, text)?;
    let source = match parameters.get("source") {
        Some(text) if endpoint == Endpoint::Reserve => read("source", text)?,
        _ => Vec::new(),
    };
    Ok((agent_id.to_proto(), endpoint.operation(resources, source)))
}

fn resources(text: &str) -> Result<Vec<Resource>, String> {
    let node = proto::json::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let Node::List(items) = &node else {
        return Err("Unexpected JSON type parsed".to_owned());
    };
    let read: Result<Vec<Resource>, _> = items.iter().map(proto::json::from_node).collect();
    read.map_err(|why| why.to_string())
}

/// GET_OPERATIONS: those that are under way or not acknowledged.
pub(super) fn operations(registry: &Registry) -> response::GetOperations {
    response::GetOperations {
        operations: registry.operations().map(|operation| operation.to_proto()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_endpoints_refuse_with_the_texts_of_mesos_in_their_order() {
        let registry = crate::http::tests::cluster::registry();
        let agent = registry.agents().next().unwrap().id.clone();
        for (endpoint, body, text) in [
            (
                Endpoint::Reserve,
                String::new(),
                "Missing 'slaveId' query parameter in the request body",
            ),
            (
                Endpoint::Reserve,
                "slaveId=nope".to_owned(),
                "Missing 'resources' query parameter in the request body",
            ),
            (
                Endpoint::CreateVolumes,
                "slaveId=nope".to_owned(),
                "Missing 'volumes' query parameter in the request body",
            ),
            (
                Endpoint::Unreserve,
                "slaveId=nope&resources=x".to_owned(),
                "No agent found with specified ID",
            ),
            (
                Endpoint::Reserve,
                format!("slaveId={agent}&resources=x"),
                "Error parsing 'resources' query parameter in the request body: syntax error at line 1 near: x",
            ),
            (
                Endpoint::DestroyVolumes,
                format!("slaveId={agent}&volumes=%7B%7D"),
                "Error in parsing 'volumes' query parameter in the request body: Unexpected JSON type parsed",
            ),
        ] {
            assert_eq!(wanted(endpoint, body.as_bytes(), &registry).unwrap_err(), text);
        }
        let body = format!(
            "slaveId={agent}&resources=[{{\"name\":\"cpus\",\"type\":\"SCALAR\",\"scalar\":{{\"value\":1}},\"role\":\"web\",\
             \"reservation\":{{}}}}]"
        );
        let (id, operation) = wanted(Endpoint::Reserve, body.as_bytes(), &registry).unwrap();
        assert_eq!(id, agent.to_proto());
        assert_eq!(operation.reserve.unwrap().resources.len(), 1);
    }
}
