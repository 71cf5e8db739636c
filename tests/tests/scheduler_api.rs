//! The scheduler API as a framework sees it when nothing goes wrong, down to what clients rely on without saying so.

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::http;
use cluster_tests::subscriber::{Subscriber, framework_info};
use cluster_tests::wait::wait_until;
use serde_json::{Value, json};

fn resources(cpus: f64, mem: f64) -> Value {
    json!([
        {"name": "cpus", "type": "SCALAR", "scalar": {"value": cpus}},
        {"name": "mem", "type": "SCALAR", "scalar": {"value": mem}},
    ])
}

fn task(offer: &Value, id: &str, command: &str) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"], "command": {"value": command},
        "resources": resources(0.2, 32.0),
    })
}

#[test]
fn a_command_task_runs_and_tells_how_it_ended() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let own = Subscriber::open(cluster.leader_port()?, &framework_info("runner"))?;
    ensure!(
        own.head.header("content-type") == Some("application/json"),
        "{:?}",
        own.head
    );
    ensure!(!own.stream_id.is_empty(), "no Mesos-Stream-Id");
    let (position, subscribed) = own.wait_for_type("SUBSCRIBED", 0)?;
    ensure!(position == 1, "SUBSCRIBED is not the first event");
    ensure!(
        subscribed["subscribed"]["heartbeat_interval_seconds"] == 15.0,
        "{subscribed}"
    );
    let version = subscribed["subscribed"]["master_info"]["version"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    ensure!(
        version.split('.').all(|part| part.parse::<u32>().is_ok()),
        "clients cannot read version {version:?}"
    );
    own.wait_for_type("HEARTBEAT", 0)?;

    let (next, offer) = own.wait_for_offer(0)?;
    own.launch(
        &offer,
        &json!([
            task(&offer, "good", "echo out; echo err >&2"),
            task(&offer, "bad", "exit 3")
        ]),
    )?;
    let (_, first) = own.wait_for_update("good", next)?;
    ensure!(
        first["state"] == "TASK_STARTING" || first["state"] == "TASK_RUNNING",
        "{first}"
    );
    for key in ["uuid", "agent_id", "executor_id", "timestamp", "source"] {
        ensure!(first.get(key).is_some(), "an update lacks {key}: {first}");
    }
    own.follow("good", "TASK_FINISHED", next)?;

    let mut position = next;
    let failed = loop {
        let (after, status) = own.wait_for_update("bad", position)?;
        own.acknowledge(&status)?;
        position = after;
        if status["state"] == "TASK_FAILED" {
            break status;
        }
    };
    ensure!(failed["message"] == "Command exited with status 3", "{failed}");
    own.accepted(json!({"type": "TEARDOWN"}))?;
    cluster.passed()
}

#[test]
fn a_task_group_runs_together_and_ends_together() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let own = Subscriber::open(cluster.leader_port()?, &framework_info("grouper"))?;
    let (next, offer) = own.wait_for_offer(0)?;
    let mut executor_resources = resources(0.1, 32.0);
    if let Some(list) = executor_resources.as_array_mut() {
        list.push(json!({"name": "disk", "type": "SCALAR", "scalar": {"value": 32.0}}));
    }
    own.accepted(
        json!({"type": "ACCEPT", "accept": {"offer_ids": [offer["id"]], "operations": [{
            "type": "LAUNCH_GROUP", "launch_group": {
                "executor": {
                    "type": "DEFAULT", "executor_id": {"value": "pod"}, "framework_id": own.framework_id()?,
                    "resources": executor_resources,
                },
                "task_group": {"tasks": [
                    task(&offer, "one", "sleep 100000"), task(&offer, "two", "sleep 100000"),
                ]},
            },
        }]}}),
    )?;
    own.follow("one", "TASK_RUNNING", next)?;
    own.follow("two", "TASK_RUNNING", next)?;
    let before = own.events().len();
    own.accepted(json!({"type": "KILL", "kill": {"task_id": {"value": "one"}}}))?;
    own.follow("one", "TASK_KILLED", before)?;
    own.follow("two", "TASK_KILLED", before)?;
    cluster.passed()
}

#[test]
fn an_update_is_sent_again_until_it_is_acknowledged_even_by_the_next_leader() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let leader = cluster.wait_for_leader()?;
    let mut info = framework_info("forgetful");
    let own = Subscriber::open(cluster.port(leader), &info)?;
    info["id"] = own.framework_id()?;
    let (next, offer) = own.wait_for_offer(0)?;
    own.launch(&offer, &json!([task(&offer, "unheard", "sleep 100000")]))?;
    let (_, unheard) = own.wait_for_update("unheard", next)?;

    cluster.masters[leader].kill9()?;
    let port = {
        let next = cluster.wait_for_other_leader(leader)?;
        cluster.port(next)
    };
    let after = Subscriber::open(port, &info)?;
    let (_, again) = after.wait_for("the same update again", 0, |event| {
        event["update"]["status"]["uuid"] == unheard["uuid"] && !unheard["uuid"].is_null()
    })?;
    ensure!(
        again["update"]["status"]["state"] == unheard["state"],
        "{again} is not {unheard}"
    );
    after.follow("unheard", "TASK_RUNNING", 0)?;
    cluster.passed()
}

