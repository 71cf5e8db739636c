//! Quotas and weights of a whole cluster: they outlive the leader, bind every leader's offers from the first one on, and
//! are refused with the texts that tools know.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE, binary};
use cluster_tests::http::{self, Response};
use cluster_tests::master;
use cluster_tests::subscriber::{Subscriber, framework_info};
use cluster_tests::wait::{wait_for, wait_until};
use serde_json::{Value, json};

/// What one agent of a test cluster has.
const AGENT_CPUS: f64 = 4.0;

fn operator(port: u16, call: &Value) -> Result<Response> {
    http::post_json(port, "/api/v1", call, &[])
}

fn update_quota(port: u16, configs: &Value, force: bool) -> Result<Response> {
    let update = json!({"force": force, "quota_configs": configs});
    operator(port, &json!({"type": "UPDATE_QUOTA", "update_quota": update}))
}

fn legacy(port: u16, method: &str, path: &str, body: &str) -> Result<Response> {
    http::request(port, method, path, &[], body.as_bytes(), http::TIMEOUT)
}

#[track_caller]
fn expect(response: &Response, status: u16, text: &str) -> Result<()> {
    ensure!(
        response.status == status && response.text() == text,
        "{}: {:?} instead of {status}: {text:?}",
        response.status,
        response.text()
    );
    Ok(())
}

/// A framework of one role.
fn of_role(name: &str, role: &str) -> Value {
    let mut info = framework_info(name);
    info["roles"] = json!([role]);
    info
}

/// Thousandths of a cpu, so that sums are exact.
fn cpus(offer: &Value) -> i64 {
    let resources = offer["resources"].as_array().into_iter().flatten();
    let cpus = resources.filter(|resource| resource["name"] == "cpus");
    cpus.map(|resource| (resource["scalar"]["value"].as_f64().unwrap_or(f64::NAN) * 1000.0).round() as i64)
        .sum()
}

/// Outstanding offers of a framework as its stream tells them.
fn offers(subscriber: &Subscriber) -> Vec<Value> {
    let mut open: Vec<Value> = Vec::new();
    for event in subscriber.events() {
        open.extend(event["offers"]["offers"].as_array().into_iter().flatten().cloned());
        if event["type"] == "RESCIND" {
            open.retain(|offer| offer["id"] != event["rescind"]["offer_id"]);
        }
    }
    open
}

/// What `/roles` says of a role.
fn role(port: u16, name: &str) -> Result<Value> {
    let roles = http::get(port, "/roles", http::TIMEOUT)?.json()?;
    let mut listed = roles["roles"].as_array().into_iter().flatten();
    listed
        .find(|role| role["name"] == name)
        .cloned()
        .with_context(|| format!("role {name} is not in {roles}"))
}

fn subscribe(cluster: &mut Cluster, info: &Value) -> Result<Subscriber> {
    wait_for("the framework is subscribed", PATIENCE, || {
        let Some(leader) = cluster.leader()? else {
            return Ok(None);
        };
        Ok(Subscriber::open(cluster.port(leader), info).ok())
    })
}

/// Launches a task of 0.6 cpus in the framework's only offer; returns the index of the agent it runs on.
fn run_task(cluster: &Cluster, framework: &Subscriber) -> Result<usize> {
    let (position, offer) = framework.wait_for_offer(0)?;
    let task = json!([{
        "name": "t", "task_id": {"value": "t"}, "agent_id": offer["agent_id"], "command": {"value": "sleep 1000"},
        "resources": [
            {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.6}},
            {"name": "mem", "type": "SCALAR", "scalar": {"value": 32.0}},
        ],
    }]);
    framework.launch(&offer, &task)?;
    framework.follow("t", "TASK_RUNNING", position)?;
    let port = offer["url"]["address"]["port"].as_u64();
    (0..2)
        .find(|index| Some(u64::from(cluster.agent_port(*index))) == port)
        .with_context(|| format!("no agent has port {port:?}"))
}

