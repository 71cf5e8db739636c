//! Dynamic reservations and persistent volumes, by frameworks and by operators, through the death of masters and agents.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::http;
use cluster_tests::master;
use cluster_tests::subscriber::{Subscriber, framework_info};
use cluster_tests::wait::wait_until;
use serde_json::{Value, json};

fn info(role: &str) -> Value {
    let mut info = framework_info(&format!("of-{role}"));
    info["roles"] = json!([role]);
    info
}

fn reserved(name: &str, amount: f64, role: &str) -> Value {
    json!({
        "name": name, "type": "SCALAR", "scalar": {"value": amount},
        "reservations": [{"type": "DYNAMIC", "role": role}],
    })
}

fn volume(megabytes: f64, id: &str, role: &str) -> Value {
    let mut volume = reserved("disk", megabytes, role);
    volume["disk"] = json!({
        "persistence": {"id": id}, "volume": {"mode": "RW", "container_path": "data"},
    });
    volume
}

fn task(id: &str, offer: &Value, command: &str, volume: &Value) -> Value {
    json!({
        "name": id, "task_id": {"value": id}, "agent_id": offer["agent_id"],
        "command": {"value": command},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.1}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32.0}},
            volume,
        ],
    })
}

fn accept(subscriber: &Subscriber, offer: &Value, operations: &Value) -> Result<()> {
    subscriber.accepted(json!({"type": "ACCEPT", "accept": {
        "offer_ids": [offer["id"]], "operations": operations, "filters": {"refuse_seconds": 0.0},
    }}))
}

fn resources(offer: &Value) -> impl Iterator<Item = &Value> {
    offer["resources"].as_array().into_iter().flatten()
}

fn has_volume(offer: &Value, id: &str) -> bool {
    resources(offer).any(|resource| resource["disk"]["persistence"]["id"] == id)
}

fn is_reserved(resource: &Value) -> bool {
    resource["reservations"]
        .as_array()
        .is_some_and(|stack| !stack.is_empty())
}

/// Waits for an offer that passes the test; declines the others.
fn offer_with(
    subscriber: &Subscriber,
    what: &str,
    mut position: usize,
    wanted: impl Fn(&Value) -> bool,
) -> Result<(usize, Value)> {
    loop {
        let (next, event) = subscriber.wait_for(what, position, |event| event["type"] == "OFFERS")?;
        for offer in event["offers"]["offers"].as_array().into_iter().flatten() {
            if wanted(offer) {
                return Ok((next, offer.clone()));
            }
            subscriber.accepted(json!({"type": "DECLINE", "decline": {
                "offer_ids": [offer["id"]], "filters": {"refuse_seconds": 0.0},
            }}))?;
        }
        position = next;
    }
}

/// Waits for the status of an operation and acknowledges it.
fn finished(subscriber: &Subscriber, id: &str) -> Result<()> {
    let (_, event) = subscriber.wait_for(&format!("the status of {id}"), 0, |event| {
        event["type"] == "UPDATE_OPERATION_STATUS"
            && event["update_operation_status"]["status"]["operation_id"]["value"] == id
    })?;
    let status = &event["update_operation_status"]["status"];
    ensure!(status["state"] == "OPERATION_FINISHED", "{id}: {status}");
    subscriber.accepted(
        json!({"type": "ACKNOWLEDGE_OPERATION_STATUS", "acknowledge_operation_status": {
            "agent_id": status["agent_id"], "uuid": status["uuid"]["value"], "operation_id": {"value": id},
        }}),
    )
}

fn agent_id(cluster: &mut Cluster) -> Result<String> {
    let port = cluster.leader_port()?;
    master::active_agents(port)?.pop().context("no agent is active")
}

fn volume_folder(cluster: &Cluster, role: &str, id: &str) -> PathBuf {
    cluster.folder().join("agent-1/volumes/roles").join(role).join(id)
}

/// What the leader says is reserved on the only agent.
fn reserved_resources(cluster: &mut Cluster) -> Result<Value> {
    let port = cluster.leader_port()?;
    let slaves = http::get(port, "/slaves", http::TIMEOUT)?.json()?;
    Ok(slaves["slaves"][0]["reserved_resources"].clone())
}

fn kill_leader(cluster: &mut Cluster) -> Result<()> {
    let old = cluster.wait_for_leader()?;
    cluster.masters[old].kill9()?;
    cluster.wait_for_other_leader(old)?;
    cluster.masters[old].start()?;
    cluster.wait_until_follows(old)
}

