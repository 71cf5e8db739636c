//! When to (re)register: pure timing of attempts.
//!
//! The first attempt comes after a random time, so that a fleet does not speak at once; the pause between attempts is
//! random below a bound that doubles up to a minute. Source: Mesos agent, `registration_backoff_factor`.

use std::time::Duration;

use tokio::time::Instant;

/// Longest bound of the pause between two attempts.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// Attempts to register with one leader.
#[derive(Debug)]
pub(crate) struct Registration {
    at: Instant,
    bound: Duration,
}

impl Registration {
    /// Attempts that begin within `first` from `now`; `random` is any number.
    pub(crate) fn begin(now: Instant, first: Duration, factor: Duration, random: u64) -> Self {
        Registration {
            at: now + below(first, random),
            bound: factor,
        }
    }

    /// When the next attempt is due.
    pub(crate) fn at(&self) -> Instant {
        self.at
    }

    /// An attempt was made just now.
    pub(crate) fn attempted(&mut self, now: Instant, random: u64) {
        self.bound = (self.bound * 2).min(RETRY_MAX);
        self.at = now + below(self.bound, random);
    }
}

/// A time from zero up to `bound`.
fn below(bound: Duration, random: u64) -> Duration {
    let micros = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % micros.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn bounds_double_up_to_a_minute() {
        let now = Instant::now();
        let mut registration = Registration::begin(now, Duration::from_millis(100), Duration::from_secs(1), 100_000);
        assert_eq!(registration.at() - now, Duration::from_millis(100));
        let mut bounds = Vec::new();
        for _ in 0..8 {
            let bound = (registration.bound * 2).min(RETRY_MAX);
            registration.attempted(now, u64::try_from(bound.as_micros()).unwrap());
            bounds.push((registration.at() - now).as_secs());
        }
        assert_eq!(bounds, [2, 4, 8, 16, 32, 60, 60, 60]);
    }
}
