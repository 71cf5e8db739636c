//! What the writer prints.

use bytes::Bytes;

use crate::ext::resource::{allocated, scalar};
use crate::json::{from_slice, to_vec};
use crate::v1;

fn text(message: &dyn crate::json::JsonMessage) -> String {
    String::from_utf8(to_vec(message)).unwrap()
}

#[test]
fn fields_come_in_the_order_of_the_proto_file_with_fractions_for_doubles() {
    assert_eq!(
        text(&allocated(scalar("cpus", 4.0), "*")),
        r#"{"name":"cpus","type":"SCALAR","scalar":{"value":4.0},"allocation_info":{"role":"*"}}"#
    );
}

#[test]
fn explicit_defaults_are_printed_unless_deprecated() {
    let info = v1::FrameworkInfo {
        user: "u".into(),
        name: "n".into(),
        ..Default::default()
    };
    assert_eq!(
        text(&info),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}"#
    );
    let info = v1::FrameworkInfo {
        role: Some("r".into()),
        ..info
    };
    assert_eq!(
        text(&info),
        r#"{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false,"role":"r"}"#
    );
    let mapping = v1::container_info::DockerInfo {
        image: "i".into(),
        ..Default::default()
    };
    assert_eq!(text(&mapping), r#"{"image":"i","network":"HOST","privileged":false}"#);
}

#[test]
fn the_checkpoint_of_an_agent_stays_out_of_json() {
    let info = v1::AgentInfo {
        hostname: "h".into(),
        checkpoint: Some(true),
        ..Default::default()
    };
    assert_eq!(text(&info), r#"{"hostname":"h","port":5051}"#);
    let read: v1::AgentInfo = from_slice(br#"{"hostname":"h","checkpoint":true}"#, "AgentInfo").unwrap();
    assert_eq!(read.checkpoint, None);
}

#[test]
fn unknown_enum_numbers_are_left_out() {
    let event = v1::scheduler::Event {
        r#type: Some(99),
        ..Default::default()
    };
    assert_eq!(text(&event), "{}");
    let services = v1::CsiPluginContainerInfo {
        services: vec![99, 1],
        ..Default::default()
    };
    assert_eq!(text(&services), r#"{"services":["CONTROLLER_SERVICE"]}"#);
}

#[test]
fn bytes_are_base64_and_control_characters_escaped() {
    let status = v1::TaskStatus {
        task_id: "a\"\\\n\u{1}é".into(),
        state: v1::TaskState::TaskRunning.into(),
        uuid: Some(Bytes::from_static(&[0xff, 0xfe])),
        ..Default::default()
    };
    assert_eq!(
        text(&status),
        "{\"task_id\":{\"value\":\"a\\\"\\\\\\n\\u0001é\"},\"state\":\"TASK_RUNNING\",\"uuid\":\"//4=\"}"
    );
}

#[test]
fn integers_are_numbers_to_their_last_digit() {
    let range = v1::value::Range {
        begin: 0,
        end: u64::MAX,
    };
    assert_eq!(text(&range), r#"{"begin":0,"end":18446744073709551615}"#);
    let duration = v1::DurationInfo { nanoseconds: i64::MIN };
    assert_eq!(text(&duration), r#"{"nanoseconds":-9223372036854775808}"#);
}

#[test]
fn doubles_are_short_exact_and_have_a_fraction() {
    for (number, expected) in [
        (0.0, "0.0"),
        (-0.5, "-0.5"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e-7, "1.5e-7"),
        (0.000_001, "0.000001"),
        (1_795_220_381.130_114, "1795220381.130114"),
        (f64::INFINITY, "\"Infinity\""),
        (f64::NEG_INFINITY, "\"-Infinity\""),
        (f64::NAN, "\"NaN\""),
    ] {
        let scalar = v1::value::Scalar { value: number };
        assert_eq!(text(&scalar), format!("{{\"value\":{expected}}}"));
    }
}

#[test]
fn serde_writes_the_same_members() {
    let info = v1::FrameworkInfo {
        user: "u".into(),
        name: "n".into(),
        roles: vec!["a".into()],
        ..Default::default()
    };
    assert_eq!(serde_json::to_string(&info).unwrap(), text(&info));
    assert_eq!(
        serde_json::to_string(&v1::TaskState::TaskLost).unwrap(),
        "\"TASK_LOST\""
    );
}

proptest::proptest! {
    #[test]
    fn any_double_and_any_text_read_back_as_they_were(value in proptest::num::f64::NORMAL, name: String) {
        let resource = scalar(&name, value);
        let read: v1::Resource = from_slice(&to_vec(&resource), "Resource").unwrap();
        proptest::prop_assert_eq!(read, resource);
    }
}
