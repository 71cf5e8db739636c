//! Resources as the legacy endpoints show them: one flat object, scalars as numbers, ranges and sets as text.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use master_core::resources::{Entry, Ranges, Resources, Value, thousandths_to_f64};
use proto::v1;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::http::reservations::reserved_by_role;

/// Always shown, in this order, also when there is none of them.
const ALWAYS: [&str; 4] = ["disk", "mem", "gpus", "cpus"];

/// Sums up by name, whatever the reservations and allocations; revocable ones as `<name>_revocable`.
pub(super) struct Totals<'a>(pub(super) &'a Resources);

/// An amount other than those always shown.
enum Amount {
    Scalar(i64),
    Ranges(Ranges),
    Set(BTreeSet<Arc<str>>),
}

impl Amount {
    fn of(value: &Value) -> Amount {
        match value {
            Value::Scalar(thousandths) => Amount::Scalar(*thousandths),
            Value::Shared(shared) => Amount::Scalar(shared.0),
            Value::Ranges(ranges) => Amount::Ranges((**ranges).clone()),
            Value::Set(items) => Amount::Set((**items).clone()),
        }
    }

    fn add(&mut self, value: &Value) {
        match (self, value) {
            (Amount::Scalar(sum), Value::Scalar(more)) => *sum = sum.saturating_add(*more),
            (Amount::Scalar(sum), Value::Shared(more)) => *sum = sum.saturating_add(more.0),
            (Amount::Ranges(all), Value::Ranges(more)) => all.add(more),
            (Amount::Set(all), Value::Set(more)) => all.extend(more.iter().cloned()),
            // Resources of one name have one type.
            _ => {}
        }
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Amount::Scalar(thousandths) => serializer.serialize_f64(thousandths_to_f64(*thousandths)),
            Amount::Ranges(ranges) => serializer.collect_str(&Value::Ranges(Box::new(ranges.clone()))),
            Amount::Set(items) => serializer.collect_str(&Value::Set(Box::new(items.clone()))),
        }
    }
}

fn shown_name(entry: &Entry) -> String {
    let name = entry.kind().name();
    if entry.kind().is_revocable() {
        format!("{name}_revocable")
    } else {
        name.to_owned()
    }
}

impl Serialize for Totals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut always = [0_i64; ALWAYS.len()];
        let mut others: BTreeMap<String, Amount> = BTreeMap::new();
        for entry in self.0.iter() {
            let well_known = ALWAYS.iter().position(|name| *name == entry.kind().name());
            if let (Some(at), false) = (well_known, entry.kind().is_revocable()) {
                always[at] = always[at].saturating_add(entry.scalar());
                continue;
            }
            others
                .entry(shown_name(entry))
                .and_modify(|amount| amount.add(entry.value()))
                .or_insert_with(|| Amount::of(entry.value()));
        }
        let mut map = serializer.serialize_map(None)?;
        for (name, thousandths) in ALWAYS.iter().zip(always) {
            map.serialize_entry(name, &thousandths_to_f64(thousandths))?;
        }
        for (name, amount) in &others {
            map.serialize_entry(name, amount)?;
        }
        map.end()
    }
}

/// Scalars only, by name, without those there are none of (`/roles`).
pub(super) struct Quantities<'a>(pub(super) &'a Resources);

impl Serialize for Quantities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in self.0.iter().filter(|entry| entry.scalar() > 0) {
            let sum = sums.entry(entry.kind().name()).or_default();
            *sum = sum.saturating_add(entry.scalar());
        }
        serializer.collect_map(sums.into_iter().map(|(name, sum)| (name, thousandths_to_f64(sum))))
    }
}

/// The reserved part by role, each as [`Totals`].
pub(super) struct Reserved<'a>(pub(super) &'a Resources);

impl Serialize for Reserved<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = reserved_by_role(self.0);
        serializer.collect_map(parts.iter().map(|(role, part)| (role, Totals(part))))
    }
}

/// Attributes as one flat object: text as it is, scalars as numbers, ranges and sets as text.
pub(super) struct Attributes<'a>(pub(super) &'a [v1::Attribute]);

impl Serialize for Attributes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0
                .iter()
                .map(|attribute| (&attribute.name, AttributeValue(attribute))),
        )
    }
}

