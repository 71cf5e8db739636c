//! The stream of operator events, followed while masters come and go.
//!
//! [`Operator::subscribe`](crate::Operator::subscribe) starts it. When the stream breaks, its heartbeats stay away or another
//! master leads, it is opened again behind the last event seen; [`EventNotice::State`] says that this was not possible and
//! that everything starts anew. Between two such states no event is missing and none comes twice.
//!
//! Apache Mesos masters are followed too: their events have no position, and each new stream starts anew.

mod following;
#[cfg(test)]
mod tests;

use proto::ext::event_position::EventPosition;
use proto::v1::master::Event;
use proto::v1::master::response::GetState;
use tokio::sync::mpsc;

pub(crate) use following::Following;

/// Notices kept for a slow reader before the stream is read no further. A reader so slow that the master gives it up is
/// connected again by itself.
pub(crate) const NOTICES_MAX: usize = 1024;

/// What an operator learns, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum EventNotice {
    /// The stream starts anew, for the first time or because the master cannot go on where the last one broke off: events
    /// may have been missed, and what follows follows this state.
    State {
        /// The leading master, `host:port` as it was reached.
        master: String,
        /// Frameworks, agents, tasks and executors.
        state: Box<GetState>,
        /// Behind everything in the state; `None` from Apache Mesos.
        position: Option<EventPosition>,
    },
    /// The stream goes on where it was asked to: nothing is missed.
    Resumed {
        /// The leading master, `host:port` as it was reached.
        master: String,
        /// Behind the last event seen.
        position: EventPosition,
    },
    /// Any event but SUBSCRIBED and HEARTBEAT.
    Event {
        /// What happened.
        event: Box<Event>,
        /// Behind this event, to be given to [`Operator::subscribe`](crate::Operator::subscribe) by whoever has handled it;
        /// `None` from Apache Mesos.
        position: Option<EventPosition>,
    },
    /// The stream is gone and is being opened again.
    Disconnected {
        /// The master that was connected.
        master: String,
        /// What was noticed.
        reason: String,
    },
    /// The last notice: the subscription was refused.
    Refused {
        /// Status and text.
        reason: String,
    },
}

/// The receiving side; dropping it ends the subscription.
#[derive(Debug)]
pub struct OperatorEvents(mpsc::Receiver<EventNotice>);

impl OperatorEvents {
    /// Follows in a task of the current runtime.
    pub(crate) fn start(make: impl FnOnce(mpsc::Sender<EventNotice>) -> Following) -> Self {
        let (sender, notices) = mpsc::channel(NOTICES_MAX);
        let following = make(sender.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = following.run() => {}
            }
        });
        OperatorEvents(notices)
    }

    /// The next notice; `None` after [`EventNotice::Refused`]. Cancel safety: a dropped future loses nothing.
    pub async fn next(&mut self) -> Option<EventNotice> {
        self.0.recv().await
    }
}
