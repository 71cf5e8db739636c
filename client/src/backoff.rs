//! Pauses between attempts: short at first, so that a failover costs little, then longer, so that nothing is hammered.

use std::time::Duration;

use seams::Seams;

/// Shortest pause: a few times the duration of an election on a LAN.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause: what a person still accepts as "reconnects at once" after an outage.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// So many pauses stay short before they start to double.
const SHORT_PAUSES: u32 = 4;

/// Jittered, growing pauses from 50 ms to 1 s.
#[derive(Debug)]
pub struct Backoff {
    seams: Seams,
    attempts: u32,
}

impl Backoff {
    /// Starts with the shortest pause.
    pub fn new(seams: Seams) -> Self {
        Backoff { seams, attempts: 0 }
    }

    /// Starts over: the next pause is short again. To be called after a success only.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// The next pause: uniformly between half and the whole of the current bound.
    pub fn next_pause(&mut self) -> Duration {
        let doublings = self.attempts.saturating_sub(SHORT_PAUSES).min(8);
        self.attempts = self.attempts.saturating_add(1);
        let bound = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
        let half_micros = u64::try_from(bound.as_micros() / 2).unwrap_or(u64::MAX);
        let jitter = self.seams.random_u64() % half_micros.max(1);
        bound / 2 + Duration::from_micros(jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_tens_of_milliseconds_to_one_second_and_start_over_after_a_reset() {
        let mut backoff = Backoff::new(Seams::real());
        let pauses: Vec<_> = (0..20).map(|_| backoff.next_pause()).collect();
        assert!(
            pauses
                .iter()
                .all(|pause| *pause >= PAUSE_MIN / 2 && *pause <= PAUSE_MAX)
        );
        assert!(pauses[..5].iter().all(|pause| *pause <= PAUSE_MIN));
        assert!(pauses[12..].iter().all(|pause| *pause >= PAUSE_MAX / 2));
        backoff.reset();
        assert!(backoff.next_pause() <= PAUSE_MIN);
    }
}