#[test]
fn quotas_and_weights_outlive_the_leader_and_bind_the_first_offers_of_the_next() -> Result<()> {
    let mut cluster = Cluster::builder().agents(2).own_timers().start()?;
    let old = cluster.wait_for_leader()?;
    let port = cluster.port(old);
    let limits = json!([
        {"role": "web", "limits": {"cpus": {"value": 1.0}}},
        {"role": "db", "guarantees": {"mem": {"value": 512.0}}, "limits": {}},
    ]);
    expect(&update_quota(port, &limits, false)?, 200, "")?;
    expect(
        &legacy(port, "PUT", "/weights", r#"[{"role":"web","weight":2.5}]"#)?,
        200,
        "",
    )?;
    let mut info = of_role("limited", "web");
    let framework = Subscriber::open(port, &info)?;
    info["id"] = framework.framework_id()?;
    let busy = run_task(&cluster, &framework)?;
    // What the first offers held beyond the task has come back, and is offered again.
    wait_until("the rest of the limit is offered", PATIENCE, || {
        let shown = role(port, "web")?;
        Ok(shown["allocated"]["cpus"] == json!(0.6) && shown["offered"]["cpus"] == json!(0.4))
    })?;
    let (quota, weights) = (
        master::operator(port, "GET_QUOTA")?,
        master::operator(port, "GET_WEIGHTS")?,
    );
    ensure!(
        quota["status"]["configs"].as_array().map(Vec::len) == Some(2),
        "{quota}"
    );

    // The agent of the task does not come back to the next leader yet.
    cluster.agents[busy].pause()?;
    cluster.masters[old].kill9()?;
    let new = cluster.wait_for_other_leader(old)?;
    let port = cluster.port(new);
    ensure!(master::operator(port, "GET_QUOTA")? == quota, "the quotas changed");
    ensure!(master::operator(port, "GET_WEIGHTS")? == weights, "the weights changed");
    let shown = legacy(port, "GET", "/quota", "")?.json()?;
    ensure!(shown == quota["status"], "{shown}");
    let shown = legacy(port, "GET", "/weights", "")?.text();
    ensure!(shown == r#"[{"weight":2.5,"role":"web"}]"#, "{shown}");
    let shown = role(port, "web")?;
    ensure!(
        shown["weight"] == 2.5 && shown["quota"]["limit"] == json!({"cpus": 1.0}),
        "{shown}"
    );

    cluster.wait_for_agents(1)?;
    let framework = subscribe(&mut cluster, &info)?;
    let (position, first) = framework.wait_for_offer(0)?;
    ensure!(cpus(&first) == 400, "the task's 0.6 cpus do not count: {first}");
    cluster.agents[busy].resume()?;
    cluster.wait_for_agents(2)?;
    // The agent that is back is offered too, with all but cpus.
    let (_, second) = framework.wait_for_offer(position)?;
    ensure!(
        cpus(&second) == 0 && second["agent_id"] != first["agent_id"],
        "{second}"
    );
    cluster.passed()
}

#[test]
fn a_guarantee_is_held_back_and_outstanding_offers_make_room_for_it() -> Result<()> {
    let mut cluster = Cluster::builder().masters(1).agents(1).start()?;
    let port = cluster.leader_port()?;
    let batch = Subscriber::open(port, &of_role("batch", "batch"))?;
    let (position, all) = batch.wait_for_offer(0)?;
    ensure!(cpus(&all) == 4_000, "{all}");
    let guarantee = json!([{"role": "web", "guarantees": {"cpus": {"value": 3.0}}}]);
    expect(&update_quota(port, &guarantee, false)?, 200, "")?;
    let (position, rescinded) = batch.wait_for_type("RESCIND", position)?;
    ensure!(rescinded["rescind"]["offer_id"] == all["id"], "{rescinded}");
    let (position, rest) = batch.wait_for_offer(position)?;
    ensure!(cpus(&rest) == 1_000, "{rest}");
    let web = Subscriber::open(port, &of_role("web", "web"))?;
    let (_, guaranteed) = web.wait_for_offer(0)?;
    ensure!(cpus(&guaranteed) == 3_000, "{guaranteed}");
    // A limit below what is offered takes the offer back; the next one keeps to it.
    let limit = json!([{"role": "batch", "limits": {"cpus": {"value": 0.5}}}]);
    expect(&update_quota(port, &limit, false)?, 200, "")?;
    let (position, _) = batch.wait_for_type("RESCIND", position)?;
    let (position, less) = batch.wait_for_offer(position)?;
    ensure!(cpus(&less) == 500, "{less}");
    // Removing it frees the rest. A weight takes every offer back.
    let remove = json!({"type": "REMOVE_QUOTA", "remove_quota": {"role": "batch"}});
    expect(&operator(port, &remove)?, 200, "")?;
    let weights = json!({"weight_infos": [{"role": "batch", "weight": 2.0}]});
    expect(
        &operator(port, &json!({"type": "UPDATE_WEIGHTS", "update_weights": weights}))?,
        200,
        "",
    )?;
    batch.wait_for_type("RESCIND", position)?;
    wait_until(
        "everything is offered again, what is guaranteed to whom it is",
        PATIENCE,
        || {
            let sum = |subscriber| offers(subscriber).iter().map(cpus).sum::<i64>();
            let (web, batch) = (sum(&web), sum(&batch));
            ensure!(
                web + batch <= 4_000,
                "{web} and {batch} thousandths of a cpu are offered"
            );
            Ok(web >= 3_000 && web + batch == 4_000)
        },
    )?;
    cluster.passed()
}

#[test]
fn bad_quotas_and_weights_are_refused_with_the_texts_of_mesos() -> Result<()> {
    let mut cluster = Cluster::builder().masters(1).agents(1).start()?;
    let port = cluster.leader_port()?;
    let capacity = format!("cpus:{AGENT_CPUS}; disk:10000; mem:4096");
    let quota = |config: Value| update_quota(port, &json!([config]), false);
    for (response, status, text) in [
        (
            quota(json!({"role": "a/b"}))?,
            400,
            "Updating quota on nested role 'a/b' is not supported yet".to_owned(),
        ),
        (
            quota(json!({"role": "a", "guarantees": {"cpus": {"value": 2000}}}))?,
            400,
            format!(
                "Invalid QuotaConfig: total quota guarantees 'cpus:2000' exceed cluster capacity '{capacity}' (use 'force' \
                 flag to bypass this check)"
            ),
        ),
        (update_quota(port, &json!([]), false)?, 200, String::new()),
        (
            operator(port, &json!({"type": "UPDATE_QUOTA"}))?,
            400,
            "Failed to validate master::Call: Expecting 'update_quota' to be present".to_owned(),
        ),
        (
            operator(port, &json!({"type": "REMOVE_QUOTA", "remove_quota": {"role": "nope"}}))?,
            400,
            "Failed to remove quota: Role 'nope' has no quota set".to_owned(),
        ),
        (
            legacy(port, "DELETE", "/quota/nope", "")?,
            400,
            "Failed to remove quota for path '/master/quota/nope': Role 'nope' has no quota set".to_owned(),
        ),
        (
            legacy(port, "DELETE", "/quota", "")?,
            400,
            "Failed to parse remove quota request for path '/master/quota': expected 3 tokens, found 2 tokens"
                .to_owned(),
        ),
        (
            legacy(port, "POST", "/quota", "{")?,
            400,
            "Failed to parse set quota request JSON '{': syntax error at line 1 near: ".to_owned(),
        ),
        (
            legacy(port, "PUT", "/quota", "")?,
            405,
            "405 Method Not Allowed. Expecting one of { 'GET', 'POST', 'DELETE' }, but received 'PUT'.".to_owned(),
        ),
        (
            legacy(port, "PUT", "/weights", r#"[{"role":"a","weight":0}]"#)?,
            400,
            "Failed to validate update weights request JSON for role 'a': Invalid weight '0': Weights must be positive"
                .to_owned(),
        ),
        (
            legacy(port, "DELETE", "/weights", "")?,
            405,
            "405 Method Not Allowed. Expecting one of { 'GET', 'PUT' }, but received 'DELETE'.".to_owned(),
        ),
    ] {
        expect(&response, status, &text)?;
    }
    let cpus = r#"[{"name":"cpus","type":"SCALAR","scalar":{"value":4000}}]"#;
    let request = |role: &str, force: bool| format!(r#"{{"role":"{role}","force":{force},"guarantee":{cpus}}}"#);
    expect(
        &legacy(port, "POST", "/quota", &request("sq", false))?,
        409,
        &format!(
            "Quota guarantees overcommit the cluster (use 'force' to bypass this check): Total quota guarantees 'cpus:4000' \
             exceed cluster capacity '{capacity}'"
        ),
    )?;
    expect(&legacy(port, "POST", "/quota", &request("sq", true))?, 200, "")?;
    expect(
        &legacy(port, "POST", "/quota", &request("sq", true))?,
        400,
        "Failed to validate set quota request: Cannot set quota for role 'sq' which already has quota",
    )?;
    expect(&legacy(port, "DELETE", "/quota/sq", "")?, 200, "")?;
    let nothing = (
        legacy(port, "GET", "/quota", "")?.text(),
        legacy(port, "GET", "/weights?jsonp=cb", "")?.text(),
    );
    ensure!(nothing == ("{}".to_owned(), "cb([])".to_owned()), "{nothing:?}");
    cluster.passed()
}

/// What a command of the binary prints, and whether it succeeds.
fn mesoraft(cluster: &Cluster, arguments: &[&str]) -> Result<(bool, String)> {
    let output = Command::new(binary()?)
        .args(arguments)
        .arg(format!("--master={}", cluster.addresses()))
        .output()
        .context("cannot start mesoraft")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said.trim_end().to_owned()))
}

#[test]
fn quotas_and_weights_are_set_and_shown_by_the_command_line() -> Result<()> {
    let mut cluster = Cluster::builder().masters(1).start()?;
    cluster.wait_for_leader()?;
    for (arguments, succeeds, expected) in [
        (&["quota", "list"][..], true, "no role has a quota"),
        (&["weights", "list"], true, "no weight is set; every role has weight 1"),
        (
            &["quota", "set", "web", "--limit=cpus:2.5;mem:512"],
            true,
            "role web has the quota",
        ),
        (
            &["quota", "list"],
            true,
            "role  resource  guarantee  limit\nweb   cpus      0          2.5\nweb   mem       0          512",
        ),
        (&["weights", "set", "web=2", "db=0.5"], true, "2 weights are set"),
        (&["weights", "list"], true, "role  weight\ndb    0.5\nweb   2"),
        (&["quota", "remove", "web"], true, "role web has no quota any more"),
        (&["quota", "list", "-o", "json"], true, "[]"),
    ] {
        let (success, said) = mesoraft(&cluster, arguments)?;
        ensure!(success == succeeds && said == expected, "{arguments:?}: {said}");
    }
    let (success, said) = mesoraft(&cluster, &["quota", "remove", "web"])?;
    ensure!(!success && said.ends_with("Role 'web' has no quota set"), "{said}");
    let (success, said) = mesoraft(&cluster, &["quota", "set", "web", "--guarantee=cpus:1"])?;
    ensure!(!success && said.contains("exceed cluster capacity ''"), "{said}");
    let (_, said) = mesoraft(&cluster, &["weights", "list", "--output=json"])?;
    let weights: Value = serde_json::from_str(&said)?;
    ensure!(weights[1] == json!({"role": "web", "weight": 2.0}), "{said}");
    cluster.passed()
}
