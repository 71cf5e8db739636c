//! Connections of frameworks: streams, heartbeats, disconnection and failover timeouts.

use std::collections::BTreeSet;
use std::time::Duration;

use master_core::CommandKind;
use master_core::command::{FrameworkRemoval, RemoveFramework};
use master_core::ids::FrameworkId;
use planted::{Bug, is_planted};
use proto::v1::scheduler::{Event, OfferConstraints, event};
use tokio::time::Instant;
use uuid::Uuid;

use super::Leadership;
use super::proposals::Pending;
use super::reply::Reply;
use super::stream::{EventStream, error_event, event};
use super::timers::Timer;

/// Soft state of one framework of the registry.
#[derive(Debug, Default)]
pub(super) struct FrameworkConnection {
    /// The stream, while the framework is subscribed.
    pub(super) stream: Option<EventStream>,
    /// Names the current disconnection, so that only its own failover timer counts.
    pub(super) disconnection: u64,
    /// When it subscribed with this leadership, microseconds of the wall clock.
    pub(super) subscribed_at: Option<u64>,
    /// Roles the framework wants no offers for.
    pub(super) suppressed_roles: BTreeSet<String>,
    /// Which agents it wants, by role.
    pub(super) offer_constraints: Option<OfferConstraints>,
    /// Its removal is on its way through the log.
    pub(super) removing: bool,
}

impl Leadership {
    /// Frameworks of the registry wait for their schedulers: the failover timers start now.
    pub(super) fn recover_frameworks(&mut self, now: Instant) {
        let ids: Vec<FrameworkId> = self
            .registry
            .frameworks()
            .map(|framework| framework.id.clone())
            .collect();
        for framework_id in ids {
            self.frameworks
                .insert(framework_id.clone(), FrameworkConnection::default());
            self.framework_to_allocator(&framework_id);
            self.allocator.deactivate_framework(&framework_id);
            self.start_failover_timer(&framework_id, now);
        }
    }

    fn start_failover_timer(&mut self, framework_id: &FrameworkId, now: Instant) {
        let disconnection = self.next_generation();
        let Some(framework) = self.registry.framework(framework_id) else {
            return;
        };
        let timeout = failover_timeout(framework.info.failover_timeout());
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            connection.disconnection = disconnection;
        }
        // A timeout beyond what the clock can express never comes.
        if let Some(deadline) = timeout.and_then(|timeout| now.checked_add(timeout)) {
            self.timers
                .at(deadline, Timer::FailoverTimeout(framework_id.clone(), disconnection));
        }
    }

    /// Sends an event; a framework that does not read is disconnected. Returns whether it was queued.
    pub(super) fn send_event(&mut self, framework_id: &FrameworkId, event: &Event) -> bool {
        let Some(stream) = self
            .frameworks
            .get(framework_id)
            .and_then(|connection| connection.stream.as_ref())
        else {
            return false;
        };
        if stream.send(event).is_ok() {
            return true;
        }
        tracing::info!(%framework_id, "the framework does not read its event stream; disconnecting it");
        self.disconnect_framework(framework_id);
        false
    }

    pub(super) fn heartbeat(&mut self, framework_id: &FrameworkId, stream: Uuid, now: Instant) {
        let current = self
            .frameworks
            .get(framework_id)
            .and_then(|connection| connection.stream.as_ref());
        if current.is_none_or(|current| current.id != stream) {
            return;
        }
        if self.send_event(framework_id, &event(event::Type::Heartbeat)) {
            let next = now + self.context.config.heartbeat_interval;
            self.timers.at(next, Timer::Heartbeat(framework_id.clone(), stream));
        }
    }

    /// The peer closed its side of the subscribe connection.
    pub(crate) fn stream_closed(&mut self, framework_id: &FrameworkId, stream: Uuid) {
        let current = self
            .frameworks
            .get(framework_id)
            .and_then(|connection| connection.stream.as_ref());
        if current.is_some_and(|current| current.id == stream) {
            tracing::info!(%framework_id, "framework disconnected");
            self.disconnect_framework(framework_id);
        }
    }

    /// Drops the stream, takes back the offers and starts the failover timer.
    pub(super) fn disconnect_framework(&mut self, framework_id: &FrameworkId) {
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            let stream = connection.stream.take();
            if is_planted(Bug::DescriptorLeak) {
                std::mem::forget(stream);
            }
        }
        self.discard_offers_of_framework(framework_id);
        self.allocator.deactivate_framework(framework_id);
        self.start_failover_timer(framework_id, Instant::now());
    }

    pub(super) fn failover_timeout(&mut self, framework_id: &FrameworkId, disconnection: u64) {
        let Some(connection) = self.frameworks.get_mut(framework_id) else {
            return;
        };
        let is_back = connection.stream.is_some() || connection.disconnection != disconnection;
        if (is_back && !is_planted(Bug::FrameworkForgotten)) || connection.removing {
            return;
        }
        connection.removing = true;
        tracing::info!(%framework_id, "failover timeout expired; removing the framework");
        self.propose(
            CommandKind::RemoveFramework(RemoveFramework {
                framework_id: framework_id.clone(),
                reason: FrameworkRemoval::FailoverTimeout,
            }),
            Pending::Nobody,
        );
    }

    /// TEARDOWN, by the framework itself or by an operator.
    pub(super) fn teardown(&mut self, framework_id: &FrameworkId, reply: Reply) {
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            connection.removing = true;
        }
        self.propose(
            CommandKind::RemoveFramework(RemoveFramework {
                framework_id: framework_id.clone(),
                reason: FrameworkRemoval::Teardown,
            }),
            Pending::Call(reply),
        );
    }

    /// TEARDOWN of the operator API.
    pub(crate) fn operator_teardown(&mut self, framework_id: &FrameworkId, reply: Reply) {
        if self.registry.framework(framework_id).is_none() {
            reply.send(libprocess::HttpResponse::text(
                400,
                "No framework found with specified ID",
            ));
            return;
        }
        self.teardown(framework_id, reply);
    }

    /// The framework is gone from the registry: its stream ends cleanly, without an ERROR.
    pub(super) fn forget_framework(&mut self, framework_id: &FrameworkId) {
        self.discard_offers_of_framework(framework_id);
        self.frameworks.remove(framework_id);
        self.allocator.remove_framework(framework_id);
    }

    /// Another subscriber took the id over.
    pub(super) fn end_stream_of_predecessor(&mut self, framework_id: &FrameworkId) {
        let Some(connection) = self.frameworks.get_mut(framework_id) else {
            return;
        };
        if let Some(stream) = connection.stream.take() {
            // It learns from the end of the stream as well, if it does not read.
            stream.send(&error_event("Framework failed over")).ok();
        }
        self.discard_offers_of_framework(framework_id);
    }
}

/// Seconds to a duration; `None` never expires. Negative acts as zero.
fn failover_timeout(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds.max(0.0)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_failover_timeout_acts_as_zero_and_an_infinite_one_never_comes() {
        assert_eq!(failover_timeout(-1.0), Some(Duration::ZERO));
        assert_eq!(failover_timeout(2.5), Some(Duration::from_millis(2_500)));
        assert_eq!(failover_timeout(f64::INFINITY), None);
    }
}
