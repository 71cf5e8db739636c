//! Registration and re-registration of agents. A refusal is silent on the wire: the agent retries; the texts are for the log.

use super::framework_info::framework_info;
use super::id_text;
use crate::resources::Resources;
use proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage};
use proto::v1::{self, TaskState};
use std::collections::BTreeSet;

/// Agents older than this are not admitted, as (major, minor, patch).
pub const MINIMUM_AGENT_VERSION: (u64, u64, u64) = (1, 0, 0);

/// Checks a first registration.
///
/// # Errors
/// Why the message is dropped.
pub fn register_agent(message: &RegisterSlaveMessage) -> Result<(), String> {
    agent(&message.slave, &message.checkpointed_resources)?;
    version(message.version.as_deref())?;
    Resources::agent_total(&message.slave.resources, &message.checkpointed_resources)
        .map_err(|error| error.0)
        .map(drop)
}

/// Checks a re-registration; whether the agent is known is not looked at.
///
/// # Errors
/// Why the message is dropped.
pub fn reregister_agent(message: &ReregisterSlaveMessage) -> Result<(), String> {
    if message.slave.id.is_none() {
        return Err("agent has no id".into());
    }
    agent(&message.slave, &message.checkpointed_resources)?;
    let frameworks = frameworks(&message.frameworks)?;
    let executors = executors(&message.executor_infos, &frameworks)?;
    for each in &message.tasks {
        task(each, message, &frameworks, &executors).map_err(|why| format!("task '{}': {why}", each.task_id.value))?;
    }
    version(message.version.as_deref())
}

fn agent(info: &v1::AgentInfo, checkpointed: &[v1::Resource]) -> Result<(), String> {
    if let Some(id) = &info.id {
        id_text(&id.value).map_err(|why| format!("agent id is not valid: {why}"))?;
    }
    Resources::from_proto(&info.resources).map_err(|error| error.0)?;
    if !checkpointed.is_empty() && !info.checkpoint() {
        return Err(format!(
            "{} resources are checkpointed by an agent that does not checkpoint",
            checkpointed.len()
        ));
    }
    Resources::from_proto(checkpointed).map_err(|error| error.0).map(drop)
}

fn version(version: Option<&str>) -> Result<(), String> {
    let Some(version) = version else {
        return Err("agent sends no version".into());
    };
    let Some(parsed) = parse_version(version) else {
        return Err(format!("agent version '{version}' cannot be read"));
    };
    if parsed < MINIMUM_AGENT_VERSION {
        let (major, minor, patch) = MINIMUM_AGENT_VERSION;
        return Err(format!(
            "agent version '{version}' is older than {major}.{minor}.{patch}"
        ));
    }
    Ok(())
}

/// `1.12.0`, `1.12`, `1.12.0-dev`, `1.12.0-rc1+build`.
fn parse_version(text: &str) -> Option<(u64, u64, u64)> {
    let numbers = text.split(['-', '+']).next()?;
    let mut parts = numbers.split('.').map(|part| part.parse().ok());
    let version = (
        parts.next()??,
        parts.next().unwrap_or(Some(0))?,
        parts.next().unwrap_or(Some(0))?,
    );
    parts.next().is_none().then_some(version)
}

fn frameworks(infos: &[v1::FrameworkInfo]) -> Result<BTreeSet<&str>, String> {
    let mut ids = BTreeSet::new();
    for info in infos {
        let Some(id) = &info.id else {
            return Err(format!("framework '{}' has no id", info.name));
        };
        id_text(&id.value)
            .and_then(|()| framework_info(info))
            .map_err(|why| format!("framework {}: {why}", id.value))?;
        if !ids.insert(id.value.as_str()) {
            return Err(format!("framework {} is reported twice", id.value));
        }
    }
    Ok(ids)
}

type ExecutorKeys<'a> = BTreeSet<(&'a str, &'a str)>;

fn executors<'a>(infos: &'a [v1::ExecutorInfo], frameworks: &BTreeSet<&str>) -> Result<ExecutorKeys<'a>, String> {
    let mut keys = BTreeSet::new();
    for info in infos {
        let id = info.executor_id.value.as_str();
        let framework = info.framework_id.as_ref().map_or("", |framework| &framework.value);
        if !frameworks.contains(framework) {
            return Err(format!("executor '{id}': framework '{framework}' is not reported"));
        }
        if !keys.insert((framework, id)) {
            return Err(format!("executor '{id}' of framework {framework} is reported twice"));
        }
        id_text(id).map_err(|why| format!("executor id is not valid: {why}"))?;
        Resources::from_proto(&info.resources).map_err(|error| format!("executor '{id}': {error}"))?;
    }
    Ok(keys)
}

fn task(
    task: &v1::Task,
    message: &ReregisterSlaveMessage,
    frameworks: &BTreeSet<&str>,
    executors: &ExecutorKeys<'_>,
) -> Result<(), String> {
    id_text(&task.task_id.value)?;
    let agent = message.slave.id.as_ref().map_or("", |id| &id.value);
    if task.agent_id.value != agent {
        return Err(format!("it is of agent '{}', not '{agent}'", task.agent_id.value));
    }
    let framework = task.framework_id.value.as_str();
    if !frameworks.contains(framework) {
        return Err(format!("framework '{framework}' is not reported"));
    }
    Resources::from_proto(&task.resources).map_err(|error| error.0)?;
    match &task.executor_id {
        Some(id) if task.state() == TaskState::TaskRunning && !executors.contains(&(framework, id.value.as_str())) => {
            Err(format!("it runs, but its executor '{}' is not reported", id.value))
        }
        _ => Ok(()),
    }
}
