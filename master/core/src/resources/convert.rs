//! Resources to and from the wire, in both formats.

use super::kind::{Detail, Kind, Name, Reservation};
use super::validity::{ResourceError, check};
use super::value::{Ranges, Value, thousandths_from_f64, thousandths_to_f64};
use super::{Entry, Resources};
use proto::v1::{self, resource::reservation_info, value};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Resources {
    /// Takes resources from the wire, in the format before or after reservation refinement; zero amounts vanish.
    ///
    /// # Errors
    /// `Resource '<text>' is invalid: <why>` for the first one that is not acceptable.
    pub fn from_proto(resources: &[v1::Resource]) -> Result<Resources, ResourceError> {
        let mut all = Resources {
            entries: Vec::with_capacity(resources.len()),
        };
        let mut last_role: Option<Arc<str>> = None;
        for resource in resources {
            check(resource)?;
            let mut entry = entry_from_checked(resource);
            if let Some(role) = &entry.kind.allocation {
                // One list is nearly always allocated to one role: keep its text once.
                match &last_role {
                    Some(last) if last == role => entry.kind.allocation = Some(last.clone()),
                    _ => last_role = Some(role.clone()),
                }
            }
            all.add_entry(&entry);
        }
        all.entries.shrink_to_fit();
        Ok(all)
    }

    /// The format after reservation refinement (`reservations[]`, no `role`).
    pub fn to_proto(&self) -> Vec<v1::Resource> {
        self.entries
            .iter()
            .flat_map(|entry| copies(entry, entry_to_proto(entry)))
            .collect()
    }

    /// The format before reservation refinement (`role`, `reservation`), for peers without the capability. Refined
    /// reservations cannot be written in it and are left out: such peers must never see them.
    pub fn to_proto_pre_refinement(&self) -> Vec<v1::Resource> {
        let plain = self.entries.iter().filter(|entry| !entry.kind.is_refined());
        plain
            .flat_map(|entry| copies(entry, downgrade(entry, entry_to_proto(entry))))
            .collect()
    }

    /// True when something here has more than one reservation.
    pub fn has_refined_reservations(&self) -> bool {
        self.entries.iter().any(|entry| entry.kind.is_refined())
    }
}

/// The same resource in the format after reservation refinement, otherwise as it came.
#[allow(deprecated)]
pub fn upgrade_resource(resource: &mut v1::Resource) {
    if resource.reservations.is_empty() {
        let stack = reservations_from_proto(resource);
        resource.reservations = stack.iter().map(reservation_to_proto).collect();
    }
    resource.role = None;
    resource.reservation = None;
}

/// A shared volume is written once for each of its holders, as Mesos does.
fn copies(entry: &Entry, resource: v1::Resource) -> impl Iterator<Item = v1::Resource> {
    /// More copies than this say nothing more; it keeps a corrupt count from filling the memory.
    const MAX_COPIES: u64 = 1_024;
    let count = match &entry.value {
        Value::Shared(shared) => shared.1.clamp(1, MAX_COPIES) as usize,
        _ => 1,
    };
    std::iter::repeat_n(resource, count)
}

fn entry_from_checked(resource: &v1::Resource) -> Entry {
    let mut detail = Detail {
        reservations: reservations_from_proto(resource),
        revocable: resource.revocable.is_some(),
        shared: resource.shared.is_some(),
        provider: resource.provider_id.as_ref().map(|id| id.value.as_str().into()),
        ..Detail::default()
    };
    detail.set_disk(resource.disk.as_ref());
    let value = if let Some(scalar) = &resource.scalar {
        let thousandths = thousandths_from_f64(scalar.value);
        if detail.shared {
            Value::Shared(Box::new((thousandths, 1)))
        } else {
            Value::Scalar(thousandths)
        }
    } else if let Some(ranges) = &resource.ranges {
        let intervals = ranges.range.iter().map(|range| (range.begin, range.end));
        Value::Ranges(Box::new(Ranges::from_intervals(intervals)))
    } else {
        let items = resource.set.as_ref().map(|set| set.item.as_slice()).unwrap_or_default();
        Value::Set(Box::new(
            items
                .iter()
                .map(|item| Arc::from(item.as_str()))
                .collect::<BTreeSet<_>>(),
        ))
    };
    let kind = Kind {
        name: Name::from_text(&resource.name),
        allocation: resource
            .allocation_info
            .as_ref()
            .and_then(|info| info.role.as_deref())
            .map(Arc::from),
        detail: (!detail.is_plain()).then(|| Arc::new(detail)),
    };
    Entry { kind, value }
}

