//! Takes complete requests off the front of a buffer.

use bytes::{Buf, Bytes, BytesMut};

use super::request_head::{BodyLength, check_beginning, parse_request_head};
use super::{ChunkedDecoder, HeadScan, Malformed, Piece, RequestHead};

/// A request, complete unless its body is too large.
#[derive(Debug)]
pub(crate) struct ReceivedRequest {
    pub(crate) head: RequestHead,
    pub(crate) body: ReceivedBody,
}

/// The body of a received request, before inflating.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReceivedBody {
    /// The whole body.
    Complete(Bytes),
    /// A trailer followed the chunks; the request is over, and refused.
    Undecodable,
    /// At least `bytes` long, which is more than allowed; nothing after it on the connection can be understood.
    TooLarge { bytes: u64 },
}

/// Decoder of one connection; fed with the same buffer again and again.
#[derive(Debug)]
pub(crate) struct RequestDecoder {
    header_bytes_max: usize,
    body_bytes_max: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Head(HeadScan),
    Sized {
        head: Box<RequestHead>,
        length: u64,
    },
    Chunked {
        head: Box<RequestHead>,
        decoder: ChunkedDecoder,
        body: ChunkedBody,
    },
}

/// Chunks joined. A single chunk, as libprocess sends, is not copied.
#[derive(Debug, Default)]
struct ChunkedBody {
    single: Bytes,
    joined: BytesMut,
}

impl ChunkedBody {
    fn len(&self) -> usize {
        self.single.len() + self.joined.len()
    }

    fn push(&mut self, chunk: Bytes) {
        if self.len() == 0 {
            self.single = chunk;
            return;
        }
        if !self.single.is_empty() {
            self.joined.extend_from_slice(&std::mem::take(&mut self.single));
        }
        self.joined.extend_from_slice(&chunk);
    }

    fn finish(self) -> Bytes {
        if self.joined.is_empty() {
            self.single
        } else {
            self.joined.freeze()
        }
    }
}

impl RequestDecoder {
    /// A decoder with bounds in bytes.
    pub(crate) fn new(header_bytes_max: usize, body_bytes_max: usize) -> Self {
        RequestDecoder {
            header_bytes_max,
            body_bytes_max,
            state: State::Head(HeadScan::default()),
        }
    }

    /// Whether a head is complete and its body is awaited.
    pub(crate) fn is_in_body(&self) -> bool {
        !matches!(self.state, State::Head(_))
    }

    /// How many more bytes the body is known to need, to size the next read.
    pub(crate) fn awaited(&self, buffered: usize) -> usize {
        let total = match &self.state {
            State::Head(_) => 0,
            State::Sized { length, .. } => usize::try_from(*length).unwrap_or(usize::MAX),
            State::Chunked { decoder, .. } => usize::try_from(decoder.awaited()).unwrap_or(usize::MAX),
        };
        total.saturating_sub(buffered)
    }

    /// Takes the next request; `None` while more bytes are needed.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<ReceivedRequest>, Malformed> {
        if let State::Head(scan) = &mut self.state {
            let Some(head) = take_head(scan, buffer, self.header_bytes_max)? else {
                return Ok(None);
            };
            self.state = RequestDecoder::begin_body(head);
        }
        match std::mem::replace(&mut self.state, State::Head(HeadScan::default())) {
            State::Sized { head, length } => match usize::try_from(length) {
                Ok(bytes) if bytes <= self.body_bytes_max => {
                    if buffer.len() < bytes {
                        self.state = State::Sized { head, length };
                        return Ok(None);
                    }
                    let body = ReceivedBody::Complete(buffer.split_to(bytes).freeze());
                    Ok(Some(ReceivedRequest { head: *head, body }))
                }
                _ => Ok(Some(ReceivedRequest {
                    head: *head,
                    body: ReceivedBody::TooLarge { bytes: length },
                })),
            },
            State::Chunked { head, decoder, body } => self.decode_chunks(head, decoder, body, buffer),
            State::Head(_) => Ok(None),
        }
    }

    /// The state in which the body of `head` is awaited.
    fn begin_body(head: RequestHead) -> State {
        let head = Box::new(head);
        match head.body_length {
            BodyLength::Chunked => State::Chunked {
                head,
                decoder: ChunkedDecoder::whole_chunks(),
                body: ChunkedBody::default(),
            },
            BodyLength::Known(length) => State::Sized { head, length },
        }
    }

    fn decode_chunks(
        &mut self,
        head: Box<RequestHead>,
        mut decoder: ChunkedDecoder,
        mut body: ChunkedBody,
        buffer: &mut BytesMut,
    ) -> Result<Option<ReceivedRequest>, Malformed> {
        while let Some(piece) = decoder.decode(buffer)? {
            match piece {
                Piece::Announced(length) => {
                    let bytes = (body.len() as u64).saturating_add(length);
                    if bytes > self.body_bytes_max as u64 {
                        return Ok(Some(ReceivedRequest {
                            head: *head,
                            body: ReceivedBody::TooLarge { bytes },
                        }));
                    }
                }
                Piece::Data(chunk) => body.push(chunk),
                Piece::End { has_trailer } => {
                    let body = if has_trailer {
                        ReceivedBody::Undecodable
                    } else {
                        ReceivedBody::Complete(body.finish())
                    };
                    return Ok(Some(ReceivedRequest { head: *head, body }));
                }
            }
        }
        self.state = State::Chunked { head, decoder, body };
        Ok(None)
    }
}

fn take_head(
    scan: &mut HeadScan,
    buffer: &mut BytesMut,
    header_bytes_max: usize,
) -> Result<Option<RequestHead>, Malformed> {
    // Line ends before a request are skipped: old clients send one after a body.
    let blank = buffer.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    if blank > 0 {
        buffer.advance(blank);
        *scan = HeadScan::default();
    }
    let end = scan.find_end(buffer);
    let bytes = end.unwrap_or(buffer.len());
    if bytes > header_bytes_max {
        return Err(Malformed::HeadTooLong {
            bytes,
            limit: header_bytes_max,
        });
    }
    let Some(end) = end else {
        if scan.is_check_due(buffer.len()) {
            check_beginning(buffer)?;
        }
        return Ok(None);
    };
    parse_request_head(&buffer.split_to(end).freeze()).map(Some)
}
