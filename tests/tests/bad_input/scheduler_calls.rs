//! Bodies that are no calls, and calls that are not valid, on the scheduler and operator APIs.

use anyhow::Result;
use cluster_tests::http;
use cluster_tests::subscriber::{Subscriber, framework_info};
use serde_json::json;

use crate::{Bench, Differences, Text};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

#[test]
fn bodies_that_are_no_calls_get_the_texts_of_mesos() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut rows = Differences::default();
    let parse = "Failed to parse body into JSON: ";
    let convert = "Failed to convert JSON into Call protobuf: ";
    let validate = "Failed to validate scheduler::Call: ";
    let table: Vec<(&str, &str, &[u8], u16, String)> = vec![
        ("empty", JSON, b"", 400, format!("{parse}syntax error at line 1 near: ")),
        ("cut short", JSON, b"{", 400, format!("{parse}syntax error at line 1 near: ")),
        (
            "something behind",
            JSON,
            b"{\"type\":\"REVIVE\"}x",
            400,
            format!("{parse}Parsed JSON included non-whitespace trailing characters: x"),
        ),
        ("an array", JSON, b"[]", 400, format!("{convert}Expecting a JSON object")),
        ("null", JSON, b"null", 400, format!("{convert}Expecting a JSON object")),
        ("a string", JSON, b"\"x\"", 400, format!("{convert}Expecting a JSON object")),
        ("a number", JSON, b"5", 400, format!("{convert}Expecting a JSON object")),
        ("a number as type", JSON, b"{\"type\":5}", 400, format!("{convert}Not expecting a JSON number for field 'type'")),
        (
            "missing fields",
            JSON,
            b"{\"type\":\"SUBSCRIBE\",\"subscribe\":{\"framework_info\":{}}}",
            400,
            format!("{convert}Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name"),
        ),
        (
            "bad base64",
            JSON,
            b"{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"x\"},\"acknowledge\":{\"agent_id\":{\"value\":\"a\"},\
              \"task_id\":{\"value\":\"t\"},\"uuid\":\"!!!!\"}}",
            400,
            format!("{convert}Failed to base64 decode bytes field 'uuid': Invalid character '!'"),
        ),
        (
            "a uuid of the wrong length",
            JSON,
            b"{\"type\":\"ACKNOWLEDGE\",\"framework_id\":{\"value\":\"x\"},\"acknowledge\":{\"agent_id\":{\"value\":\"a\"},\
              \"task_id\":{\"value\":\"t\"},\"uuid\":\"AAAA\"}}",
            400,
            format!("{validate}Not a valid UUID"),
        ),
        ("no type", JSON, b"{}", 400, format!("{validate}Expecting 'type' to be present")),
        ("an unknown type", JSON, b"{\"type\":\"NOPE\"}", 400, format!("{validate}Expecting 'type' to be present")),
        ("a type in lower case", JSON, b"{\"type\":\"subscribe\"}", 400, format!("{validate}Expecting 'type' to be present")),
        ("no framework id", JSON, b"{\"type\":\"REVIVE\"}", 400, format!("{validate}Expecting 'framework_id' to be present")),
        (
            "no framework id, type UNKNOWN",
            JSON,
            b"{\"type\":\"UNKNOWN\"}",
            400,
            format!("{validate}Expecting 'framework_id' to be present"),
        ),
        (
            "no sub-message",
            JSON,
            b"{\"type\":\"KILL\",\"framework_id\":{\"value\":\"x\"}}",
            400,
            format!("{validate}Expecting 'kill' to be present"),
        ),
        (
            "an unknown framework",
            JSON,
            b"{\"type\":\"REVIVE\",\"framework_id\":{\"value\":\"x\"}}",
            400,
            "Framework cannot be found".to_owned(),
        ),
        (
            "unknown fields are ignored, the framework is not",
            JSON,
            b"{\"type\":\"REVIVE\",\"nonsense\":{\"a\":[1]},\"framework_id\":{\"value\":\"x\",\"more\":null}}",
            400,
            "Framework cannot be found".to_owned(),
        ),
        ("not protobuf", PROTOBUF, b"\xff\xff\xff\xff", 400, "Failed to parse body into Call protobuf".to_owned()),
        ("JSON as protobuf", PROTOBUF, b"{\"type\":\"REVIVE\"}", 400, "Failed to parse body into Call protobuf".to_owned()),
        ("protobuf type 99", PROTOBUF, b"\x10\x63", 400, format!("{validate}Expecting 'type' to be present")),
        (
            "RecordIO",
            "application/recordio",
            b"99999999999999999999\n{}",
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf".to_owned(),
        ),
        (
            "a parameter in the content type",
            "application/json; charset=utf-8",
            b"{}",
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf".to_owned(),
        ),
        (
            "text",
            "text/plain",
            b"{}",
            415,
            "Expecting 'Content-Type' of application/json or application/x-protobuf".to_owned(),
        ),
    ];
    for (row, content_type, body, status, text) in &table {
        let headers = [("Content-Type", *content_type), ("Accept", JSON)];
        let answer = http::request(port, "POST", "/api/v1/scheduler", &headers, body, http::TIMEOUT);
        rows.answer(row, answer, *status, Text::Is(text));
    }
    let answer = http::request(port, "POST", "/api/v1/scheduler", &[], b"{}", http::TIMEOUT);
    rows.answer(
        "no content type",
        answer,
        400,
        Text::Is("Expecting 'Content-Type' to be present"),
    );
    let subscribe = serde_json::to_vec(&cluster_tests::subscriber::subscribe_call(&framework_info("x")))?;
    for accept in ["text/html", "application/recordio"] {
        let headers = [("Content-Type", JSON), ("Accept", accept)];
        let answer = http::request(port, "POST", "/api/v1/scheduler", &headers, &subscribe, http::TIMEOUT);
        let text = "Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'";
        rows.answer(accept, answer, 406, Text::Is(text));
    }

    let operator: &[(&str, &[u8], u16, &str)] = &[
        (
            "operator: empty",
            b"",
            400,
            "Failed to parse body into JSON: syntax error at line 1 near: ",
        ),
        (
            "operator: no type",
            b"{}",
            400,
            "Failed to validate master::Call: Expecting 'type' to be present",
        ),
        (
            "operator: UNKNOWN",
            b"{\"type\":\"UNKNOWN\"}",
            501,
            "501 Not Implemented.",
        ),
        (
            "operator: no sub-message",
            b"{\"type\":\"TEARDOWN\"}",
            400,
            "Failed to validate master::Call: Expecting 'teardown' to be present",
        ),
        (
            "operator: teardown of nobody",
            b"{\"type\":\"TEARDOWN\",\"teardown\":{\"framework_id\":{\"value\":\"nobody\"}}}",
            400,
            "No framework found with specified ID",
        ),
    ];
    for (row, body, status, text) in operator {
        let headers = [("Content-Type", JSON), ("Accept", JSON)];
        rows.answer(
            row,
            http::request(port, "POST", "/api/v1", &headers, body, http::TIMEOUT),
            *status,
            Text::Is(text),
        );
    }
    rows.conclude()?;
    bench.conclude()
}

