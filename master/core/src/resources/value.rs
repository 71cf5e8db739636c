//! The amounts of a resource: exact scalars, integer ranges and sets of names.
//!
//! Responsible for arithmetic only; it knows neither names nor reservations. Nothing here may panic or wrap around.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Scalars are kept in thousandths, the precision of Mesos itself (three decimals).
pub const THOUSANDTHS_PER_UNIT: i64 = 1_000;

/// Converts a wire value to thousandths, rounding half away from zero. What does not fit (infinities, NaN, huge values)
/// becomes `i64::MIN`, which no validation accepts and which Mesos prints as `-9.22337203685478e+15`.
pub fn thousandths_from_f64(value: f64) -> i64 {
    let scaled = (value * THOUSANDTHS_PER_UNIT as f64).round();
    // 2^63 is the first value above the range; -2^63 itself fits.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&scaled) {
        scaled as i64
    } else {
        i64::MIN
    }
}

/// Converts thousandths to the wire value.
pub fn thousandths_to_f64(value: i64) -> f64 {
    value as f64 / THOUSANDTHS_PER_UNIT as f64
}

/// Sorted, disjoint, non-adjacent inclusive intervals.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Normalises any list of intervals; inverted ones (`begin > end`) are empty and dropped.
    pub fn from_intervals(intervals: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut all: Vec<_> = intervals.into_iter().filter(|(begin, end)| begin <= end).collect();
        all.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(all.len());
        for (begin, end) in all {
            match merged.last_mut() {
                Some(last) if begin <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => merged.push((begin, end)),
            }
        }
        Ranges(merged)
    }

    /// The intervals in ascending order.
    pub fn intervals(&self) -> &[(u64, u64)] {
        &self.0
    }

    /// True when there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many values the intervals hold, saturating.
    pub fn count(&self) -> u64 {
        self.0.iter().fold(0, |sum: u64, (begin, end)| {
            sum.saturating_add((end - begin).saturating_add(1))
        })
    }

    /// True when every value of `other` is in `self`.
    pub fn contains(&self, other: &Ranges) -> bool {
        other.0.iter().all(|(begin, end)| {
            let after = self.0.partition_point(|(start, _)| start <= begin);
            after > 0 && self.0[after - 1].1 >= *end
        })
    }

    /// True when the two have a value in common.
    pub fn overlaps(&self, other: &Ranges) -> bool {
        self.0.iter().any(|(begin, end)| {
            let after = other.0.partition_point(|(start, _)| start <= end);
            after > 0 && other.0[after - 1].1 >= *begin
        })
    }

    /// Adds all values of `other` (a union: a value is there or not).
    pub fn add(&mut self, other: &Ranges) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
        } else if !other.0.is_empty() {
            *self = Ranges::from_intervals(self.0.iter().chain(&other.0).copied());
        }
    }

    /// Removes all values of `other`.
    pub fn subtract(&mut self, other: &Ranges) {
        let mut left = Vec::with_capacity(self.0.len() + other.0.len());
        for &(begin, end) in &self.0 {
            let mut from = Some(begin);
            for &(cut_begin, cut_end) in &other.0 {
                let Some(start) = from else { break };
                if cut_end < start {
                    continue;
                }
                if cut_begin > end {
                    break;
                }
                if cut_begin > start {
                    left.push((start, cut_begin - 1));
                }
                from = if cut_end >= end { None } else { Some(cut_end + 1) };
            }
            if let Some(start) = from {
                left.push((start, end));
            }
        }
        self.0 = left;
    }
}

/// An amount. Ranges and sets are boxed so that the common scalar stays two words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// Thousandths of the unit.
    Scalar(i64),
    /// Integers, for example ports.
    Ranges(Box<Ranges>),
    /// Names.
    Set(Box<BTreeSet<Arc<str>>>),
    /// A shared persistent volume: its size in thousandths and by how many it is held.
    Shared(Box<(i64, u64)>),
}

impl Value {
    /// Nothing left: zero or below, no interval, no name, nobody holding it.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Scalar(thousandths) => *thousandths <= 0,
            Value::Ranges(ranges) => ranges.is_empty(),
            Value::Set(items) => items.is_empty(),
            Value::Shared(shared) => shared.1 == 0 || shared.0 <= 0,
        }
    }

    /// True when `other` fits into `self`. An exclusive kind (a volume, a whole disk) only fits whole.
    pub(crate) fn contains(&self, other: &Value, exclusive: bool) -> bool {
        match (self, other) {
            (Value::Scalar(have), Value::Scalar(want)) => have == want || (!exclusive && have > want),
            (Value::Ranges(have), Value::Ranges(want)) => have.contains(want),
            (Value::Set(have), Value::Set(want)) => have.is_superset(want),
            (Value::Shared(have), Value::Shared(want)) => have.0 == want.0 && have.1 >= want.1,
            _ => false,
        }
    }

    /// Adds an amount of the same type; another type is ignored (kinds of one name never differ in type).
    pub(crate) fn add(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(have), Value::Scalar(more)) => *have = have.saturating_add(*more),
            (Value::Ranges(have), Value::Ranges(more)) => have.add(more),
            (Value::Set(have), Value::Set(more)) => have.extend(more.iter().cloned()),
            (Value::Shared(have), Value::Shared(more)) => have.1 = have.1.saturating_add(more.1),
            _ => {}
        }
    }

    /// Takes an amount of the same type away; callers check `contains` first, scalars never go below zero here.
    pub(crate) fn subtract(&mut self, other: &Value) {
        match (self, other) {
            (Value::Scalar(have), Value::Scalar(less)) => *have = have.saturating_sub(*less).max(0),
            (Value::Ranges(have), Value::Ranges(less)) => have.subtract(less),
            (Value::Set(have), Value::Set(less)) => have.retain(|item| !less.contains(item)),
            (Value::Shared(have), Value::Shared(less)) => have.1 = have.1.saturating_sub(less.1),
            _ => {}
        }
    }

    /// A small number per type, so that kinds of one name and different types stay apart.
    pub(crate) fn type_rank(&self) -> u8 {
        match self {
            Value::Scalar(_) | Value::Shared(_) => 0,
            Value::Ranges(_) => 1,
            Value::Set(_) => 2,
        }
    }
}