#[test]
fn what_a_task_writes_to_a_volume_is_there_for_the_next_one_after_master_and_agent_died() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut info = info("web");
    let first = Subscriber::open(cluster.leader_port()?, &info)?;
    info["id"] = first.framework_id()?;

    let (position, offer) = first.wait_for_offer(0)?;
    let disk = volume(64.0, "store", "web");
    accept(
        &first,
        &offer,
        &json!([
            {"type": "RESERVE", "id": {"value": "r"}, "reserve": {"resources": [reserved("disk", 100.0, "web")]}},
            {"type": "CREATE", "id": {"value": "c"}, "create": {"volumes": [disk]}},
            {"type": "LAUNCH", "launch": {"task_infos": [task("writer", &offer, "echo hello > data/file", &disk)]}},
        ]),
    )?;
    first.follow("writer", "TASK_FINISHED", position)?;
    finished(&first, "r")?;
    finished(&first, "c")?;
    let port = cluster.leader_port()?;
    wait_until("nobody waits for an operation any more", PATIENCE, || {
        let operations = master::operator(port, "GET_OPERATIONS")?;
        Ok(operations["operations"].as_array().is_none_or(Vec::is_empty))
    })?;
    let file = volume_folder(&cluster, "web", "store").join("file");
    ensure!(std::fs::read_to_string(&file)? == "hello\n");

    cluster.agents[0].kill9()?;
    kill_leader(&mut cluster)?;
    cluster.agents[0].start()?;
    cluster.wait_for_agents(1)?;
    ensure!(reserved_resources(&mut cluster)?["web"]["disk"] == json!(100.0));

    let second = Subscriber::open(cluster.leader_port()?, &info)?;
    let (position, offer) = offer_with(&second, "an offer of the volume", 0, |offer| has_volume(offer, "store"))?;
    let reader = task("reader", &offer, "test \"$(cat data/file)\" = hello", &disk);
    second.launch(&offer, &json!([reader]))?;
    let (position, _) = second.follow("reader", "TASK_FINISHED", position)?;

    let (_, offer) = offer_with(&second, "the volume again", position, |offer| {
        has_volume(offer, "store")
    })?;
    accept(
        &second,
        &offer,
        &json!([
            {"type": "DESTROY", "id": {"value": "d"}, "destroy": {"volumes": [disk]}},
            {"type": "UNRESERVE", "id": {"value": "u"}, "unreserve": {"resources": [reserved("disk", 100.0, "web")]}},
        ]),
    )?;
    finished(&second, "d")?;
    finished(&second, "u")?;
    ensure!(
        reserved_resources(&mut cluster)?
            .as_object()
            .is_some_and(|roles| roles.is_empty())
    );
    wait_until("the volume's folder is gone", PATIENCE, || {
        Ok(!volume_folder(&cluster, "web", "store").exists())
    })?;
    cluster.passed()
}

fn operator(cluster: &mut Cluster, call: &Value) -> Result<(u16, String)> {
    let port = cluster.leader_port()?;
    let response = http::post_json(port, "/api/v1", call, &[("Accept", "application/json")])?;
    Ok((response.status, response.text()))
}

#[test]
fn reservations_of_operators_reach_an_agent_that_was_away_and_only_their_role() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let agent = agent_id(&mut cluster)?;
    let other = Subscriber::open(cluster.leader_port()?, &info("other"))?;
    // It holds everything: the operator's call takes it back.
    other.wait_for_offer(0)?;
    let id = json!({"value": agent});
    let reserve = |megabytes: f64| {
        json!({"type": "RESERVE_RESOURCES", "reserve_resources": {
            "agent_id": id, "resources": [reserved("disk", megabytes, "web")],
        }})
    };
    let (status, text) = operator(&mut cluster, &reserve(20_000.0))?;
    ensure!(
        status == 409 && text.ends_with("does not contain disk:20000"),
        "{status}: {text}"
    );
    ensure!(operator(&mut cluster, &reserve(500.0))?.0 == 202);
    let (position, _) = other.wait_for_type("RESCIND", 0)?;
    let (_, offer) = other.wait_for_offer(position)?;
    ensure!(
        !resources(&offer).any(is_reserved),
        "reserved resources went to another role: {offer}"
    );

    // The agent is away when the volume is made, and another master leads when it comes back.
    cluster.agents[0].kill9()?;
    let create = json!({"type": "CREATE_VOLUMES", "create_volumes": {
        "agent_id": id, "volumes": [volume(200.0, "store", "web")],
    }});
    let (status, text) = operator(&mut cluster, &create)?;
    ensure!(status == 202, "{status}: {text}");
    ensure!(!volume_folder(&cluster, "web", "store").exists());
    kill_leader(&mut cluster)?;
    cluster.agents[0].start()?;
    cluster.wait_for_agents(1)?;
    wait_until("the agent has made the volume", PATIENCE, || {
        Ok(volume_folder(&cluster, "web", "store").is_dir())
    })?;
    let web = Subscriber::open(cluster.leader_port()?, &info("web"))?;
    offer_with(&web, "an offer of the volume", 0, |offer| has_volume(offer, "store"))?;

    let unreserve = json!({"type": "UNRESERVE_RESOURCES", "unreserve_resources": {
        "agent_id": id, "resources": [reserved("disk", 500.0, "web")],
    }});
    ensure!(
        operator(&mut cluster, &unreserve)?.0 == 409,
        "300 MB are reserved, the rest is a volume"
    );
    let port = cluster.leader_port()?;
    let volumes = serde_json::to_string(&json!([volume(200.0, "store", "web")]))?;
    let form = format!("slaveId={agent}&volumes={volumes}");
    let destroyed = http::request(port, "POST", "/destroy-volumes", &[], form.as_bytes(), http::TIMEOUT)?;
    ensure!(destroyed.status == 202, "{}: {}", destroyed.status, destroyed.text());
    let (status, text) = operator(&mut cluster, &unreserve)?;
    ensure!(status == 202, "{status}: {text}");
    wait_until("the volume's folder is gone", PATIENCE, || {
        Ok(!volume_folder(&cluster, "web", "store").exists())
    })?;
    ensure!(
        reserved_resources(&mut cluster)?
            .as_object()
            .is_some_and(|roles| roles.is_empty())
    );
    cluster.passed()
}
