//! The shape of scheduler calls.

use super::*;
use proto::v1::scheduler::Call;

#[track_caller]
fn refused(text: &str, why: &str) {
    let expected = Err(format!("Failed to validate scheduler::Call: {why}"));
    assert_eq!(call(&json::<Call>(text), None), expected, "{text}");
}

#[test]
fn calls_without_their_parts_are_refused_with_the_texts_of_mesos() {
    refused("{}", "Expecting 'type' to be present");
    refused(r#"{"type":"NOPE"}"#, "Expecting 'type' to be present");
    for kind in ["UNKNOWN", "TEARDOWN", "KILL", "REVIVE"] {
        refused(
            &format!(r#"{{"type":"{kind}"}}"#),
            "Expecting 'framework_id' to be present",
        );
    }
    let messages = [
        "accept",
        "decline",
        "kill",
        "shutdown",
        "acknowledge",
        "reconcile",
        "message",
        "request",
        "accept_inverse_offers",
        "decline_inverse_offers",
        "acknowledge_operation_status",
        "reconcile_operations",
        "update_framework",
    ];
    for name in messages {
        let text = format!(r#"{{"framework_id":{{"value":"f"}},"type":"{}"}}"#, name.to_uppercase());
        refused(&text, &format!("Expecting '{name}' to be present"));
    }
    refused(r#"{"type":"SUBSCRIBE"}"#, "Expecting 'subscribe' to be present");
    for kind in ["TEARDOWN", "REVIVE", "SUPPRESS", "UNKNOWN"] {
        let call: Call = json(&format!(r#"{{"framework_id":{{"value":"f"}},"type":"{kind}"}}"#));
        assert_eq!(super::call(&call, None), Ok(()), "{kind}");
    }
}

#[test]
fn uuids_have_sixteen_bytes() {
    let acknowledge = |uuid: &str| {
        format!(
            r#"{{"framework_id":{{"value":"f"}},"type":"ACKNOWLEDGE",
                "acknowledge":{{"agent_id":{{"value":"a"}},"task_id":{{"value":"t"}},"uuid":"{uuid}"}}}}"#
        )
    };
    refused(&acknowledge("AAAA"), "Not a valid UUID");
    assert_eq!(call(&json(&acknowledge("AAAAAAAAAAAAAAAAAAAAAA==")), None), Ok(()));
    refused(
        r#"{"framework_id":{"value":"f"},"type":"ACKNOWLEDGE_OPERATION_STATUS",
            "acknowledge_operation_status":{"operation_id":{"value":"o"},"uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}}"#,
        "Expecting 'agent_id' to be present",
    );
}

#[test]
fn ids_inside_and_outside_agree() {
    let subscribe = |outside: &str, inside: &str| {
        format!(r#"{{"type":"SUBSCRIBE"{outside},"subscribe":{{"framework_info":{{{FRAMEWORK}{inside}}}}}}}"#)
    };
    let (outside, inside) = (r#","framework_id":{"value":"f"}"#, r#","id":{"value":"f"}"#);
    let differs = "'framework_id' differs from 'subscribe.framework_info.id'";
    refused(&subscribe(outside, ""), differs);
    refused(&subscribe("", inside), differs);
    refused(&subscribe(outside, r#","id":{"value":"g"}"#), differs);
    assert_eq!(call(&json(&subscribe(outside, inside)), None), Ok(()));
    assert_eq!(call(&json(&subscribe("", "")), Some("ops")), Ok(()));
    let other = call(&json(&subscribe("", "")), Some("fw1")).unwrap_err();
    assert_eq!(
        other,
        "Failed to validate scheduler::Call: Authenticated principal 'fw1' does not match principal 'ops' set in \
         `FrameworkInfo`"
    );
    let update = format!(
        r#"{{"framework_id":{{"value":"f"}},"type":"UPDATE_FRAMEWORK","update_framework":{{"framework_info":{{{FRAMEWORK}}}}}}}"#
    );
    refused(
        &update,
        "'framework_id' differs from 'update_framework.framework_info.id'",
    );
}
