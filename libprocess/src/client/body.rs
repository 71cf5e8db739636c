//! The body of an answer, piece by piece.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::ClientError;
use super::connection::ClientConnection;
use super::pool::Pool;
use crate::codec::{ChunkedDecoder, Framing, Piece};

/// Reads a body. Read to its end, its connection goes back to the pool; dropped before, the connection is closed.
#[derive(Debug)]
pub struct BodyReader {
    /// `None` once the body is over or has failed.
    connection: Option<ClientConnection>,
    state: State,
    pool: Option<Arc<Pool>>,
}

#[derive(Debug)]
enum State {
    Length(u64),
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl BodyReader {
    pub(super) fn new(connection: ClientConnection, framing: Framing, pool: Option<Arc<Pool>>) -> Self {
        let state = match framing {
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(ChunkedDecoder::default()),
            Framing::UntilClose => State::UntilClose,
        };
        BodyReader {
            connection: Some(connection),
            state,
            pool,
        }
    }

    /// The next piece as soon as it is there: one HTTP chunk of a chunked body (parts of one above 16 MiB), else whatever
    /// has arrived. `None` at the clean end, and ever after.
    ///
    /// Errors: an end without the final chunk is `ClosedEarly`, not `None`; after an error there is nothing more.
    ///
    /// Cancel safety: a dropped future loses nothing.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(connection) = &mut self.connection else {
            return Ok(None);
        };
        let next = match self.state.next(connection).await {
            Ok(Some(piece)) => return Ok(Some(piece)),
            Ok(None) => Ok(None),
            Err(error) => {
                self.pool = None;
                Err(error)
            }
        };
        if let (Some(connection), Some(pool)) = (self.connection.take(), self.pool.take()) {
            pool.put(connection);
        }
        next
    }

    /// The rest of the body, if it is at most `bytes_max` long.
    pub async fn collect(mut self, bytes_max: usize) -> Result<Bytes, ClientError> {
        let mut first = Bytes::new();
        let mut joined = BytesMut::new();
        let address = self
            .connection
            .as_ref()
            .map(|connection| connection.address.clone())
            .unwrap_or_default();
        while let Some(piece) = self.chunk().await? {
            if first.len() + joined.len() + piece.len() > bytes_max {
                return Err(ClientError::TooLarge {
                    address,
                    limit: bytes_max,
                });
            }
            if first.is_empty() && joined.is_empty() {
                first = piece;
                continue;
            }
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&piece);
        }
        Ok(if joined.is_empty() { first } else { joined.freeze() })
    }
}

impl State {
    async fn next(&mut self, connection: &mut ClientConnection) -> Result<Option<Bytes>, ClientError> {
        loop {
            if let Some(piece) = self.take(connection)? {
                return Ok(piece);
            }
            if connection.read().await? == 0 {
                return if matches!(self, State::UntilClose) {
                    Ok(None)
                } else {
                    Err(connection.closed_early())
                };
            }
        }
    }

    /// Takes a piece (or the end, `Some(None)`) from what was received; `None` while more bytes are needed.
    fn take(&mut self, connection: &mut ClientConnection) -> Result<Option<Option<Bytes>>, ClientError> {
        let available = connection.input.len();
        match self {
            State::Length(0) => Ok(Some(None)),
            State::Length(remaining) => {
                let count = usize::try_from(*remaining).unwrap_or(usize::MAX).min(available);
                *remaining -= count as u64;
                Ok((count > 0).then(|| Some(connection.input.split_to(count).freeze())))
            }
            State::UntilClose => Ok((available > 0).then(|| Some(connection.input.split().freeze()))),
            State::Chunked(decoder) => loop {
                match decoder
                    .decode(&mut connection.input)
                    .map_err(|error| connection.malformed(&error))?
                {
                    Some(Piece::Announced(_)) => {}
                    Some(Piece::Data(data)) => return Ok(Some(Some(data))),
                    Some(Piece::End { .. }) => return Ok(Some(None)),
                    None => return Ok(None),
                }
            },
        }
    }
}
