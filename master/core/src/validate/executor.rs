//! ExecutorInfo: alone, and against the executor of the same id that already runs or is about to.

use super::command::command;
use super::container::container;
use super::id_text;
use super::task_resources::executor_resources;
use crate::ids::{AgentId, ExecutorId, FrameworkId};
use crate::registry::Registry;
use crate::resources::Resources;
use proto::v1::{self, container_info, executor_info};
use std::collections::BTreeMap;

/// Whose executor it is, and where.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) registry: &'a Registry,
    pub(super) framework_id: &'a FrameworkId,
    pub(super) agent_id: &'a AgentId,
    pub(super) starting: &'a StartingExecutors,
}

/// Executors that earlier tasks of the same ACCEPT bring along. They are on no books yet, but for the tasks that follow
/// they are there: their resources are taken once, and their description may not change.
#[derive(Clone, Debug, Default)]
pub struct StartingExecutors(BTreeMap<ExecutorId, v1::ExecutorInfo>);

impl StartingExecutors {
    /// Notes the executor of a task or group that passed validation; of several equal ones the first counts.
    pub fn add(&mut self, executor: &v1::ExecutorInfo) {
        let id = ExecutorId::from(&executor.executor_id);
        self.0.entry(id).or_insert_with(|| executor.clone());
    }
}

impl Place<'_> {
    /// The executor of this id that the agent already runs or is about to, as it is launched.
    pub(super) fn existing(&self, executor: &v1::ExecutorInfo) -> Option<v1::ExecutorInfo> {
        let id = ExecutorId::from(&executor.executor_id);
        let running = self.registry.executor(self.agent_id, self.framework_id, &id);
        // What the registry stores was encoded from this type; undecodable would be as good as none.
        running
            .and_then(|running| running.info.decode().ok())
            .or_else(|| self.starting.0.get(&id).cloned())
    }
}

/// Rules for the executor of a task launched alone.
pub(super) fn of_task(executor: &v1::ExecutorInfo, place: Place<'_>) -> Result<Resources, String> {
    id_text(&executor.executor_id.value)?;
    framework_id(executor, place.framework_id)?;
    if executor.r#type.is_some() && executor.r#type() != executor_info::Type::Custom {
        return Err("'ExecutorInfo.type' must be 'CUSTOM'".into());
    }
    if executor.r#type.is_some() && executor.command.is_none() {
        return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into());
    }
    let resources = common(executor, place)?;
    if executor.command.is_none() {
        return Err("'ExecutorInfo.command' must be set".into());
    }
    Ok(resources)
}

/// Rules for the executor of a task group.
pub(super) fn of_group(executor: &v1::ExecutorInfo, place: Place<'_>) -> Result<Resources, String> {
    if executor.framework_id.is_none() {
        return Err("'ExecutorInfo.framework_id' must be set".into());
    }
    id_text(&executor.executor_id.value)?;
    framework_id(executor, place.framework_id)?;
    let Some(kind) = executor.r#type else {
        return Err("'ExecutorInfo.type' must be set".into());
    };
    match executor_info::Type::try_from(kind) {
        Ok(executor_info::Type::Default) => of_default_type(executor)?,
        Ok(executor_info::Type::Custom) if executor.command.is_none() => {
            return Err("'ExecutorInfo.command' must be set for 'CUSTOM' executor".into());
        }
        Ok(executor_info::Type::Custom) => {}
        Ok(executor_info::Type::Unknown) | Err(_) => return Err("Unknown executor type".into()),
    }
    if executor
        .container
        .as_ref()
        .is_some_and(|container| container.r#type() == container_info::Type::Docker)
    {
        return Err("Docker ContainerInfo is not supported on the executor".into());
    }
    common(executor, place)
}

fn of_default_type(executor: &v1::ExecutorInfo) -> Result<(), String> {
    if executor.command.is_some() {
        return Err("'ExecutorInfo.command' must not be set for 'DEFAULT' executor".into());
    }
    let Some(container) = &executor.container else {
        return Ok(());
    };
    if container.r#type() != container_info::Type::Mesos {
        return Err("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor".into());
    }
    if container.mesos.as_ref().is_some_and(|mesos| mesos.image.is_some()) {
        return Err("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor".into());
    }
    Ok(())
}

fn framework_id(executor: &v1::ExecutorInfo, expected: &FrameworkId) -> Result<(), String> {
    match &executor.framework_id {
        Some(actual) if actual.value != expected.as_str() => Err(format!(
            "ExecutorInfo has an invalid FrameworkID (Actual: {} vs Expected: {expected})",
            actual.value
        )),
        _ => Ok(()),
    }
}

fn common(executor: &v1::ExecutorInfo, place: Place<'_>) -> Result<Resources, String> {
    if executor
        .shutdown_grace_period
        .as_ref()
        .is_some_and(|period| period.nanoseconds < 0)
    {
        return Err("ExecutorInfo's 'shutdown_grace_period' must be non-negative".into());
    }
    let resources = executor_resources(&executor.resources)?;
    if resources.iter().any(|entry| entry.kind().is_shared()) {
        return Err(format!(
            "Executor resources {resources} should not contain any shared resources"
        ));
    }
    if let Some(info) = &executor.command {
        command(info).map_err(|why| format!("Executor's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(info) = &executor.container {
        container(info).map_err(|why| format!("Executor's `ContainerInfo` is invalid: {why}"))?;
        if info
            .linux_info
            .as_ref()
            .is_some_and(|linux| linux.share_cgroups == Some(true))
        {
            return Err("The 'share_cgroups' field cannot be set to 'true' on executor containers".into());
        }
    }
    if let Some(existing) = place.existing(executor) {
        same_as_existing(executor, &existing)?;
    }
    Ok(resources)
}

/// Resources are compared as such; the framework id was filled in for the running one.
pub(super) fn is_same(a: &v1::ExecutorInfo, b: &v1::ExecutorInfo) -> bool {
    let bare = |info: &v1::ExecutorInfo| v1::ExecutorInfo {
        resources: Vec::new(),
        framework_id: None,
        ..info.clone()
    };
    let resources = |info: &v1::ExecutorInfo| Resources::from_proto(&info.resources).map(|all| all.unallocated());
    bare(a) == bare(b) && resources(a) == resources(b)
}

fn same_as_existing(new: &v1::ExecutorInfo, existing: &v1::ExecutorInfo) -> Result<(), String> {
    if is_same(new, existing) {
        return Ok(());
    }
    let line = "-".repeat(60);
    // Mesos prints protobuf's text format here; the JSON form says the same.
    let text = |info: &v1::ExecutorInfo| String::from_utf8_lossy(&proto::json::to_vec(info)).into_owned();
    Err(format!(
        "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n{line}\n\
         Existing ExecutorInfo:\n{}\n{line}\nExecutorInfo:\n{}\n{line}\n",
        text(existing),
        text(new)
    ))
}
