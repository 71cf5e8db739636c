//! What a fleet has done and holds, for benchmarks to watch.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters and gauges of a fleet; read them with [`Counts::snapshot`].
#[derive(Debug, Default)]
pub struct Counts {
    pub(super) registered: AtomicU64,
    pub(super) reregistrations: AtomicU64,
    pub(super) launches: AtomicU64,
    pub(super) repeated_launches: AtomicU64,
    pub(super) tasks: AtomicU64,
    pub(super) running: AtomicU64,
    pub(super) updates_sent: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) shut_down: AtomicU64,
}

/// The counts of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Agents that are registered with the present leader.
    pub registered: u64,
    /// Reregistrations completed since the start.
    pub reregistrations: u64,
    /// Tasks ever launched.
    pub launches: u64,
    /// Launches of a task that was there already.
    pub repeated_launches: u64,
    /// Tasks held, those included whose end is not acknowledged.
    pub tasks: u64,
    /// Tasks that run.
    pub running: u64,
    /// Status updates sent, repetitions included.
    pub updates_sent: u64,
    /// Status updates acknowledged.
    pub acknowledged: u64,
    /// Agents the master has told to stop.
    pub shut_down: u64,
}

impl Counts {
    /// The counts now; each is exact, but they are not of exactly the same moment.
    pub fn snapshot(&self) -> Snapshot {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Snapshot {
            registered: read(&self.registered),
            reregistrations: read(&self.reregistrations),
            launches: read(&self.launches),
            repeated_launches: read(&self.repeated_launches),
            tasks: read(&self.tasks),
            running: read(&self.running),
            updates_sent: read(&self.updates_sent),
            acknowledged: read(&self.acknowledged),
            shut_down: read(&self.shut_down),
        }
    }
}

pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn subtract(count: &AtomicU64, by: u64) {
    count.fetch_sub(by, Ordering::Relaxed);
}
