//! What the writers saw: acknowledged writes and failed calls, and around a fault the gap between them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Shared by all writers of a run. The fault's own clock is `Instant`, microseconds matter.
#[derive(Debug, Default)]
pub struct Journal {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    acknowledged: u64,
    watch: Option<Watch>,
}

/// What is noted about one fault.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The master that leads when the fault happens, `host:port`.
    pub old: String,
    /// When the fault was caused.
    pub fault: Instant,
    /// The last acknowledgement of the old leader.
    pub last_from_old: Option<Instant>,
    /// The first acknowledgement of another master.
    pub first_from_other: Option<Instant>,
    /// Calls that were refused with 503 although nothing was wrong with them; certainly not carried out. A redirect to
    /// the leader, or that the framework has to subscribe again, is none.
    pub refused: u64,
    /// Calls whose fate their caller does not know: the connection broke, or no answer came.
    pub unknown: u64,
    /// What the first of them ran into.
    pub first_failure: Option<String>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to watch for the successor of `old`; the fault follows at once and its moment is given to
    /// [`Journal::fault_happens`].
    pub fn watch(&self, old: &str) {
        self.lock().watch = Some(Watch {
            old: old.to_owned(),
            fault: Instant::now(),
            last_from_old: None,
            first_from_other: None,
            refused: 0,
            unknown: 0,
            first_failure: None,
        });
    }

    /// Notes the moment of the fault.
    pub fn fault_happens(&self, at: Instant) {
        if let Some(watch) = &mut self.lock().watch {
            watch.fault = at;
        }
    }

    /// A write was acknowledged by `master` just now.
    pub fn acknowledged(&self, master: &str) {
        let now = Instant::now();
        let mut inner = self.lock();
        inner.acknowledged += 1;
        if let Some(watch) = &mut inner.watch {
            if watch.old == master {
                watch.last_from_old = Some(now);
            } else if watch.first_from_other.is_none() {
                watch.first_from_other = Some(now);
                self.changed.notify_all();
            }
        }
    }

    /// A call failed; `is_certain` when it certainly was not carried out.
    pub fn failed(&self, is_certain: bool, what: &str) {
        if let Some(watch) = &mut self.lock().watch {
            watch.refused += u64::from(is_certain);
            watch.unknown += u64::from(!is_certain);
            watch.first_failure.get_or_insert_with(|| what.to_owned());
        }
    }

    /// Writes acknowledged since the start.
    pub fn count(&self) -> u64 {
        self.lock().acknowledged
    }

    /// Waits until a master other than the old one has acknowledged a write; `false` if none does within `bound`.
    pub fn wait_for_other(&self, bound: Duration) -> bool {
        let deadline = Instant::now() + bound;
        let mut inner = self.lock();
        loop {
            match &inner.watch {
                Some(watch) if watch.first_from_other.is_some() => return true,
                None => return false,
                Some(_) => {}
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            inner = self
                .changed
                .wait_timeout(inner, left)
                .map_or_else(|poisoned| poisoned.into_inner().0, |(inner, _)| inner);
        }
    }

    /// Ends the watch and returns what was noted.
    pub fn end(&self) -> Option<Watch> {
        self.lock().watch.take()
    }
}
