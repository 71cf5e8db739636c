//! LAUNCH_GROUP: all of its tasks or none.

use super::Refusal;
use super::executor::{self, Place, StartingExecutors};
use super::launch::resource_formats;
use super::task::{share_cgroups, task};
use crate::ids::{AgentId, FrameworkId};
use crate::registry::Registry;
use crate::resources::{Resources, check_resource, format_number, thousandths_to_f64};
use proto::v1::{ExecutorInfo, TaskGroupInfo, TaskInfo, container_info, health_check};
use std::collections::BTreeSet;

/// The least cpus of a group's executor, in thousandths.
const EXECUTOR_CPUS_MIN: i64 = 10;
/// The least memory of a group's executor, in thousandths of a megabyte.
const EXECUTOR_MEM_MIN: i64 = 32_000;

/// Checks the format of a group's resources, before the master fills in allocation roles (the text shows them as they came).
///
/// # Errors
/// What the TASK_ERROR update of every task says.
pub fn launch_group_format(executor: &ExecutorInfo, group: &TaskGroupInfo) -> Result<(), Refusal> {
    let of_executor = executor
        .resources
        .iter()
        .try_for_each(check_resource)
        .map_err(|error| error.0);
    of_executor
        .and_then(|()| group.tasks.iter().try_for_each(resource_formats))
        .map_err(Refusal::group)
}

/// Checks a task group against what is left of the accepted offers; returns what it takes of that: the resources of all
/// tasks, and of the executor if that neither runs nor is `starting` in the same ACCEPT. Expects the allocation role filled in on every resource; a task without an
/// executor is taken to have the group's.
///
/// # Errors
/// What the TASK_ERROR update of every task says.
pub fn launch_group(
    registry: &Registry,
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    starting: &StartingExecutors,
    available: &Resources,
    executor: &ExecutorInfo,
    group: &TaskGroupInfo,
) -> Result<Resources, Refusal> {
    let place = Place {
        registry,
        framework_id,
        agent_id,
        starting,
    };
    checked(place, available, executor, group).map_err(Refusal::group)
}

fn checked(
    place: Place<'_>,
    available: &Resources,
    executor: &ExecutorInfo,
    group: &TaskGroupInfo,
) -> Result<Resources, String> {
    let of_executor = Resources::from_proto(&executor.resources).map_err(|error| error.0)?;
    let mut total = Resources::new();
    let mut ids = BTreeSet::new();
    for each in &group.tasks {
        let id = &each.task_id.value;
        if !ids.insert(id) {
            return Err(format!("Task has duplicate ID: {id}"));
        }
        let resources = member(each, place).map_err(|why| format!("Task '{id}' is invalid: {why}"))?;
        total.add(&resources);
        let executor_id = &executor.executor_id.value;
        if each
            .executor
            .as_ref()
            .is_some_and(|own| !executor::is_same(own, executor))
        {
            return Err(format!(
                "The `ExecutorInfo` of task '{id}' is different from executor '{executor_id}'"
            ));
        }
    }
    executor::of_group(executor, place)?;
    least_resources(executor, &of_executor)?;
    same_sharing(executor, group, place)?;
    if place.existing(executor).is_none() {
        total.add(&of_executor);
    }
    if !available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task group and its executor are more than available {available}"
        ));
    }
    Ok(total)
}

/// Rules for a task that lives in its executor's container.
fn member(info: &TaskInfo, place: Place<'_>) -> Result<Resources, String> {
    let resources = task(info, place)?;
    let container = info.container.as_ref();
    if container.is_some_and(|container| container.r#type() == container_info::Type::Docker) {
        return Err("Docker ContainerInfo is not supported on the task".into());
    }
    let own_network = container.is_some_and(|container| !container.network_infos.is_empty());
    let remote_check = info
        .health_check
        .as_ref()
        .is_some_and(|check| matches!(check.r#type(), health_check::Type::Http | health_check::Type::Tcp));
    if own_network && remote_check {
        return Err(
            "HTTP and TCP health checks are not supported for nested containers not joining parent's network".into(),
        );
    }
    if !info.limits.is_empty() && share_cgroups(info) != Some(false) {
        return Err(
            "Resource limits may only be set for tasks within a task group when the 'share_cgroups' field is set \
                    to 'false'."
                .into(),
        );
    }
    Ok(resources)
}

fn least_resources(executor: &ExecutorInfo, resources: &Resources) -> Result<(), String> {
    let id = &executor.executor_id.value;
    let (cpus, mem) = (resources.scalar("cpus"), resources.scalar("mem"));
    if cpus < EXECUTOR_CPUS_MIN {
        let used = if cpus == 0 {
            "None".to_owned()
        } else {
            format_number(thousandths_to_f64(cpus))
        };
        return Err(format!(
            "Executor '{id}' uses less CPUs ({used}) than the minimum required (0.01)"
        ));
    }
    if mem < EXECUTOR_MEM_MIN {
        let used = if mem == 0 { "None".to_owned() } else { bytes_text(mem) };
        return Err(format!(
            "Executor '{id}' uses less memory ({used}) than the minimum required (32MB)"
        ));
    }
    if resources.scalar("disk") == 0 {
        return Err(format!("Executor '{id}' uses no disk"));
    }
    Ok(())
}

/// Thousandths of megabytes in the largest unit that divides them.
fn bytes_text(thousandths: i64) -> String {
    const KILOBYTE: i64 = 1 << 10;
    const MEGABYTE: i64 = 1 << 20;
    let bytes = thousandths.saturating_mul(MEGABYTE) / 1_000;
    if bytes % MEGABYTE == 0 {
        format!("{}MB", bytes / MEGABYTE)
    } else if bytes % KILOBYTE == 0 {
        format!("{}KB", bytes / KILOBYTE)
    } else {
        format!("{bytes}B")
    }
}

/// `share_cgroups` is the same for all tasks of one executor, those that run already included.
fn same_sharing(executor: &ExecutorInfo, group: &TaskGroupInfo, place: Place<'_>) -> Result<(), String> {
    let shares = |info: &TaskInfo| share_cgroups(info).unwrap_or(true);
    let running = place.registry.tasks_of_agent(place.agent_id).filter(|task| {
        &task.framework_id == place.framework_id
            && task
                .executor_id
                .as_ref()
                .is_some_and(|id| id.as_str() == executor.executor_id.value)
            && !task.is_terminal()
    });
    let running = running.map(|task| {
        let container = task.to_proto().container;
        container
            .and_then(|container| container.linux_info?.share_cgroups)
            .unwrap_or(true)
    });
    let all: BTreeSet<bool> = group.tasks.iter().map(shares).chain(running).collect();
    if all.len() > 1 {
        return Err(
            "If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a \
                    single executor"
                .into(),
        );
    }
    Ok(())
}
