//! Bodies of read endpoints: JSON text, JSONP, and encoding away from the threads that serve connections.

use std::collections::BTreeMap;

use libprocess::percent::decode_query;
use libprocess::{HttpRequest, HttpResponse};
use seams::Seams;
use serde::Serialize;

/// Query parameters by name; the last of several equal names counts.
pub(super) type Parameters = BTreeMap<String, String>;

/// The parameters of a request. The port has refused malformed escapes already.
pub(super) fn parameters(request: &HttpRequest) -> Parameters {
    request
        .query
        .as_deref()
        .and_then(|query| decode_query(query).ok())
        .unwrap_or_default()
}

/// `200` with `value` as JSON; with `?jsonp=name` as a call of that function.
pub(super) fn json(parameters: &Parameters, value: &impl Serialize) -> HttpResponse {
    let text = match serde_json::to_vec(value) {
        Ok(text) => text,
        Err(error) => return HttpResponse::text(500, format!("the answer cannot be written: {error}")),
    };
    json_text(parameters, text)
}

/// The same for a text that is JSON already.
pub(super) fn json_text(parameters: &Parameters, text: impl Into<Vec<u8>>) -> HttpResponse {
    let text = text.into();
    let Some(function) = parameters.get("jsonp") else {
        return HttpResponse::ok("application/json", text);
    };
    let mut call = Vec::with_capacity(function.len() + text.len() + 2);
    call.extend_from_slice(function.as_bytes());
    call.push(b'(');
    call.extend_from_slice(&text);
    call.push(b')');
    HttpResponse::ok("text/javascript", call)
}

/// Runs an encoder as blocking work: a state of a large cluster takes longer than a connection's thread may
/// be kept from others (`/health` above all).
pub(super) async fn encode(seams: &Seams, job: impl FnOnce() -> HttpResponse + Send + 'static) -> HttpResponse {
    match seams.blocking.run(job).await {
        Ok(response) => response,
        Err(error) => {
            tracing::error!(%error, "an answer could not be encoded");
            HttpResponse::status(500)
        }
    }
}

#[cfg(test)]
mod tests {
    use libprocess::Body;

    use super::*;

    fn parameters_of(pairs: &[(&str, &str)]) -> Parameters {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    fn text(response: &HttpResponse) -> (&str, String) {
        let kind = response
            .headers
            .iter()
            .find(|(name, _)| name == "Content-Type")
            .map_or("", |(_, value)| value);
        match &response.body {
            Body::Full(body) => (kind, String::from_utf8_lossy(body).into_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn jsonp_makes_a_function_call_of_the_answer() {
        let plain = json(&parameters_of(&[]), &4.0);
        assert_eq!(text(&plain), ("application/json", "4.0".to_owned()));
        let called = json(&parameters_of(&[("jsonp", "cb")]), &[1]);
        assert_eq!(text(&called), ("text/javascript", "cb([1])".to_owned()));
        let unnamed = json_text(&parameters_of(&[("jsonp", "")]), "{}");
        assert_eq!(text(&unnamed), ("text/javascript", "({})".to_owned()));
    }
}
