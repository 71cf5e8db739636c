//! Frameworks that describe themselves wrongly, and two that claim to be the same.

use anyhow::Result;
use cluster_tests::subscriber::{End, Subscriber, framework_info};
use serde_json::{Value, json};

use crate::{Bench, Differences};

/// Subscribes and expects a stream of one ERROR and a clean end; returns the message.
fn refusal(port: u16, info: &Value) -> Result<String> {
    let refused = Subscriber::open(port, info)?;
    let (_, event) = refused.wait_for("an event", 0, |_| true)?;
    if event["type"] != "ERROR" {
        return Ok(format!("event {}", event["type"]));
    }
    let end = refused.wait_for_end()?;
    if end != End::Clean || refused.events().len() != 1 {
        return Ok(format!("after the error: {end:?}, {} events", refused.events().len()));
    }
    Ok(event["error"]["message"].as_str().unwrap_or_default().to_owned())
}

fn with(changes: &Value) -> Value {
    let mut info = framework_info("odd");
    if let (Some(info), Some(changes)) = (info.as_object_mut(), changes.as_object()) {
        info.extend(changes.clone());
    }
    info
}

#[test]
fn wrong_descriptions_are_refused_on_the_stream() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut rows = Differences::default();
    let role = |text: &str| format!("'FrameworkInfo.roles' contains invalid role: {text}");
    let long = "x".repeat(300);
    let table: Vec<(Value, String)> = vec![
        (
            json!({"role": "web"}),
            "'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".to_owned(),
        ),
        (
            json!({"capabilities": []}),
            "'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".to_owned(),
        ),
        (
            json!({"roles": ["a", "a"]}),
            "'FrameworkInfo.roles' contains duplicate items: { a }".to_owned(),
        ),
        (json!({"roles": ["/a"]}), role("Role '/a' cannot start with a slash")),
        (json!({"roles": ["a/"]}), role("Role 'a/' cannot end with a slash")),
        (
            json!({"roles": ["a//b"]}),
            role("Role 'a//b' cannot contain two adjacent slashes"),
        ),
        (
            json!({"roles": ["."]}),
            role("Role '.' cannot include '.' as a component"),
        ),
        (
            json!({"roles": ["-a"]}),
            role("Role component '-a' is invalid because it starts with a dash"),
        ),
        (
            json!({"roles": ["a b"]}),
            role("Role component 'a b' is invalid because it contains backspace or whitespace"),
        ),
        (json!({"roles": [""]}), role("Role names cannot be the empty string")),
        (
            json!({"failover_timeout": 1e30}),
            "The framework failover_timeout (1e+30) is invalid".to_owned(),
        ),
        (
            json!({"id": {"value": "a/b"}}),
            "'a/b' contains invalid characters".to_owned(),
        ),
        (json!({"id": {"value": ".."}}), "'..' is disallowed".to_owned()),
        (
            json!({"id": {"value": long}}),
            "ID must not be greater than 255 characters".to_owned(),
        ),
    ];
    for (changes, text) in table {
        let row = changes.to_string().chars().take(60).collect::<String>();
        match refusal(port, &with(&changes)) {
            Ok(message) => rows.equal(&row, &message, &text),
            Err(error) => rows.holds(&row, false, || format!("{error:#}")),
        }
    }
    let suppressed = json!({"type": "SUBSCRIBE", "subscribe": {
        "framework_info": framework_info("odd"), "suppressed_roles": ["zz"]}});
    let answer = cluster_tests::http::post_json(port, "/api/v1/scheduler", &suppressed, &[])?;
    rows.holds("a suppressed role that is not subscribed", answer.status == 200, || {
        answer.text()
    });
    let wanted = "Suppressed roles { zz } are not contained in the set of roles";
    rows.holds("its text", answer.text().contains(wanted), || answer.text());
    rows.conclude()?;
    bench.conclude()
}

#[test]
fn a_second_subscriber_of_one_id_takes_over() -> Result<()> {
    let bench = Bench::start()?;
    let port = bench.port();
    let mut info = framework_info("twin");
    let first = Subscriber::open(port, &info)?;
    let id = first.framework_id()?;
    info["id"] = id.clone();
    let second = Subscriber::open(port, &info)?;
    let mut rows = Differences::default();
    rows.equal("the id", &second.framework_id()?.to_string(), &id.to_string());
    let (_, error) = first.wait_for_type("ERROR", 0)?;
    rows.equal(
        "the text",
        error["error"]["message"].as_str().unwrap_or_default(),
        "Framework failed over",
    );
    let end = first.wait_for_end()?;
    rows.holds("the end", end == End::Clean, || format!("{end:?}"));
    second.accepted(json!({"type": "TEARDOWN"}))?;
    let end = second.wait_for_end()?;
    rows.holds("the end after the own teardown", end == End::Clean, || {
        format!("{end:?}")
    });
    rows.holds(
        "no error after the own teardown",
        !second.events().iter().any(|event| event["type"] == "ERROR"),
        || format!("{:?}", second.events()),
    );
    let message = refusal(port, &info)?;
    rows.equal("a return after the teardown", &message, "Framework has been removed");
    rows.conclude()?;
    bench.conclude()
}
