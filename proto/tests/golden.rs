//! Bodies recorded from an unmodified Mesos cluster (`tests/golden/`) decode, and encode to what they were.
//!
//! * `*.jsonl`: one JSON body per line. Events and responses, which Mesos wrote, come back as the same value; calls,
//!   which clients wrote, come back with explicit defaults added.
//! * `*.hex`: one binary body per line, with the message name in front where the file holds several types. Event
//!   streams keep their RecordIO framing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use prost::{Message, Name};
use proto::ext::scheduler_call::FromDriver;
use proto::json::{self, JsonMessage, Node};
use proto::v1::agent_info::{Capability, capability};
use proto::v1::{agent, executor, master, scheduler};
use proto::{internal, recordio, v0, wire};
use serde_json::{Map, Value};

const MAX_RECORD_BYTES: usize = 1 << 20;

fn lines(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let lines: Vec<String> = fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect();
    assert!(!lines.is_empty(), "{file} is empty");
    lines
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

/// What Mesos wrote comes back with the same members and values; integers and doubles are told apart.
fn assert_same_value<T: JsonMessage + Default + serde::Serialize>(body: &str) {
    let message: T = json::from_slice(body.as_bytes(), "golden").unwrap_or_else(|error| panic!("{error}\n{body}"));
    let again = json::to_vec(&message);
    assert!(!again.contains(&b'\n'));
    assert_eq!(canonical(&again), canonical(body.as_bytes()));
    assert_eq!(
        canonical(&serde_json::to_vec(&message).unwrap()),
        canonical(body.as_bytes()),
        "through serde"
    );
}

/// The same text for the same value. The reads that Mesos writes by hand (`GET_EXECUTORS` ...) hold empty lists, which
/// the mapping leaves out.
fn canonical(text: &[u8]) -> String {
    fn print(node: &Node<'_>) -> String {
        match node {
            Node::List(items) => format!("{:?}", items.iter().map(print).collect::<Vec<_>>()),
            Node::Object(object) => {
                let kept = object
                    .iter()
                    .filter(|(_, member)| !matches!(member, Node::List(items) if items.is_empty()));
                kept.map(|(key, member)| format!("{key}: {}\n", print(member)))
                    .collect()
            }
            other => format!("{other:?}"),
        }
    }
    print(&json::parse(text).unwrap())
}

/// What a client wrote keeps all its members. Explicit defaults come on top.
fn assert_same_meaning<T: JsonMessage + Default>(body: &str) {
    let message: T = json::from_slice(body.as_bytes(), "golden").unwrap_or_else(|error| panic!("{error}\n{body}"));
    let again = json::to_vec(&message);
    assert_contains(
        &serde_json::from_slice(&again).unwrap(),
        &serde_json::from_str(body).unwrap(),
        "",
    );
    assert_stays::<T>(&again);
}

/// Once written, a text does not change by reading and writing it again.
fn assert_stays<T: JsonMessage + Default>(text: &[u8]) {
    let again = json::to_vec(&json::from_slice::<T>(text, "golden").unwrap());
    assert_eq!(String::from_utf8(again).unwrap(), String::from_utf8_lossy(text));
}

fn assert_contains(kept: &Value, sent: &Value, path: &str) {
    match (kept, sent) {
        (Value::Object(kept), Value::Object(sent)) => {
            for (key, value) in sent {
                // An empty list or map is the same as none.
                if value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty) {
                    continue;
                }
                let kept = kept.get(key).unwrap_or_else(|| panic!("{path}.{key} is lost"));
                assert_contains(kept, value, &format!("{path}.{key}"));
            }
        }
        (Value::Array(kept), Value::Array(sent)) => {
            assert_eq!(kept.len(), sent.len(), "{path}");
            kept.iter()
                .zip(sent)
                .for_each(|(kept, sent)| assert_contains(kept, sent, path));
        }
        // Clients write whole doubles without a fraction.
        (Value::Number(kept), Value::Number(sent)) => assert_eq!(kept.as_f64(), sent.as_f64(), "{path}"),
        _ => assert_eq!(kept, sent, "{path}"),
    }
}

fn assert_same_bytes<T: Message + JsonMessage + Default>(body: &[u8]) {
    let message: T = wire::decode(body, "golden").unwrap_or_else(|error| panic!("{error}: {:?}", error.missing()));
    assert_eq!(message.encode_to_vec(), body);
    assert_stays::<T>(&json::to_vec(&message));
}

#[test]
fn scheduler_events_keep_their_values() {
    lines("scheduler-events.jsonl")
        .iter()
        .for_each(|body| assert_same_value::<scheduler::Event>(body));
}

#[test]
fn operator_responses_keep_their_values() {
    lines("operator-responses.jsonl")
        .iter()
        .for_each(|body| assert_same_value::<master::Response>(body));
}

#[test]
fn scheduler_calls_keep_their_meaning() {
    lines("scheduler-calls.jsonl")
        .iter()
        .for_each(|body| assert_same_meaning::<scheduler::Call>(body));
}

#[test]
fn operator_calls_keep_their_meaning() {
    lines("operator-calls.jsonl")
        .iter()
        .for_each(|body| assert_same_meaning::<master::Call>(body));
}

