//! `POST /api/v1/scheduler`: decoding and the checks that need no state.

use libprocess::{HttpRequest, HttpResponse};
use proto::v1::scheduler::{Call, call};

use crate::actor::{Context, Input};
use crate::leadership::SchedulerCall;
use crate::leadership::reply::{Answer, Reply};
use crate::leadership::stream::MediaType;

/// Carries one call out.
pub(super) async fn call(context: &Context, request: HttpRequest) -> Answer {
    let (reply, answer) = Reply::channel();
    let call = match checked(request, reply) {
        Ok(call) => call,
        Err(response) => return response.into(),
    };
    if context.mailbox.send(Input::Scheduler(Box::new(call))).await.is_err() {
        return HttpResponse::text(503, "The master is stopping").into();
    }
    // Unanswered: the master stopped, or gave up waiting, while the call was on its way.
    answer
        .await
        .unwrap_or_else(|_| crate::leadership::unknown_outcome().into())
}

/// The checks that need no state.
fn checked(request: HttpRequest, reply: Reply) -> Result<SchedulerCall, HttpResponse> {
    if request.method != "POST" {
        return Err(HttpResponse::method_not_allowed(&["POST"], request.method));
    }
    let media_type = content_type(&request)?;
    let call: Call = decode(media_type, &request.body, "Call")?;
    if let Err(text) = master_core::validate::call(&call, None) {
        return Err(HttpResponse::text(400, text));
    }
    let kind = match call.r#type.and_then(|number| call::Type::try_from(number).ok()) {
        Some(call::Type::Unknown) | None => return Err(HttpResponse::status(501)),
        Some(kind) => kind,
    };
    let stream_id = request.headers.get("mesos-stream-id").map(str::to_owned);
    let mut answer_type = media_type;
    if matches!(kind, call::Type::Subscribe | call::Type::ReconcileOperations) {
        answer_type = accepted(request.headers.get("accept")).ok_or_else(not_acceptable)?;
    }
    if kind == call::Type::Subscribe && stream_id.is_some() {
        return Err(HttpResponse::text(
            400,
            "Subscribe calls should not include the 'Mesos-Stream-Id' header",
        ));
    }
    Ok(SchedulerCall {
        call,
        kind,
        stream_id,
        principal: None,
        media_type: answer_type,
        closed: request.closed,
        reply,
    })
}

/// The body's media type, compared exactly as Mesos does: parameters are refused.
pub(super) fn content_type(request: &HttpRequest) -> Result<MediaType, HttpResponse> {
    match request.headers.get("content-type") {
        None => Err(HttpResponse::text(400, "Expecting 'Content-Type' to be present")),
        Some("application/json") => Ok(MediaType::Json),
        Some("application/x-protobuf") => Ok(MediaType::Protobuf),
        Some(_) => Err(HttpResponse::text(
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf",
        )),
    }
}

/// Decodes a call in either encoding.
pub(super) fn decode<M>(media_type: MediaType, body: &[u8], label: &str) -> Result<M, HttpResponse>
where
    M: prost::Message + Default + proto::json::JsonMessage,
{
    match media_type {
        MediaType::Json => {
            proto::json::from_slice(body, label).map_err(|error| HttpResponse::text(400, error.to_string()))
        }
        MediaType::Protobuf => {
            proto::wire::decode(body, label).map_err(|error| HttpResponse::text(400, error.to_string()))
        }
    }
}

pub(super) fn not_acceptable() -> HttpResponse {
    HttpResponse::text(
        406,
        "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'",
    )
}

/// The media type of the answer: JSON wins where both are allowed; `q` counts only when it is 0.
pub(super) fn accepted(accept: Option<&str>) -> Option<MediaType> {
    let Some(accept) = accept else {
        return Some(MediaType::Json);
    };
    [MediaType::Json, MediaType::Protobuf]
        .into_iter()
        .find(|candidate| allows(accept, candidate.as_str()))
}

fn allows(accept: &str, media_type: &str) -> bool {
    accept.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let range = parts.next().unwrap_or_default();
        let refused = parts.any(|parameter| {
            parameter
                .strip_prefix("q=")
                .is_some_and(|q| q.parse::<f64>().is_ok_and(|q| q == 0.0))
        });
        let matches = range == "*/*" || range == media_type || range == "application/*";
        matches && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_wins_unless_it_is_refused() {
        assert_eq!(accepted(None), Some(MediaType::Json));
        assert_eq!(accepted(Some("*/*")), Some(MediaType::Json));
        assert_eq!(
            accepted(Some("application/x-protobuf;q=0.9, application/json;q=0.1")),
            Some(MediaType::Json)
        );
        assert_eq!(
            accepted(Some("application/json;q=0, application/*")),
            Some(MediaType::Json)
        );
        assert_eq!(accepted(Some("application/x-protobuf")), Some(MediaType::Protobuf));
        for refused in [
            "text/html",
            "",
            "application/recordio",
            "application/json;q=0,application/x-protobuf;q=0.0",
        ] {
            assert_eq!(accepted(Some(refused)), None, "{refused}");
        }
    }
}
