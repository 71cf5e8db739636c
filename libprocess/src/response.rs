//! Answers: status, header fields and body, and the texts of Mesos's standard answers.
//!
//! Must never write to a connection; `server` does.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::sync::mpsc;

/// Content type of every error text.
const TEXT_PLAIN: &str = "text/plain; charset=utf-8";

/// An answer. `Date`, `Content-Length`, `Transfer-Encoding`, `Connection` and, if the body gets compressed,
/// `Content-Encoding` are added by the server.
#[derive(Debug)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Further header fields in the order to send. Control characters are sent as blanks.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// Body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Debug)]
pub enum Body {
    /// `Content-Length: 0`.
    Empty,
    /// Sent with its length; compressed if long enough and the request allows it.
    Full(Bytes),
    /// Chunked: each item is exactly one HTTP chunk (empty ones are skipped), sent at once, never compressed. The end of
    /// the channel is the clean end (final zero chunk). When the peer is gone the receiver is dropped. The connection
    /// holds at most about 64 KiB beyond the channel; whether to wait for a slow reader or to give it up is the
    /// sender's decision.
    Stream(mpsc::Receiver<Bytes>),
    /// Like `Stream`, but can also end without the final chunk, as if the process had died.
    AbortableStream(mpsc::Receiver<StreamItem>),
}

/// An item of an abortable stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamItem {
    /// One HTTP chunk.
    Chunk(Bytes),
    /// The connection is closed without a final chunk.
    Abort,
}

impl HttpResponse {
    /// An answer with an empty body and no header fields, e.g. `202`.
    pub fn new(status: u16) -> Self {
        HttpResponse {
            status,
            headers: Vec::new(),
            body: Body::Empty,
        }
    }

    /// `200` with a body.
    pub fn ok(content_type: &'static str, body: impl Into<Bytes>) -> Self {
        HttpResponse::with_body(200, content_type, body)
    }

    /// Any status with a body.
    pub fn with_body(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut response = HttpResponse::new(status).header("Content-Type", content_type);
        response.body = Body::Full(body.into());
        response
    }

    /// A plain text, without trailing newline; an empty one becomes `<code> <reason>.`, e.g. `404 Not Found.`.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let text = text.into();
        let text = if text.is_empty() {
            format!("{status} {}.", reason(status))
        } else {
            text
        };
        HttpResponse::with_body(status, TEXT_PLAIN, text)
    }

    /// The default text of a status, e.g. `404 Not Found.`.
    pub fn status(status: u16) -> Self {
        HttpResponse::text(status, "")
    }

    /// `307` to `location`, without a body.
    pub fn redirect(location: impl Into<String>) -> Self {
        HttpResponse::new(307).header("Location", location)
    }

    /// `405` with the `Allow` header and the text of Mesos. `expected` in the order to print.
    pub fn method_not_allowed(expected: &[&str], received: &str) -> Self {
        let quoted: Vec<String> = expected.iter().map(|method| format!("'{method}'")).collect();
        let quoted = quoted.join(", ");
        let text = format!("405 Method Not Allowed. Expecting one of {{ {quoted} }}, but received '{received}'.");
        HttpResponse::text(405, text).header("Allow", expected.join(", "))
    }

    /// `200` with a stream of chunks.
    pub fn stream(content_type: &'static str, chunks: mpsc::Receiver<Bytes>) -> Self {
        let mut response = HttpResponse::new(200).header("Content-Type", content_type);
        response.body = Body::Stream(chunks);
        response
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Whether a header field called `name` was added.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// Writes the head up to, but not including, the fields of the connection and the body length.
    pub(crate) fn write_head(&self, date: &str, out: &mut BytesMut) {
        out.put_slice(b"HTTP/1.1 ");
        out.put_slice(self.status.to_string().as_bytes());
        out.put_u8(b' ');
        out.put_slice(reason(self.status).as_bytes());
        out.put_slice(b"\r\n");
        write_field("Date", date, out);
        for (name, value) in &self.headers {
            write_field(name, value, out);
        }
    }
}

/// Writes `name: value` and the line end; nobody can smuggle in a line end of his own.
pub(crate) fn write_field(name: &str, value: &str, out: &mut BytesMut) {
    let start = out.len();
    out.put_slice(name.as_bytes());
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    for byte in &mut out[start..] {
        if byte.is_ascii_control() && *byte != b'\t' {
            *byte = b' ';
        }
    }
    out.put_slice(b"\r\n");
}

/// The reason phrase of a status code.
pub fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Time-out",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Large",
        415 => "Unsupported Media Type",
        416 => "Requested range not satisfiable",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Time-out",
        505 => "HTTP Version not supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &HttpResponse) -> &[u8] {
        match &response.body {
            Body::Full(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn default_text_is_code_and_reason_without_newline() {
        assert_eq!(body(&HttpResponse::status(404)), b"404 Not Found.");
        assert_eq!(body(&HttpResponse::status(401)), b"401 Unauthorized.");
        assert_eq!(body(&HttpResponse::status(501)), b"501 Not Implemented.");
        assert_eq!(
            body(&HttpResponse::text(503, "No leader elected")),
            b"No leader elected"
        );
    }

    #[test]
    fn wrong_method_is_answered_in_mesos_words() {
        let response = HttpResponse::method_not_allowed(&["GET", "PUT"], "DELETE");
        assert_eq!(
            body(&response),
            b"405 Method Not Allowed. Expecting one of { 'GET', 'PUT' }, but received 'DELETE'."
        );
        assert!(response.headers.contains(&("Allow".into(), "GET, PUT".to_owned())));
    }

    #[test]
    fn header_values_cannot_inject_lines() {
        let mut out = BytesMut::new();
        HttpResponse::redirect("//h:1/x\r\nEvil: 1").write_head("now", &mut out);
        assert_eq!(
            &out[..],
            b"HTTP/1.1 307 Temporary Redirect\r\nDate: now\r\nLocation: //h:1/x  Evil: 1\r\n".as_slice()
        );
    }
}
