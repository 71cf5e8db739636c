//! How often things were reached in a run, by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Counters by name. Cheap to clone; all clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters(Arc<Mutex<BTreeMap<String, u64>>>);

impl Counters {
    /// Counts.
    pub(crate) fn add(&self, name: &str, count: u64) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counters.get_mut(name) {
            Some(counter) => *counter += count,
            None => {
                counters.insert(name.to_owned(), count);
            }
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
