//! Resources as text, in the form Mesos prints: `cpus(allocated: *):3.9; mem(allocated: *):4064; ports:[31000-32000]`.

use super::kind::Kind;
use super::value::{Value, thousandths_from_f64, thousandths_to_f64};
use super::{Entry, Resources};
use proto::v1::{self, value};
use std::fmt::{self, Display, Formatter, Write};

/// Formats a number like C++ streams with 15 significant digits (`%.15g`): `3.9`, `4064`, `-9.22337203685478e+15`.
pub fn format_number(value: f64) -> String {
    const DIGITS: i32 = 15;
    if value == 0.0 {
        return if value.is_sign_negative() {
            "-0".into()
        } else {
            "0".into()
        };
    }
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..DIGITS).contains(&exponent) {
        let decimals = (DIGITS - 1 - exponent).max(0) as usize;
        return trim_zeros(&format!("{value:.decimals$}")).to_owned();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{}e{sign}{:02}", trim_zeros(mantissa), exponent.abs())
}

fn trim_zeros(number: &str) -> &str {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        number
    }
}

impl Display for Resources {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.entries.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        if let Some(role) = self.allocation_role() {
            write!(f, "(allocated: {role})")?;
        }
        if !self.reservations().is_empty() {
            f.write_str("(reservations: [")?;
            for (index, reservation) in self.reservations().iter().enumerate() {
                if index > 0 {
                    f.write_char(',')?;
                }
                let kind = if reservation.dynamic { "DYNAMIC" } else { "STATIC" };
                let (principal, labels) = (reservation.principal.as_deref(), reservation.labels());
                write_reservation(f, kind, &reservation.role, principal, labels.as_ref())?;
            }
            f.write_str("])")?;
        }
        if let Some(disk) = self.disk() {
            write_disk(f, &disk)?;
        }
        if self.is_revocable() {
            f.write_str("{REV}")?;
        }
        if self.is_shared() {
            f.write_str("<SHARED>")?;
        }
        Ok(())
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Scalar(thousandths) => f.write_str(&format_number(thousandths_to_f64(*thousandths))),
            Value::Shared(shared) => write!(f, "{}<{}>", format_number(thousandths_to_f64(shared.0)), shared.1),
            Value::Ranges(ranges) => write_ranges(f, ranges.intervals().iter().copied()),
            Value::Set(items) => write_set(f, items.iter().map(|item| &**item)),
        }
    }
}

fn write_ranges(out: &mut impl Write, ranges: impl Iterator<Item = (u64, u64)>) -> fmt::Result {
    out.write_char('[')?;
    for (index, (begin, end)) in ranges.enumerate() {
        write!(out, "{}{begin}-{end}", if index > 0 { ", " } else { "" })?;
    }
    out.write_char(']')
}

fn write_set<'a>(out: &mut impl Write, items: impl Iterator<Item = &'a str>) -> fmt::Result {
    out.write_char('{')?;
    for (index, item) in items.enumerate() {
        write!(out, "{}{item}", if index > 0 { ", " } else { "" })?;
    }
    out.write_char('}')
}

fn write_reservation(
    out: &mut impl Write,
    kind: &str,
    role: &str,
    principal: Option<&str>,
    labels: Option<&v1::Labels>,
) -> fmt::Result {
    write!(out, "({kind},{role}")?;
    if let Some(principal) = principal {
        write!(out, ",{principal}")?;
    }
    if let Some(labels) = labels.filter(|labels| !labels.labels.is_empty()) {
        out.write_str(",{")?;
        for (index, label) in labels.labels.iter().enumerate() {
            write!(out, "{}{}", if index > 0 { ", " } else { "" }, label.key)?;
            if let Some(value) = &label.value {
                write!(out, ": {value}")?;
            }
        }
        out.write_char('}')?;
    }
    out.write_char(')')
}

fn write_disk(out: &mut impl Write, disk: &v1::resource::DiskInfo) -> fmt::Result {
    out.write_char('[')?;
    if let Some(source) = &disk.source {
        out.write_str(source.r#type().as_str_name())?;
        if source.id.is_some() || source.profile.is_some() || source.vendor.is_some() {
            write!(out, "({},{},{})", source.vendor(), source.id(), source.profile())?;
        }
        let root = match (&source.path, &source.mount) {
            (Some(path), _) => path.root.as_deref(),
            (None, Some(mount)) => mount.root.as_deref(),
            (None, None) => None,
        };
        if let Some(root) = root {
            write!(out, ":{root}")?;
        }
    }
    if let Some(persistence) = &disk.persistence {
        write!(
            out,
            "{}{}",
            if disk.source.is_some() { "," } else { "" },
            persistence.id
        )?;
    }
    if let Some(volume) = &disk.volume {
        out.write_char(':')?;
        if let Some(host_path) = &volume.host_path {
            let mode = if volume.mode() == v1::volume::Mode::Ro {
                "ro"
            } else {
                "rw"
            };
            write!(out, "{host_path}:{}:{mode}", volume.container_path)?;
        } else {
            out.write_str(&volume.container_path)?;
        }
    }
    out.write_char(']')
}

/// Prints a wire resource as it is, valid or not (for refusals).
pub struct WireText<'a>(pub &'a v1::Resource);

impl Display for WireText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_wire(f, self.0)
    }
}

#[allow(deprecated)]
fn write_wire(out: &mut impl Write, resource: &v1::Resource) -> fmt::Result {
    out.write_str(&resource.name)?;
    if let Some(role) = resource.allocation_info.as_ref().and_then(|info| info.role.as_deref()) {
        write!(out, "(allocated: {role})")?;
    }
    if !resource.reservations.is_empty() {
        out.write_str("(reservations: [")?;
        for (index, info) in resource.reservations.iter().enumerate() {
            if index > 0 {
                out.write_char(',')?;
            }
            let kind = info.r#type().as_str_name();
            write_reservation(out, kind, info.role(), info.principal.as_deref(), info.labels.as_ref())?;
        }
        out.write_str("])")?;
    } else if let Some(role) = resource.role.as_deref().filter(|role| *role != "*") {
        // Mesos upgrades the format before it prints.
        let kind = if resource.reservation.is_some() {
            "DYNAMIC"
        } else {
            "STATIC"
        };
        let info = resource.reservation.as_ref();
        let principal = info.and_then(|info| info.principal.as_deref());
        out.write_str("(reservations: [")?;
        write_reservation(out, kind, role, principal, info.and_then(|info| info.labels.as_ref()))?;
        out.write_str("])")?;
    }
    if let Some(disk) = &resource.disk {
        write_disk(out, disk)?;
    }
    if resource.revocable.is_some() {
        out.write_str("{REV}")?;
    }
    if resource.shared.is_some() {
        out.write_str("<SHARED>")?;
    }
    out.write_char(':')?;
    match value::Type::try_from(resource.r#type) {
        Ok(value::Type::Ranges) => {
            let ranges = resource
                .ranges
                .as_ref()
                .map(|ranges| ranges.range.as_slice())
                .unwrap_or_default();
            write_ranges(out, ranges.iter().map(|range| (range.begin, range.end)))
        }
        Ok(value::Type::Set) => {
            let items = resource.set.as_ref().map(|set| set.item.as_slice()).unwrap_or_default();
            write_set(out, items.iter().map(String::as_str))
        }
        _ => {
            let value = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
            out.write_str(&format_number(thousandths_to_f64(thousandths_from_f64(value))))
        }
    }
}
