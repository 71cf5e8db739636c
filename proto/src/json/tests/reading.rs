//! What the reader accepts.

use crate::json::{from_slice, parse};
use crate::v1::scheduler::{Call, call};
use crate::v1::{self, master};

fn call(body: &str) -> Call {
    from_slice(body.as_bytes(), "Call").unwrap()
}

fn refuse_seconds(body: &str) -> Option<f64> {
    call(&format!(r#"{{"decline":{{"filters":{{"refuse_seconds":{body}}}}}}}"#))
        .decline?
        .filters?
        .refuse_seconds
}

#[test]
fn unknown_fields_and_nulls_are_as_if_absent() {
    let read = call(
        r#"{"type":"KILL","slave_id":{"value":"s"},"kill":{"task_id":{"value":"t"},"agent_id":null},"accept":null}"#,
    );
    let kill = call::Kill {
        task_id: "t".into(),
        ..call::Kill::default()
    };
    assert_eq!(
        read,
        Call {
            r#type: Some(call::Type::Kill.into()),
            kill: Some(kill),
            ..Call::default()
        }
    );
}

#[test]
fn an_unknown_name_leaves_an_optional_enum_unset() {
    for body in [
        r#"{"type":"NOPE"}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":null}"#,
        "{}",
    ] {
        assert_eq!(call(body).r#type, None, "{body}");
    }
}

#[test]
fn numbers_and_booleans_may_be_strings() {
    assert_eq!(refuse_seconds("1.5"), Some(1.5));
    assert_eq!(refuse_seconds("\"1.5\""), Some(1.5));
    assert_eq!(refuse_seconds("3"), Some(3.0));
    assert_eq!(refuse_seconds("\"Infinity\""), Some(f64::INFINITY));
    assert_eq!(refuse_seconds("\"-Infinity\""), Some(f64::NEG_INFINITY));
    let body = r#"{"subscribe":{"framework_info":{"user":"u","name":"n","checkpoint":"true"}}}"#;
    assert_eq!(call(body).subscribe.unwrap().framework_info.checkpoint, Some(true));
}

#[test]
fn of_equal_keys_the_last_wins() {
    assert_eq!(
        call(r#"{"type":"KILL","type":"REVIVE","type":"DECLINE"}"#).r#type(),
        call::Type::Decline
    );
}

#[test]
fn one_value_is_taken_as_a_list_of_one() {
    let single = call(r#"{"decline":{"offer_ids":{"value":"o"}}}"#);
    assert_eq!(single, call(r#"{"decline":{"offer_ids":[{"value":"o"}]}}"#));
}

#[test]
fn integers_keep_all_their_digits() {
    let body = r#"{"task_id":{"value":"t"},"state":"TASK_RUNNING","timestamp":1.0}"#;
    let status: v1::TaskStatus = from_slice(body.as_bytes(), "TaskStatus").unwrap();
    assert_eq!(status.timestamp, Some(1.0));
    let body = format!(r#"{{"begin":{},"end":"{}"}}"#, i64::MAX, i64::MAX - 1);
    let range: v1::value::Range = from_slice(body.as_bytes(), "Range").unwrap();
    assert_eq!((range.begin, range.end), (i64::MAX as u64, i64::MAX as u64 - 1));
}

#[test]
fn escapes_are_undone_and_broken_utf8_passes() {
    let read = call(r#"{"framework_id":{"value":"a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z"}}"#);
    assert_eq!(read.framework_id.unwrap().value, "a\"\\/\u{8}\u{c}\n\r\té😀z");
    let read: Call = from_slice(b"{\"framework_id\":{\"value\":\"a\xffb\"}}", "Call").unwrap();
    assert_eq!(read.framework_id.unwrap().value, "a\u{fffd}b");
    for broken in [r#""\ud83d""#, r#""\ude00""#, r#""\u12""#, r#""\x""#, "\"\n\""] {
        assert!(parse(broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn bytes_are_base64_with_or_without_padding() {
    for text in ["AAECAw==", "AAECAw"] {
        let body =
            format!(r#"{{"acknowledge":{{"agent_id":{{"value":"a"}},"task_id":{{"value":"t"}},"uuid":"{text}"}}}}"#);
        assert_eq!(call(&body).acknowledge.unwrap().uuid.as_ref(), [0, 1, 2, 3]);
    }
}

#[test]
fn a_duration_is_a_message_and_no_text() {
    let body =
        r#"{"type":"DRAIN_AGENT","drain_agent":{"agent_id":{"value":"a"},"max_grace_period":{"seconds":5,"nanos":0}}}"#;
    let call: master::Call = from_slice(body.as_bytes(), "master::Call").unwrap();
    let period = call.drain_agent.unwrap().max_grace_period.unwrap();
    assert_eq!((period.seconds, period.nanos), (5, 0));
    let body = body.replace(r#"{"seconds":5,"nanos":0}"#, "\"5s\"");
    assert_eq!(
        from_slice::<master::Call>(body.as_bytes(), "Call")
            .unwrap_err()
            .to_string(),
        "Failed to convert JSON into Call protobuf: Not expecting a JSON string for field 'max_grace_period'"
    );
}

#[test]
fn a_member_of_a_oneof_is_read_into_its_variant() {
    use v1::scheduler::attribute_constraint::selector::{PseudoattributeType, Selector as Choice};
    let body = r#"{"pseudoattribute_type":"REGION"}"#;
    let read: v1::scheduler::attribute_constraint::Selector = from_slice(body.as_bytes(), "Selector").unwrap();
    assert_eq!(
        read.selector,
        Some(Choice::PseudoattributeType(PseudoattributeType::Region.into()))
    );
    assert_eq!(crate::json::to_vec(&read), body.as_bytes());
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text: Vec<u8>) {
        drop(parse(&text));
    }

    #[test]
    fn no_text_of_json_characters_makes_the_reader_panic(text in r#"[\[\]{}":,0-9a-z\\ eE+.-]{0,60}"#) {
        drop(from_slice::<Call>(text.as_bytes(), "Call"));
        drop(from_slice::<Call>(format!("{{\"accept\":{text}}}").as_bytes(), "Call"));
    }
}
