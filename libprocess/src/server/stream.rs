//! Sends a stream: one HTTP chunk for each item, while the peer is watched.
//!
//! Must never keep a stream open whose peer has closed or half-closed: Mesos does, and its framework then stays connected
//! for good.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};
use tracing::debug;

use super::connection::{Connection, Next};
use crate::codec::write_chunk;
use crate::response::StreamItem;

/// Chunks are taken from the channel only while fewer bytes wait to be sent.
const PENDING_BYTES_MAX: usize = 64 * 1024;

/// Most pipelined bytes kept behind a stream; with more, the connection closes after it.
const READ_AHEAD_BYTES: usize = 64 * 1024;

/// Where chunks come from.
pub(super) trait ChunkSource: Send {
    /// The next item; `None` at the clean end.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamItem>>;
}

impl ChunkSource for mpsc::Receiver<Bytes> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamItem>> {
        self.poll_recv(context).map(|chunk| chunk.map(StreamItem::Chunk))
    }
}

impl ChunkSource for mpsc::Receiver<StreamItem> {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<StreamItem>> {
        self.poll_recv(context)
    }
}

/// Progress of one stream.
struct Sending<S> {
    source: S,
    state: State,
    stalled: Option<Pin<Box<Sleep>>>,
    has_dropped_input: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Ended,
    Aborted,
}

impl Connection {
    /// Sends `source` to its end. Dropping the source tells its producer that the peer is gone.
    pub(super) async fn stream(&mut self, source: impl ChunkSource, next: Next) -> Next {
        let mut sending = Sending {
            source,
            state: State::Open,
            stalled: None,
            has_dropped_input: false,
        };
        let is_clean = poll_fn(|context| self.poll_stream(&mut sending, context)).await;
        match (is_clean, sending.has_dropped_input) {
            (false, _) => Next::Abort,
            (true, true) => Next::Close,
            (true, false) => next,
        }
    }

    /// Ready when the stream is over: true if it ended cleanly.
    fn poll_stream<S: ChunkSource>(&mut self, sending: &mut Sending<S>, context: &mut Context<'_>) -> Poll<bool> {
        if !self.watch_peer(sending, context) {
            return Poll::Ready(false);
        }
        let mut progress = false;
        loop {
            let is_drained = self.take_chunks(sending, context);
            if sending.state == State::Aborted {
                return Poll::Ready(false);
            }
            if self.transport.poll_write(context, &mut progress).is_pending() {
                return self.poll_stalled(sending, progress, context);
            }
            if self.transport.is_broken {
                return Poll::Ready(false);
            }
            sending.stalled = None;
            if sending.state == State::Ended {
                return Poll::Ready(true);
            }
            if is_drained {
                return Poll::Pending;
            }
        }
    }

    /// Reads whatever the peer sends; false once it has closed.
    fn watch_peer<S>(&mut self, sending: &mut Sending<S>, context: &mut Context<'_>) -> bool {
        while !self.transport.is_eof {
            if self.transport.poll_read(context, 0).is_pending() {
                return true;
            }
            if self.transport.input.len() > READ_AHEAD_BYTES {
                self.transport.input.clear();
                sending.has_dropped_input = true;
            }
        }
        false
    }

    /// Moves chunks from the source to the output. True if the source has none right now.
    fn take_chunks<S: ChunkSource>(&mut self, sending: &mut Sending<S>, context: &mut Context<'_>) -> bool {
        let is_stopping = self.control.poll_is_stopping(context);
        while sending.state == State::Open && self.transport.output.len() < PENDING_BYTES_MAX {
            match sending.source.poll_next(context) {
                Poll::Ready(Some(StreamItem::Chunk(chunk))) => {
                    if !chunk.is_empty() {
                        write_chunk(&chunk, &mut self.transport.output);
                    }
                }
                Poll::Ready(Some(StreamItem::Abort)) => sending.state = State::Aborted,
                Poll::Pending if !is_stopping => return true,
                Poll::Ready(None) | Poll::Pending => {
                    self.transport.output.put_slice(b"0\r\n\r\n");
                    sending.state = State::Ended;
                }
            }
        }
        false
    }

    /// Gives the peer up once it has taken nothing for the time allowed.
    fn poll_stalled<S>(&self, sending: &mut Sending<S>, progress: bool, context: &mut Context<'_>) -> Poll<bool> {
        let deadline = Instant::now() + self.limits.write_stall_timeout;
        match &mut sending.stalled {
            Some(sleep) if progress => sleep.as_mut().reset(deadline),
            Some(_) => {}
            None => sending.stalled = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
        let is_over = sending
            .stalled
            .as_mut()
            .is_some_and(|sleep| sleep.as_mut().poll(context).is_ready());
        if is_over {
            debug!("giving a stream up: its reader takes nothing");
            return Poll::Ready(false);
        }
        Poll::Pending
    }
}
