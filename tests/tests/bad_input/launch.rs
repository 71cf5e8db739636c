//! Launches that must be refused, each with the status update that tells the framework why.

use anyhow::Result;
use cluster_tests::subscriber::{Subscriber, framework_info};
use serde_json::{Value, json};

use crate::{Bench, Differences};

fn scalar(name: &str, value: f64) -> Value {
    json!({"name": name, "type": "SCALAR", "scalar": {"value": value}})
}

fn task(offer: &Value, id: &str) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"], "command": {"value": "sleep 100000"},
        "resources": [scalar("cpus", 0.1), scalar("mem", 32.0)],
    })
}

fn with(mut task: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().into_iter().flatten() {
        if value.is_null() {
            task.as_object_mut().map(|task| task.remove(key));
        } else {
            task[key] = value.clone();
        }
    }
    task
}

/// Launches the task with a fresh offer and compares the first update of `id`.
fn refused(
    rows: &mut Differences,
    own: &Subscriber,
    offer: &Value,
    task: &Value,
    wanted: (&str, &str, &str),
) -> Result<()> {
    let id = task["task_id"]["value"].as_str().unwrap_or_default().to_owned();
    let before = own.events().len();
    own.launch(offer, &json!([task]))?;
    let (_, status) = own.wait_for_update(&id, before)?;
    compare(rows, &id, &status, wanted);
    Ok(())
}

fn compare(rows: &mut Differences, row: &str, status: &Value, (state, reason, text): (&str, &str, &str)) {
    let found = format!(
        "{} {} {}",
        status["state"].as_str().unwrap_or_default(),
        status["reason"].as_str().unwrap_or_default(),
        status["message"].as_str().unwrap_or_default()
    );
    rows.equal(row, &found, &format!("{state} {reason} {text}"));
    rows.holds(row, status.get("uuid").is_none(), || {
        "an update of the master carries a uuid".to_owned()
    });
    rows.equal(row, status["source"].as_str().unwrap_or_default(), "SOURCE_MASTER");
}

#[test]
fn invalid_tasks_are_refused_with_the_texts_of_mesos() -> Result<()> {
    let bench = Bench::start()?;
    let own = Subscriber::open(bench.port(), &framework_info("launcher"))?;
    let mut rows = Differences::default();
    let long = "x".repeat(300);
    let table: Vec<(&str, Value, &str)> = vec![
        ("a/b", json!({}), "'a/b' contains invalid characters"),
        ("..", json!({}), "'..' is disallowed"),
        (&long, json!({}), "ID must not be greater than 255 characters"),
        (
            "neither",
            json!({"command": null}),
            "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present",
        ),
        (
            "negative",
            json!({"resources": [scalar("cpus", -1.0)]}),
            "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            "tiny",
            json!({"resources": [scalar("cpus", 0.0001)]}),
            "Resource 'cpus:0' is invalid: Invalid scalar resource: value <= 0",
        ),
        ("none", json!({"resources": []}), "Task uses no resources"),
        (
            "nameless",
            json!({"resources": [scalar("", 0.1)]}),
            "Resource ':0.1' is invalid: Empty resource name",
        ),
        (
            "grace",
            json!({"kill_policy": {"grace_period": {"nanoseconds": -1}}}),
            "Task's 'kill_policy.grace_period' must be non-negative",
        ),
        (
            "health",
            json!({"health_check": {}}),
            "Task uses invalid health check: HealthCheck must specify 'type'",
        ),
        (
            "check",
            json!({"check": {}}),
            "Task uses invalid check: CheckInfo must specify 'type'",
        ),
    ];
    let mut position = 0;
    for (id, changes, text) in table {
        let (next, offer) = own.wait_for_offer(position)?;
        position = next;
        refused(
            &mut rows,
            &own,
            &offer,
            &with(task(&offer, id), &changes),
            ("TASK_ERROR", "REASON_TASK_INVALID", text),
        )?;
    }
    let (next, offer) = own.wait_for_offer(position)?;
    let text = format!(
        "Task uses invalid agent nobody while agent {} is expected",
        offer["agent_id"]["value"].as_str().unwrap_or_default()
    );
    let wrong = with(task(&offer, "wrong-agent"), &json!({"agent_id": {"value": "nobody"}}));
    refused(
        &mut rows,
        &own,
        &offer,
        &wrong,
        ("TASK_ERROR", "REASON_TASK_INVALID", &text),
    )?;

    let (_, offer) = own.wait_for_offer(next)?;
    let before = own.events().len();
    own.launch(
        &offer,
        &json!([with(
            task(&offer, "huge"),
            &json!({"resources": [scalar("cpus", 400.0)]})
        )]),
    )?;
    let (_, status) = own.wait_for_update("huge", before)?;
    let message = status["message"].as_str().unwrap_or_default();
    let start = "Total resources cpus(allocated: *):400 required by task and its executor is more than available ";
    rows.holds("more than the offer", message.starts_with(start), || message.to_owned());
    rows.conclude()?;
    own.accepted(json!({"type": "TEARDOWN"}))?;
    bench.conclude()
}

