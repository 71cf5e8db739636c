//! Which wire resources are acceptable, with the texts Mesos uses (tools match on them).
//!
//! Says nothing about offers, tasks or roles being subscribed: those rules are in `validate`.

use super::display::WireText;
use super::role::{is_strict_subrole, role_syntax};
use super::value::thousandths_from_f64;
use proto::v1::{self, resource::reservation_info, value};
use std::collections::BTreeSet;

/// Why resources were refused; the text is what Mesos answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ResourceError(pub String);

/// Checks one wire resource.
///
/// # Errors
/// `Resource '<text>' is invalid: <why>`.
pub fn check(resource: &v1::Resource) -> Result<(), ResourceError> {
    check_parts(resource).map_err(|why| ResourceError(format!("Resource '{}' is invalid: {why}", WireText(resource))))
}

fn check_parts(resource: &v1::Resource) -> Result<(), String> {
    if resource.name.is_empty() {
        return Err("Empty resource name".into());
    }
    check_value(resource)?;
    check_disk(resource)?;
    check_reservations(resource)
}

fn check_value(resource: &v1::Resource) -> Result<(), String> {
    let (scalar, ranges, set) = (&resource.scalar, &resource.ranges, &resource.set);
    match value::Type::try_from(resource.r#type) {
        Ok(value::Type::Scalar) => match (scalar, ranges, set) {
            (Some(scalar), None, None) => {
                // Exactly zero is accepted (and is nothing); what rounds to zero is not.
                if scalar.value != 0.0 && thousandths_from_f64(scalar.value) <= 0 {
                    return Err("Invalid scalar resource: value <= 0".into());
                }
                Ok(())
            }
            _ => Err("Invalid scalar resource".into()),
        },
        Ok(value::Type::Ranges) => match (scalar, ranges, set) {
            (None, Some(ranges), None) => check_ranges(&ranges.range),
            _ => Err("Invalid ranges resource".into()),
        },
        Ok(value::Type::Set) => match (scalar, ranges, set) {
            (None, None, Some(set)) => {
                let distinct: BTreeSet<_> = set.item.iter().collect();
                if distinct.len() < set.item.len() {
                    return Err("Invalid set resource: duplicated elements".into());
                }
                Ok(())
            }
            _ => Err("Invalid set resource".into()),
        },
        _ => Err("Unsupported resource type".into()),
    }
}

fn check_ranges(ranges: &[value::Range]) -> Result<(), String> {
    if ranges.iter().any(|range| range.begin > range.end) {
        return Err("Invalid ranges resource: begin > end".into());
    }
    let mut sorted: Vec<_> = ranges.iter().map(|range| (range.begin, range.end)).collect();
    sorted.sort_unstable();
    if sorted.windows(2).any(|pair| pair[1].0 <= pair[0].1) {
        return Err("Invalid ranges resource: overlapping ranges".into());
    }
    Ok(())
}

fn check_disk(resource: &v1::Resource) -> Result<(), String> {
    use v1::resource::disk_info::source::Type;
    if let Some(disk) = &resource.disk {
        if resource.name != "disk" {
            return Err(format!("DiskInfo should not be set for {} resource", resource.name));
        }
        if let Some(source) = &disk.source {
            match source.r#type() {
                Type::Block | Type::Raw if source.path.is_some() || source.mount.is_some() => {
                    return Err(format!(
                        "{} disk source should not have path or mount",
                        source.r#type().as_str_name()
                    ));
                }
                Type::Path if source.mount.is_some() => return Err("PATH disk source should not have mount".into()),
                Type::Mount if source.path.is_some() => return Err("MOUNT disk source should not have path".into()),
                Type::Unknown => return Err("Unsupported 'DiskInfo.Source.Type' in DiskInfo".into()),
                _ => {}
            }
        }
    }
    if resource.shared.is_some() && resource.disk.as_ref().is_none_or(|disk| disk.persistence.is_none()) {
        return Err("Only persistent volumes can be shared".into());
    }
    Ok(())
}

#[allow(deprecated)] // Agents and old frameworks still send the format before refinement.
fn check_reservations(resource: &v1::Resource) -> Result<(), String> {
    let role = resource.role.as_deref();
    if let Some(role) = role {
        role_syntax(role)?;
    }
    if let Some(reservation) = &resource.reservation
        && resource.reservations.is_empty()
    {
        if reservation.r#type.is_some() {
            return Err("'Resource.ReservationInfo.type' must not be set for the 'Resource.reservation' field".into());
        }
        if reservation.role.is_some() {
            return Err("'Resource.ReservationInfo.role' must not be set for the 'Resource.reservation' field".into());
        }
        if role.is_none_or(|role| role == "*") {
            return Err("Invalid reservation: role \"*\" cannot be dynamically reserved".into());
        }
    }
    for reservation in &resource.reservations {
        if !matches!(
            reservation.r#type(),
            reservation_info::Type::Static | reservation_info::Type::Dynamic
        ) {
            return Err("Invalid reservation: 'type' is not set".into());
        }
        let Some(role) = reservation.role.as_deref() else {
            return Err("Invalid reservation: 'role' is not set".into());
        };
        role_syntax(role)?;
        if role == "*" {
            return Err("Invalid reservation: role \"*\" cannot be reserved".into());
        }
    }
    for pair in resource.reservations.windows(2) {
        if pair[1].r#type() == reservation_info::Type::Static {
            return Err("Invalid refined reservation: A refined reservation cannot be STATIC".into());
        }
        let (ancestor, descendant) = (pair[0].role(), pair[1].role());
        if !is_strict_subrole(ancestor, descendant) {
            return Err(format!(
                "Invalid refined reservation: role '{descendant}' is not a refinement of '{ancestor}'"
            ));
        }
    }
    check_both_formats(resource)
}

/// Both formats at once are tolerated when they say the same thing.
#[allow(deprecated)]
fn check_both_formats(resource: &v1::Resource) -> Result<(), String> {
    let Some(top) = resource.reservations.last() else {
        return Ok(());
    };
    let old_role = resource.role.as_deref();
    if old_role.is_none() && resource.reservation.is_none() {
        return Ok(());
    }
    if resource.reservations.len() > 1 {
        return Err("Invalid resource format: both formats are set for a refined reservation".into());
    }
    let dynamic = top.r#type() == reservation_info::Type::Dynamic;
    if old_role.is_some_and(|role| role != top.role()) || dynamic != resource.reservation.is_some() {
        return Err("Invalid resource format: 'role' and 'reservation' do not match 'reservations'".into());
    }
    if let Some(old) = &resource.reservation
        && (old.principal != top.principal || old.labels != top.labels)
    {
        return Err("Invalid resource format: 'reservation' does not match 'reservations'".into());
    }
    Ok(())
}
