//! The signal that tells one connection to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Context;

use futures_util::task::AtomicWaker;

/// Shared by the accept loop and one connection; a flag of its own for each, so that connections do not contend.
#[derive(Debug, Default)]
pub(super) struct Control {
    is_stopping: AtomicBool,
    waker: AtomicWaker,
}

impl Control {
    /// Asks the connection to end as soon as it may.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether to stop; if not, the task of `context` is woken once that changes.
    pub(super) fn poll_is_stopping(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.is_stopping()
    }

    /// Whether to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }
}