#[allow(deprecated)] // Agents and old frameworks still send the format before refinement.
fn reservations_from_proto(resource: &v1::Resource) -> Vec<Reservation> {
    if !resource.reservations.is_empty() {
        let stack = resource.reservations.iter();
        return stack
            .map(|info| {
                Reservation::from_proto(
                    info.r#type() == reservation_info::Type::Dynamic,
                    info.role(),
                    Some(info),
                )
            })
            .collect();
    }
    match resource.role.as_deref() {
        None | Some("*") => Vec::new(),
        Some(role) => {
            vec![Reservation::from_proto(
                resource.reservation.is_some(),
                role,
                resource.reservation.as_ref(),
            )]
        }
    }
}

fn entry_to_proto(entry: &Entry) -> v1::Resource {
    let kind = &entry.kind;
    let mut resource = v1::Resource {
        name: kind.name().to_owned(),
        ..Default::default()
    };
    match &entry.value {
        Value::Scalar(thousandths) => set_scalar(&mut resource, *thousandths),
        Value::Shared(shared) => set_scalar(&mut resource, shared.0),
        Value::Ranges(ranges) => {
            let range = ranges
                .intervals()
                .iter()
                .map(|&(begin, end)| value::Range { begin, end })
                .collect();
            resource.r#type = value::Type::Ranges.into();
            resource.ranges = Some(value::Ranges { range });
        }
        Value::Set(items) => {
            resource.r#type = value::Type::Set.into();
            resource.set = Some(value::Set {
                item: items.iter().map(|item| item.to_string()).collect(),
            });
        }
    }
    if let Some(role) = kind.allocation_role() {
        resource.allocation_info = Some(v1::resource::AllocationInfo {
            role: Some(role.to_owned()),
        });
    }
    if let Some(detail) = &kind.detail {
        resource.reservations = detail.reservations.iter().map(reservation_to_proto).collect();
        resource.disk = kind.disk();
        resource.revocable = detail.revocable.then(v1::resource::RevocableInfo::default);
        resource.shared = detail.shared.then(v1::resource::SharedInfo::default);
        resource.provider_id = kind
            .provider()
            .map(|id| v1::ResourceProviderId { value: id.to_owned() });
    }
    resource
}

fn set_scalar(resource: &mut v1::Resource, thousandths: i64) {
    resource.r#type = value::Type::Scalar.into();
    resource.scalar = Some(value::Scalar {
        value: thousandths_to_f64(thousandths),
    });
}

fn reservation_to_proto(reservation: &Reservation) -> v1::resource::ReservationInfo {
    let kind = if reservation.dynamic {
        reservation_info::Type::Dynamic
    } else {
        reservation_info::Type::Static
    };
    v1::resource::ReservationInfo {
        principal: reservation.principal.as_deref().map(str::to_owned),
        labels: reservation.labels(),
        role: Some(reservation.role.to_string()),
        r#type: Some(kind.into()),
    }
}

#[allow(deprecated)]
fn downgrade(entry: &Entry, mut resource: v1::Resource) -> v1::Resource {
    resource.role = Some(entry.kind.reservation_role().unwrap_or("*").to_owned());
    if let Some(top) = entry.kind.reservations().last().filter(|top| top.dynamic) {
        resource.reservation = Some(v1::resource::ReservationInfo {
            principal: top.principal.as_deref().map(str::to_owned),
            labels: top.labels(),
            role: None,
            r#type: None,
        });
    }
    resource.reservations.clear();
    resource
}
