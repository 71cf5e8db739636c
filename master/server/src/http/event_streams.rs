//! Which streams of operator events are open, and which one has to go when there are too many.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The open streams of one replica, oldest first.
#[derive(Debug, Default)]
pub(crate) struct EventStreams {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// Dropping an entry closes its stream.
    streams: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The place of one stream among the open ones; dropped when the stream ends.
#[derive(Debug)]
pub(crate) struct Ticket {
    number: u64,
    streams: Arc<EventStreams>,
    superseded: oneshot::Receiver<()>,
}

impl EventStreams {
    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open().streams.len()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits one more. Above `streams_max` the oldest is closed, as Mesos does.
    pub(crate) fn admit(self: &Arc<Self>, streams_max: usize) -> Ticket {
        let (sender, superseded) = oneshot::channel();
        let mut open = self.open();
        let number = open.next;
        open.next += 1;
        open.streams.insert(number, sender);
        while open.streams.len() > streams_max {
            open.streams.pop_first();
        }
        drop(open);
        Ticket {
            number,
            streams: Arc::clone(self),
            superseded,
        }
    }
}

impl Ticket {
    /// Resolves when the stream has to make room for a newer one.
    pub(crate) async fn superseded(&mut self) {
        // Nothing is ever sent: it resolves because the sender was dropped.
        drop((&mut self.superseded).await);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.streams.open().streams.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn the_oldest_stream_makes_room() {
        let streams = Arc::new(EventStreams::default());
        let mut tickets: Vec<Ticket> = (0..3).map(|_| streams.admit(2)).collect();
        let superseded: Vec<bool> = tickets
            .iter_mut()
            .map(|ticket| ticket.superseded().now_or_never().is_some())
            .collect();
        assert_eq!(superseded, [true, false, false]);
        assert_eq!(streams.len(), 2);
        tickets.remove(1);
        assert_eq!(streams.len(), 1);
        let mut newest = streams.admit(2);
        assert!(newest.superseded().now_or_never().is_none());
        assert!(tickets[1].superseded().now_or_never().is_none());
    }
}
