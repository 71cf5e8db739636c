//! RESERVE, UNRESERVE, CREATE and DESTROY, by a framework or an operator. Whether the resources are there and free is
//! looked at afterwards, by converting what was offered or what the agent has.

use std::collections::BTreeSet;

use proto::v1::agent_info::capability::Type as AgentCapability;
use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::offer::{Operation, operation};
use proto::v1::{self, volume};

use super::{id_text, set_text};
use crate::registry::{Agent, Framework};
use crate::resources::{Resources, WireText, check_resource, thousandths_from_f64};

/// The resources an operation names. Launches and operations on resource providers name none here.
pub fn operation_resources(operation: &mut Operation) -> Vec<&mut v1::Resource> {
    let mut all: Vec<&mut v1::Resource> = Vec::new();
    if let Some(reserve) = &mut operation.reserve {
        all.extend(reserve.resources.iter_mut().chain(&mut reserve.source));
    }
    if let Some(unreserve) = &mut operation.unreserve {
        all.extend(&mut unreserve.resources);
    }
    if let Some(create) = &mut operation.create {
        all.extend(&mut create.volumes);
    }
    if let Some(destroy) = &mut operation.destroy {
        all.extend(&mut destroy.volumes);
    }
    all
}

/// Checks each resource by itself. A scalar of zero, which ends a Mesos master, is refused.
///
/// # Errors
/// `Resource '<text>' is invalid: <why>`.
pub fn operation_format(operation: &mut Operation) -> Result<(), String> {
    for resource in operation_resources(operation) {
        let resource = &*resource;
        check_resource(resource).map_err(|error| error.0)?;
        let scalar = resource
            .scalar
            .as_ref()
            .map(|scalar| thousandths_from_f64(scalar.value));
        if scalar.is_some_and(|thousandths| thousandths <= 0) {
            return Err(format!(
                "Resource '{}' is invalid: Invalid scalar resource: value <= 0",
                WireText(resource)
            ));
        }
    }
    Ok(())
}

/// Checks an operation on the agent's own resources whose formats are valid and in the form with `reservations`.
/// `framework`: who asks, with allocation roles filled in; `None` for an operator.
///
/// # Errors
/// The text of the refusal, without the agent.
pub fn operation(agent: &Agent, framework: Option<&Framework>, operation: &Operation) -> Result<(), String> {
    match operation.r#type() {
        operation::Type::Reserve => {
            let reserve = operation.reserve.clone().unwrap_or_default();
            check_list(&reserve.resources)?;
            if !reserve.source.is_empty() {
                check_source(&reserve)?;
            }
            one_provider(&reserve.resources)?;
            check_reserve(agent, framework, &reserve)
        }
        operation::Type::Unreserve => {
            let resources = operation.unreserve.clone().unwrap_or_default().resources;
            check_list(&resources)?;
            one_provider(&resources)?;
            check_unreserve(&resources)
        }
        operation::Type::Create => {
            let volumes = operation.create.clone().unwrap_or_default().volumes;
            check_list(&volumes)?;
            one_provider(&volumes)?;
            check_volumes(&volumes)?;
            check_create(agent, framework, &volumes)
        }
        operation::Type::Destroy => {
            let volumes = operation.destroy.clone().unwrap_or_default().volumes;
            check_list(&volumes)?;
            one_provider(&volumes)?;
            check_volumes(&volumes)?;
            check_destroy(agent, &volumes)
        }
        other => Err(format!(
            "{} operations are not supported by this master",
            other.as_str_name()
        )),
    }
}

fn check_list(resources: &[v1::Resource]) -> Result<(), String> {
    for resource in resources {
        check_disk(resource).map_err(|why| format!("Invalid resources: Invalid DiskInfo: {why}"))?;
        if is_dynamic(resource) && resource.revocable.is_some() {
            return Err(format!(
                "Invalid resources: Invalid ReservationInfo: Dynamically reserved resource {} cannot be created from \
                 revocable resources",
                WireText(resource)
            ));
        }
    }
    Ok(())
}

fn check_disk(resource: &v1::Resource) -> Result<(), String> {
    let Some(disk) = &resource.disk else { return Ok(()) };
    let Some(persistence) = &disk.persistence else {
        if disk.volume.is_some() {
            return Err("Non-persistent volume not supported".into());
        }
        if disk.source.is_none() {
            return Err("DiskInfo is set but empty".into());
        }
        return Ok(());
    };
    if resource.revocable.is_some() {
        return Err("Persistent volumes cannot be created from revocable resources".into());
    }
    if resource.reservations.is_empty() {
        return Err("Persistent volumes cannot be created from unreserved resources".into());
    }
    let Some(volume) = &disk.volume else {
        return Err("Expecting 'volume' to be set for persistent volume".into());
    };
    if volume.host_path.is_some() {
        return Err("Expecting 'host_path' to be unset for persistent volume".into());
    }
    id_text(&persistence.id).map_err(|why| format!("Invalid persistence ID for persistent volume: {why}"))
}