#[test]
fn an_offer_or_a_task_id_is_good_for_one_use() -> Result<()> {
    let bench = Bench::start()?;
    let own = Subscriber::open(bench.port(), &framework_info("launcher"))?;
    let mut rows = Differences::default();
    let (next, offer) = own.wait_for_offer(0)?;
    let offer_id = offer["id"]["value"].as_str().unwrap_or_default().to_owned();
    own.launch(&offer, &json!([task(&offer, "first")]))?;
    own.follow("first", "TASK_RUNNING", next)?;

    let dropped = ("TASK_DROPPED", "REASON_INVALID_OFFERS");
    let text = format!("Task launched with invalid offers: Offer {offer_id} is no longer valid");
    refused(
        &mut rows,
        &own,
        &offer,
        &task(&offer, "second"),
        (dropped.0, dropped.1, &text),
    )?;
    let nobody = with(offer.clone(), &json!({"id": {"value": "nope"}}));
    let text = "Task launched with invalid offers: Offer nope is no longer valid";
    refused(
        &mut rows,
        &own,
        &nobody,
        &task(&offer, "third"),
        (dropped.0, dropped.1, text),
    )?;

    let before = own.events().len();
    own.accepted(json!({"type": "ACCEPT", "accept": {"offer_ids": [],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task(&offer, "fourth")]}}]}}))?;
    let (_, status) = own.wait_for_update("fourth", before)?;
    compare(
        &mut rows,
        "no offers",
        &status,
        (
            dropped.0,
            dropped.1,
            "Task launched with invalid offers: No offers specified",
        ),
    );

    let (next, offer) = own.wait_for_offer(next)?;
    let before = own.events().len();
    own.accepted(
        json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"], offer["id"]],
        "operations": [{"type": "LAUNCH", "launch": {"task_infos": [task(&offer, "fifth")]}}]}}),
    )?;
    let (_, status) = own.wait_for_update("fifth", before)?;
    let text = format!(
        "Task launched with invalid offers: Duplicate offer {} in offer list",
        offer["id"]["value"].as_str().unwrap_or_default()
    );
    compare(&mut rows, "one offer twice", &status, (dropped.0, dropped.1, &text));

    let (next, offer) = own.wait_for_offer(next)?;
    let invalid = ("TASK_ERROR", "REASON_TASK_INVALID");
    refused(
        &mut rows,
        &own,
        &offer,
        &task(&offer, "first"),
        (invalid.0, invalid.1, "Task has duplicate ID: first"),
    )?;

    let (_, offer) = own.wait_for_offer(next)?;
    let before = own.events().len();
    own.launch(&offer, &json!([task(&offer, "twice"), task(&offer, "twice")]))?;
    let (_, event) = own.wait_for("the refusal of the second", before, |event| {
        event["update"]["status"]["task_id"]["value"] == "twice" && event["update"]["status"]["state"] == "TASK_ERROR"
    })?;
    let status = &event["update"]["status"];
    compare(
        &mut rows,
        "one id twice in one call",
        status,
        (invalid.0, invalid.1, "Task has duplicate ID: twice"),
    );
    rows.conclude()?;
    own.accepted(json!({"type": "TEARDOWN"}))?;
    bench.conclude()
}

