//! Legacy JSON endpoints.

use libprocess::{HttpRequest, HttpResponse};
use master_core::ids::FrameworkId;

use super::query;
use super::service::{Route, current_state};
use crate::actor::{Context, Input};
use crate::leadership::reply::Reply;
use crate::version::{MESOS_VERSION, VERSION};

/// `/version`, answered by every replica.
pub(super) fn version(_request: &HttpRequest) -> HttpResponse {
    let body = serde_json::json!({ "version": MESOS_VERSION, "mesoraft_version": VERSION });
    HttpResponse::ok("application/json", body.to_string())
}

/// `/flags`.
pub(super) fn flags(_context: &Context, _request: &HttpRequest) -> HttpResponse {
    HttpResponse::ok("application/json", "{\"flags\":{}}")
}

/// `/teardown`: `frameworkId=…` in the body.
pub(super) async fn teardown(context: &Context, request: HttpRequest) -> HttpResponse {
    if request.method != "POST" {
        return HttpResponse::method_not_allowed(&["POST"], request.method);
    }
    let parameters = match query::decode(&String::from_utf8_lossy(&request.body)) {
        Ok(parameters) => parameters,
        Err(problem) => return HttpResponse::text(400, format!("Unable to decode query string: {problem}")),
    };
    let Some(framework_id) = parameters.get("frameworkId") else {
        return HttpResponse::text(400, "Missing 'frameworkId' query parameter in the request body");
    };
    let (reply, answer) = Reply::channel();
    let input = Input::Teardown(FrameworkId::from(framework_id.as_str()), reply);
    if context.mailbox.send(input).await.is_err() {
        return HttpResponse::text(503, "The master is stopping");
    }
    match answer.await {
        Ok(response) if response.status == 202 => HttpResponse::new(200),
        Ok(response) => response,
        Err(_) => crate::leadership::unknown_outcome(),
    }
}

/// Reads of the leader.
pub(super) async fn read(context: &Context, _route: Route, _request: HttpRequest) -> HttpResponse {
    match current_state(context).await {
        Ok(_) => HttpResponse::status(501),
        Err(response) => response,
    }
}
