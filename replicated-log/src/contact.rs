//! When this replica last heard from a leader.
//!
//! A follower that is cut off goes on believing in its last leader: without a quorum it can neither campaign nor learn of
//! another. Who asks it shall not be sent to that leader for ever, so the status names nobody after a while of silence.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::Timers;

/// Silence after which a leader is no longer named, in longest election timeouts: time for the others to elect and
/// announce another, some times over, so that a slow machine does not forget a leader that is there.
const SILENCE_ELECTIONS: u32 = 5;

/// Shared by those who hear and those who ask.
#[derive(Clone, Debug)]
pub(crate) struct LeaderContact {
    last: Arc<Mutex<Instant>>,
    limit: Duration,
}

impl LeaderContact {
    /// Counts from now.
    pub(crate) fn new(timers: Timers) -> Self {
        LeaderContact {
            last: Arc::new(Mutex::new(Instant::now())),
            limit: timers.election_max * SILENCE_ELECTIONS,
        }
    }

    /// Something came from a leader.
    pub(crate) fn heard(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Whether nothing has come for so long that the last leader is not to be named any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed() > self.limit
    }

    /// How often to look, so that the answer is never much too late.
    pub(crate) fn interval(&self) -> Duration {
        self.limit / SILENCE_ELECTIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_leader_is_lost_after_five_election_timeouts_of_silence_and_found_when_heard_again() {
        let timers = Timers::default();
        let contact = LeaderContact::new(timers);
        tokio::time::advance(timers.election_max * 5).await;
        assert!(!contact.is_lost());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(contact.is_lost());
        contact.heard();
        assert!(!contact.is_lost());
    }
}
