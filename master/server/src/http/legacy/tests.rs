//! Bodies of the legacy endpoints against golden files (`tests/golden/`) and against the key sets their readers rely on.

use std::collections::BTreeMap;

use libprocess::Body;
use serde_json::Value;

use super::*;
use crate::http::tests::cluster::soft_state;

fn process() -> state::Process {
    state::Process {
        version: version_info::version_info(),
        flags: BTreeMap::from([("port", "5050".to_owned())]),
        cluster: "test".to_owned(),
        start_time: 1_700_000_000.25,
    }
}

/// The body for a query such as `limit=1&order=asc`, as text.
fn text(route: Route, query: &str) -> String {
    let parameters = decode_query(query).unwrap();
    let response = body(route, &soft_state(), &process(), &parameters);
    assert_eq!(response.status, 200);
    match response.body {
        Body::Full(body) => String::from_utf8(body.to_vec()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn get(route: Route, query: &str) -> Value {
    serde_json::from_str(&text(route, query)).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Compares with the file; `GOLDEN=write` in the environment writes it instead, to be looked at before it is committed.
fn assert_golden(name: &str, actual: &Value) {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, serde_json::to_string_pretty(actual).unwrap() + "\n").unwrap();
    }
    let expected: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(*actual, expected, "{name} differs from {path}");
}

#[test]
fn every_body_is_the_golden_one() {
    for (name, route) in [
        ("state", Route::State),
        ("state-summary", Route::StateSummary),
        ("slaves", Route::Slaves),
        ("frameworks", Route::Frameworks),
        ("tasks", Route::Tasks),
        ("roles", Route::Roles),
    ] {
        assert_golden(name, &get(route, ""));
    }
}

/// Keys that an unmodified master sends for objects of the same kind.
#[test]
fn objects_have_the_keys_that_tools_read() {
    let state = get(Route::State, "");
    let top = "activated_slaves build_date build_time build_user capabilities cluster completed_frameworks deactivated_slaves \
               elected_time flags frameworks hostname id leader leader_info orphan_tasks pid recovered_slaves slaves \
               start_time unreachable_slaves unregistered_frameworks version";
    assert_eq!(keys(&state).join(" "), top);
    assert_eq!(state["leader"], "master@192.0.2.1:5050");
    assert_eq!(keys(&state["leader_info"]).join(" "), "hostname id pid port");
    let slave = "active attributes capabilities deactivated hostname id offered_resources pid port registered_time \
                 reserved_resources resources unreserved_resources used_resources version";
    assert_eq!(keys(&state["slaves"][0]).join(" "), slave);
    assert_eq!(
        keys(&state["recovered_slaves"][0]).join(" "),
        "attributes hostname id port"
    );
    let framework = "active capabilities checkpoint completed_tasks connected executors failover_timeout hostname id name \
                     offer_constraints offered_resources offers principal recovered registered_time resources roles tasks \
                     unreachable_tasks unregistered_time used_resources user webui_url";
    assert_eq!(keys(&state["frameworks"][0]).join(" "), framework);
    assert_eq!(keys(&state["completed_frameworks"][0]).join(" "), framework);
    let task = &state["frameworks"][0]["completed_tasks"][0];
    assert_eq!(
        keys(task).join(" "),
        "executor_id framework_id id name resources role slave_id state statuses"
    );
    assert_eq!(keys(&task["statuses"][0]).join(" "), "container_status state timestamp");
    assert_eq!(keys(&task["statuses"][0]["container_status"]).join(" "), "container_id");
    let offer = &state["frameworks"][0]["offers"][0];
    assert_eq!(
        keys(offer).join(" "),
        "allocation_info framework_id id resources slave_id"
    );
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(
        keys(executor).join(" "),
        "command executor_id framework_id name resources role slave_id"
    );
    assert_eq!(keys(&executor["command"]).join(" "), "argv shell uris value");
}

#[test]
fn doubles_keep_a_fraction_and_counts_are_whole() {
    let state = text(Route::State, "");
    assert!(state.contains("\"cpus\":4.0"), "{state}");
    assert!(state.contains("\"activated_slaves\":1.0"), "{state}");
    assert!(state.contains("\"ports\":\"[31000-32000]\""), "{state}");
    assert!(text(Route::StateSummary, "").contains("\"TASK_RUNNING\":1,"));
}

#[test]
fn parameters_pick_one_object() {
    let ids = |value: &Value, list: &str| -> Vec<String> {
        value[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let slaves = get(Route::Slaves, "slave_id=c-S1");
    assert_eq!(
        (ids(&slaves, "slaves"), ids(&slaves, "recovered_slaves")),
        (vec![], vec!["c-S1".to_owned()])
    );
    assert!(ids(&get(Route::Slaves, "slave_id=nope"), "recovered_slaves").is_empty());
    let frameworks = get(Route::Frameworks, "framework_id=c-0001");
    assert!(ids(&frameworks, "frameworks").is_empty());
    assert_eq!(ids(&frameworks, "completed_frameworks"), ["c-0001"]);
    assert_eq!(ids(&get(Route::Tasks, "task_id=done"), "tasks"), ["done"]);
    assert!(ids(&get(Route::Tasks, "framework_id=nope"), "tasks").is_empty());
}

#[test]
fn tasks_are_paged_newest_first() {
    let ids = |query: &str| -> Vec<String> {
        let tasks = get(Route::Tasks, query);
        tasks["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|task| task["id"].as_str().unwrap().to_owned())
            .collect()
    };
    // A task without a status is older than any.
    assert_eq!(ids(""), ["away", "running", "done", "with-executor"]);
    assert_eq!(ids("order=asc"), ["with-executor", "done", "running", "away"]);
    assert_eq!(ids("order=ASC&limit=1"), ["away"]);
    assert_eq!(ids("limit=2&offset=1"), ["running", "done"]);
    assert_eq!(ids("limit=0"), Vec::<String>::new());
    assert_eq!(ids("limit=-1").len(), 4);
    assert_eq!(ids("limit=x&offset=y").len(), 4);
    assert!(ids("offset=-1").is_empty());
    assert!(ids("offset=9").is_empty());
}

#[test]
fn version_and_logging_level_are_those_of_every_replica() {
    let Body::Full(body) = version(&crate::http::tests::request("GET", "/version")).body else {
        panic!("no body")
    };
    let version: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(keys(&version).join(" "), "build_date build_time build_user version");
    let numeric = version["version"]
        .as_str()
        .unwrap()
        .chars()
        .all(|c| c.is_ascii_digit() || c == '.');
    assert!(numeric, "{version}");
    assert_eq!(
        logging(&crate::http::tests::request("GET", "/logging/toggle")).status,
        200
    );
    assert_eq!(
        logging(&crate::http::tests::request("GET", "/logging/toggle?level=1")).status,
        501
    );
}

#[test]
fn suppressed_roles_are_shown() {
    let mut state = soft_state();
    for framework in state.frameworks.values_mut() {
        framework.suppressed_roles.push("web".to_owned());
    }
    let text = |state| serde_json::to_string(&constraints_debug::ConstraintsDebug(state)).unwrap();
    assert_eq!(
        text(Some(&state)),
        r#"{"frameworks":{"c-0000":{"suppressed_roles":["web"],"excluded_by_attribute_constraints":{}}}}"#
    );
    assert_eq!(text(None), r#"{"frameworks":{}}"#);
}