struct AttributeValue<'a>(&'a v1::Attribute);

impl Serialize for AttributeValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let attribute = self.0;
        if let Some(scalar) = &attribute.scalar {
            return serializer.serialize_f64(scalar.value);
        }
        if let Some(ranges) = &attribute.ranges {
            let intervals = ranges.range.iter().map(|range| (range.begin, range.end));
            return serializer.collect_str(&Value::Ranges(Box::new(Ranges::from_intervals(intervals))));
        }
        if let Some(set) = &attribute.set {
            let items = set.item.iter().map(|item| Arc::from(item.as_str())).collect();
            return serializer.collect_str(&Value::Set(Box::new(items)));
        }
        serializer.serialize_str(attribute.text.as_ref().map_or("", |text| &text.value))
    }
}

#[cfg(test)]
mod tests {
    use proto::ext::resource::{allocated, ranges, scalar, set};

    use super::*;
    use crate::http::reservations::unreserved;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    #[test]
    fn the_four_common_ones_are_always_there_and_numbers_keep_a_fraction() {
        assert_eq!(
            json(&Totals(&Resources::new())),
            r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":0.0}"#
        );
        let offered = [
            allocated(scalar("cpus", 4.0), "a"),
            allocated(scalar("cpus", 0.5), "b"),
            ranges("ports", &[(31_000, 32_000), (1, 2)]),
            set("racks", &["y", "x"]),
            scalar("bandwidth", 1.5),
        ];
        assert_eq!(
            json(&Totals(&Resources::from_proto(&offered).unwrap())),
            r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":4.5,"bandwidth":1.5,"ports":"[1-2, 31000-32000]","racks":"{x, y}"}"#
        );
    }

    #[test]
    fn revocable_resources_are_shown_apart() {
        let revocable = v1::Resource {
            revocable: Some(v1::resource::RevocableInfo::default()),
            ..scalar("cpus", 2.0)
        };
        let resources = Resources::from_proto(&[revocable, scalar("cpus", 1.0)]).unwrap();
        assert_eq!(
            json(&Totals(&resources)),
            r#"{"disk":0.0,"mem":0.0,"gpus":0.0,"cpus":1.0,"cpus_revocable":2.0}"#
        );
    }

    #[test]
    fn quantities_leave_out_what_there_is_none_of() {
        let resources = Resources::from_proto(&[scalar("mem", 24.0), ranges("ports", &[(1, 2)])]).unwrap();
        assert_eq!(json(&Quantities(&resources)), r#"{"mem":24.0}"#);
        assert_eq!(json(&Quantities(&Resources::new())), "{}");
    }

    #[test]
    fn reserved_resources_are_listed_by_role() {
        let reservation = v1::resource::ReservationInfo {
            role: Some("web".to_owned()),
            r#type: Some(v1::resource::reservation_info::Type::Dynamic as i32),
            ..v1::resource::ReservationInfo::default()
        };
        let reserved = v1::Resource {
            reservations: vec![reservation],
            ..scalar("mem", 8.0)
        };
        let resources = Resources::from_proto(&[reserved, scalar("mem", 2.0)]).unwrap();
        assert_eq!(
            json(&Reserved(&resources)),
            r#"{"web":{"disk":0.0,"mem":8.0,"gpus":0.0,"cpus":0.0}}"#
        );
        assert_eq!(
            json(&Totals(&unreserved(&resources))),
            r#"{"disk":0.0,"mem":2.0,"gpus":0.0,"cpus":0.0}"#
        );
    }

    #[test]
    fn attributes_are_flat() {
        let text = |name: &str, value: &str| v1::Attribute {
            name: name.to_owned(),
            r#type: v1::value::Type::Text as i32,
            text: Some(v1::value::Text {
                value: value.to_owned(),
            }),
            ..v1::Attribute::default()
        };
        let level = v1::Attribute {
            name: "level".to_owned(),
            scalar: Some(v1::value::Scalar { value: 2.0 }),
            ..v1::Attribute::default()
        };
        assert_eq!(
            json(&Attributes(&[text("rack", "r1"), level])),
            r#"{"rack":"r1","level":2.0}"#
        );
    }
}
