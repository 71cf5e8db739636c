//! Registration and re-registration of agents.

use super::*;
use proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage};

const RESERVED: &str = r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1},
    "reservations":[{"type":"DYNAMIC","role":"web","principal":"ops"}]}"#;

fn registration(slave: &str, rest: &str) -> RegisterSlaveMessage {
    let mut message: RegisterSlaveMessage = json(&format!(
        r#"{{"version":"1.11.0","slave":{{"hostname":"h",
            "resources":[{{"name":"cpus","type":"SCALAR","scalar":{{"value":4}}}}]{slave}}}{rest}}}"#
    ));
    // Only on the wire between agents and masters: JSON has no such field.
    message.slave.checkpoint = Some(true);
    message
}

#[test]
fn agents_that_say_everything_are_admitted() {
    let reserved = format!(r#","checkpointed_resources":[{RESERVED}]"#);
    for (slave, rest) in [("", ""), (r#","id":{"value":"c-S1"}"#, ""), ("", reserved.as_str())] {
        assert_eq!(register_agent(&registration(slave, rest)), Ok(()), "{slave} {rest}");
    }
    for version in ["1.0.0", "1.12.0-dev", "1.11", "2.0.0-rc1+x"] {
        let message = registration("", &format!(r#","version":"{version}""#));
        assert_eq!(register_agent(&message), Ok(()), "{version}");
    }
}

#[test]
fn agents_that_contradict_themselves_are_dropped() {
    let reserved = format!(r#","checkpointed_resources":[{RESERVED}]"#);
    let rows = [
        (r#","id":{"value":"a/b"}"#, ""),
        (
            r#","resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]"#,
            "",
        ),
        (r#","resources":[]"#, reserved.as_str()),
        (
            "",
            r#","checkpointed_resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]"#,
        ),
        ("", r#","version":null"#),
        ("", r#","version":"0.28.0""#),
        ("", r#","version":"one""#),
        ("", r#","version":"1.2.3.4""#),
    ];
    for (slave, rest) in rows {
        assert!(register_agent(&registration(slave, rest)).is_err(), "{slave} {rest}");
    }
    let mut forgetful = registration("", &reserved);
    forgetful.slave.checkpoint = Some(false);
    assert!(
        register_agent(&forgetful).is_err(),
        "it cannot have checkpointed anything"
    );
}

fn report(changes: &str) -> ReregisterSlaveMessage {
    json(&format!(
        r#"{{"version":"1.11.0","slave":{{"id":{{"value":"a"}},"hostname":"h"}},
            "frameworks":[{{"id":{{"value":"f"}},{FRAMEWORK}}}],
            "executor_infos":[{{"executor_id":{{"value":"e"}},"framework_id":{{"value":"f"}}}}],
            "tasks":[{}]{changes}}}"#,
        reported_task("")
    ))
}

fn reported_task(changes: &str) -> String {
    format!(
        r#"{{"name":"n","task_id":{{"value":"t"}},"framework_id":{{"value":"f"}},"executor_id":{{"value":"e"}},
            "agent_id":{{"value":"a"}},"state":"TASK_RUNNING"{changes}}}"#
    )
}

#[test]
fn reports_must_be_complete_and_consistent() {
    assert_eq!(reregister_agent(&report("")), Ok(()));
    // Only a running task needs its executor in the report.
    let staging = reported_task(r#","executor_id":{"value":"gone"},"state":"TASK_STAGING""#);
    assert_eq!(reregister_agent(&report(&format!(r#","tasks":[{staging}]"#))), Ok(()));
    let bad_tasks = [
        r#","task_id":{"value":"a/b"}"#,
        r#","agent_id":{"value":"other"}"#,
        r#","framework_id":{"value":"other"}"#,
        r#","executor_id":{"value":"gone"}"#,
        r#","resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]"#,
    ];
    for task in bad_tasks {
        let message = report(&format!(r#","tasks":[{}]"#, reported_task(task)));
        assert!(reregister_agent(&message).is_err(), "{task}");
    }
    let executor = r#"{"executor_id":{"value":"e"},"framework_id":{"value":"f"}}"#;
    let framework = format!(r#"{{"id":{{"value":"f"}},{FRAMEWORK}}}"#);
    let bad_reports = [
        r#","slave":{"hostname":"h"}"#.to_owned(),
        format!(r#","executor_infos":[{executor},{executor}]"#),
        r#","executor_infos":[{"executor_id":{"value":"e"},"framework_id":{"value":"g"}}]"#.to_owned(),
        format!(r#","frameworks":[{framework},{framework}]"#),
        format!(r#","frameworks":[{{{FRAMEWORK}}}]"#),
        r#","version":"0.9.9""#.to_owned(),
    ];
    for changes in bad_reports {
        assert!(reregister_agent(&report(&changes)).is_err(), "{changes}");
    }
}
