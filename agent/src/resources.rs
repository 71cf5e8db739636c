//! Resources and attributes as texts, the host's own resources, and the older format that masters are told.

use proto::ext::resource;
use proto::v1::resource::{ReservationInfo, reservation_info};
use proto::v1::{Attribute, Resource, value};

/// Kept free for the system when the host's memory is offered, in MB, as Mesos does.
const MEMORY_RESERVE_MB: f64 = 1024.0;

/// Kept free when the work directory's disk is offered, in MB, as Mesos does.
const DISK_RESERVE_MB: f64 = 5.0 * 1024.0;

/// Ports offered when none are named.
const DEFAULT_PORTS: (u64, u64) = (31_000, 32_000);

/// Reads `name[(role)]:value;…`; a value is a number, `[a-b,c-d]` or `{x,y}`.
///
/// Errors: the entry that does not read.
pub(crate) fn parse(text: &str) -> Result<Vec<Resource>, String> {
    entries(text).map(parse_one).collect()
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([';', '\n']).map(str::trim).filter(|entry| !entry.is_empty())
}

fn parse_one(entry: &str) -> Result<Resource, String> {
    let bad = || format!("'{entry}' is not of the form name(role):value");
    let (name, value) = entry.split_once(':').ok_or_else(bad)?;
    let (name, role) = match name.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.trim().strip_suffix(')').ok_or_else(bad)?),
        None => (name.trim(), "*"),
    };
    if name.is_empty() {
        return Err(bad());
    }
    let value = value.trim();
    let mut parsed = if let Some(list) = value.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let range = |part: &str| {
            let (begin, end) = part.split_once('-')?;
            let (begin, end): (u64, u64) = (begin.trim().parse().ok()?, end.trim().parse().ok()?);
            (begin <= end).then_some((begin, end))
        };
        let ranges: Option<Vec<_>> = list.split(',').map(range).collect();
        resource::ranges(name, &ranges.ok_or_else(bad)?)
    } else if let Some(list) = value.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        resource::set(name, &list.split(',').map(str::trim).collect::<Vec<_>>())
    } else {
        let amount: f64 = value.parse().map_err(|_| bad())?;
        if !amount.is_finite() || amount < 0.0 {
            return Err(bad());
        }
        resource::scalar(name, amount)
    };
    parsed.role = None;
    if role != "*" {
        let r#type = Some(reservation_info::Type::Static as i32);
        parsed.reservations.push(ReservationInfo {
            role: Some(role.to_owned()),
            r#type,
            ..Default::default()
        });
    }
    Ok(parsed)
}

/// Reads `name:value;…`; a value is a number, `[a-b]` or a text.
///
/// Errors: the entry that does not read.
pub(crate) fn parse_attributes(text: &str) -> Result<Vec<Attribute>, String> {
    entries(text)
        .map(|entry| {
            let (name, value) = entry
                .split_once(':')
                .ok_or_else(|| format!("'{entry}' is not name:value"))?;
            let (name, value) = (name.trim(), value.trim());
            let mut attribute = Attribute {
                name: name.to_owned(),
                ..Default::default()
            };
            if value.starts_with('[') {
                attribute.r#type = value::Type::Ranges as i32;
                attribute.ranges = parse_one(&format!("{name}:{value}"))?.ranges;
            } else if let Ok(number) = value.parse::<f64>() {
                attribute.r#type = value::Type::Scalar as i32;
                attribute.scalar = Some(value::Scalar { value: number });
            } else {
                attribute.r#type = value::Type::Text as i32;
                attribute.text = Some(value::Text {
                    value: value.to_owned(),
                });
            }
            Ok(attribute)
        })
        .collect()
}