#[test]
fn binary_calls_keep_their_bytes() {
    for hex in lines("scheduler-calls.hex") {
        assert_same_bytes::<scheduler::Call>(&bytes(&hex));
    }
    for hex in lines("executor-calls.hex") {
        assert_same_bytes::<executor::Call>(&bytes(&hex));
    }
    for hex in lines("agent-calls.hex") {
        assert_same_bytes::<agent::Call>(&bytes(&hex));
    }
}

#[test]
fn binary_event_streams_keep_their_records() {
    for (file, check) in [
        (
            "scheduler-events.hex",
            assert_same_bytes::<scheduler::Event> as fn(&[u8]),
        ),
        ("executor-events.hex", assert_same_bytes::<executor::Event>),
    ] {
        for hex in lines(file) {
            let chunk = bytes(&hex);
            let mut decoder = recordio::Decoder::new(MAX_RECORD_BYTES);
            decoder.push(&chunk);
            let record = decoder.next().unwrap().unwrap();
            assert_eq!(recordio::encode(&record), chunk, "one record is one chunk");
            check(&record);
        }
    }
}

/// Looks the type of a message up by its name.
macro_rules! check_by_name {
    ($name:expr, $body:expr, $($message:ty),* $(,)?) => {
        $(if $name == <$message>::full_name() {
            assert_same_bytes::<$message>($body);
        } else)* {
            panic!("{}: no such message", $name);
        }
    };
}

#[test]
fn libprocess_messages_keep_their_bytes() {
    for line in lines("libprocess-messages.hex") {
        let (name, hex) = line.split_once(' ').unwrap();
        check_by_name!(
            name,
            &bytes(hex),
            v0::scheduler::Call,
            internal::AcknowledgeOperationStatusMessage,
            internal::ApplyOperationMessage,
            internal::AuthenticateMessage,
            internal::AuthenticationCompletedMessage,
            internal::AuthenticationFailedMessage,
            internal::AuthenticationMechanismsMessage,
            internal::AuthenticationStartMessage,
            internal::AuthenticationStepMessage,
            internal::DeactivateFrameworkMessage,
            internal::DrainSlaveMessage,
            internal::ExitedExecutorMessage,
            internal::FrameworkErrorMessage,
            internal::FrameworkRegisteredMessage,
            internal::KillTaskMessage,
            internal::PingSlaveMessage,
            internal::PongSlaveMessage,
            internal::RegisterExecutorMessage,
            internal::RegisterSlaveMessage,
            internal::ReregisterExecutorMessage,
            internal::ReregisterSlaveMessage,
            internal::ResourceOffersMessage,
            internal::RunTaskGroupMessage,
            internal::RunTaskMessage,
            internal::ShutdownFrameworkMessage,
            internal::SlaveRegisteredMessage,
            internal::SlaveReregisteredMessage,
            internal::StatusUpdateAcknowledgementMessage,
            internal::StatusUpdateMessage,
            internal::UpdateFrameworkMessage,
            internal::UpdateOperationStatusMessage,
            internal::UpdateSlaveMessage,
        );
    }
}

fn recorded<T: Message + JsonMessage + Default + Name>() -> T {
    let name = T::full_name();
    let line = lines("libprocess-messages.hex")
        .into_iter()
        .find(|line| line.starts_with(&format!("{name} ")))
        .unwrap();
    wire::decode(&bytes(line.split_once(' ').unwrap().1), &name).unwrap()
}

#[test]
fn the_fields_of_a_registering_agent_are_where_mesos_puts_them() {
    let message: internal::RegisterSlaveMessage = recorded();
    assert_eq!(message.version.as_deref(), Some("1.12.0"));
    assert_eq!(message.slave.hostname, "127.0.0.1");
    assert_eq!(message.slave.checkpoint, Some(true));
    let cpus = &message.slave.resources[0];
    assert_eq!((cpus.name.as_str(), cpus.scalar.unwrap().value), ("cpus", 4.0));
    let ports = message
        .slave
        .resources
        .iter()
        .find(|resource| resource.name == "ports")
        .unwrap();
    assert_eq!(ports.ranges.as_ref().unwrap().range[0].begin, 31000);
    assert_eq!(message.resource_version_uuid.unwrap().value.len(), 16);
    let capabilities = message
        .agent_capabilities
        .iter()
        .map(Capability::r#type)
        .collect::<Vec<_>>();
    assert!(
        capabilities.contains(&capability::Type::AgentDraining),
        "{capabilities:?}"
    );
}

#[test]
fn a_driver_that_subscribes_over_libprocess_tells_whether_it_takes_over() {
    let calls = lines("libprocess-messages.hex").into_iter().filter_map(|line| {
        let body = bytes(line.strip_prefix("mesos.scheduler.Call ")?);
        let call: v0::scheduler::Call = wire::decode(&body, "Call").unwrap();
        let FromDriver { call, force } = call.into();
        call.subscribe
            .map(|subscribe| (subscribe.framework_info.name, call.framework_id.is_some(), force))
    });
    let calls: Vec<_> = calls.collect();
    assert!(
        calls.iter().any(|(_, has_id, force)| !has_id && !force),
        "a new framework: {calls:?}"
    );
    assert!(
        calls.iter().any(|(_, has_id, force)| *has_id && *force),
        "a takeover: {calls:?}"
    );
    assert!(calls.iter().all(|(name, ..)| !name.is_empty()), "{calls:?}");
}
