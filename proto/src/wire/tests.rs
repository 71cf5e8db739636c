use proptest::prelude::*;
use prost::{Message, Name};

use super::{Reason, decode};
use crate::table::MAX_MESSAGE_DEPTH;
use crate::v1::scheduler::{Call, call};
use crate::{internal, v1};

fn missing<T: Message + Default + std::fmt::Debug + crate::json::JsonMessage>(body: &[u8]) -> Vec<String> {
    let error = decode::<T>(body, "Call").unwrap_err();
    assert_eq!(error.to_string(), "Failed to parse body into Call protobuf");
    error.missing().to_vec()
}

/// A field that holds `content`, whatever it is.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(content.len()).unwrap()], content].concat()
}

#[test]
fn required_fields_of_nested_messages_are_named_with_their_paths() {
    // Call.subscribe (3) with an empty framework_info (1).
    assert_eq!(
        missing::<Call>(&field(3, &field(1, b""))),
        ["subscribe.framework_info.user", "subscribe.framework_info.name"]
    );
    // Call.reconcile (9) with two tasks (1), the second without id.
    let tasks = [field(1, &field(1, &field(1, b"t"))), field(1, b"")].concat();
    assert_eq!(missing::<Call>(&field(9, &tasks)), ["reconcile.tasks[1].task_id"]);
}

#[test]
fn a_message_with_everything_it_needs_is_accepted() {
    let kill = call::Kill {
        task_id: "t".into(),
        ..Default::default()
    };
    let sent = Call {
        r#type: Some(call::Type::Kill.into()),
        kill: Some(kill),
        ..Default::default()
    };
    assert_eq!(decode::<Call>(&sent.encode_to_vec(), "Call").unwrap(), sent);
    assert_eq!(decode::<Call>(b"", "Call").unwrap(), Call::default());
}

#[test]
fn an_empty_text_is_present_and_an_absent_one_is_not() {
    assert!(decode::<v1::FrameworkId>(&field(1, b""), "Call").is_ok());
    assert_eq!(missing::<v1::FrameworkId>(b""), ["value"]);
}

#[test]
fn an_unknown_number_in_a_required_enum_counts_as_missing() {
    let resource = |kind: u8| [field(1, b"cpus"), vec![2 << 3, kind]].concat();
    assert!(decode::<v1::Resource>(&resource(0), "Call").is_ok());
    assert_eq!(missing::<v1::Resource>(&resource(99)), ["type"]);
}

#[test]
fn parts_of_a_message_that_occurs_twice_are_taken_together() {
    let twice = [
        field(3, &field(1, &field(1, b"user"))),
        field(3, &field(1, &field(2, b"name"))),
    ]
    .concat();
    assert!(decode::<Call>(&twice, "Call").is_ok());
}

#[test]
fn a_map_value_without_its_required_field_is_refused() {
    // TaskInfo.limits (15): an entry with a key and an empty Scalar.
    let entry = [field(1, b"mem"), field(2, b"")].concat();
    let limits = [vec![0x7a, u8::try_from(entry.len()).unwrap()], entry].concat();
    let task = [
        field(1, b"name"),
        field(2, &field(1, b"t")),
        field(3, &field(1, b"a")),
        limits,
    ]
    .concat();
    assert_eq!(missing::<v1::TaskInfo>(&task), ["limits[0].value.value"]);
}

#[test]
fn malformed_and_bottomless_bodies_are_refused() {
    assert!(missing::<Call>(b"{\"type\":\"REVIVE\"}").is_empty());
    // ContainerID.parent (2) inside itself.
    let mut nested = Vec::new();
    for depth in 1..150 {
        let mut outer = vec![1 << 3 | 2, 0, 2 << 3 | 2];
        prost::encoding::encode_varint(nested.len() as u64, &mut outer);
        outer.extend_from_slice(&nested);
        nested = outer;
        let decoded = decode::<v1::ContainerId>(&[nested.as_slice(), &field(1, b"c")].concat(), "ContainerID");
        match decoded.map_err(|error| error.reason().clone()) {
            Err(Reason::Missing(_)) => assert!(depth < MAX_MESSAGE_DEPTH, "{depth}"),
            Err(Reason::TooDeep { limit }) => assert!(limit == MAX_MESSAGE_DEPTH && depth >= limit, "{depth}"),
            other => assert!(
                matches!(other, Err(Reason::Malformed(_))) && depth >= 100,
                "{depth} {other:?}"
            ),
        }
    }
}

#[test]
fn full_names_are_those_of_the_protocol() {
    assert_eq!(
        internal::RegisterSlaveMessage::full_name(),
        "mesos.internal.RegisterSlaveMessage"
    );
    assert_eq!(crate::v0::scheduler::Call::full_name(), "mesos.scheduler.Call");
    assert_eq!(Call::full_name(), "mesos.v1.scheduler.Call");
    assert_eq!(internal::RegisterSlaveMessage::NAME, "RegisterSlaveMessage");
}

proptest! {
    #[test]
    fn random_bytes_never_panic(body: Vec<u8>) {
        drop(decode::<Call>(&body, "Call"));
        drop(decode::<internal::ReregisterSlaveMessage>(&body, "Call"));
    }
}
