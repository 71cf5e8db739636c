//! Rules that hold for every task, launched alone or in a group.

use super::executor::Place;
use super::{checks, command::command, container::container, id_text, task_resources::task_resources};
use crate::ids::TaskId;
use crate::resources::{Resources, thousandths_from_f64};
use proto::v1::{self, agent_info};

/// Checks one task; the first rule that fails wins, in Mesos's order. Returns its resources.
pub(super) fn task(task: &v1::TaskInfo, place: Place<'_>) -> Result<Resources, String> {
    Resources::from_proto(&task.resources).map_err(|error| error.0)?;
    id_text(&task.task_id.value)?;
    unique(task, place)?;
    if task.agent_id.value != place.agent_id.as_str() {
        let (used, expected) = (&task.agent_id.value, place.agent_id);
        return Err(format!(
            "Task uses invalid agent {used} while agent {expected} is expected"
        ));
    }
    let grace_period = task
        .kill_policy
        .as_ref()
        .and_then(|policy| policy.grace_period.as_ref());
    if grace_period.is_some_and(|period| period.nanoseconds < 0) {
        return Err("Task's 'kill_policy.grace_period' must be non-negative".into());
    }
    if task
        .max_completion_time
        .as_ref()
        .is_some_and(|time| time.nanoseconds < 0)
    {
        return Err("Task's `max_completion_time` must be non-negative".into());
    }
    if let Some(check) = &task.check {
        checks::check(check).map_err(|why| format!("Task uses invalid check: {why}"))?;
    }
    if let Some(check) = &task.health_check {
        checks::health_check(check).map_err(|why| format!("Task uses invalid health check: {why}"))?;
    }
    let resources = task_resources(&task.resources)?;
    if let Some(info) = &task.command {
        command(info).map_err(|why| format!("Task's `CommandInfo` is invalid: {why}"))?;
    }
    if let Some(info) = &task.container {
        container(info).map_err(|why| format!("Task's `ContainerInfo` is invalid: {why}"))?;
    }
    limits(task, &resources, place)?;
    Ok(resources)
}

fn unique(task: &v1::TaskInfo, place: Place<'_>) -> Result<(), String> {
    let id = TaskId::from(&task.task_id);
    let (registry, framework_id) = (place.registry, place.framework_id);
    if registry.task(framework_id, &id).is_some() || registry.unreachable_task(framework_id, &id).is_some() {
        return Err(format!("Task has duplicate ID: {id}"));
    }
    Ok(())
}

fn limits(task: &v1::TaskInfo, resources: &Resources, place: Place<'_>) -> Result<(), String> {
    if task.limits.is_empty() {
        return Ok(());
    }
    let capability = agent_info::capability::Type::TaskResourceLimits;
    if place
        .registry
        .agent(place.agent_id)
        .is_some_and(|agent| !agent.has_capability(capability))
    {
        return Err(format!(
            "Agent {} is not capable of handling task resource limits",
            place.agent_id
        ));
    }
    for (name, limit) in &task.limits {
        let what = match name.as_str() {
            "cpus" => "cpu",
            "mem" => "memory",
            _ => return Err("Only cpus and mem may be included in a task's resource limits".into()),
        };
        // Infinity means no limit.
        let unlimited = limit.value == f64::INFINITY;
        if !unlimited && thousandths_from_f64(limit.value) < resources.scalar(name) {
            return Err(format!(
                "The {what} limit must be greater than or equal to the {what} request"
            ));
        }
    }
    Ok(())
}

/// `share_cgroups` as given; None when the task says nothing.
pub(super) fn share_cgroups(task: &v1::TaskInfo) -> Option<bool> {
    task.container.as_ref()?.linux_info.as_ref()?.share_cgroups
}
