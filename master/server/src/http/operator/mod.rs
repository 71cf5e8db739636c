//! `POST /api/v1`: the operator API, in JSON and protobuf.
//!
//! Reads are answered from one consistent picture of the leadership, confirmed by a quorum. The writes that this master does not carry out yet are answered `501`.

mod event_message;
mod reads;
mod subscribe;
mod validate;
mod writer;

use libprocess::{HttpRequest, HttpResponse};
use master_core::ids::FrameworkId;
use proto::v1::master::{Call, Response, call, response};
use proto::v1::{Flag, maintenance};

use super::legacy::operator_teardown;
use super::scheduler::{accepted, content_type, decode, not_acceptable};
use super::service::current_state;
use super::unsupported::not_yet;
use super::view::View;
use super::{answer, flags, metrics, operations, quota, version_info, weights};
use crate::actor::Context;
use crate::leadership::reply::Answer;
use crate::leadership::stream::MediaType;

/// Carries one call out.
pub(super) async fn call(context: &Context, request: HttpRequest) -> Answer {
    let (call, kind, media_type) = match checked(&request) {
        Ok(checked) => checked,
        Err(response) => return response.into(),
    };
    if let Some(small) = small_answer(context, kind) {
        return respond(media_type, &small).into();
    }
    match kind {
        call::Type::GetState
        | call::Type::GetAgents
        | call::Type::GetFrameworks
        | call::Type::GetExecutors
        | call::Type::GetTasks
        | call::Type::GetRoles => read(context, kind, media_type).await,
        call::Type::GetMetrics => {
            let metrics = metrics::messages(context).await;
            let answer = Response {
                get_metrics: Some(response::GetMetrics { metrics }),
                ..typed(response::Type::GetMetrics)
            };
            respond(media_type, &answer).into()
        }
        call::Type::GetMaster => match master(context).await {
            Ok(answer) => respond(media_type, &answer).into(),
            Err(answer) => answer,
        },
        call::Type::Teardown => {
            let framework_id = call.teardown.map(|teardown| FrameworkId::from(&teardown.framework_id));
            operator_teardown(context, framework_id.unwrap_or_else(|| FrameworkId::from(""))).await
        }
        call::Type::Subscribe => subscribe::subscribe(context, &request, media_type).await,
        call::Type::GetQuota | call::Type::GetWeights | call::Type::GetOperations => {
            match settings(context, kind).await {
                Ok(answer) => respond(media_type, &answer).into(),
                Err(answer) => answer,
            }
        }
        call::Type::UpdateQuota => quota::update(context, call.update_quota.unwrap_or_default()).await,
        call::Type::ReserveResources
        | call::Type::UnreserveResources
        | call::Type::CreateVolumes
        | call::Type::DestroyVolumes => operations::call(context, kind, call).await,
        call::Type::SetQuota => quota::set(context, &call.set_quota.unwrap_or_default().quota_request).await,
        call::Type::RemoveQuota => quota::remove(context, &call.remove_quota.unwrap_or_default().role).await,
        call::Type::UpdateWeights => {
            let weights = call.update_weights.unwrap_or_default().weight_infos;
            weights::update(context, &weights).await
        }
        call::Type::Unknown => HttpResponse::status(501).into(),
        other => not_yet(other.as_str_name()).into(),
    }
}

/// The checks that need no state, in Mesos's order: method, Content-Type, body, call, Accept.
fn checked(request: &HttpRequest) -> Result<(Call, call::Type, MediaType), HttpResponse> {
    if request.method != "POST" {
        return Err(HttpResponse::method_not_allowed(&["POST"], request.method));
    }
    let media_type = content_type(request)?;
    let call: Call = decode(media_type, &request.body, "Call")?;
    let kind = validate::validate(&call)
        .map_err(|problem| HttpResponse::text(400, format!("Failed to validate master::Call: {problem}")))?;
    let answer_type = accepted(request.headers.get("accept")).ok_or_else(not_acceptable)?;
    Ok((call, kind, answer_type))
}

fn respond(media_type: MediaType, answer: &Response) -> HttpResponse {
    HttpResponse::with_body(200, media_type.as_str(), media_type.encode(answer))
}

fn typed(kind: response::Type) -> Response {
    Response {
        r#type: Some(kind as i32),
        ..Response::default()
    }
}

/// Answers that need nothing but this process, or that are the same as long as nothing can be set.
fn small_answer(context: &Context, kind: call::Type) -> Option<Response> {
    use response::Type;
    Some(match kind {
        call::Type::GetHealth => Response {
            get_health: Some(response::GetHealth { healthy: true }),
            ..typed(Type::GetHealth)
        },
        call::Type::GetVersion => {
            let version_info = version_info::version_info();
            Response {
                get_version: Some(response::GetVersion { version_info }),
                ..typed(Type::GetVersion)
            }
        }
        call::Type::GetFlags => {
            let flag = |(name, value): (&str, String)| Flag {
                name: name.to_owned(),
                value: Some(value),
            };
            let flags = flags::flags(&context.config).into_iter().map(flag).collect();
            Response {
                get_flags: Some(response::GetFlags { flags }),
                ..typed(Type::GetFlags)
            }
        }
        call::Type::GetLoggingLevel => Response {
            get_logging_level: Some(response::GetLoggingLevel { level: 0 }),
            ..typed(Type::GetLoggingLevel)
        },
        call::Type::GetMaintenanceStatus => Response {
            get_maintenance_status: Some(response::GetMaintenanceStatus {
                status: maintenance::ClusterStatus::default(),
            }),
            ..typed(Type::GetMaintenanceStatus)
        },
        call::Type::GetMaintenanceSchedule => Response {
            get_maintenance_schedule: Some(response::GetMaintenanceSchedule {
                schedule: maintenance::Schedule::default(),
            }),
            ..typed(Type::GetMaintenanceSchedule)
        },
        _ => return None,
    })
}

