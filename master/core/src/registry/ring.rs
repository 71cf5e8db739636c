//! A bounded list with a key: when it is full, the oldest entry makes room.

use std::sync::Arc;

use imbl::OrdMap;

/// Shapes: one entry per key, ordered by the number it was given when it was added (numbers come from the cluster's
/// counter, so that every replica evicts the same entry).
#[derive(Clone, Debug)]
pub struct Ring<K: Ord + Clone, V> {
    entries: OrdMap<u64, (K, Arc<V>)>,
    numbers: OrdMap<K, u64>,
}

impl<K: Ord + Clone, V> Default for Ring<K, V> {
    fn default() -> Self {
        Self {
            entries: OrdMap::new(),
            numbers: OrdMap::new(),
        }
    }
}

impl<K: Ord + Clone, V> Ring<K, V> {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No entries.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a key.
    pub fn get(&self, key: &K) -> Option<&Arc<V>> {
        self.get_numbered(key).map(|(_, value)| value)
    }

    /// The entry of a key with its number.
    pub(crate) fn get_numbered(&self, key: &K) -> Option<(u64, &Arc<V>)> {
        let number = self.numbers.get(key)?;
        self.entries.get(number).map(|(_, value)| (*number, value))
    }

    /// Oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &Arc<V>)> {
        self.entries.values().map(|(key, value)| (key, value))
    }

    /// Oldest first, with their numbers.
    pub(crate) fn iter_numbered(&self) -> impl Iterator<Item = (u64, &K, &Arc<V>)> {
        self.entries.iter().map(|(number, (key, value))| (*number, key, value))
    }

    /// Adds an entry under a number above all others; the caller has removed a former one of the same key.
    pub(crate) fn push(&mut self, number: u64, key: K, value: Arc<V>) {
        self.numbers.insert(key.clone(), number);
        self.entries.insert(number, (key, value));
    }

    /// Adds an entry that was in such a list before. Errors: its key or its number is there, or there are too many; then the
    /// list is of no use any more.
    pub(crate) fn put_back(&mut self, number: u64, key: K, value: Arc<V>, entries_max: usize) -> Result<(), String>
    where
        K: std::fmt::Display,
    {
        if self.numbers.insert(key.clone(), number).is_some() {
            return Err(format!("{key} is in a list twice"));
        }
        if self.entries.insert(number, (key, value)).is_some() {
            return Err(format!("two entries of a list have number {number}"));
        }
        if self.entries.len() > entries_max {
            return Err(format!("a list has more than {entries_max} entries"));
        }
        Ok(())
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, key: &K) -> Option<(u64, Arc<V>)> {
        let number = self.numbers.remove(key)?;
        self.entries.remove(&number).map(|(_, value)| (number, value))
    }

    /// Key of the oldest entry.
    pub(crate) fn oldest(&self) -> Option<&K> {
        self.entries.get_min().map(|(_, (key, _))| key)
    }

    /// Every key has exactly its entry.
    pub(crate) fn is_consistent(&self) -> bool {
        self.entries.len() == self.numbers.len()
            && self
                .entries
                .iter()
                .all(|(number, (key, _))| self.numbers.get(key) == Some(number))
    }
}