/// An empty list has no provider at all, which Mesos takes for several.
fn one_provider(resources: &[v1::Resource]) -> Result<(), String> {
    let ids: BTreeSet<Option<&str>> = resources
        .iter()
        .map(|resource| resource.provider_id.as_ref().map(|id| &*id.value))
        .collect();
    if ids.len() == 1 {
        return Ok(());
    }
    if ids.contains(&None) {
        return Err("Invalid resources: Some resources have a resource provider and some do not".into());
    }
    let ids: Vec<&str> = ids.into_iter().flatten().collect();
    Err(format!(
        "Invalid resources: The resources have multiple resource providers: {}",
        ids.join(", ")
    ))
}

/// Reservations that take the place of others: the quantities stay.
fn check_source(reserve: &operation::Reserve) -> Result<(), String> {
    let identical = |list: &[v1::Resource]| list.windows(2).all(|pair| pair[0].reservations == pair[1].reservations);
    if !identical(&reserve.source) {
        return Err("Invalid source: Mixed reservations are not supported".into());
    }
    if !identical(&reserve.resources) {
        return Err("Invalid resources: Mixed reservations are not supported".into());
    }
    let quantities = |list: &[v1::Resource]| Resources::from_proto(list).map(|list| list.quantities());
    let (source, target) = (quantities(&reserve.source), quantities(&reserve.resources));
    match (source, target) {
        (Ok(source), Ok(target)) if source == target => Ok(()),
        (Ok(source), Ok(target)) => Err(format!(
            "Source and target resources should refer to identical resource quantities: {source} vs. {target}"
        )),
        (Err(error), _) | (_, Err(error)) => Err(error.0),
    }
}

fn check_reserve(agent: &Agent, framework: Option<&Framework>, reserve: &operation::Reserve) -> Result<(), String> {
    for resource in &reserve.resources {
        if !is_dynamic(resource) {
            return Err(format!("Resource {} is not dynamically reserved", WireText(resource)));
        }
        if persistence(resource).is_some() {
            return Err(format!(
                "A persistent volume {} must already be reserved",
                WireText(resource)
            ));
        }
        check_agent(agent, resource, "Resource", "reserved")?;
        if let Some(framework) = framework {
            check_reserving_framework(framework, resource)?;
        } else if resource.allocation_info.is_some() {
            return Err(
                "A reserve operation was attempted with an allocated resource, but the operator API only allows \
                 reservations to be made to unallocated resources"
                    .into(),
            );
        }
    }
    Ok(())
}

fn check_reserving_framework(framework: &Framework, resource: &v1::Resource) -> Result<(), String> {
    let role = reservation_role(resource);
    if let Some(principal) = framework.info.principal.as_deref() {
        let reserved_by = resource.reservations.last().and_then(|top| top.principal.as_deref());
        match reserved_by {
            None => {
                return Err(format!(
                    "A reserve operation was attempted by principal '{principal}', but there is a reserved resource in \
                     the request with no principal set"
                ));
            }
            Some(other) if other != principal => {
                return Err(format!(
                    "A reserve operation was attempted by authenticated principal '{principal}', which does not match \
                     a reserved resource in the request with principal '{other}'"
                ));
            }
            Some(_) => {}
        }
    }
    let Some(allocated) = allocation_role(resource) else {
        return Err(format!(
            "A reserve operation was attempted on unallocated resource {}, but frameworks can only perform reservations \
             on allocated resources",
            WireText(resource)
        ));
    };
    if allocated != role {
        return Err(format!(
            "A reserve operation was attempted for a resource with role '{role}', but the resource was allocated to \
             role '{allocated}'"
        ));
    }
    let roles = framework.roles();
    if !roles.contains(&allocated) {
        return Err(format!(
            "A reserve operation was attempted for a resource allocated to role '{allocated}', but the framework only \
             has roles '{}'",
            set_text(roles)
        ));
    }
    Ok(())
}

