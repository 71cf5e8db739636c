//! Reports of durability that come late and out of order, as a store may send them. For tests of what rests on them.

use std::sync::{Arc, Mutex, PoisonError};

type Report = Box<dyn FnOnce() + Send>;

/// Holds reports back until they are released. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Delay(Arc<Mutex<DelayState>>);

#[derive(Default)]
struct DelayState {
    holding: bool,
    held: Vec<Report>,
}

impl Delay {
    pub(super) fn later(&self, report: impl FnOnce() + Send + 'static) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.holding {
            state.held.push(Box::new(report));
        } else {
            drop(state);
            report();
        }
    }
}

impl Delay {
    /// From now on reports wait.
    pub(crate) fn hold(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).holding = true;
    }

    /// How many reports wait.
    pub(crate) fn held(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).held.len()
    }

    /// Fires the waiting reports, the youngest first, and holds no more.
    pub(crate) fn release_reversed(&self) {
        let held = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            state.holding = false;
            std::mem::take(&mut state.held)
        };
        for report in held.into_iter().rev() {
            report();
        }
    }
}
