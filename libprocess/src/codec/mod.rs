//! Framing of HTTP/1.1: bytes in, requests or responses out. Sans I/O.
//!
//! Responsible for what is a well-formed request and where it ends, exactly as the parser of Mesos decides it. Must never
//! read, write or wait; must never panic on any bytes, nor hold more memory than was received.

mod chunked;
mod request;
mod request_head;
mod response_head;
#[cfg(test)]
mod tests;

pub(crate) use chunked::{ChunkedDecoder, Piece, write_chunk};
pub(crate) use request::{ReceivedBody, ReceivedRequest, RequestDecoder};
pub(crate) use request_head::RequestHead;
pub(crate) use response_head::{Framing, ResponseHead, decode_response_head};

/// Why bytes are no HTTP request; the connection is closed unanswered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("unknown method")]
    Method,
    #[error("malformed request or status line")]
    StartLine,
    #[error("malformed escape in the query string")]
    QueryEscape,
    #[error("malformed header field")]
    Header,
    #[error("head of {bytes} bytes or more exceeds the limit of {limit} bytes")]
    HeadTooLong { bytes: usize, limit: usize },
    #[error("both Content-Length and Transfer-Encoding are given, or one of them twice")]
    AmbiguousLength,
    #[error("malformed Content-Length")]
    ContentLength,
    #[error("transfer encoding other than chunked")]
    TransferEncoding,
    #[error("malformed chunk")]
    Chunk,
}

/// How far a head, possibly still incomplete, has been looked at; so that one that arrives byte by byte costs linear time.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    searched: usize,
    next_check: usize,
}

impl HeadScan {
    /// Length of the head at the start of `bytes` including the empty line that ends it; `None` while incomplete.
    pub(crate) fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = self.searched;
        while let Some(offset) = bytes
            .get(from..)
            .and_then(|rest| rest.iter().position(|byte| *byte == b'\n'))
        {
            let newline = from + offset;
            match (bytes.get(newline + 1), bytes.get(newline + 2)) {
                (Some(b'\n'), _) => return Some(newline + 2),
                (Some(b'\r'), Some(b'\n')) => return Some(newline + 3),
                // What follows has not arrived yet: look at this line end again.
                (None, _) | (Some(b'\r'), None) => {
                    self.searched = newline;
                    return None;
                }
                _ => from = newline + 1,
            }
        }
        self.searched = bytes.len();
        None
    }

    /// Whether an incomplete head of `length` bytes is worth checking for garbage: each time it has doubled.
    pub(crate) fn is_check_due(&mut self, length: usize) -> bool {
        let is_due = length >= self.next_check;
        if is_due {
            self.next_check = length * 2;
        }
        is_due
    }
}

/// Most header fields parsed without a heap allocation.
const FIELDS_ON_STACK: usize = 64;

/// Most header fields that fit into a head of 80 KiB (`a:\n` each).
const FIELDS_MAX: usize = 80 * 1024 / 3;

/// Calls `visit` with each header field in `bytes`. Yields whether the fields were complete.
fn parse_fields<'a>(bytes: &'a [u8], mut visit: impl FnMut(&'a str, &'a [u8])) -> Result<bool, Malformed> {
    let mut on_stack = [httparse::EMPTY_HEADER; FIELDS_ON_STACK];
    let mut on_heap;
    let parsed = match httparse::parse_headers(bytes, &mut on_stack) {
        Err(httparse::Error::TooManyHeaders) => {
            on_heap = vec![httparse::EMPTY_HEADER; FIELDS_MAX];
            httparse::parse_headers(bytes, &mut on_heap)
        }
        parsed => parsed,
    };
    match parsed {
        Ok(httparse::Status::Complete((_, fields))) => {
            for field in fields {
                visit(field.name, field.value);
            }
            Ok(true)
        }
        Ok(httparse::Status::Partial) => Ok(false),
        Err(_) => Err(Malformed::Header),
    }
}

/// The length in a `Content-Length` value.
fn parse_content_length(value: &str) -> Result<u64, Malformed> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::ContentLength);
    }
    value.parse().map_err(|_| Malformed::ContentLength)
}

/// Whether a comma-separated header value contains `token`, without case.
pub(crate) fn has_token(value: Option<&str>, token: &str) -> bool {
    value.is_some_and(|value| value.split(',').any(|other| other.trim().eq_ignore_ascii_case(token)))
}