#[test]
fn a_group_with_one_id_twice_is_refused_as_a_whole() -> Result<()> {
    let bench = Bench::start()?;
    let own = Subscriber::open(bench.port(), &framework_info("launcher"))?;
    let (_, offer) = own.wait_for_offer(0)?;
    let before = own.events().len();
    // An unmodified master aborts here.
    own.accepted(
        json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]], "operations": [{
            "type": "LAUNCH_GROUP", "launch_group": {
                "executor": {
                    "type": "DEFAULT", "executor_id": {"value": "e"}, "framework_id": own.framework_id()?,
                    "resources": [scalar("cpus", 0.1), scalar("mem", 32.0), scalar("disk", 32.0)],
                },
                "task_group": {"tasks": [task(&offer, "same"), task(&offer, "same")]},
            },
        }]}}),
    )?;
    let (_, status) = own.wait_for_update("same", before)?;
    let mut rows = Differences::default();
    let text = "Task has duplicate ID: same";
    compare(
        &mut rows,
        "the group",
        &status,
        ("TASK_ERROR", "REASON_TASK_GROUP_INVALID", text),
    );
    rows.conclude()?;
    own.accepted(json!({"type": "TEARDOWN"}))?;
    bench.conclude()
}

#[test]
fn calls_about_unknown_things_are_accepted_and_harmless() -> Result<()> {
    let bench = Bench::start()?;
    let own = Subscriber::open(bench.port(), &framework_info("asker"))?;
    let mut rows = Differences::default();
    let uuid = "AAAAAAAAAAAAAAAAAAAAAA==";
    let silent = [
        json!({"type": "DECLINE", "decline": {"offer_ids": [{"value": "nope"}]}}),
        json!({"type": "ACKNOWLEDGE", "acknowledge":
            {"agent_id": {"value": "a"}, "task_id": {"value": "t"}, "uuid": uuid}}),
        json!({"type": "MESSAGE", "message": {"agent_id": {"value": "a"}, "executor_id": {"value": "e"}, "data": "AA=="}}),
        json!({"type": "SHUTDOWN", "shutdown": {"executor_id": {"value": "e"}, "agent_id": {"value": "a"}}}),
        json!({"type": "REVIVE", "revive": {"roles": ["zz"]}}),
        json!({"type": "SUPPRESS", "suppress": {"roles": ["zz"]}}),
        json!({"type": "REQUEST", "request": {"requests": []}}),
    ];
    for call in silent {
        rows.answer(
            &call["type"].to_string(),
            own.call(call.clone()),
            202,
            crate::Text::Is(""),
        );
    }
    let (_, offer) = own.wait_for_offer(0)?;
    let agent = offer["agent_id"].clone();
    let table = [
        (
            json!({"task_id": {"value": "t1"}}),
            "t1",
            "TASK_UNKNOWN",
            "Reconciliation: Task is unknown",
        ),
        (
            json!({"task_id": {"value": "t2"}, "agent_id": agent}),
            "t2",
            "TASK_GONE",
            "Reconciliation: Task is unknown to the agent",
        ),
    ];
    for (asked, id, state, text) in &table {
        for call in [
            json!({"type": "RECONCILE", "reconcile": {"tasks": [asked]}}),
            json!({"type": "KILL", "kill": asked}),
        ] {
            let before = own.events().len();
            own.accepted(call)?;
            let (_, status) = own.wait_for_update(id, before)?;
            compare(&mut rows, id, &status, (state, "REASON_RECONCILIATION", text));
        }
    }
    rows.conclude()?;
    own.accepted(json!({"type": "TEARDOWN"}))?;
    bench.conclude()
}
