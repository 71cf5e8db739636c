//! Rules for the resources of tasks and executors, beyond each single one being valid.

use crate::resources::{Resources, Value};
use proto::v1;
use std::collections::BTreeSet;

/// Takes task resources from the wire. The texts of single resources go out as they are.
pub(super) fn task_resources(resources: &[v1::Resource]) -> Result<Resources, String> {
    let parsed = Resources::from_proto(resources).map_err(|error| error.0)?;
    if resources.is_empty() {
        return Err("Task uses no resources".into());
    }
    whole_gpus(&parsed).map_err(|why| format!("Task uses invalid resources: {why}"))?;
    one_role(&parsed).map_err(|why| format!("Invalid task resources: {why}"))?;
    unique_volumes(&parsed).map_err(|why| format!("Task uses duplicate persistence ID: {why}"))?;
    not_mixed(&parsed).map_err(|why| format!("Task mixes revocable and non-revocable resources: {why}"))?;
    Ok(parsed)
}

/// Takes executor resources from the wire; none is fine.
pub(super) fn executor_resources(resources: &[v1::Resource]) -> Result<Resources, String> {
    let parsed = Resources::from_proto(resources).map_err(|error| error.0)?;
    whole_gpus(&parsed).map_err(|why| format!("Executor uses invalid resources: {why}"))?;
    one_role(&parsed).map_err(|why| format!("Invalid executor resources: {why}"))?;
    unique_volumes(&parsed).map_err(|why| format!("Executor uses duplicate persistence ID: {why}"))?;
    not_mixed(&parsed).map_err(|why| format!("Executor mixes revocable and non-revocable resources: {why}"))?;
    Ok(parsed)
}

fn whole_gpus(resources: &Resources) -> Result<(), String> {
    let unit = crate::resources::THOUSANDTHS_PER_UNIT;
    if resources
        .iter()
        .any(|entry| entry.kind().name() == "gpus" && entry.scalar() % unit != 0)
    {
        return Err("Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer".into());
    }
    Ok(())
}

/// All of it must be allocated to one role.
pub(super) fn one_role(resources: &Resources) -> Result<(), String> {
    let roles: Vec<_> = resources.allocation_roles().into_iter().collect();
    if let [first, second, ..] = roles.as_slice() {
        return Err(format!(
            "The resources have multiple allocation roles ('{first}' and '{second}') but only one allocation role is allowed"
        ));
    }
    Ok(())
}

fn unique_volumes(resources: &Resources) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for entry in resources.iter().filter(|entry| entry.kind().is_persistent_volume()) {
        let id = entry
            .kind()
            .disk()
            .and_then(|disk| disk.persistence)
            .map(|persistence| persistence.id);
        let role = entry.kind().reservation_role().map(str::to_owned);
        if let Some(id) = id
            && !seen.insert((role, id.clone()))
        {
            return Err(format!("Persistence ID '{id}' is not unique"));
        }
    }
    Ok(())
}

/// One name must not be both revocable and not.
pub(super) fn not_mixed(resources: &Resources) -> Result<(), String> {
    for entry in resources.iter().filter(|entry| entry.kind().is_revocable()) {
        let name = entry.kind().name();
        if resources
            .iter()
            .any(|other| other.kind().name() == name && !other.kind().is_revocable())
        {
            return Err(format!(
                "Cannot use both revocable and non-revocable '{name}' at the same time"
            ));
        }
    }
    Ok(())
}

/// True when both hold the same port, or the same item of a set.
pub(super) fn overlap(a: &Resources, b: &Resources) -> bool {
    a.iter().any(|mine| {
        b.iter()
            .filter(|other| other.kind() == mine.kind())
            .any(|other| match (mine.value(), other.value()) {
                (Value::Ranges(mine), Value::Ranges(other)) => mine.overlaps(other),
                (Value::Set(mine), Value::Set(other)) => !mine.is_disjoint(other),
                _ => false,
            })
    })
}

/// The list as JSON, as Mesos puts it into refusals.
pub(super) fn json(resources: &[v1::Resource]) -> String {
    let items = resources.iter().map(|resource| proto::json::to_vec(resource));
    let texts: Vec<String> = items.map(|item| String::from_utf8_lossy(&item).into_owned()).collect();
    format!("[{}]", texts.join(","))
}
