//! LAUNCH: one task after the other, each on what the previous ones left of the offers.

use super::executor::{self, Place, StartingExecutors};
use super::task::{share_cgroups, task};
use super::task_resources::{json, overlap};
use super::{Refusal, id_text};
use crate::ids::{AgentId, FrameworkId};
use crate::registry::Registry;
use crate::resources::{Resources, check_resource};
use proto::v1::TaskInfo;

/// Checks the format of a task's resources, before the master fills in allocation roles (the text shows them as they came).
///
/// # Errors
/// What the TASK_ERROR update says.
pub fn launch_format(info: &TaskInfo) -> Result<(), Refusal> {
    resource_formats(info).map_err(Refusal::task)
}

/// Every resource of the task and of its executor is valid by itself.
pub(super) fn resource_formats(info: &TaskInfo) -> Result<(), String> {
    let executor = info.executor.iter().flat_map(|executor| &executor.resources);
    let mut all = info.resources.iter().chain(executor);
    all.try_for_each(check_resource).map_err(|error| error.0)
}

/// Checks one task against what is left of the accepted offers; returns what it takes of that: its own resources and those
/// of its executor, if that neither runs nor is `starting` in the same ACCEPT. Expects the allocation role filled in on every resource.
///
/// # Errors
/// What the TASK_ERROR update says.
pub fn launch(
    registry: &Registry,
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    starting: &StartingExecutors,
    available: &Resources,
    info: &TaskInfo,
) -> Result<Resources, Refusal> {
    let place = Place {
        registry,
        framework_id,
        agent_id,
        starting,
    };
    checked(place, available, info).map_err(Refusal::task)
}

fn checked(place: Place<'_>, available: &Resources, info: &TaskInfo) -> Result<Resources, String> {
    resource_formats(info)?;
    let mut total = task(info, place)?;
    if info.command.is_some() == info.executor.is_some() {
        return Err("Task should have at least one (but not both) of CommandInfo or ExecutorInfo present".into());
    }
    if let Some(executor) = &info.executor {
        id_text(&executor.executor_id.value)?;
        let resources = executor::of_task(executor, place)?;
        if overlap(&total, &resources) {
            return Err(format!(
                "There are overlapping resources in the task resources {} and executor resources {}",
                json(&info.resources),
                json(&executor.resources)
            ));
        }
        if place.existing(executor).is_none() {
            total.add(&resources);
        }
    }
    if share_cgroups(info) == Some(false) {
        return Err("Only tasks in a task group may have 'share_cgroups' set to 'false'".into());
    }
    if !available.contains(&total) {
        return Err(format!(
            "Total resources {total} required by task and its executor is more than available {available}"
        ));
    }
    Ok(total)
}
