//! Routes that Mesos has and this master does not carry out yet: they exist, so that tools get an answer they can show.

use libprocess::{HttpRequest, HttpResponse};

use super::answer::{json_text, parameters};

/// One route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Path without the actor.
    pub(super) path: &'static str,
    /// Methods Mesos accepts, in the order its refusals name them.
    methods: &'static [&'static str],
    /// What GET answers while nothing can have been set.
    read: Option<&'static str>,
}

const fn write(path: &'static str) -> Endpoint {
    Endpoint {
        path,
        methods: &["POST"],
        read: None,
    }
}

const fn readable(path: &'static str, methods: &'static [&'static str], read: &'static str) -> Endpoint {
    Endpoint {
        path,
        methods,
        read: Some(read),
    }
}

/// All of them.
pub(super) const ENDPOINTS: [Endpoint; 4] = [
    readable("/maintenance/schedule", &["GET", "POST"], "{}"),
    readable("/maintenance/status", &["GET"], "{}"),
    write("/machine/down"),
    write("/machine/up"),
];

/// The leader's answer.
pub(super) fn answer(endpoint: Endpoint, request: &HttpRequest) -> HttpResponse {
    if !endpoint.methods.contains(&request.method) {
        return HttpResponse::method_not_allowed(endpoint.methods, request.method);
    }
    match endpoint.read {
        Some(body) if request.method == "GET" => json_text(&parameters(request), body),
        _ => not_yet(&format!("{} {}", request.method, endpoint.path)),
    }
}

/// `501` that names what was asked for.
pub(super) fn not_yet(what: &str) -> HttpResponse {
    HttpResponse::text(501, format!("{what} is not supported by this master yet"))
}

#[cfg(test)]
mod tests {
    use libprocess::Body;

    use super::*;
    use crate::http::tests::request;

    fn ask(method: &'static str, path: &str) -> (u16, String) {
        let endpoint = ENDPOINTS.into_iter().find(|endpoint| endpoint.path == path).unwrap();
        let response = answer(endpoint, &request(method, path));
        match response.body {
            Body::Full(body) => (response.status, String::from_utf8_lossy(&body).into_owned()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_cannot_have_been_set_reads_as_empty() {
        for (path, body) in [("/maintenance/schedule", "{}"), ("/maintenance/status", "{}")] {
            assert_eq!(ask("GET", path), (200, body.to_owned()));
        }
    }

    #[test]
    fn writes_are_refused_by_name_and_wrong_methods_as_mesos_does() {
        let unsupported = "is not supported by this master yet";
        assert_eq!(
            ask("POST", "/machine/down"),
            (501, format!("POST /machine/down {unsupported}"))
        );
        assert_eq!(
            ask("DELETE", "/maintenance/schedule"),
            (
                405,
                "405 Method Not Allowed. Expecting one of { 'GET', 'POST' }, but received 'DELETE'.".to_owned()
            )
        );
        assert_eq!(ask("GET", "/machine/up").0, 405);
    }
}