/// GET_QUOTA, GET_WEIGHTS and GET_OPERATIONS.
async fn settings(context: &Context, kind: call::Type) -> Result<Response, Answer> {
    let registry = current_state(context).await?.registry;
    if kind == call::Type::GetWeights {
        let weight_infos = weights::weight_infos(&registry);
        return Ok(Response {
            get_weights: (!weight_infos.is_empty()).then_some(response::GetWeights { weight_infos }),
            ..typed(response::Type::GetWeights)
        });
    }
    if kind == call::Type::GetOperations {
        return Ok(Response {
            get_operations: Some(operations::operations(&registry)),
            ..typed(response::Type::GetOperations)
        });
    }
    let status = quota::status(&registry);
    Ok(Response {
        get_quota: Some(response::GetQuota { status }),
        ..typed(response::Type::GetQuota)
    })
}

async fn master(context: &Context) -> Result<Response, Answer> {
    let state = current_state(context).await?;
    let get_master = response::GetMaster {
        master_info: Some(state.master_info),
        start_time: Some(context.started_at as f64 / 1e6),
        elected_time: Some(state.elected_at as f64 / 1e6),
    };
    Ok(Response {
        get_master: Some(get_master),
        ..typed(response::Type::GetMaster)
    })
}

async fn read(context: &Context, kind: call::Type, media_type: MediaType) -> Answer {
    let state = match current_state(context).await {
        Ok(state) => state,
        Err(answer) => return answer,
    };
    answer::encode(&context.seams, move || {
        match reads::body(kind, media_type, &View::new(&state)) {
            Some(body) => HttpResponse::with_body(200, media_type.as_str(), body),
            None => not_yet(kind.as_str_name()),
        }
    })
    .await
    .into()
}

#[cfg(test)]
mod tests {
    use libprocess::Body;

    use super::*;
    use crate::http::tests::request_with;

    fn refusal(method: &'static str, headers: &[(&'static str, &str)], body: &str) -> (u16, String) {
        let response = checked(&request_with(method, "/api/v1", headers, body)).unwrap_err();
        match response.body {
            Body::Full(body) => (response.status, String::from_utf8_lossy(&body).into_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_refusal_has_the_status_and_text_of_mesos() {
        let json = [("Content-Type", "application/json")];
        let html = [("Content-Type", "application/json"), ("Accept", "text/html")];
        for (method, headers, body, status, text) in [
            (
                "GET",
                &[][..],
                "",
                405,
                "405 Method Not Allowed. Expecting one of { 'POST' }, but received 'GET'.",
            ),
            ("POST", &[][..], "{}", 400, "Expecting 'Content-Type' to be present"),
            (
                "POST",
                &[("Content-Type", "text/plain")][..],
                "{}",
                415,
                "Expecting 'Content-Type' of application/json or application/x-protobuf",
            ),
            (
                "POST",
                &json[..],
                "{",
                400,
                "Failed to parse body into JSON: syntax error at line 1 near: ",
            ),
            (
                "POST",
                &json[..],
                "[]",
                400,
                "Failed to convert JSON into Call protobuf: Expecting a JSON object",
            ),
            (
                "POST",
                &json[..],
                "{\"type\":\"NOPE\"}",
                400,
                "Failed to validate master::Call: Expecting 'type' to be present",
            ),
            (
                "POST",
                &json[..],
                "{\"type\":\"RESERVE_RESOURCES\"}",
                400,
                "Failed to validate master::Call: Expecting 'reserve_resources' to be present",
            ),
            (
                "POST",
                &html[..],
                "{\"type\":\"GET_HEALTH\"}",
                406,
                "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
            ),
            // The call is looked at before Accept.
            (
                "POST",
                &html[..],
                "{\"type\":\"TEARDOWN\"}",
                400,
                "Failed to validate master::Call: Expecting 'teardown' to be present",
            ),
        ] {
            assert_eq!(
                refusal(method, headers, body),
                (status, text.to_owned()),
                "{method} {body}"
            );
        }
        let garbage = [("Content-Type", "application/x-protobuf")];
        assert_eq!(
            refusal("POST", &garbage, "{\"a\":1}"),
            (400, "Failed to parse body into Call protobuf".to_owned())
        );
    }

    #[test]
    fn a_protobuf_call_without_accept_is_answered_in_json() {
        let body = String::from_utf8(vec![8, 1]).unwrap();
        let headers = [("Content-Type", "application/x-protobuf")];
        let (_, kind, media_type) = checked(&request_with("POST", "/api/v1", &headers, &body)).unwrap();
        assert_eq!((kind, media_type), (call::Type::GetHealth, MediaType::Json));
    }
}
