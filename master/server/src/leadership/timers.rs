//! Deadlines of one leadership, ordered by time.
//!
//! A timer that is no longer wanted is not searched for: it fires, and its owner sees that the reason is gone.

use std::collections::BTreeMap;

use master_core::ids::{AgentId, FrameworkId, OfferId};
use tokio::time::Instant;
use uuid::Uuid;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// Run the allocator over all agents.
    Allocate,
    /// Send HEARTBEAT on the stream, if it is still this one.
    Heartbeat(FrameworkId, Uuid),
    /// A disconnected framework's failover timeout, counted in disconnections of that framework.
    FailoverTimeout(FrameworkId, u64),
    /// Ping the agent and count a missing answer; the number names the registration that started the pings.
    Ping(AgentId, u64),
    /// A disconnected agent did not reregister in time; the number names the disconnection.
    ReregisterTimeout(AgentId, u64),
    /// Recovered agents that have not come back are marked unreachable, some at a time.
    RecoveredAgents,
    /// Recovered agents behind this one are asked to come back.
    Nudge(Option<AgentId>),
    /// An offer grew old.
    OfferTimeout(OfferId),
    /// Proposals that have waited too long are answered as unknown.
    SweepProposals,
}

/// The deadlines, soonest first.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: BTreeMap<(Instant, u64), Timer>,
    next: u64,
}

impl Timers {
    /// Adds a timer.
    pub(crate) fn at(&mut self, deadline: Instant, timer: Timer) {
        self.next += 1;
        self.deadlines.insert((deadline, self.next), timer);
    }

    /// When the next one is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the first timer that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Timer> {
        let entry = self.deadlines.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timers_fire_in_order_of_time_and_only_when_due() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.at(now + Duration::from_secs(2), Timer::Allocate);
        timers.at(now + Duration::from_secs(1), Timer::SweepProposals);
        timers.at(now + Duration::from_secs(2), Timer::RecoveredAgents);
        assert_eq!(timers.next_deadline(), Some(now + Duration::from_secs(1)));
        assert_eq!(timers.pop_due(now), None);
        let later = now + Duration::from_secs(2);
        assert_eq!(timers.pop_due(later), Some(Timer::SweepProposals));
        assert_eq!(timers.pop_due(later), Some(Timer::Allocate));
        assert_eq!(timers.pop_due(later), Some(Timer::RecoveredAgents));
        assert_eq!(timers.pop_due(later), None);
    }
}
