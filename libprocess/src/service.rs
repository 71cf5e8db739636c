//! What a process puts behind its port: the [`Service`] trait and the requests and messages it is handed.
//!
//! Must never know how bytes are framed; that is `codec` and `server`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use crate::headers::Headers;
use crate::response::HttpResponse;
use crate::upid::Upid;

/// A request method in capitals, one of those that the HTTP parser of Mesos knows, e.g. `"GET"`.
pub type Method = &'static str;

/// A plain HTTP request, received completely.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// Method.
    pub method: Method,
    /// Path as sent (not percent-decoded), leading slashes collapsed to one; always starts with `/` and never contains
    /// `/..`.
    pub path: String,
    /// What follows the `?`, not decoded; every escape in it is well-formed.
    pub query: Option<String>,
    /// Header fields.
    pub headers: Headers,
    /// The body, inflated if it came compressed.
    pub body: Bytes,
    /// The sender's address.
    pub peer: SocketAddr,
    /// Tells when the peer is gone.
    pub closed: PeerClosed,
}

/// A libprocess message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sending actor as it calls itself; `None` if that is empty or unparsable. Anybody can claim any sender.
    pub from: Option<Upid>,
    /// Id of the receiving actor, decoded; `knows_actor` was true of it.
    pub to: String,
    /// Name of the message, usually a protobuf type such as `mesos.internal.PingSlaveMessage`; may be empty.
    pub name: String,
    /// The body, inflated if it came compressed.
    pub body: Bytes,
    /// The address of the connection it came by.
    pub peer: SocketAddr,
}

/// The actors and HTTP handlers behind a port.
pub trait Service: Send + Sync + 'static {
    /// Whether messages to the actor `id` are delivered; others are answered `404`.
    fn knows_actor(&self, id: &str) -> bool;

    /// Takes a message. Awaited before its `202` and before the next request of that connection is looked at: this keeps
    /// the order of messages, and waiting here slows the sender.
    fn deliver(&self, message: Message) -> BoxFuture<'_, ()>;

    /// Answers a request. Carried on to its end although the peer may have gone ([`HttpRequest::closed`] tells); only
    /// the end of the grace period of [`Server::stop`](crate::Server::stop) cuts it off.
    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse>;
}

/// Tells when the peer of a connection has closed it, or its sending side of it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct PeerClosed {
    inner: Arc<ClosedFlag>,
}

#[derive(Debug, Default)]
struct ClosedFlag {
    closed: AtomicBool,
    notify: Notify,
}

impl PeerClosed {
    /// A peer that is still there.
    pub fn new() -> Self {
        PeerClosed::default()
    }

    /// Resolves when the peer closed or half-closed the connection, at the latest when the connection has ended here.
    ///
    /// Cancel safety: may be dropped and called again.
    pub async fn closed(&self) {
        let mut notified = std::pin::pin!(self.inner.notify.notified());
        // Registered before the flag is read, so that a change in between is not missed.
        notified.as_mut().enable();
        if !self.is_closed() {
            notified.await;
        }
    }

    /// Whether the peer has closed.
    pub fn is_closed(&self) -> bool {
        self.inner.closed.load(Ordering::Acquire)
    }

    /// Records that the peer has closed and wakes everybody who waits for it.
    pub fn mark_closed(&self) {
        if !self.inner.closed.swap(true, Ordering::AcqRel) {
            self.inner.notify.notify_waiters();
        }
    }
}
