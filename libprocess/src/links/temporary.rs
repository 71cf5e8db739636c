//! Temporary connections: messages to addresses without a link.
//!
//! As in libprocess they are closed as soon as nothing is left to send, and their failure is reported to nobody. Unlike there,
//! the peer gets a moment to take everything in before the socket is closed, and what is sent meanwhile waits its turn, so
//! that order holds from one temporary connection to the next.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tracing::debug;

use super::Shared;
use super::link::{Sending, connect};
use super::queue::Queue;

/// Longest time to send what is queued; a stopped peer must not hold the place for ever.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for the peer to close after our end. Mesos closes at once.
const LINGER: Duration = Duration::from_secs(1);

/// Sends the queue over one connection after another until it is empty.
pub(super) async fn run(shared: Arc<Shared>, address: SocketAddrV4, queue: Arc<Queue>) {
    loop {
        if let Err(error) = deliver(&shared, address, &queue).await {
            debug!(%address, %error, "messages to an address without a link are lost");
            queue.discard();
        }
        if shared.retire(address, &queue) {
            return;
        }
    }
}

async fn deliver(shared: &Shared, address: SocketAddrV4, queue: &Queue) -> io::Result<()> {
    let mut connection = Sending::new(connect(shared, address).await?);
    let sending = poll_fn(|context| connection.poll_send(queue, context));
    tokio::time::timeout(SEND_TIMEOUT, sending)
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    connection.stream.shutdown().await?;
    let end = poll_fn(|context| match connection.poll_peer_end(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => Poll::Pending,
    });
    if tokio::time::timeout(LINGER, end).await.is_err() {
        debug!(%address, "peer did not close a temporary connection");
    }
    Ok(())
}
