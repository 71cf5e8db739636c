//! Resources: a multiset of everything Mesos can allocate, with exact arithmetic.
//!
//! Resources are kept apart by kind (name, type, reservations, disk, revocable, shared, provider, allocation role) and
//! added within a kind. Scalars are thousandths, never floats. Both wire formats (before and after reservation refinement)
//! are understood; inside there is only the refined one. Nothing here may panic on any input.

mod agent_total;
mod conversion;
mod convert;
mod display;
mod flag;
mod kind;
mod role;
#[cfg(test)]
mod tests;
mod validity;
mod value;

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

pub use conversion::Conversion;
pub use convert::upgrade_resource;
pub use display::{WireText, format_number};
pub use kind::{Kind, Name, Reservation};

pub use role::{is_strict_subrole, role_syntax, top_level_role};
pub use validity::{ResourceError, check as check_resource};
pub use value::{Ranges, THOUSANDTHS_PER_UNIT, Value, thousandths_from_f64, thousandths_to_f64};

/// One kind and how much of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    kind: Kind,
    value: Value,
}

impl Entry {
    /// What it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// How much of it.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// The amount in thousandths; zero for ranges and sets.
    pub fn scalar(&self) -> i64 {
        match &self.value {
            Value::Scalar(thousandths) => *thousandths,
            Value::Shared(shared) => shared.0,
            Value::Ranges(_) | Value::Set(_) => 0,
        }
    }

    /// An amount that nobody shares.
    pub fn is_scalar(&self) -> bool {
        matches!(self.value, Value::Scalar(_))
    }

    fn key(&self) -> (&Kind, u8) {
        (&self.kind, self.value.type_rank())
    }
}

/// A normalised multiset of resources: one entry per kind, sorted by kind, no empty entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    entries: Vec<Entry>,
}

impl Resources {
    /// Nothing.
    pub const fn new() -> Self {
        Resources { entries: Vec::new() }
    }

