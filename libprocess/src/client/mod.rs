//! The HTTP client for our own use: masters' and agents' endpoints, event streams.
//!
//! Responsible for one request on one connection, and for keeping idle connections. Must never retry, follow a redirect or
//! time out by itself: callers know what their calls mean, and bound them with `tokio::time::timeout`.

mod body;
mod connection;
mod pool;

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use seams::Seams;

pub use self::body::BodyReader;
use self::connection::ClientConnection;
use self::pool::Pool;
use crate::codec::Framing;
use crate::headers::Headers;
use crate::response::write_field;
use crate::service::Method;

/// A request to send. `Host` and `Content-Length` are added.
#[derive(Clone, Debug)]
pub struct Request {
    /// Method in capitals.
    pub method: Method,
    /// Path and query as they are to be sent, beginning with a slash.
    pub path: String,
    /// Further header fields.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; may be empty.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields and body.
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Request {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// `GET path`.
    pub fn get(path: impl Into<String>) -> Self {
        Request::new("GET", path)
    }

    /// `POST path` with a body.
    pub fn post(path: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let mut request = Request::new("POST", path).header("Content-Type", content_type);
        request.body = body.into();
        request
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn encode_head(&self, host: &str) -> BytesMut {
        let mut out = BytesMut::with_capacity(256);
        for part in [self.method, " "] {
            out.put_slice(part.as_bytes());
        }
        // No blank or line end can get out of the request line.
        out.extend(self.path.bytes().map(|byte| {
            if byte.is_ascii_graphic() || byte >= 0x80 {
                byte
            } else {
                b'_'
            }
        }));
        out.put_slice(b" HTTP/1.1\r\n");
        write_field("Host", host, &mut out);
        for (name, value) in &self.headers {
            write_field(name, value, &mut out);
        }
        if !self.body.is_empty() || matches!(self.method, "POST" | "PUT" | "PATCH") {
            write_field("Content-Length", &self.body.len().to_string(), &mut out);
        }
        out.put_slice(b"\r\n");
        out
    }
}

/// The head of an answer, and its body as it arrives.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Header fields.
    pub headers: Headers,
    /// The body. Dropping it before its end closes the connection.
    pub body: BodyReader,
}

/// Why there is no (whole) answer. Unless it is `Connect`, the request may have been carried out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection; the request was not sent. Safe to try again or elsewhere.
    #[error("cannot connect to {address}")]
    Connect {
        /// The address asked for.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The connection broke.
    #[error("connection to {address} lost")]
    Lost {
        /// The address asked for.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The peer closed the connection before the end of its answer; a process that was killed looks like this.
    #[error("{address} closed the connection before the end of its answer")]
    ClosedEarly {
        /// The address asked for.
        address: String,
    },
    /// What came is not HTTP.
    #[error("answer of {address} is not HTTP: {reason}")]
    Malformed {
        /// The address asked for.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The body is longer than the caller allowed.
    #[error("answer of {address} exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The address asked for.
        address: String,
        /// Bytes allowed.
        limit: usize,
    },
}

impl ClientError {
    /// Whether the request certainly was not carried out.
    pub fn was_not_sent(&self) -> bool {
        matches!(self, ClientError::Connect { .. })
    }
}

/// An HTTP client with a pool of idle connections. Cheap to clone; clones share the pool.
#[derive(Clone, Debug)]
pub struct HttpClient {
    seams: Seams,
    pool: Arc<Pool>,
}

impl HttpClient {
    /// A client without connections.
    pub fn new(seams: Seams) -> Self {
        HttpClient {
            seams,
            pool: Arc::new(Pool::default()),
        }
    }

    /// Sends a request to `address` (`host:port`) and waits for the head of the answer; interim answers are skipped.
    ///
    /// Cancel safety: a dropped future closes the connection; the request may have been carried out.
    pub async fn request(&self, address: &str, request: Request) -> Result<Response, ClientError> {
        let mut connection = match self.pool.take(address) {
            Some(connection) => connection,
            None => self.connect(address).await?,
        };
        let sent = connection
            .send(request.encode_head(address), request.body.clone())
            .await;
        // A peer that refuses a long body answers and closes before it has read it all.
        let head = match (connection.receive_head(request.method == "HEAD").await, sent) {
            (Ok(head), _) => head,
            (Err(_), Err(error)) | (Err(error), Ok(())) => return Err(error),
        };
        let pool = head.keep_alive.then(|| self.pool.clone());
        let mut body = BodyReader::new(connection, head.framing, pool);
        if head.framing == Framing::Length(0) {
            // Nothing follows: the connection is free at once.
            body.chunk().await?;
        }
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    async fn connect(&self, address: &str) -> Result<ClientConnection, ClientError> {
        let connected = self.seams.network.connect(address).await;
        let stream = connected.map_err(|source| ClientError::Connect {
            address: address.to_owned(),
            source,
        })?;
        Ok(ClientConnection::new(address.to_owned(), stream))
    }
}
