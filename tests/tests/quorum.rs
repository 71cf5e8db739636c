//! What a minority of masters may still do, and what a majority must still do.

use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::Framework;
use cluster_tests::http;
use cluster_tests::subscriber::{Subscriber, framework_info, subscribe_call};
use cluster_tests::wait::wait_until;
use serde_json::json;

/// How long an answer is waited for that must not come.
const GRACE: Duration = Duration::from_secs(3);

/// POST of a JSON body, at most [`GRACE`] long. `None` when no answer came, or the connection broke.
fn attempt(port: u16, path: &str, body: &serde_json::Value, stream_id: Option<&str>) -> Result<Option<http::Response>> {
    let mut headers = vec![("Content-Type", "application/json"), ("Accept", "application/json")];
    if let Some(stream_id) = stream_id {
        headers.push(("Mesos-Stream-Id", stream_id));
    }
    Ok(http::request(port, "POST", path, &headers, &serde_json::to_vec(body)?, GRACE).ok())
}

#[test]
fn without_a_majority_nothing_is_acknowledged_and_all_goes_on_when_one_returns() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=6", "--agents=1", "--shorts"])?;
    framework.wait_for_running(6)?;
    let leader = cluster.wait_for_leader()?;
    let port = cluster.port(leader);
    let witness = Subscriber::open(port, &framework_info("witness"))?;
    let framework_id = witness.framework_id()?;

    let followers: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
    for follower in &followers {
        cluster.masters[*follower].kill9()?;
    }
    ensure!(cluster.masters[leader].is_running(), "the last master ended as well");

    // Writes: a call of a subscribed framework that changes the registry, a new subscription, a teardown.
    let launch = json!({"type": "TEARDOWN", "framework_id": framework_id});
    if let Some(answer) = attempt(port, "/api/v1/scheduler", &launch, Some(&witness.stream_id))? {
        ensure!(answer.status != 202, "a teardown was accepted by one master of three");
    }
    let subscribe = subscribe_call(&framework_info("newcomer"));
    if let Some(answer) = attempt(port, "/api/v1/scheduler", &subscribe, None)? {
        ensure!(
            answer.status == 503,
            "a subscription was answered {}: {}",
            answer.status,
            answer.text()
        );
        ensure!(!answer.body.is_empty(), "a refusal without a body");
    }
    let teardown = json!({"type": "TEARDOWN", "teardown": {"framework_id": framework_id}});
    if let Some(answer) = attempt(port, "/api/v1", &teardown, None)? {
        ensure!(
            answer.status != 200 && answer.status != 202,
            "an operator's teardown was accepted"
        );
    }

    // Reads that must be current.
    for call in ["GET_AGENTS", "GET_FRAMEWORKS", "GET_TASKS", "GET_STATE"] {
        wait_until(&format!("{call} is refused"), PATIENCE, || {
            let answer = attempt(port, "/api/v1", &json!({ "type": call }), None)?;
            let Some(answer) = answer else { return Ok(false) };
            ensure!(answer.status == 503, "{call} answered {}", answer.status);
            ensure!(
                answer.text().len() > 10,
                "{call} was refused without a reason: {:?}",
                answer.text()
            );
            Ok(true)
        })?;
    }
    // The process itself says that it lives.
    ensure!(
        http::get(port, "/health", GRACE)?.status == 200,
        "/health is not answered"
    );

    cluster.masters[followers[0]].start()?;
    cluster.wait_for_leader()?;
    framework.wait_for_progress(3)?;
    cluster.masters[followers[1]].start()?;
    cluster.wait_until_follows(followers[1])?;
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}

#[test]
fn five_masters_work_on_when_two_die() -> Result<()> {
    let mut cluster = Cluster::builder().masters(5).agents(2).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=10", "--agents=2", "--shorts"])?;
    framework.wait_for_running(10)?;
    for _ in 0..2 {
        let position = framework.journal()?.len();
        let leader = cluster.wait_for_leader()?;
        cluster.masters[leader].kill9()?;
        cluster.wait_for_other_leader(leader)?;
        framework.wait_for_subscription(position)?;
        framework.wait_for_progress(3)?;
    }
    framework.command("launch 2")?;
    framework.wait_for_running(12)?;
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}
