//! Sums of scalar resources by name, for shares and minimum offers; reservations and roles play no part here.

use crate::resources::{Entry, Resources, Value};
use std::sync::Arc;

/// The scalar names met so far; a name's place is its index in every [`Quantities`].
#[derive(Debug)]
pub(super) struct Names(Vec<Arc<str>>);

impl Names {
    pub(super) fn new() -> Self {
        Names(["cpus", "mem", "disk", "gpus"].map(Arc::from).to_vec())
    }

    pub(super) fn index(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| {
            self.0.push(name.into());
            self.0.len() - 1
        })
    }

    /// The index of a name that was met already.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|known| &**known == name)
    }

    pub(super) fn text(&self, index: usize) -> &str {
        self.0.get(index).map_or("", |name| name)
    }

    /// The sums of all scalars.
    pub(super) fn quantities(&mut self, resources: &Resources) -> Quantities {
        self.quantities_where(resources, |_| true)
    }

    /// The sums of the scalars whose entry passes the test.
    pub(super) fn quantities_where(&mut self, resources: &Resources, keep: impl Fn(&Entry) -> bool) -> Quantities {
        let mut sums = Quantities::default();
        for entry in resources.iter() {
            if matches!(entry.value(), Value::Scalar(_) | Value::Shared(_)) && keep(entry) {
                let sum = sums.at(self.index(entry.kind().name()));
                *sum = sum.saturating_add(entry.scalar());
            }
        }
        sums
    }
}

/// Thousandths by name index; missing ones are zero.
#[derive(Clone, Debug, Default)]
pub(super) struct Quantities(Vec<i64>);

impl Quantities {
    fn at(&mut self, index: usize) -> &mut i64 {
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        &mut self.0[index]
    }

    pub(super) fn get(&self, index: usize) -> i64 {
        self.0.get(index).copied().unwrap_or(0)
    }

    pub(super) fn increase(&mut self, index: usize, amount: i64) {
        let sum = self.at(index);
        *sum = sum.saturating_add(amount);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, i64)> {
        self.0.iter().copied().enumerate()
    }

    pub(super) fn add(&mut self, other: &Quantities) {
        other
            .iter()
            .for_each(|(index, amount)| *self.at(index) = self.get(index).saturating_add(amount));
    }

    pub(super) fn subtract(&mut self, other: &Quantities) {
        other
            .iter()
            .for_each(|(index, amount)| *self.at(index) = self.get(index).saturating_sub(amount));
    }
}

impl PartialEq for Quantities {
    fn eq(&self, other: &Self) -> bool {
        (0..self.0.len().max(other.0.len())).all(|index| self.get(index) == other.get(index))
    }
}
