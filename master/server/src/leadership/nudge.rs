//! Asking agents to come back that do not know that they have to.
//!
//! An agent reregisters when it sees that the leader changed. When leadership leaves this replica and returns to it
//! before the agent looks, it sees no change: it follows the right master, which does not know it any more. A ping with
//! `connected = false` makes any Mesos agent look again and reregister at once, instead of after its ping timeout.

use std::time::Duration;

use libprocess::Upid;
use master_core::ids::AgentId;
use proto::internal::PingSlaveMessage;
use tokio::time::Instant;

use super::Leadership;
use super::timers::Timer;
use crate::metrics::Event;

/// Time agents get to come back by themselves before the first of them is asked.
pub(super) const FIRST_NUDGE: Duration = Duration::from_millis(750);

/// Agents asked in one go, so that a large fleet does not answer all at once.
const NUDGES_PER_TURN: usize = 500;

/// Pause between two goes.
const TURN_PAUSE: Duration = Duration::from_millis(250);

/// Pause before all that are still missing are asked again.
const ROUND_PAUSE: Duration = Duration::from_secs(5);

impl Leadership {
    /// Pings the next recovered agents that have not come back; `after` is the last one asked in this round.
    pub(super) fn nudge_due(&mut self, after: Option<&AgentId>, now: Instant) {
        let missing: Vec<(AgentId, Option<Upid>)> = self
            .registry
            .agents()
            .filter(|agent| after.is_none_or(|after| agent.id > *after))
            .filter(|agent| !self.agents.contains_key(&agent.id))
            .take(NUDGES_PER_TURN)
            .map(|agent| (agent.id.clone(), Upid::parse(&agent.pid)))
            .collect();
        for pid in missing.iter().filter_map(|(_, pid)| pid.as_ref()) {
            self.nudge(pid);
        }
        match missing.last() {
            Some((last, _)) if missing.len() == NUDGES_PER_TURN => {
                self.timers.at(now + TURN_PAUSE, Timer::Nudge(Some(last.clone())));
            }
            // Nobody is missing: agents that leave from now on are looked after by pings and timeouts.
            None if after.is_none() => {}
            _ => self.timers.at(now + ROUND_PAUSE, Timer::Nudge(None)),
        }
    }

    /// Tells one agent that this leadership does not know it.
    pub(super) fn nudge(&self, pid: &Upid) {
        self.context.metrics.event(Event::AgentNudged);
        self.send_to_pid(pid, &PingSlaveMessage { connected: false });
    }
}

#[cfg(test)]
mod tests;
