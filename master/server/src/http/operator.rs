//! `POST /api/v1`: the operator API.

use libprocess::{HttpRequest, HttpResponse};
use proto::v1::master::{Call, Response, call, response};

use super::scheduler::{accepted, content_type, decode, not_acceptable};
use super::service::current_state;
use crate::actor::Context;

/// Carries one call out.
pub(super) async fn call(context: &Context, request: HttpRequest) -> HttpResponse {
    if request.method != "POST" {
        return HttpResponse::method_not_allowed(&["POST"], request.method);
    }
    let media_type = match content_type(&request) {
        Ok(media_type) => media_type,
        Err(response) => return response,
    };
    let call: Call = match decode(media_type, &request.body, "Call") {
        Ok(call) => call,
        Err(response) => return response,
    };
    let Some(kind) = call.r#type.and_then(|number| call::Type::try_from(number).ok()) else {
        return HttpResponse::text(400, "Failed to validate master::Call: Expecting 'type' to be present");
    };
    let Some(answer_type) = accepted(request.headers.get("accept")) else {
        return not_acceptable();
    };
    let answer = match kind {
        call::Type::GetHealth => Response {
            r#type: Some(response::Type::GetHealth as i32),
            get_health: Some(response::GetHealth { healthy: true }),
            ..Response::default()
        },
        call::Type::GetMaster => match current_state(context).await {
            Ok(state) => Response {
                r#type: Some(response::Type::GetMaster as i32),
                get_master: Some(response::GetMaster {
                    master_info: Some(state.master_info),
                    start_time: Some(context.started_at as f64 / 1e6),
                    elected_time: Some(state.elected_at as f64 / 1e6),
                }),
                ..Response::default()
            },
            Err(response) => return response,
        },
        _ => return HttpResponse::status(501),
    };
    HttpResponse::with_body(200, answer_type.as_str(), answer_type.encode(&answer))
}
