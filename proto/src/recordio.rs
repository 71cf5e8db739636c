//! RecordIO, the framing of event streams: the length of a record in decimal digits, a newline, the record
//! (Mesos `docs/recordio.md`).
//!
//! Chunks of the HTTP body may cut records anywhere. The decoder never reserves memory by an announced length: it holds
//! what has arrived.

use bytes::{Buf, Bytes, BytesMut};

/// Digits of the largest 64-bit length.
const MAX_LENGTH_DIGITS: usize = 20;

/// Why a stream cannot be read on. Nothing after the error can be trusted, close the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The length of a record holds something else than digits.
    #[error("record length holds byte {byte:#04x} where a digit or the newline belongs")]
    NotADigit {
        /// The first such byte.
        byte: u8,
    },
    /// A record without length.
    #[error("record length is empty")]
    NoLength,
    /// More digits than a 64-bit number can have.
    #[error("record length has more than {limit} digits")]
    TooManyDigits {
        /// Digits allowed.
        limit: usize,
    },
    /// The record is larger than the receiver accepts.
    #[error("record of {length} bytes is longer than the limit of {limit} bytes")]
    TooLong {
        /// Announced, in bytes; the largest number if it does not fit 64 bits.
        length: u64,
        /// Accepted, in bytes.
        limit: usize,
    },
}

/// A record with its length in front, ready to be sent as one HTTP chunk.
pub fn encode(record: &[u8]) -> Bytes {
    let length = record.len().to_string();
    let mut framed = Vec::with_capacity(length.len() + 1 + record.len());
    framed.extend_from_slice(length.as_bytes());
    framed.push(b'\n');
    framed.extend_from_slice(record);
    Bytes::from(framed)
}

/// Takes the bytes of a stream as they arrive and gives out whole records.
#[derive(Debug)]
pub struct Decoder {
    max_record_bytes: usize,
    buffered: BytesMut,
    /// Length of the record that `buffered` begins with, once it is known.
    length: Option<usize>,
    failed: Option<RecordError>,
}

impl Decoder {
    /// Records longer than `max_record_bytes` are refused.
    pub fn new(max_record_bytes: usize) -> Self {
        Self {
            max_record_bytes,
            buffered: BytesMut::new(),
            length: None,
            failed: None,
        }
    }

    /// Adds the next bytes of the stream. Call [`Decoder::next`] until it has no more records before the next `push`,
    /// so that at most one incomplete record is held.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffered.extend_from_slice(bytes);
        }
    }

    /// The next record, or `None` until more bytes are pushed.
    ///
    /// # Errors
    /// The stream is malformed or a record too long; the same error is returned from then on.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator that ends and then goes on would surprise"
    )]
    pub fn next(&mut self) -> Result<Option<Bytes>, RecordError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance().inspect_err(|error| {
            self.failed = Some(error.clone());
            self.buffered = BytesMut::new();
        })
    }

    /// Whether the stream may end here: nothing but whole records has arrived.
    pub fn is_between_records(&self) -> bool {
        self.length.is_none() && self.buffered.is_empty()
    }

    fn advance(&mut self) -> Result<Option<Bytes>, RecordError> {
        let length = match self.length {
            Some(length) => length,
            None => match self.read_length()? {
                Some(length) => length,
                None => return Ok(None),
            },
        };
        self.length = Some(length);
        if self.buffered.len() < length {
            return Ok(None);
        }
        self.length = None;
        Ok(Some(self.buffered.split_to(length).freeze()))
    }

    fn read_length(&mut self) -> Result<Option<usize>, RecordError> {
        let mut length: u64 = 0;
        for (count, byte) in self.buffered.iter().enumerate() {
            match byte {
                b'\n' if count == 0 => return Err(RecordError::NoLength),
                b'\n' => {
                    self.buffered.advance(count + 1);
                    return self.checked(length).map(Some);
                }
                b'0'..=b'9' if count == MAX_LENGTH_DIGITS => {
                    return Err(RecordError::TooManyDigits {
                        limit: MAX_LENGTH_DIGITS,
                    });
                }
                b'0'..=b'9' => length = length.saturating_mul(10).saturating_add(u64::from(byte - b'0')),
                byte => return Err(RecordError::NotADigit { byte: *byte }),
            }
        }
        Ok(None)
    }

    fn checked(&self, length: u64) -> Result<usize, RecordError> {
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.max_record_bytes)
            .ok_or(RecordError::TooLong {
                length,
                limit: self.max_record_bytes,
            })
    }
}

#[cfg(test)]
mod tests;
