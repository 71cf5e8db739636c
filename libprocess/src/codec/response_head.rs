//! The head of a response, as our own client reads it.

use std::ops::Range;

use bytes::BytesMut;

use super::{HeadScan, Malformed, has_token, parse_content_length, parse_fields};
use crate::headers::Headers;
use crate::limits::HEAD_BYTES_MAX;

/// How a response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the final chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// A parsed head of a final response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Takes a head off the front of `buffer`; `None` while incomplete. Interim responses (1xx) are skipped. The body of an
/// answer to `HEAD` is never there, whatever its head says.
pub(crate) fn decode_response_head(
    scan: &mut HeadScan,
    buffer: &mut BytesMut,
    answers_head: bool,
) -> Result<Option<ResponseHead>, Malformed> {
    loop {
        let end = scan.find_end(buffer);
        let bytes = end.unwrap_or(buffer.len());
        if bytes > HEAD_BYTES_MAX {
            return Err(Malformed::HeadTooLong {
                bytes,
                limit: HEAD_BYTES_MAX,
            });
        }
        let Some(end) = end else { return Ok(None) };
        *scan = HeadScan::default();
        let raw = buffer.split_to(end).freeze();
        let line_end = raw.iter().position(|byte| *byte == b'\n').ok_or(Malformed::StartLine)?;
        let (status, is_old) = parse_status_line(&raw[..line_end])?;
        if (100..200).contains(&status) {
            continue;
        }
        let mut headers = Headers::over(raw.clone(), 8);
        let offset_of = |part: &[u8]| {
            let start = part.as_ptr().addr().saturating_sub(raw.as_ptr().addr());
            Range {
                start,
                end: start + part.len(),
            }
        };
        let fields = &raw[line_end + 1..];
        if !parse_fields(fields, |name, value| {
            headers.push(offset_of(name.as_bytes()), offset_of(value))
        })? {
            return Err(Malformed::Header);
        }
        let framing = framing(status, &headers, answers_head)?;
        let connection = headers.get("Connection");
        let is_kept = if is_old {
            has_token(connection, "keep-alive")
        } else {
            !has_token(connection, "close")
        };
        let keep_alive = is_kept && framing != Framing::UntilClose;
        return Ok(Some(ResponseHead {
            status,
            headers,
            framing,
            keep_alive,
        }));
    }
}

fn parse_status_line(line: &[u8]) -> Result<(u16, bool), Malformed> {
    let rest = line.strip_prefix(b"HTTP/1.").ok_or(Malformed::StartLine)?;
    let is_old = rest.first() == Some(&b'0');
    let status = rest
        .get(2..5)
        .filter(|_| rest.get(1) == Some(&b' '))
        .ok_or(Malformed::StartLine)?;
    let status = std::str::from_utf8(status).map_err(|_| Malformed::StartLine)?;
    let status = status.parse().map_err(|_| Malformed::StartLine)?;
    if (100..1000).contains(&status) {
        Ok((status, is_old))
    } else {
        Err(Malformed::StartLine)
    }
}

fn framing(status: u16, headers: &Headers, answers_head: bool) -> Result<Framing, Malformed> {
    if answers_head || matches!(status, 204 | 304) {
        return Ok(Framing::Length(0));
    }
    if headers.contains("Transfer-Encoding") {
        let is_chunked = has_token(headers.get("Transfer-Encoding"), "chunked");
        return Ok(if is_chunked {
            Framing::Chunked
        } else {
            Framing::UntilClose
        });
    }
    match headers.get("Content-Length") {
        Some(value) => parse_content_length(value).map(Framing::Length),
        None => Ok(Framing::UntilClose),
    }
}