fn check_unreserve(resources: &[v1::Resource]) -> Result<(), String> {
    for resource in resources {
        if !is_dynamic(resource) {
            return Err(format!("Resource {} is not dynamically reserved", WireText(resource)));
        }
        if persistence(resource).is_some() {
            return Err(format!(
                "A dynamically reserved persistent volume {} cannot be unreserved directly. Please destroy the \
                 persistent volume first then unreserve the resource",
                WireText(resource)
            ));
        }
    }
    Ok(())
}

fn check_volumes(volumes: &[v1::Resource]) -> Result<(), String> {
    for resource in volumes {
        let refused = |why: &str| Err(format!("Not a persistent volume: {why}"));
        let Some(disk) = &resource.disk else {
            return refused(&format!("Resource {} does not have DiskInfo", WireText(resource)));
        };
        if disk.persistence.is_none() {
            return refused("'persistence' is not set in DiskInfo");
        }
        match &disk.volume {
            None => return refused("Expecting 'volume' to be set for persistent volume"),
            Some(volume) if volume.mode() == volume::Mode::Ro => {
                return refused("Read-only persistent volume not supported");
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_create(agent: &Agent, framework: Option<&Framework>, volumes: &[v1::Resource]) -> Result<(), String> {
    let mut ids: BTreeSet<(String, String)> = BTreeSet::new();
    let existing = agent.total.checkpointed().to_proto();
    for volume in existing.iter().chain(volumes) {
        let Some(persistence) = persistence(volume) else {
            continue;
        };
        let key = (reservation_role(volume).to_owned(), persistence.id.clone());
        if !ids.insert(key) {
            return Err(format!("Persistence ID '{}' is not unique", persistence.id));
        }
    }
    for volume in volumes {
        check_agent(agent, volume, "Volume", "created")?;
        let Some(framework) = framework else { continue };
        if volume.shared.is_some() && !framework.has_capability(Capability::SharedResources) {
            return Err(format!(
                "Create volume operation for '{}' has been attempted by framework '{}' with no SHARED_RESOURCES capability",
                WireText(volume),
                framework.id
            ));
        }
        let Some(principal) = framework.info.principal.as_deref() else {
            continue;
        };
        match persistence(volume).and_then(|persistence| persistence.principal.as_deref()) {
            None => {
                return Err(format!(
                    "Create volume operation attempted by principal '{principal}', but there is a volume in the \
                     operation with no principal set in 'disk.persistence'"
                ));
            }
            Some(other) if other != principal => {
                return Err(format!(
                    "Create volume operation attempted by authenticated principal '{principal}', which does not match \
                     a volume in the operation with principal '{other}' set in 'disk.persistence'"
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn check_destroy(agent: &Agent, volumes: &[v1::Resource]) -> Result<(), String> {
    let used = agent.used.unallocated();
    for volume in volumes {
        let Ok(volume) = Resources::from_proto(std::slice::from_ref(volume)) else {
            continue;
        };
        let volume = volume.unallocated();
        if !agent.total.checkpointed().contains(&volume) {
            return Err("Persistent volumes not found".into());
        }
        if used.contains(&volume) {
            return Err("Persistent volumes in use".into());
        }
    }
    Ok(())
}

/// What agents of older versions do not understand.
fn check_agent(agent: &Agent, resource: &v1::Resource, what: &str, done: &str) -> Result<(), String> {
    let role = reservation_role(resource);
    if role.contains('/') && !agent.has_capability(AgentCapability::HierarchicalRole) {
        return Err(format!(
            "{what} {} with reservation for hierarchical role '{role}' cannot be {done} on an agent without \
             HIERARCHICAL_ROLE capability",
            WireText(resource)
        ));
    }
    if resource.reservations.len() > 1 && !agent.has_capability(AgentCapability::ReservationRefinement) {
        return Err(format!(
            "{what} {} with reservation refinement cannot be {done} on an agent without RESERVATION_REFINEMENT \
             capability",
            WireText(resource)
        ));
    }
    Ok(())
}

fn is_dynamic(resource: &v1::Resource) -> bool {
    let top = resource.reservations.last();
    top.is_some_and(|top| top.r#type() == v1::resource::reservation_info::Type::Dynamic)
}

fn reservation_role(resource: &v1::Resource) -> &str {
    resource.reservations.last().map_or("*", |top| top.role())
}

fn allocation_role(resource: &v1::Resource) -> Option<&str> {
    resource.allocation_info.as_ref()?.role.as_deref()
}

fn persistence(resource: &v1::Resource) -> Option<&v1::resource::disk_info::Persistence> {
    resource.disk.as_ref()?.persistence.as_ref()
}
