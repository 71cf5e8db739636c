//! The thinnest path through the whole system: one framework, one agent, one task, the leader killed.

use anyhow::{Result, ensure};
use cluster_tests::cluster::Cluster;
use cluster_tests::journal::starts;
use cluster_tests::processes;
use cluster_tests::subscriber::{Subscriber, framework_info};
use cluster_tests::wait::wait_until;
use serde_json::{Value, json};

/// A task that leaves a file `<folder>/<id>.<pid>` when it starts.
fn long_task(offer: &Value, id: &str, folder: &std::path::Path) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "command": {"value": format!("touch {}/{id}.$$; exec sleep 100000", folder.display())},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.0}},
        ],
    })
}

#[test]
fn a_task_survives_the_leader_and_is_known_to_the_next_one() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let pids = cluster.folder().join("pids");
    std::fs::create_dir(&pids)?;
    let leader = cluster.wait_for_leader()?;

    let mut info = framework_info("first");
    let before = Subscriber::open(cluster.port(leader), &info)?;
    let framework_id = before.framework_id()?;
    let (position, offer) = before.wait_for_offer(0)?;
    before.launch(&offer, &json!([long_task(&offer, "task", &pids)]))?;
    before.follow("task", "TASK_RUNNING", position)?;
    wait_until("the task has started", cluster_tests::cluster::PATIENCE, || {
        Ok(starts(&pids, "task")?.len() == 1)
    })?;

    cluster.agents[0].pause()?;
    cluster.masters[leader].kill9()?;
    let next = cluster.wait_for_other_leader(leader)?;

    info["id"] = framework_id.clone();
    let after = Subscriber::open(cluster.port(next), &info)?;
    ensure!(after.framework_id()? == framework_id, "the framework got another id");
    after.accepted(json!({"type": "RECONCILE", "reconcile": {"tasks": [{"task_id": {"value": "task"}}]}}))?;
    let (position, status) = after.wait_for_update("task", 0)?;
    ensure!(
        status["state"] == "TASK_RUNNING",
        "before the agent is back the task is {status}"
    );
    ensure!(
        status["reason"] == "REASON_RECONCILIATION" && status["source"] == "SOURCE_MASTER",
        "{status}"
    );
    ensure!(
        status.get("uuid").is_none(),
        "an update of the master carries a uuid: {status}"
    );

    cluster.agents[0].resume()?;
    cluster.wait_for_agents(1)?;
    let started = starts(&pids, "task")?;
    ensure!(
        started.len() == 1 && processes::is_alive(started[0]),
        "the task was restarted: {started:?}"
    );

    after.accepted(json!({"type": "KILL", "kill": {"task_id": {"value": "task"}}}))?;
    after.follow("task", "TASK_KILLED", position)?;
    wait_until("the task's process is gone", cluster_tests::cluster::PATIENCE, || {
        Ok(!processes::is_alive(started[0]))
    })?;
    cluster.passed()
}

#[test]
fn a_follower_sends_a_subscriber_to_the_leader() -> Result<()> {
    let mut cluster = Cluster::builder().start()?;
    let leader = cluster.wait_for_leader()?;
    for follower in (0..3).filter(|index| *index != leader) {
        cluster.wait_until_follows(follower)?;
        let call = cluster_tests::subscriber::subscribe_call(&framework_info("lost"));
        let port = cluster.port(follower);
        let response = cluster_tests::http::post_json(port, "/api/v1/scheduler", &call, &[])?;
        ensure!(
            response.status == 307,
            "a follower answered {}: {}",
            response.status,
            response.text()
        );
        let wanted = format!(":{}/master/api/v1/scheduler", cluster.port(leader));
        let location = response.header("location").unwrap_or_default();
        ensure!(
            location.starts_with("//") && location.ends_with(&wanted),
            "Location is {location:?}"
        );
        ensure!(response.body.is_empty(), "a redirect has a body: {:?}", response.text());
    }
    cluster.passed()
}
