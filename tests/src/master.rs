//! Questions to one master over its public port.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::http;

/// How long a master may take to answer a question in a test that polls it.
const POLL: Duration = Duration::from_secs(2);

/// Whether the master says that it leads.
pub fn is_elected(port: u16) -> Result<bool> {
    let snapshot = http::get(port, "/metrics/snapshot", POLL)?.json()?;
    let elected = snapshot.get("master/elected").and_then(Value::as_f64);
    Ok(elected.context("/metrics/snapshot has no master/elected")? == 1.0)
}

/// The port of the leading master according to this one (`/redirect`), or `None` while it knows none.
pub fn leader_port(port: u16) -> Result<Option<u16>> {
    let response = http::get(port, "/redirect", POLL)?;
    match response.status {
        307 => {
            let location = response.header("location").context("a redirect without Location")?;
            let port = location
                .rsplit(':')
                .next()
                .and_then(|text| text.trim_end_matches('/').parse().ok());
            Ok(Some(
                port.with_context(|| format!("no port in the Location {location:?}"))?,
            ))
        }
        503 => Ok(None),
        other => bail!("/redirect answered {other}"),
    }
}

/// An operator call without parameters (`POST /api/v1`), answered with 200; returns the part of the answer that is
/// named like the call in lower case.
pub fn operator(port: u16, call: &str) -> Result<Value> {
    let body = serde_json::to_vec(&json!({ "type": call }))?;
    let headers = [("Content-Type", "application/json"), ("Accept", "application/json")];
    let response = http::request(port, "POST", "/api/v1", &headers, &body, POLL)?;
    if response.status != 200 {
        bail!("{call} answered {}: {}", response.status, response.text());
    }
    let mut answer = response.json()?;
    Ok(answer
        .get_mut(call.to_lowercase())
        .map(Value::take)
        .unwrap_or(Value::Null))
}

/// Ids of the agents that are registered and active with this (leading) master, in its order.
pub fn active_agents(port: u16) -> Result<Vec<String>> {
    let agents = operator(port, "GET_AGENTS")?;
    Ok(list(&agents, "agents")
        .filter(|agent| agent["active"] == json!(true))
        .filter_map(|agent| agent["agent_info"]["id"]["value"].as_str().map(str::to_owned))
        .collect())
}

/// Ids and states of the tasks of a kind (`tasks`, `unreachable_tasks`, `completed_tasks`) that belong to the framework.
pub fn tasks(port: u16, kind: &str, framework_id: &str) -> Result<Vec<(String, String)>> {
    let answer = operator(port, "GET_TASKS")?;
    Ok(list(&answer, kind)
        .filter(|task| task["framework_id"]["value"] == json!(framework_id))
        .filter_map(|task| {
            Some((
                task["task_id"]["value"].as_str()?.to_owned(),
                task["state"].as_str()?.to_owned(),
            ))
        })
        .collect())
}

/// The entry of the framework in GET_FRAMEWORKS, among the registered (`frameworks`) or `completed_frameworks`.
pub fn framework(port: u16, kind: &str, framework_id: &str) -> Result<Option<Value>> {
    let answer = operator(port, "GET_FRAMEWORKS")?;
    let found = list(&answer, kind)
        .find(|entry| entry["framework_info"]["id"]["value"] == json!(framework_id))
        .cloned();
    Ok(found)
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}
