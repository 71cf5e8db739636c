//! Error texts, word for word as Mesos answers them.

use prost::Message;

use crate::json::{from_node, from_slice, parse};
use crate::table::MAX_MESSAGE_DEPTH;
use crate::v1::{self, scheduler::Call};

fn refusal(body: &[u8]) -> String {
    from_slice::<Call>(body, "Call").unwrap_err().to_string()
}

fn convert_refusal(body: &str) -> String {
    let text = refusal(body.as_bytes());
    text.strip_prefix("Failed to convert JSON into Call protobuf: ")
        .unwrap_or(&text)
        .to_owned()
}

#[test]
fn a_body_that_ends_early_is_a_syntax_error_near_nothing() {
    for body in ["", "{", "{\"type\":", "[1,"] {
        assert_eq!(
            refusal(body.as_bytes()),
            "Failed to parse body into JSON: syntax error at line 1 near: ",
            "{body}"
        );
    }
}

#[test]
fn characters_after_the_value_are_named() {
    assert_eq!(
        refusal(b"{}x"),
        "Failed to parse body into JSON: Parsed JSON included non-whitespace trailing characters: x"
    );
    assert!(from_slice::<Call>(b" {} \n\t", "Call").is_ok());
}

#[test]
fn a_word_that_is_no_value_is_repeated_with_the_rest_of_its_line() {
    assert_eq!(
        refusal(br#"{"type":"DECLINE","decline":{"filters":{"refuse_seconds":NaN}}}"#),
        "Failed to parse body into JSON: syntax error at line 1 near: NaN}}}"
    );
    assert_eq!(
        refusal(b"{\n\"a\":\n x\n}"),
        "Failed to parse body into JSON: syntax error at line 3 near: x"
    );
}

#[test]
fn a_number_beyond_the_doubles_is_out_of_range() {
    assert_eq!(
        refusal(b"{\"x\":1e400}"),
        "Failed to parse body into JSON: Value out of range"
    );
}

#[test]
fn nesting_stops_at_two_hundred_levels() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(parse(nested(200).as_bytes()).is_ok());
    let text = parse(nested(201).as_bytes()).unwrap_err().to_string();
    assert_eq!(text, format!("syntax error at line 1 near: {}", "]".repeat(201)));
    assert!(parse("[".repeat(5_000_000).as_bytes()).is_err());
}

#[test]
fn an_error_repeats_no_more_than_a_part_of_a_large_body() {
    let body = format!("{{\"a\":?{}", "y".repeat(1_000_000));
    assert!(refusal(body.as_bytes()).len() < 2048);
    let body = format!("{{}}{}", "y".repeat(1_000_000));
    assert!(refusal(body.as_bytes()).len() < 2048);
    let body = format!(
        r#"{{"decline":{{"filters":{{"refuse_seconds":"{}"}}}}}}"#,
        "y".repeat(1_000_000)
    );
    assert!(refusal(body.as_bytes()).len() < 4096);
    let body = format!(r#"{{"reconcile":{{"tasks":[{}]}}}}"#, vec!["{}"; 100_000].join(","));
    assert!(refusal(body.as_bytes()).len() < 100_000);
}

#[test]
fn only_an_object_is_a_message() {
    for body in ["[]", "null", "\"x\"", "5"] {
        assert_eq!(convert_refusal(body), "Expecting a JSON object", "{body}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_its_field() {
    for (body, text) in [
        (r#"{"type":5}"#, "Not expecting a JSON number for field 'type'"),
        (r#"{"type":["KILL"]}"#, "Not expecting a JSON array for field 'type'"),
        (
            r#"{"subscribe":"x"}"#,
            "Not expecting a JSON string for field 'subscribe'",
        ),
        (
            r#"{"framework_id":{"value":7}}"#,
            "Not expecting a JSON number for field 'value'",
        ),
        (
            r#"{"framework_id":{"value":{}}}"#,
            "Not expecting a JSON object for field 'value'",
        ),
        (
            r#"{"framework_id":{"value":true}}"#,
            "Not expecting a JSON boolean for field 'value'",
        ),
    ] {
        let shown = if text.contains("array") {
            refusal(body.as_bytes()).replace("Failed to convert JSON into Call protobuf: ", "")
        } else {
            convert_refusal(body)
        };
        assert_eq!(shown, text, "{body}");
    }
}

#[test]
fn an_unknown_name_in_a_required_enum_is_refused() {
    let body = r#"{"accept":{"operations":[{"launch":{"task_infos":[{"name":"t","task_id":{"value":"1"},
        "agent_id":{"value":"a"},"resources":[{"name":"cpus","type":"NOPE"}]}]}}]}}"#;
    assert_eq!(convert_refusal(body), "Failed to find enum for 'NOPE'");
}

