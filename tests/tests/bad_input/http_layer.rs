//! Malformed HTTP on the public port.

use std::time::Duration;

use anyhow::Result;
use cluster_tests::http;

use crate::{Bench, Differences, Text};

const SYNTAX: &str = "Failed to parse body into JSON: syntax error at line 1 near: ";
/// How long a connection is watched for being closed.
const WATCH: Duration = Duration::from_secs(5);

/// POST to the operator API with JSON headers, then `rest` as it is.
fn post(rest: &str) -> Vec<u8> {
    format!(
        "POST /api/v1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Accept: application/json\r\n{rest}"
    )
    .into_bytes()
}

#[test]
fn malformed_http_is_answered_or_closed_as_mesos_does() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut rows = Differences::default();
    let health = "{\"type\":\"GET_HEALTH\"}";

    let answered: Vec<(&str, Vec<u8>, u16, Text<'_>)> = vec![
        ("a POST without a length", post("\r\n"), 400, Text::Is(SYNTAX)),
        (
            "one chunk",
            post(&format!(
                "Transfer-Encoding: chunked\r\n\r\n15\r\n{health}\r\n0\r\n\r\n"
            )),
            200,
            Text::Any,
        ),
        (
            "chunks cut anywhere, with an extension",
            post(&format!(
                "Transfer-Encoding: chunked\r\n\r\n7;a=b\r\n{}\r\nE\r\n{}\r\n0\r\n\r\n",
                &health[..7],
                &health[7..]
            )),
            200,
            Text::Any,
        ),
        (
            "a trailer",
            post(&format!(
                "Transfer-Encoding: chunked\r\n\r\n15\r\n{health}\r\n0\r\nX-Trailer: 1\r\n\r\n"
            )),
            500,
            Text::Is("failed to decode body"),
        ),
        (
            "gzip that is none",
            post(&format!(
                "Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n{health}",
                health.len()
            )),
            500,
            Text::Is("failed to decode body"),
        ),
        (
            "nesting deeper than 200",
            post(&format!(
                "Content-Length: 600\r\n\r\n{}{}",
                "[".repeat(300),
                "]".repeat(300)
            )),
            400,
            Text::Starts(SYNTAX),
        ),
        (
            "OPTIONS *",
            b"OPTIONS * HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(),
            400,
            Text::Is("Request URL path must start with '/'"),
        ),
        (
            "a path that climbs",
            b"GET /../x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_vec(),
            404,
            Text::Any,
        ),
        (
            "no Host",
            b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n".to_vec(),
            200,
            Text::Is(""),
        ),
        ("HTTP/1.0", b"GET /health HTTP/1.0\r\n\r\n".to_vec(), 200, Text::Is("")),
        (
            "bare line feeds",
            b"GET /health HTTP/1.1\nConnection: close\n\n".to_vec(),
            200,
            Text::Is(""),
        ),
    ];
    for (row, bytes, status, text) in answered {
        rows.answer(row, http::exchange(port, &bytes, false, http::TIMEOUT), status, text);
    }

    let closed: Vec<(&str, Vec<u8>)> = vec![
        ("a negative length", post("Content-Length: -5\r\n\r\n")),
        ("a length that is no number", post("Content-Length: abc\r\n\r\n")),
        (
            "length and chunks",
            post(&format!(
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n15\r\n{health}\r\n0\r\n\r\n"
            )),
        ),
        (
            "a URL of 100,000 bytes",
            format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(100_000)).into_bytes(),
        ),
        (
            "a header of 200,000 bytes",
            format!("GET /health HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000)).into_bytes(),
        ),
        ("garbage", b"\x00\x01\x02 what is this\r\n\r\n".to_vec()),
        (
            "a TLS hello",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".to_vec(),
        ),
        ("an HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        (
            "an unknown method",
            b"BREW /health HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        ),
        (
            "a method in lower case",
            b"get /health HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        ),
        (
            "a path without a slash",
            b"GET health HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        ),
        (
            "a malformed percent in the query",
            b"GET /state?x=%zz HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        ),
    ];
    for (row, bytes) in closed {
        match http::raw(port, &bytes, WATCH) {
            Ok((answer, is_closed)) => rows.holds(row, answer.is_empty() && is_closed, || {
                let text = String::from_utf8_lossy(&answer).chars().take(200).collect::<String>();
                format!("closed: {is_closed}, answered {text:?} instead of closing without an answer")
            }),
            Err(error) => rows.holds(row, false, || format!("{error:#}")),
        }
    }
    rows.conclude()?;
    bench.conclude()
}

#[test]
fn unknown_paths_and_methods_are_answered_as_mesos_does() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut rows = Differences::default();
    for path in [
        "/nope",
        "/state.json",
        "/slaves.json",
        "/master/version",
        "/redirect/x",
        "/api/v2",
        "/api",
        "/API/v1/scheduler",
        "/master/master/api/v1/scheduler",
        "/shutdown",
    ] {
        rows.answer(
            path,
            http::get(port, path, http::TIMEOUT),
            404,
            Text::Is("404 Not Found."),
        );
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = http::request(port, method, "/api/v1/scheduler", &[], b"", http::TIMEOUT);
        if let Ok(answer) = &answer {
            rows.equal(
                &format!("Allow after {method}"),
                answer.header("allow").unwrap_or_default(),
                "POST",
            );
        }
        let text = format!("405 Method Not Allowed. Expecting one of {{ 'POST' }}, but received '{method}'.");
        rows.answer(method, answer, 405, Text::Is(&text));
    }
    for path in [
        "//api/v1/scheduler",
        "/api/v1/scheduler/",
        "/api/v1/scheduler/x",
        "/api/v1/scheduler?x=1",
        "/master/api/v1/scheduler",
    ] {
        let headers = [("Content-Type", "application/json")];
        let answer = http::request(port, "POST", path, &headers, b"{}", http::TIMEOUT);
        let text = "Failed to validate scheduler::Call: Expecting 'type' to be present";
        rows.answer(path, answer, 400, Text::Is(text));
    }
    for path in ["/api/v1/nope", "/api/v1/executor", "/api/v1/"] {
        let headers = [("Content-Type", "application/json")];
        let answer = http::request(port, "POST", path, &headers, b"{}", http::TIMEOUT);
        rows.answer(
            path,
            answer,
            400,
            Text::Is("Failed to validate master::Call: Expecting 'type' to be present"),
        );
    }
    rows.conclude()?;
    bench.conclude()
}
