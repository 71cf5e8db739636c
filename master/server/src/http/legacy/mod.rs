//! Legacy JSON endpoints (Mesos `docs/endpoints/`), key for key as their readers expect them.
//!
//! Every object is written straight from the registry's records, never as a tree in memory.

mod constraints_debug;
mod frameworks;
mod list;
mod resources;
mod roles;
mod slaves;
mod state;
mod summary;
mod task;
mod tasks;
#[cfg(test)]
mod tests;

use libprocess::percent::decode_query;
use libprocess::{HttpRequest, HttpResponse};
use master_core::ids::FrameworkId;
use proto::v1::VersionInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::answer::{Parameters, encode, json, parameters};
use super::roles::Roles;
use super::service::{Route, current_state, local_state};
use super::unsupported::not_yet;
use super::view::View;
use super::{flags as flag_texts, version_info};
use crate::actor::{Context, Input};
use crate::leadership::SoftState;
use crate::leadership::reply::{Answer, Reply};

struct Version(VersionInfo);

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        state::write_version(&mut map, &self.0)?;
        map.end()
    }
}

/// `/version`, answered by every replica.
pub(super) fn version(request: &HttpRequest) -> HttpResponse {
    json(&parameters(request), &Version(version_info::version_info()))
}

/// `/flags`, answered by every replica.
pub(super) fn flags(context: &Context, request: &HttpRequest) -> HttpResponse {
    #[derive(serde::Serialize)]
    struct Flags<F> {
        flags: F,
    }
    json(
        &parameters(request),
        &Flags {
            flags: flag_texts::flags(&context.config),
        },
    )
}

/// `/logging/toggle`: the level is shown; it is set by the environment of the process only.
pub(super) fn logging(request: &HttpRequest) -> HttpResponse {
    let parameters = parameters(request);
    if parameters.contains_key("level") || parameters.contains_key("duration") {
        return not_yet("changing the logging level");
    }
    HttpResponse::text(200, "0\n")
}

/// `/allocator/offer_constraints_debug`, answered by every replica; only a leader knows frameworks.
pub(super) async fn offer_constraints_debug(context: &Context, request: &HttpRequest) -> HttpResponse {
    let state = local_state(context).await;
    json(
        &parameters(request),
        &constraints_debug::ConstraintsDebug(state.as_ref()),
    )
}

/// `/teardown`: `frameworkId=…` in the body.
pub(super) async fn teardown(context: &Context, request: HttpRequest) -> Answer {
    if request.method != "POST" {
        return HttpResponse::method_not_allowed(&["POST"], request.method).into();
    }
    let parameters = match decode_query(&String::from_utf8_lossy(&request.body)) {
        Ok(parameters) => parameters,
        Err(problem) => return HttpResponse::text(400, format!("Unable to decode query string: {problem}")).into(),
    };
    let Some(framework_id) = parameters.get("frameworkId") else {
        return HttpResponse::text(400, "Missing 'frameworkId' query parameter in the request body").into();
    };
    operator_teardown(context, FrameworkId::from(framework_id.as_str())).await
}

/// Removes a framework on an operator's behalf: `200`, or why not.
pub(super) async fn operator_teardown(context: &Context, framework_id: FrameworkId) -> Answer {
    let (reply, answer) = Reply::channel();
    if context
        .mailbox
        .send(Input::Teardown(framework_id, reply))
        .await
        .is_err()
    {
        return HttpResponse::text(503, "The master is stopping").into();
    }
    match answer.await {
        Ok(Answer::Response(response)) if response.status == 202 => HttpResponse::new(200).into(),
        Ok(answer) => answer,
        Err(_) => crate::leadership::unknown_outcome().into(),
    }
}

/// Reads of the leader.
pub(super) async fn read(context: &Context, route: Route, request: HttpRequest) -> Answer {
    let state = match current_state(context).await {
        Ok(state) => state,
        Err(answer) => return answer,
    };
    let process = state::Process {
        version: version_info::version_info(),
        flags: flag_texts::flags(&context.config),
        cluster: context.config.cluster.clone(),
        start_time: context.started_at as f64 / 1e6,
    };
    let parameters = parameters(&request);
    encode(&context.seams, move || body(route, &state, &process, &parameters))
        .await
        .into()
}

/// The answer of one read endpoint.
fn body(route: Route, state: &SoftState, process: &state::Process, parameters: &Parameters) -> HttpResponse {
    let view = View::new(state);
    let view = &view;
    match route {
        Route::State => json(parameters, &state::State { view, process }),
        Route::StateSummary => json(parameters, &summary::Summary::new(view, &process.cluster)),
        Route::Slaves => json(parameters, &slaves::Slaves { view, parameters }),
        Route::Frameworks => json(parameters, &frameworks::Frameworks { view, parameters }),
        Route::Tasks => json(parameters, &tasks::Tasks::new(state, parameters)),
        Route::Roles => json(parameters, &roles::RolesJson(&Roles::new(view))),
        _ => HttpResponse::status(404),
    }
}
