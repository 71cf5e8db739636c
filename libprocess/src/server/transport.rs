//! The byte stream of one connection with its two buffers, read and written by the same task.
//!
//! Responsible for noticing at any time that the peer has gone. Must never hold buffers while idle: tens of thousands of
//! connections are.

use std::future::poll_fn;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use seams::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tracing::debug;

use crate::service::PeerClosed;

/// Bytes read at once into an empty buffer, from the stack.
const SCRATCH_BYTES: usize = 8 * 1024;

/// Bytes read at once into the buffer of a request that has begun: at least, at most.
const READ_BYTES_MIN: usize = 8 * 1024;
const READ_BYTES_MAX: usize = 256 * 1024;

/// Longest wait for the peer to close after the last answer, and most bytes read meanwhile. Closing at once, with
/// unread input, would make the kernel throw the answer away.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) struct Transport {
    stream: BoxStream,
    /// Received, not yet taken.
    pub(super) input: BytesMut,
    /// To be sent: first this, then `tail`.
    pub(super) output: BytesMut,
    /// A large body that is not worth copying.
    tail: Bytes,
    /// The peer has closed its sending side; nothing more will come.
    pub(super) is_eof: bool,
    /// Writing has failed; output is thrown away.
    pub(super) is_broken: bool,
    pub(super) closed: PeerClosed,
}

impl Transport {
    pub(super) fn new(stream: BoxStream) -> Self {
        Transport {
            stream,
            input: BytesMut::new(),
            output: BytesMut::new(),
            tail: Bytes::new(),
            is_eof: false,
            is_broken: false,
            closed: PeerClosed::new(),
        }
    }

    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty() || !self.tail.is_empty()
    }

    /// Whether a large body waits, behind which nothing may be queued.
    pub(super) fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Reads once and appends to `input`; `awaited` is how many more bytes are known to come. Ready when something has
    /// changed: bytes arrived or the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, awaited: usize) -> Poll<()> {
        if self.is_eof {
            return Poll::Ready(());
        }
        let mut scratch = [const { MaybeUninit::uninit() }; SCRATCH_BYTES];
        if self.input.is_empty() && awaited <= SCRATCH_BYTES {
            let mut buffer = ReadBuf::uninit(&mut scratch);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            self.input.extend_from_slice(buffer.filled());
            self.note_read(read.map(|()| buffer.filled().len()));
        } else {
            // The buffer grows with what has been received, not with what a peer announces.
            let growth = self.input.len().clamp(READ_BYTES_MIN, READ_BYTES_MAX);
            self.input.reserve(growth.min(awaited.max(READ_BYTES_MIN)));
            let reading = std::pin::pin!(tokio::io::AsyncReadExt::read_buf(&mut self.stream, &mut self.input));
            let read = ready!(std::future::Future::poll(reading, context));
            self.note_read(read);
        }
        Poll::Ready(())
    }

    fn note_read(&mut self, read: std::io::Result<usize>) {
        match read {
            Ok(0) => self.is_eof = true,
            Ok(_) => return,
            Err(error) => {
                debug!(%error, "connection lost while reading");
                self.is_eof = true;
                self.is_broken = true;
                self.drop_output();
            }
        }
        self.closed.mark_closed();
    }

    /// Writes as much as the peer takes. Ready when nothing is left; `progress` is set if a byte went out.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, progress: &mut bool) -> Poll<()> {
        while self.has_output() && !self.is_broken {
            let slices = [IoSlice::new(&self.output), IoSlice::new(&self.tail)];
            let stream = Pin::new(&mut self.stream);
            // Streams without vectored writes take the first non-empty slice.
            let written = match ready!(stream.poll_write_vectored(context, &slices)) {
                Ok(0) => Err(std::io::ErrorKind::WriteZero.into()),
                written => written,
            };
            match written {
                Ok(written) => {
                    *progress = true;
                    let from_output = written.min(self.output.len());
                    self.output.advance(from_output);
                    self.tail.advance(written - from_output);
                }
                Err(error) => {
                    debug!(%error, "connection lost while writing");
                    self.is_broken = true;
                    self.closed.mark_closed();
                }
            }
        }
        self.drop_output();
        Poll::Ready(())
    }

    fn drop_output(&mut self) {
        self.output = BytesMut::new();
        self.tail = Bytes::new();
    }

    /// Queues a body behind the head in `output`; small ones are copied, large ones are not. Nothing may be queued behind
    /// a large one before it is flushed.
    pub(super) fn put_body(&mut self, body: Bytes) {
        /// Copying so many bytes is cheaper than a second slice.
        const COPY_BYTES_MAX: usize = 16 * 1024;
        if body.len() <= COPY_BYTES_MAX && self.tail.is_empty() {
            self.output.put_slice(&body);
        } else {
            self.tail = body;
        }
    }

    /// Writes everything; gives the connection up if the peer takes nothing for `stall`.
    pub(super) async fn flush(&mut self, stall: Duration) {
        while self.has_output() {
            let step = poll_fn(|context| {
                let mut progress = false;
                match self.poll_write(context, &mut progress) {
                    Poll::Pending if !progress => Poll::Pending,
                    _ => Poll::Ready(()),
                }
            });
            if tokio::time::timeout(stall, step).await.is_err() {
                debug!(?stall, "peer takes no answer");
                self.is_broken = true;
                self.closed.mark_closed();
                self.drop_output();
            }
        }
    }

    /// Ends the connection so that the last answer arrives: closes the sending side and, if the peer has not closed yet,
    /// waits a moment for it to do so.
    pub(super) async fn close(&mut self, lingers: bool) {
        let closing = async {
            if let Err(error) = tokio::io::AsyncWriteExt::shutdown(&mut self.stream).await {
                debug!(%error, "connection was already closed");
                return;
            }
            let mut drained = 0;
            while lingers && !self.is_eof && drained < LINGER_BYTES_MAX {
                self.input.clear();
                poll_fn(|context| self.poll_read(context, 0)).await;
                drained += self.input.len();
            }
        };
        if tokio::time::timeout(LINGER, closing).await.is_err() {
            debug!("peer did not close after the last answer");
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.closed.mark_closed();
    }
}
