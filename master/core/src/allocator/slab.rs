//! Dense numbers for things with ids, so that the inner loops index arrays instead of comparing texts.

use std::collections::BTreeMap;

/// Values by number and by id. Numbers of removed values are reused.
#[derive(Debug)]
pub(super) struct Slab<Id, T> {
    numbers: BTreeMap<Id, u32>,
    values: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<Id: Ord + Clone, T> Slab<Id, T> {
    pub(super) fn new() -> Self {
        Slab {
            numbers: BTreeMap::new(),
            values: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn number(&self, id: &Id) -> Option<u32> {
        self.numbers.get(id).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.values.get_mut(number as usize)?.as_mut()
    }

    /// The number of the id, with a value made for it if it is new.
    pub(super) fn number_or_insert(&mut self, id: &Id, make: impl FnOnce() -> T) -> u32 {
        if let Some(number) = self.number(id) {
            return number;
        }
        let number = self.free.pop().unwrap_or(self.values.len() as u32);
        if number as usize == self.values.len() {
            self.values.push(None);
        }
        self.values[number as usize] = Some(make());
        self.numbers.insert(id.clone(), number);
        number
    }

    pub(super) fn remove(&mut self, id: &Id) -> Option<(u32, T)> {
        let number = self.numbers.remove(id)?;
        let value = self.values.get_mut(number as usize).and_then(Option::take)?;
        self.free.push(number);
        Some((number, value))
    }

    /// In the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Id, u32)> {
        self.numbers.iter().map(|(id, number)| (id, *number))
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }
}
