//! Simulated time: microseconds since the run began, as a host sees them, or, between two steps, as the run does.

use std::cell::Cell;

thread_local! {
    static STEP: Cell<u64> = const { Cell::new(0) };
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// A step of the simulation begins.
pub(crate) fn set_step(micros: u64) {
    STEP.set(micros);
}

/// The time now.
pub(crate) fn now_micros() -> u64 {
    turmoil::sim_elapsed().map_or_else(
        || STEP.get(),
        |elapsed| u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
    )
}

/// The time now, never less than the last that was told: hosts run one after the other through each step, and a history
/// must rise. What one of them does in a step reaches no other before the step has ended, so nothing that could have
/// followed from something else is put before it.
pub(crate) fn rising_micros() -> u64 {
    let now = now_micros().max(LAST.get());
    LAST.set(now);
    now
}