#[test]
fn declined_offers_stay_away_until_they_are_revived() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let own = Subscriber::open(cluster.leader_port()?, &framework_info("picky"))?;
    let (next, offer) = own.wait_for_offer(0)?;
    own.accepted(json!({"type": "DECLINE", "decline": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 100_000.0}}}))?;
    // Another framework is offered what this one does not want: the agent is free.
    let other = Subscriber::open(own.port, &framework_info("other"))?;
    let (_, taken) = other.wait_for_offer(0)?;
    ensure!(
        own.events()[next..].iter().all(|event| event["type"] != "OFFERS"),
        "a declined offer came back"
    );
    other.accepted(json!({"type": "DECLINE", "decline": {
        "offer_ids": [taken["id"]], "filters": {"refuse_seconds": 100_000.0}}}))?;
    own.accepted(json!({"type": "REVIVE"}))?;
    let (next, offer) = own.wait_for_offer(next)?;
    own.accepted(json!({"type": "SUPPRESS"}))?;
    own.accepted(json!({"type": "DECLINE", "decline": {
        "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0.0}}}))?;
    let before = other.events().len();
    other.accepted(json!({"type": "REVIVE"}))?;
    other.wait_for_offer(before)?;
    ensure!(
        own.events()[next..].iter().all(|event| event["type"] != "OFFERS"),
        "an offer came although suppressed"
    );
    cluster.passed()
}

#[test]
fn the_operator_sees_what_runs() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let leader = cluster.wait_for_leader()?;
    let port = cluster.port(leader);
    let own = Subscriber::open(port, &framework_info("seen"))?;
    let id = own.framework_id()?;
    let (next, offer) = own.wait_for_offer(0)?;
    own.launch(&offer, &json!([task(&offer, "seen", "sleep 100000")]))?;
    own.follow("seen", "TASK_RUNNING", next)?;

    let id_text = id["value"].as_str().unwrap_or_default();
    wait_until("GET_TASKS names the task as running", PATIENCE, || {
        let tasks = cluster_tests::master::tasks(port, "tasks", id_text)?;
        Ok(tasks == [("seen".to_owned(), "TASK_RUNNING".to_owned())])
    })?;
    let state = cluster_tests::master::operator(port, "GET_STATE")?;
    for part in ["get_agents", "get_frameworks", "get_tasks"] {
        ensure!(state.get(part).is_some(), "GET_STATE lacks {part}: {state}");
    }
    let legacy = http::get(port, "/state", http::TIMEOUT)?.json()?;
    ensure!(
        legacy["leader"] == format!("master@127.0.0.1:{port}"),
        "leader is {}",
        legacy["leader"]
    );
    ensure!(
        legacy["leader_info"]["port"] == port,
        "leader_info is {}",
        legacy["leader_info"]
    );
    ensure!(
        legacy["frameworks"][0]["tasks"][0]["id"] == "seen",
        "{}",
        legacy["frameworks"]
    );
    let version = http::get(port, "/version", http::TIMEOUT)?.json()?;
    let version = version["version"].as_str().unwrap_or_default();
    ensure!(
        version.split('.').all(|part| part.parse::<u32>().is_ok()),
        "version {version:?} crashes pymesos"
    );
    let metrics = http::get(port, "/metrics", http::TIMEOUT)?;
    ensure!(
        metrics.status == 200 && metrics.text().contains("# TYPE"),
        "/metrics is {}",
        metrics.text()
    );

    for index in (0..3).filter(|index| *index != leader) {
        cluster.wait_until_follows(index)?;
        let follower = cluster.port(index);
        let answer = http::get(follower, "/state?a=b", http::TIMEOUT)?;
        let wanted = format!(":{port}/master/state?a=b");
        let location = answer.header("location").unwrap_or_default();
        ensure!(
            answer.status == 307 && location.ends_with(&wanted),
            "{} {location}",
            answer.status
        );
        ensure!(
            http::get(follower, "/health", http::TIMEOUT)?.status == 200,
            "a follower is not healthy"
        );
        ensure!(
            http::get(follower, "/redirect/x", http::TIMEOUT)?.status == 404,
            "/redirect/x is found"
        );
    }
    cluster.passed()
}