/// Adds what the host has of cpus, mem, disk and ports where nothing is named.
pub(crate) fn with_host_defaults(mut resources: Vec<Resource>, work_dir: &std::path::Path) -> Vec<Resource> {
    let is_named = |resources: &[Resource], name: &str| resources.iter().any(|resource| resource.name == name);
    if !is_named(&resources, "cpus") {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        // A machine has far fewer than 2^32 processors.
        resources.push(resource::scalar("cpus", f64::from(u32::try_from(cpus).unwrap_or(1))));
    }
    if !is_named(&resources, "mem") {
        let total = memory_megabytes().unwrap_or(MEMORY_RESERVE_MB);
        resources.push(resource::scalar(
            "mem",
            (total - MEMORY_RESERVE_MB).max(total / 2.0).floor(),
        ));
    }
    if !is_named(&resources, "disk") {
        let total = nix::sys::statvfs::statvfs(work_dir).map_or(0.0, |fs| {
            fs.blocks() as f64 * fs.fragment_size() as f64 / 1024.0 / 1024.0
        });
        resources.push(resource::scalar(
            "disk",
            (total - DISK_RESERVE_MB).max(total / 2.0).floor(),
        ));
    }
    if !is_named(&resources, "ports") {
        resources.push(resource::ranges("ports", &[DEFAULT_PORTS]));
    }
    for resource in &mut resources {
        resource.role = None;
    }
    resources
}

fn memory_megabytes() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1024.0)
}

/// Whether a reservation was made at run time.
pub(crate) fn is_dynamic(reservation: &ReservationInfo) -> bool {
    reservation.r#type == Some(reservation_info::Type::Dynamic as i32)
}

/// The sum of a scalar resource, if any of it is there.
pub(crate) fn scalar_total(resources: &[&Resource], name: &str) -> Option<f64> {
    let amounts = resources.iter().filter(|resource| resource.name == name);
    let amounts: Vec<f64> = amounts
        .filter_map(|resource| Some(resource.scalar.as_ref()?.value))
        .collect();
    (!amounts.is_empty()).then(|| amounts.iter().sum())
}

/// The format from before refined reservations, where every resource of the list allows it: this is what Mesos agents
/// send to masters.
pub(crate) fn downgraded(resources: &[Resource]) -> Vec<Resource> {
    if resources.iter().any(|resource| resource.reservations.len() > 1) {
        return resources.to_vec();
    }
    resources
        .iter()
        .map(|resource| {
            let mut old = resource.clone();
            match old.reservations.pop() {
                None => old.role = Some("*".to_owned()),
                Some(reservation) => {
                    old.role = reservation.role.clone();
                    if is_dynamic(&reservation) {
                        old.reservation = Some(ReservationInfo {
                            principal: reservation.principal,
                            labels: reservation.labels,
                            ..Default::default()
                        });
                    }
                }
            }
            old
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_of_every_kind_are_read() {
        let read = parse("cpus:4; mem(web):512 ;ports:[31000-31100, 32000-32001];names:{a,b}").unwrap();
        assert_eq!(read.len(), 4);
        assert_eq!(read[0].scalar.as_ref().unwrap().value, 4.0);
        assert_eq!(read[1].reservations[0].role.as_deref(), Some("web"));
        assert_eq!(read[2].ranges.as_ref().unwrap().range[1].end, 32_001);
        assert_eq!(read[3].set.as_ref().unwrap().item, ["a", "b"]);
        for bad in [
            "cpus",
            "cpus:x",
            "cpus:-1",
            ":4",
            "ports:[5]",
            "ports:[9-5]",
            "mem(web:5",
            "cpus:inf",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn masters_are_told_the_older_format() {
        let old = downgraded(&parse("cpus:4;mem(web):512").unwrap());
        assert_eq!(old[0].role.as_deref(), Some("*"));
        assert_eq!(old[1].role.as_deref(), Some("web"));
        assert!(old[1].reservations.is_empty());
    }

    #[test]
    fn attributes_are_numbers_ranges_or_texts() {
        let read = parse_attributes("rack:r1;level:3;slots:[1-4]").unwrap();
        assert_eq!(read[0].text.as_ref().unwrap().value, "r1");
        assert_eq!(read[1].scalar.as_ref().unwrap().value, 3.0);
        assert_eq!(read[2].ranges.as_ref().unwrap().range[0].end, 4);
    }
}
