//! One connection of the client.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes, BytesMut};
use seams::BoxStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::ClientError;
use crate::codec::{HeadScan, Malformed, ResponseHead, decode_response_head};

/// Bytes asked for in one read.
const READ_BYTES: usize = 16 * 1024;

pub(super) struct ClientConnection {
    pub(super) address: String,
    stream: BoxStream,
    /// Received, not yet taken.
    pub(super) input: BytesMut,
}

impl fmt::Debug for ClientConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientConnection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ClientConnection {
    pub(super) fn new(address: String, stream: BoxStream) -> Self {
        ClientConnection {
            address,
            stream,
            input: BytesMut::new(),
        }
    }

    pub(super) async fn send(&mut self, head: BytesMut, body: Bytes) -> Result<(), ClientError> {
        let mut bytes = head.chain(body);
        match self.stream.write_all_buf(&mut bytes).await {
            Ok(()) => self.stream.flush().await.map_err(|source| self.lost(source)),
            Err(source) => Err(self.lost(source)),
        }
    }

    pub(super) async fn receive_head(&mut self, answers_head: bool) -> Result<ResponseHead, ClientError> {
        let mut scan = HeadScan::default();
        loop {
            let decoded = decode_response_head(&mut scan, &mut self.input, answers_head);
            if let Some(head) = decoded.map_err(|error| self.malformed(&error))? {
                return Ok(head);
            }
            if self.read().await? == 0 {
                return Err(self.closed_early());
            }
        }
    }

    /// Reads once; 0 at the end. Cancel safe.
    pub(super) async fn read(&mut self) -> Result<usize, ClientError> {
        self.input.reserve(READ_BYTES);
        match self.stream.read_buf(&mut self.input).await {
            Ok(count) => Ok(count),
            Err(source) => Err(self.lost(source)),
        }
    }

    /// Whether an idle connection can take another request: it is open and nothing came unasked.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        self.input.is_empty()
            && matches!(
                Pin::new(&mut self.stream).poll_read(&mut context, &mut buffer),
                Poll::Pending
            )
    }

    pub(super) fn lost(&self, source: io::Error) -> ClientError {
        ClientError::Lost {
            address: self.address.clone(),
            source,
        }
    }

    pub(super) fn closed_early(&self) -> ClientError {
        ClientError::ClosedEarly {
            address: self.address.clone(),
        }
    }

    pub(super) fn malformed(&self, error: &Malformed) -> ClientError {
        ClientError::Malformed {
            address: self.address.clone(),
            reason: error.to_string(),
        }
    }
}
