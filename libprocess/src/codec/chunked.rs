//! The chunked transfer coding (RFC 9112 §7.1).
//!
//! Hands out whole chunks: whoever streams records gets one record per chunk. Must never copy a chunk.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Malformed;

/// Longest line with a chunk's length and extensions, in bytes; nothing sensible comes near it.
const SIZE_LINE_BYTES_MAX: usize = 4 * 1024;

/// Longest trailer in bytes, as long as a head.
const TRAILER_BYTES_MAX: usize = crate::limits::HEAD_BYTES_MAX;

/// Largest piece that is waited for as a whole, in bytes; larger chunks are handed out in parts.
const WHOLE_CHUNK_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Takes chunks off the front of a buffer.
#[derive(Debug, Default)]
pub(crate) struct ChunkedDecoder {
    state: State,
    /// Whether chunks of any length are waited for as a whole; else only moderate ones.
    is_whole: bool,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Size,
    Data {
        remaining: u64,
    },
    DataEnd,
    Trailer {
        bytes: usize,
    },
    End,
}

/// What a decoder found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The next chunk's length, before its data.
    Announced(u64),
    /// Data: a chunk, or part of a very large one.
    Data(Bytes),
    /// The end; `has_trailer` if fields followed the last chunk.
    End { has_trailer: bool },
}

impl ChunkedDecoder {
    /// A decoder that hands out every chunk as a whole; the caller bounds lengths by the announcements.
    pub(crate) fn whole_chunks() -> Self {
        ChunkedDecoder {
            state: State::Size,
            is_whole: true,
        }
    }

    /// Takes the next piece; `None` while more bytes are needed.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Piece>, Malformed> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(buffer, SIZE_LINE_BYTES_MAX)? else {
                        return Ok(None);
                    };
                    let length = parse_size(&line)?;
                    self.state = if length == 0 {
                        State::Trailer { bytes: 0 }
                    } else {
                        State::Data { remaining: length }
                    };
                    if length > 0 {
                        return Ok(Some(Piece::Announced(length)));
                    }
                }
                State::Data { remaining } => return Ok(self.take_data(remaining, buffer)),
                State::DataEnd => {
                    let Some(line) = take_line(buffer, 2)? else {
                        return Ok(None);
                    };
                    if !line.is_empty() {
                        return Err(Malformed::Chunk);
                    }
                    self.state = State::Size;
                }
                State::Trailer { bytes } => {
                    let Some(line) = take_line(buffer, TRAILER_BYTES_MAX - bytes)? else {
                        return Ok(None);
                    };
                    if line.is_empty() {
                        self.state = State::End;
                        return Ok(Some(Piece::End { has_trailer: bytes > 0 }));
                    }
                    self.state = State::Trailer {
                        bytes: (bytes + line.len() + 2).min(TRAILER_BYTES_MAX),
                    };
                }
                State::End => return Ok(None),
            }
        }
    }

    /// Bytes of data that are still awaited, to size the next read.
    pub(crate) fn awaited(&self) -> u64 {
        match self.state {
            State::Data { remaining } => remaining,
            _ => 0,
        }
    }

    fn take_data(&mut self, remaining: u64, buffer: &mut BytesMut) -> Option<Piece> {
        let available = buffer.len() as u64;
        let wanted = if self.is_whole {
            remaining
        } else {
            remaining.min(WHOLE_CHUNK_BYTES_MAX)
        };
        if available < wanted {
            return None;
        }
        let data = buffer.split_to(usize::try_from(wanted).ok()?).freeze();
        self.state = match remaining - wanted {
            0 => State::DataEnd,
            remaining => State::Data { remaining },
        };
        Some(Piece::Data(data))
    }
}

/// Takes a line without its end; `None` while incomplete, an error once it is certain to exceed `bytes_max`.
fn take_line(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<BytesMut>, Malformed> {
    let Some(newline) = buffer.iter().take(bytes_max).position(|byte| *byte == b'\n') else {
        return if buffer.len() >= bytes_max {
            Err(Malformed::Chunk)
        } else {
            Ok(None)
        };
    };
    let mut line = buffer.split_to(newline);
    buffer.advance(1);
    if line.last() == Some(&b'\r') {
        line.truncate(newline - 1);
    }
    Ok(Some(line))
}

/// The length in a size line, whose extensions are ignored.
fn parse_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 16 || !matches!(line.get(digits), None | Some(b';' | b' ' | b'\t')) {
        return Err(Malformed::Chunk);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| Malformed::Chunk)?;
    u64::from_str_radix(text, 16).map_err(|_| Malformed::Chunk)
}

/// Writes `data`, which must not be empty, as one chunk with a lower-case hexadecimal length.
pub(crate) fn write_chunk(data: &[u8], out: &mut BytesMut) {
    out.reserve(data.len() + 20);
    out.put_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.put_slice(data);
    out.put_slice(b"\r\n");
}
