//! Tasks, their statuses and executors as the legacy endpoints show them.

use master_core::registry::{Executor, Task};
use proto::v1;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::list::{Labels, List};
use super::resources::Totals;

/// One task.
pub(super) struct TaskJson<'a>(pub(super) &'a Task);

impl Serialize for TaskJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let task = self.0;
        let details = task.details();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", task.id.as_str())?;
        map.serialize_entry("name", &*task.name)?;
        map.serialize_entry("framework_id", task.framework_id.as_str())?;
        map.serialize_entry("executor_id", task.executor_id.as_ref().map_or("", |id| id.as_str()))?;
        map.serialize_entry("slave_id", task.agent_id.as_str())?;
        map.serialize_entry("state", task.state.as_str_name())?;
        map.serialize_entry("resources", &Totals(&task.resources))?;
        if let Some(details) = details.as_ref().filter(|details| !details.limits.is_empty()) {
            map.serialize_entry("limits", &Limits(details))?;
        }
        let role = task.resources.iter().find_map(|entry| entry.kind().allocation_role());
        map.serialize_entry("role", role.unwrap_or("*"))?;
        map.serialize_entry("statuses", &List(|| task.statuses().into_iter().map(StatusJson)))?;
        if let Some(details) = details {
            write_details(&mut map, &details)?;
        }
        map.end()
    }
}

fn write_details<M: SerializeMap>(map: &mut M, details: &v1::Task) -> Result<(), M::Error> {
    if let Some(user) = &details.user {
        map.serialize_entry("user", user)?;
    }
    if let Some(labels) = &details.labels {
        map.serialize_entry("labels", &Labels(labels))?;
    }
    if let Some(discovery) = &details.discovery {
        map.serialize_entry("discovery", discovery)?;
    }
    if let Some(container) = &details.container {
        map.serialize_entry("container", container)?;
    }
    if let Some(health_check) = &details.health_check {
        map.serialize_entry("health_check", health_check)?;
    }
    Ok(())
}

/// Resource limits by name; JSON has no number for "no limit".
struct Limits<'a>(&'a v1::Task);

impl Serialize for Limits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, limit) in &self.0.limits {
            if limit.value.is_infinite() {
                map.serialize_entry(name, "Infinity")?;
            } else {
                map.serialize_entry(name, &limit.value)?;
            }
        }
        map.end()
    }
}

struct StatusJson(v1::TaskStatus);

impl Serialize for StatusJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let status = &self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("state", status.state().as_str_name())?;
        map.serialize_entry("timestamp", &status.timestamp())?;
        if let Some(labels) = &status.labels {
            map.serialize_entry("labels", &Labels(labels))?;
        }
        if let Some(container) = &status.container_status {
            // The executor's pid is not part of what these endpoints show.
            let shown = v1::ContainerStatus {
                executor_pid: None,
                ..container.clone()
            };
            map.serialize_entry("container_status", &shown)?;
        }
        if let Some(healthy) = status.healthy {
            map.serialize_entry("healthy", &healthy)?;
        }
        map.end()
    }
}

/// One executor.
pub(super) struct ExecutorJson<'a>(pub(super) &'a Executor);

impl Serialize for ExecutorJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let executor = self.0;
        // What the registry holds was encoded or checked there, so it decodes.
        let info = executor.info.decode().unwrap_or_default();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("executor_id", executor.id.as_str())?;
        map.serialize_entry("name", info.name())?;
        map.serialize_entry("framework_id", executor.framework_id.as_str())?;
        map.serialize_entry(
            "command",
            &CommandJson(info.command.as_ref().unwrap_or(&v1::CommandInfo::default())),
        )?;
        map.serialize_entry("resources", &Totals(&executor.resources))?;
        if let Some(role) = executor
            .resources
            .iter()
            .find_map(|entry| entry.kind().allocation_role())
        {
            map.serialize_entry("role", role)?;
        }
        if let Some(labels) = &info.labels {
            map.serialize_entry("labels", &Labels(labels))?;
        }
        if info.r#type.is_some() {
            map.serialize_entry("type", info.r#type().as_str_name())?;
        }
        map.serialize_entry("slave_id", executor.agent_id.as_str())?;
        map.end()
    }
}

struct CommandJson<'a>(&'a v1::CommandInfo);

impl Serialize for CommandJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let command = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("shell", &command.shell())?;
        map.serialize_entry("value", command.value())?;
        map.serialize_entry("argv", &command.arguments)?;
        if let Some(environment) = &command.environment {
            map.serialize_entry("environment", environment)?;
        }
        map.serialize_entry("uris", &List(|| command.uris.iter().map(UriJson)))?;
        map.end()
    }
}

struct UriJson<'a>(&'a v1::command_info::Uri);

impl Serialize for UriJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("value", &self.0.value)?;
        map.serialize_entry("executable", &self.0.executable())?;
        map.end()
    }
}
