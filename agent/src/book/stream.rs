//! The status updates of one task that its framework has not acknowledged.
//!
//! Pure. Responsible for order (only the oldest is sent), retries (10 s doubling to 10 min) and acknowledgement.
//! Must never forget an update that was not acknowledged. Source: Mesos `docs/task-state-reason.md`, agent protocol.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use proto::internal::StatusUpdate;
use tokio::time::Instant;

/// First pause before an unacknowledged update is sent again.
const RETRY_INTERVAL_MIN: Duration = Duration::from_secs(10);

/// Longest pause before an unacknowledged update is sent again.
const RETRY_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// What an acknowledgement did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Acknowledged {
    /// The oldest update is done with; it had this state.
    Oldest(i32),
    /// It is not for the oldest update: a duplicate, or one that never was.
    Unexpected,
}

/// Unacknowledged updates, oldest first.
#[derive(Debug, Default)]
pub(crate) struct UpdateStream {
    pending: VecDeque<StatusUpdate>,
    /// When the oldest is due again; `None` while it must not be sent (no master) or nothing is pending.
    retry_at: Option<Instant>,
    interval: Option<Duration>,
}

impl UpdateStream {
    /// A stream as it was before a restart; nothing is due until [`UpdateStream::restart`].
    pub(crate) fn recovered(pending: impl IntoIterator<Item = StatusUpdate>) -> Self {
        UpdateStream {
            pending: pending.into_iter().collect(),
            ..UpdateStream::default()
        }
    }

    /// Adds the newest update. Answers whether it is also the oldest, so that it can be sent now.
    pub(crate) fn push(&mut self, update: StatusUpdate) -> bool {
        self.pending.push_back(update);
        self.pending.len() == 1
    }

    /// The update to send.
    pub(crate) fn oldest(&self) -> Option<&StatusUpdate> {
        self.pending.front()
    }

    /// Every pending update, oldest first.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &StatusUpdate> {
        self.pending.iter()
    }

    /// Whether everything was acknowledged.
    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether an update with this uuid is pending.
    pub(crate) fn contains(&self, uuid: &[u8]) -> bool {
        self.pending.iter().any(|update| update.uuid.as_deref() == Some(uuid))
    }

    /// The framework has received the update `uuid`.
    pub(crate) fn acknowledge(&mut self, uuid: &Bytes) -> Acknowledged {
        let Some(oldest) = self.pending.front().filter(|oldest| oldest.uuid.as_ref() == Some(uuid)) else {
            return Acknowledged::Unexpected;
        };
        let state = oldest.status.state;
        self.pending.pop_front();
        self.retry_at = None;
        self.interval = None;
        Acknowledged::Oldest(state)
    }

    /// The oldest was sent just now. Answers when it is due again.
    pub(crate) fn sent(&mut self, now: Instant) -> Instant {
        let interval = self
            .interval
            .map_or(RETRY_INTERVAL_MIN, |last| (last * 2).min(RETRY_INTERVAL_MAX));
        self.interval = Some(interval);
        let at = now + interval;
        self.retry_at = Some(at);
        at
    }

    /// Whether the oldest is due at `now`.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_some_and(|at| at <= now)
    }

    /// A new master listens: retries begin anew.
    pub(crate) fn restart(&mut self) {
        self.retry_at = None;
        self.interval = None;
    }
}

#[cfg(test)]
mod tests {
    use proto::v1::{TaskState, TaskStatus};

    use super::*;

    fn update(uuid: &'static [u8], state: TaskState) -> StatusUpdate {
        StatusUpdate {
            status: TaskStatus {
                state: state as i32,
                ..Default::default()
            },
            uuid: Some(Bytes::from_static(uuid)),
            ..Default::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_oldest_is_sent_and_the_next_after_its_acknowledgement() {
        let mut stream = UpdateStream::default();
        assert!(stream.push(update(b"1", TaskState::TaskStarting)));
        assert!(!stream.push(update(b"2", TaskState::TaskRunning)));
        assert_eq!(stream.acknowledge(&Bytes::from_static(b"2")), Acknowledged::Unexpected);
        let first = TaskState::TaskStarting as i32;
        assert_eq!(
            stream.acknowledge(&Bytes::from_static(b"1")),
            Acknowledged::Oldest(first)
        );
        assert_eq!(stream.acknowledge(&Bytes::from_static(b"1")), Acknowledged::Unexpected);
        assert_eq!(stream.oldest().unwrap().uuid.as_deref(), Some(&b"2"[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_double_from_ten_seconds_to_ten_minutes_and_start_anew_for_each_update_and_master() {
        let mut stream = UpdateStream::default();
        let now = Instant::now();
        stream.push(update(b"1", TaskState::TaskStarting));
        stream.push(update(b"2", TaskState::TaskRunning));
        assert!(!stream.is_due(now), "nothing is due before it was sent");
        let pauses: Vec<u64> = (0..8).map(|_| (stream.sent(now) - now).as_secs()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
        assert!(!stream.is_due(now + Duration::from_secs(599)));
        assert!(stream.is_due(now + Duration::from_secs(600)));
        stream.acknowledge(&Bytes::from_static(b"1"));
        assert_eq!((stream.sent(now) - now).as_secs(), 10);
        stream.sent(now);
        stream.restart();
        assert_eq!((stream.sent(now) - now).as_secs(), 10);
    }
}
