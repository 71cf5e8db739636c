//! Waiting for a condition, with a bound. No test sleeps for a while and hopes.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(20);

/// Asks `condition` until it gives a value, at most for `bound`. The error names `what` was waited for and, if there
/// was one, the last error of the condition: an error is "not yet", not the end.
pub fn wait_for<T>(what: &str, bound: Duration, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last_error = match condition() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if start.elapsed() > bound {
            match last_error {
                Some(error) => bail!("{what}: not within {bound:?}: {error:#}"),
                None => bail!("{what}: not within {bound:?}"),
            }
        }
        std::thread::sleep(INTERVAL);
    }
}

/// [`wait_for`] with a condition that is only true or false.
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    wait_for(what, bound, || Ok(condition()?.then_some(())))
}
