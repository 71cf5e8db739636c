//! A connection that breaks when its replica stops, whoever holds it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use seams::BoxStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// The stream and what ends it.
pub(super) struct Closable {
    stream: BoxStream,
    stop: CancellationToken,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Counts the connection until it is dropped.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Closable {
    pub(super) fn new(stream: BoxStream, stop: CancellationToken, permit: Option<OwnedSemaphorePermit>) -> Self {
        Closable {
            stream,
            stopped: Box::pin(stop.clone().cancelled_owned()),
            stop,
            _permit: permit,
        }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.stop.is_cancelled() || self.stopped.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the replica is stopped"));
        }
        Ok(())
    }
}

impl AsyncRead for Closable {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, out)
    }
}

impl AsyncWrite for Closable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.stop.is_cancelled() {
            self.check(context)?;
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.stop.is_cancelled() {
            self.check(context)?;
        }
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Closable {
    type ConnectInfo = ();

    fn connect_info(&self) -> Self::ConnectInfo {}
}
