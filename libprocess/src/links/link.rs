//! The persistent connection of a link.
//!
//! Must never read what the peer answers, only that it still does: the end of its side is the end of the link.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::SocketAddrV4;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use seams::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::Sleep;
use tracing::debug;

use super::queue::{Queue, Taken};
use super::{CONNECT_TIMEOUT, Exited, Shared};

/// Answers are thrown away in pieces of so many bytes.
const SCRATCH_BYTES: usize = 4 * 1024;

/// Longest time to send what is queued when a link is given up.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs one link to its end and reports it.
pub(super) async fn run(shared: Arc<Shared>, address: SocketAddrV4, generation: u64, queue: Arc<Queue>) {
    match drive(&shared, address, &queue).await {
        Ok(()) => debug!(%address, generation, "link closed"),
        Err(error) => debug!(%address, generation, %error, "link lost"),
    }
    if shared.forget(address, generation) {
        shared.report(Exited { address, generation }).await;
    }
}

async fn drive(shared: &Shared, address: SocketAddrV4, queue: &Queue) -> io::Result<()> {
    let mut connection = Sending::new(connect(shared, address).await?);
    let mut farewell = pin!(None::<Sleep>);
    poll_fn(|context| {
        // Registered before anything is looked at, so that no change is missed.
        queue.watch(context);
        if queue.is_finishing() && farewell.is_none() {
            farewell.set(Some(tokio::time::sleep(FAREWELL_TIMEOUT)));
        }
        let is_late = farewell
            .as_mut()
            .as_pin_mut()
            .is_some_and(|sleep| sleep.poll(context).is_ready());
        if is_late {
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        }
        connection.poll_drive(queue, context)
    })
    .await?;
    connection.stream.shutdown().await
}

/// Connects within the time allowed.
pub(super) async fn connect(shared: &Shared, address: SocketAddrV4) -> io::Result<BoxStream> {
    let address = address.to_string();
    match tokio::time::timeout(CONNECT_TIMEOUT, shared.seams.network.connect(&address)).await {
        Ok(connected) => connected,
        Err(_) => Err(ErrorKind::TimedOut.into()),
    }
}

/// A connection that sends a queue and throws answers away.
pub(super) struct Sending {
    pub(super) stream: BoxStream,
    output: BytesMut,
}

impl Sending {
    pub(super) fn new(stream: BoxStream) -> Self {
        Sending {
            stream,
            output: BytesMut::new(),
        }
    }

    /// Ready once the queue is finished and sent, or with the error that ended the connection.
    fn poll_drive(&mut self, queue: &Queue, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_peer_end(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            if queue.is_broken() {
                return Poll::Ready(Err(ErrorKind::OutOfMemory.into()));
            }
            if self.output.is_empty() {
                match ready!(queue.poll_take(context, &mut self.output)) {
                    Taken::Bytes => {}
                    Taken::Finished => return Poll::Ready(Ok(())),
                    Taken::Broken => continue,
                }
            }
            ready!(self.poll_write_all(context))?;
        }
    }

    /// Sends the queue until it is empty.
    pub(super) fn poll_send(&mut self, queue: &Queue, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(error) = self.poll_peer_end(context) {
            return Poll::Ready(Err(error));
        }
        loop {
            ready!(self.poll_write_all(context))?;
            match queue.poll_take(context, &mut self.output) {
                Poll::Ready(Taken::Bytes) => {}
                Poll::Ready(Taken::Finished | Taken::Broken) | Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Throws answers away; ready once the peer has closed.
    pub(super) fn poll_peer_end(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => return Poll::Ready(ErrorKind::UnexpectedEof.into()),
                Ok(()) => {}
                Err(error) => return Poll::Ready(error),
            }
        }
    }

    fn poll_write_all(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}