    /// Unreserved scalars, by name and in thousandths; amounts of zero or less are left out.
    pub fn from_scalars(scalars: &[(&str, i64)]) -> Self {
        let mut resources = Resources::new();
        for (name, thousandths) in scalars {
            let kind = Kind {
                name: Name::from_text(name),
                allocation: None,
                detail: None,
            };
            resources.add_entry(&Entry {
                kind,
                value: Value::Scalar(*thousandths),
            });
        }
        resources
    }

    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entries in the order of their kinds.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }

    fn position(&self, key: (&Kind, u8)) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.key().cmp(&key))
    }

    fn add_entry(&mut self, entry: &Entry) {
        if entry.value.is_empty() {
            return;
        }
        match self.position(entry.key()) {
            Ok(index) => self.entries[index].value.add(&entry.value),
            Err(index) => self.entries.insert(index, entry.clone()),
        }
    }

    /// True when every entry of `other` fits into the entry of the same kind here.
    pub fn contains(&self, other: &Resources) -> bool {
        other.entries.iter().all(|entry| {
            self.position(entry.key()).is_ok_and(|index| {
                self.entries[index]
                    .value
                    .contains(&entry.value, entry.kind.is_exclusive())
            })
        })
    }

    /// Adds `other`, kind by kind; scalars saturate, ranges and sets are united, a shared volume counts one holder more.
    pub fn add(&mut self, other: &Resources) {
        if self.entries.is_empty() {
            self.entries.clone_from(&other.entries);
            return;
        }
        for entry in &other.entries {
            self.add_entry(entry);
        }
    }

    /// Takes `other` away. False, and nothing is changed, when it is not contained.
    #[must_use = "false means that nothing was taken away"]
    pub fn subtract(&mut self, other: &Resources) -> bool {
        if !self.contains(other) {
            return false;
        }
        for entry in &other.entries {
            if let Ok(index) = self.position(entry.key()) {
                self.entries[index].value.subtract(&entry.value);
                if self.entries[index].value.is_empty() {
                    self.entries.remove(index);
                }
            }
        }
        true
    }

    /// Takes away whatever of `wanted` is here and returns the part that was not (for books that must not go negative).
    pub fn take_available(&mut self, wanted: &Resources) -> Resources {
        let mut missing = Resources::new();
        for entry in &wanted.entries {
            let Ok(index) = self.position(entry.key()) else {
                missing.add_entry(entry);
                continue;
            };
            let have = &mut self.entries[index].value;
            if !have.contains(&entry.value, entry.kind.is_exclusive()) {
                let mut rest = entry.clone();
                rest.value.subtract(have);
                missing.add_entry(&rest);
            }
            have.subtract(&entry.value);
            if have.is_empty() {
                self.entries.remove(index);
            }
        }
        missing
    }

    /// The entry of this kind that holds a scalar or a shared volume, if there is one.
    pub fn scalar_entry(&self, kind: &Kind) -> Option<&Entry> {
        self.position((kind, 0)).ok().map(|index| &self.entries[index])
    }

    /// The sum of all scalars of this name, of whatever kind, in thousandths.
    pub fn scalar(&self, name: &str) -> i64 {
        self.entries
            .iter()
            .filter(|entry| entry.kind.name() == name)
            .fold(0, |sum, entry| sum.saturating_add(entry.scalar()))
    }

    /// All values of this name, of whatever kind (for example every port).
    pub fn ranges(&self, name: &str) -> Ranges {
        let mut all = Ranges::default();
        for entry in self.entries.iter().filter(|entry| entry.kind.name() == name) {
            if let Value::Ranges(ranges) = &entry.value {
                all.add(ranges);
            }
        }
        all
    }

    /// The same resources, all of them allocated to this role.
    pub fn allocated_to(&self, role: &str) -> Resources {
        let role: Arc<str> = role.into();
        self.map_kinds(|kind| kind.allocation = Some(role.clone()))
    }

    /// The same resources without allocation roles.
    pub fn unallocated(&self) -> Resources {
        if self.entries.iter().all(|entry| entry.kind.allocation.is_none()) {
            return self.clone();
        }
        self.map_kinds(|kind| kind.allocation = None)
    }

    /// The roles that something here is allocated to.
    pub fn allocation_roles(&self) -> BTreeSet<Arc<str>> {
        self.entries
            .iter()
            .filter_map(|entry| entry.kind.allocation.clone())
            .collect()
    }

    /// The part whose entries pass the test.
    pub fn filter(&self, mut keep: impl FnMut(&Entry) -> bool) -> Resources {
        Resources {
            entries: self.entries.iter().filter(|entry| keep(entry)).cloned().collect(),
        }
    }

    /// At most `room` thousandths of each name (None: everything), in the order of the kinds; what can only be taken whole
    /// and does not fit is left out. Ranges and sets stay.
    pub fn shrunk_to(&self, room: impl Fn(&str) -> Option<i64>) -> Resources {
        let mut left: Vec<(&str, Option<i64>)> = Vec::new();
        let mut shrunk = Resources::new();
        for entry in &self.entries {
            let Value::Scalar(amount) = entry.value else {
                shrunk.entries.push(entry.clone());
                continue;
            };
            let name = entry.kind.name();
            let place = left.iter().position(|(of, _)| *of == name).unwrap_or_else(|| {
                left.push((name, room(name)));
                left.len() - 1
            });
            let Some(left) = &mut left[place].1 else {
                shrunk.entries.push(entry.clone());
                continue;
            };
            let taken = amount.min(*left);
            if taken <= 0 || (taken < amount && entry.kind.is_exclusive()) {
                continue;
            }
            *left -= taken;
            shrunk.entries.push(Entry {
                kind: entry.kind.clone(),
                value: Value::Scalar(taken),
            });
        }
        shrunk
    }

    /// Applies a change to every kind and normalises again.
    fn map_kinds(&self, mut change: impl FnMut(&mut Kind)) -> Resources {
        let mut changed = Resources {
            entries: Vec::with_capacity(self.entries.len()),
        };
        for entry in &self.entries {
            let mut entry = entry.clone();
            change(&mut entry.kind);
            changed.add_entry(&entry);
        }
        changed
    }
}

impl<'a> std::iter::Sum<&'a Resources> for Resources {
    fn sum<I: Iterator<Item = &'a Resources>>(parts: I) -> Self {
        let mut sum = Resources::new();
        parts.for_each(|part| sum.add(part));
        sum
    }
}