#[test]
fn all_missing_required_fields_are_named_with_their_paths() {
    assert_eq!(
        convert_refusal(r#"{"type":"SUBSCRIBE","subscribe":{"framework_info":{}}}"#),
        "Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name"
    );
    assert_eq!(
        convert_refusal(r#"{"reconcile":{"tasks":[{"task_id":{"value":"a"}},{},{"task_id":{}},{"task_id":null}]}}"#),
        "Missing required fields: reconcile.tasks[1].task_id, reconcile.tasks[2].task_id.value, \
         reconcile.tasks[3].task_id"
    );
    let window = parse(br#"{"windows":[{"machine_ids":[]}]}"#).unwrap();
    assert_eq!(
        from_node::<v1::maintenance::Schedule>(&window).unwrap_err().to_string(),
        "Missing required fields: windows[0].unavailability"
    );
    let resource = parse(b"{}").unwrap();
    assert_eq!(
        from_node::<v1::Resource>(&resource).unwrap_err().to_string(),
        "Missing required fields: name, type"
    );
}

#[test]
fn a_missing_field_in_a_map_is_found() {
    let task =
        r#"{"name":"t","task_id":{"value":"1"},"agent_id":{"value":"a"},"limits":{"cpus":{"value":1},"mem":{}}}"#;
    let node = parse(task.as_bytes()).unwrap();
    assert_eq!(
        from_node::<v1::TaskInfo>(&node).unwrap_err().to_string(),
        "Missing required fields: limits[1].value.value"
    );
}

#[test]
fn a_wrong_type_is_told_before_a_missing_field() {
    assert_eq!(
        convert_refusal(r#"{"subscribe":{"framework_info":{}},"type":5}"#),
        "Not expecting a JSON number for field 'type'"
    );
}

#[test]
fn text_that_is_no_number_is_refused_with_the_reason() {
    let body = |text: &str| format!(r#"{{"decline":{{"filters":{{"refuse_seconds":"{text}"}}}}}}"#);
    let prefix = "as a JSON number for field 'refuse_seconds':";
    assert_eq!(
        convert_refusal(&body("x")),
        format!("Failed to parse 'x' {prefix} syntax error at line 1 near: x")
    );
    assert_eq!(
        convert_refusal(&body("NaN")),
        format!("Failed to parse 'NaN' {prefix} syntax error at line 1 near: NaN")
    );
    assert_eq!(
        convert_refusal(&body("true")),
        format!("Failed to parse 'true' {prefix} Unexpected JSON type parsed")
    );
}

#[test]
fn the_first_character_outside_base64_is_named() {
    assert_eq!(
        convert_refusal(r#"{"acknowledge":{"uuid":"ab!?"}}"#),
        "Failed to base64 decode bytes field 'uuid': Invalid character '!'"
    );
}

#[test]
fn messages_are_nested_no_deeper_than_the_binary_decoder_accepts_them() {
    let nested = |levels: usize| {
        let inner = (1..levels).fold(r#"{"value":"c"}"#.to_owned(), |inner, _| {
            format!(r#"{{"value":"c","parent":{inner}}}"#)
        });
        from_slice::<v1::ContainerId>(inner.as_bytes(), "ContainerID")
    };
    let deepest = nested(MAX_MESSAGE_DEPTH).unwrap();
    assert_eq!(
        crate::wire::decode::<v1::ContainerId>(&deepest.encode_to_vec(), "ContainerID").unwrap(),
        deepest
    );
    assert_eq!(
        nested(MAX_MESSAGE_DEPTH + 1).unwrap_err().to_string(),
        "Failed to convert JSON into ContainerID protobuf: Messages are nested deeper than the limit of 64 at field \
         'parent'"
    );
}