#[test]
fn calls_outside_the_own_stream_are_refused() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut rows = Differences::default();
    let own = Subscriber::open(port, &framework_info("own"))?;
    let id = own.framework_id()?;
    let id_text = id["value"].as_str().unwrap_or_default().to_owned();
    let revive = json!({"type": "REVIVE", "framework_id": id});
    let path = "/api/v1/scheduler";

    let text = "All non-subscribe calls should include the 'Mesos-Stream-Id' header";
    rows.answer(
        "no stream id",
        http::post_json(port, path, &revive, &[]),
        400,
        Text::Is(text),
    );
    for wrong in ["nonsense".to_owned(), own.stream_id.to_uppercase()] {
        let text = format!(
            "The stream ID '{wrong}' included in this request didn't match the stream ID currently associated with \
             framework ID {id_text}"
        );
        let answer = http::post_json(port, path, &revive, &[("Mesos-Stream-Id", &wrong)]);
        rows.answer("a wrong stream id", answer, 400, Text::Is(&text));
    }
    // An unmodified master aborts here.
    let unknown = json!({"type": "UNKNOWN", "framework_id": id});
    let answer = http::post_json(port, path, &unknown, &[("Mesos-Stream-Id", &own.stream_id)]);
    rows.answer(
        "type UNKNOWN of a known framework",
        answer,
        501,
        Text::Is("501 Not Implemented."),
    );
    let subscribe = cluster_tests::subscriber::subscribe_call(&framework_info("x"));
    let answer = http::post_json(port, path, &subscribe, &[("Mesos-Stream-Id", &own.stream_id)]);
    rows.answer(
        "SUBSCRIBE with a stream id",
        answer,
        400,
        Text::Is("Subscribe calls should not include the 'Mesos-Stream-Id' header"),
    );
    let mut different = subscribe.clone();
    different["framework_id"] = json!({"value": "other"});
    rows.answer(
        "two different framework ids",
        http::post_json(port, path, &different, &[]),
        400,
        Text::Is("Failed to validate scheduler::Call: 'framework_id' differs from 'subscribe.framework_info.id'"),
    );

    let stream = own.stream_id.clone();
    own.close();
    cluster_tests::wait::wait_until("the master notices", cluster_tests::cluster::PATIENCE, || {
        Ok(http::post_json(port, path, &revive, &[("Mesos-Stream-Id", &stream)])?.status != 202)
    })?;
    let answer = http::post_json(port, path, &revive, &[("Mesos-Stream-Id", &stream)]);
    rows.answer(
        "a call after the own stream was closed",
        answer,
        403,
        Text::Is("Framework is not subscribed"),
    );
    let operator = json!({"type": "TEARDOWN", "teardown": {"framework_id": id}});
    rows.answer(
        "teardown by an operator",
        http::post_json(port, "/api/v1", &operator, &[]),
        200,
        Text::Is(""),
    );
    let answer = http::post_json(port, path, &revive, &[("Mesos-Stream-Id", &stream)]);
    rows.answer(
        "a call after the teardown",
        answer,
        400,
        Text::Is("Framework cannot be found"),
    );
    rows.conclude()?;
    bench.conclude()
}
