//! The head of a request: request line, header fields and what they say about the body.

use std::ops::Range;

use bytes::Bytes;

use super::{Malformed, has_token, parse_content_length, parse_fields};
use crate::headers::Headers;
use crate::percent;
use crate::service::Method;

/// The methods known to the HTTP parser of Mesos; any other closes the connection.
const METHODS: [&str; 34] = [
    "GET",
    "POST",
    "PUT",
    "HEAD",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "COPY",
    "LOCK",
    "MKCOL",
    "MOVE",
    "PROPFIND",
    "PROPPATCH",
    "SEARCH",
    "UNLOCK",
    "BIND",
    "REBIND",
    "UNBIND",
    "ACL",
    "REPORT",
    "MKACTIVITY",
    "CHECKOUT",
    "MERGE",
    "M-SEARCH",
    "NOTIFY",
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "PURGE",
    "MKCALENDAR",
    "LINK",
    "UNLINK",
    "SOURCE",
];

/// How long the body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyLength {
    /// So many bytes; 0 also if no length is given at all.
    Known(u64),
    /// Chunked.
    Chunked,
}

/// A parsed head.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    /// Leading slashes collapsed to one; `*`, or empty in an absolute URI without path.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) headers: Headers,
    /// HTTP/1.0 or older.
    pub(crate) is_old: bool,
    /// Whether the connection stays open after the answer.
    pub(crate) keep_alive: bool,
    pub(crate) body_length: BodyLength,
}

/// Parses a complete head, which begins with the request line and includes the empty line at its end.
pub(crate) fn parse_request_head(raw: &Bytes) -> Result<RequestHead, Malformed> {
    let line_end = raw.iter().position(|byte| *byte == b'\n').ok_or(Malformed::StartLine)?;
    let line = parse_request_line(&raw[..line_end])?;
    let mut headers = Headers::over(raw.clone(), 8);
    let offset_of = |part: &[u8]| {
        let start = part.as_ptr().addr().saturating_sub(raw.as_ptr().addr());
        Range {
            start,
            end: start + part.len(),
        }
    };
    let is_complete = parse_fields(&raw[line_end + 1..], |name, value| {
        headers.push(offset_of(name.as_bytes()), offset_of(value))
    })?;
    if !is_complete {
        return Err(Malformed::Header);
    }
    let body_length = body_length(&headers)?;
    let connection = headers.get("Connection");
    let keep_alive = if line.is_old {
        has_token(connection, "keep-alive")
    } else {
        !has_token(connection, "close")
    };
    Ok(RequestHead {
        method: line.method,
        path: line.path,
        query: line.query,
        headers,
        is_old: line.is_old,
        keep_alive,
        body_length,
    })
}

/// Refuses the beginning of a head that cannot become a request any more, however it goes on.
pub(crate) fn check_beginning(bytes: &[u8]) -> Result<(), Malformed> {
    let Some(line_end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return check_method_beginning(bytes);
    };
    parse_request_line(&bytes[..line_end])?;
    parse_fields(&bytes[line_end + 1..], |_, _| {}).map(|_| ())
}

fn check_method_beginning(bytes: &[u8]) -> Result<(), Malformed> {
    let is_possible = match bytes.iter().position(|byte| *byte == b' ') {
        Some(end) => METHODS.iter().any(|method| method.as_bytes() == &bytes[..end]),
        None => METHODS.iter().any(|method| method.as_bytes().starts_with(bytes)),
    };
    if is_possible { Ok(()) } else { Err(Malformed::Method) }
}

struct RequestLine {
    method: Method,
    path: String,
    query: Option<String>,
    is_old: bool,
}

fn parse_request_line(line: &[u8]) -> Result<RequestLine, Malformed> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    let method = words.next().unwrap_or_default();
    let method = METHODS
        .iter()
        .find(|known| known.as_bytes() == method)
        .ok_or(Malformed::Method)?;
    let (Some(target), Some(version), None) = (words.next(), words.next(), words.next()) else {
        return Err(Malformed::StartLine);
    };
    let (path, query) = parse_target(target)?;
    Ok(RequestLine {
        method,
        path,
        query,
        is_old: is_old_version(version)?,
    })
}

/// Any version of the form `HTTP/<digits>.<digits>` is accepted, as the parser of Mesos does.
fn is_old_version(version: &[u8]) -> Result<bool, Malformed> {
    let number = version.strip_prefix(b"HTTP/").ok_or(Malformed::StartLine)?;
    let number = std::str::from_utf8(number).map_err(|_| Malformed::StartLine)?;
    let (major, minor) = number.split_once('.').ok_or(Malformed::StartLine)?;
    let digits = |text: &str| -> Result<u16, Malformed> {
        let is_number = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            text.parse().map_err(|_| Malformed::StartLine)
        } else {
            Err(Malformed::StartLine)
        }
    };
    Ok(digits(major)? == 0 || digits(minor)? == 0)
}

/// Path and query of a request target: `/path`, `*` or an absolute URI.
fn parse_target(target: &[u8]) -> Result<(String, Option<String>), Malformed> {
    if target.iter().any(u8::is_ascii_control) {
        return Err(Malformed::StartLine);
    }
    let target = target.split(|byte| *byte == b'#').next().unwrap_or_default();
    let target = match target.first() {
        Some(b'/' | b'*') => target,
        _ => strip_authority(target)?,
    };
    let (path, query) = match target.iter().position(|byte| *byte == b'?') {
        Some(mark) => (&target[..mark], Some(&target[mark + 1..])),
        None => (target, None),
    };
    if !query.is_none_or(percent::is_well_formed) {
        return Err(Malformed::QueryEscape);
    }
    let slashes = path.iter().take_while(|byte| **byte == b'/').count();
    let path = &path[slashes.saturating_sub(1)..];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(path), query.map(text)))
}

/// Cuts `scheme://host` off an absolute URI.
fn strip_authority(target: &[u8]) -> Result<&[u8], Malformed> {
    let scheme = target.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let rest = target[scheme..].strip_prefix(b"://").ok_or(Malformed::StartLine)?;
    let host = rest.iter().take_while(|byte| !matches!(byte, b'/' | b'?')).count();
    if scheme == 0 || host == 0 {
        return Err(Malformed::StartLine);
    }
    Ok(&rest[host..])
}

fn body_length(headers: &Headers) -> Result<BodyLength, Malformed> {
    let (lengths, codings) = (headers.count("Content-Length"), headers.count("Transfer-Encoding"));
    if lengths + codings == 0 {
        return Ok(BodyLength::Known(0));
    }
    if lengths + codings > 1 {
        return Err(Malformed::AmbiguousLength);
    }
    if codings == 1 {
        let is_chunked = headers
            .get("Transfer-Encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        return if is_chunked {
            Ok(BodyLength::Chunked)
        } else {
            Err(Malformed::TransferEncoding)
        };
    }
    let value = headers.get("Content-Length").ok_or(Malformed::ContentLength)?;
    parse_content_length(value).map(BodyLength::Known)
}
