//! A small HTTP/1.1 client on the standard library's sockets: one request per connection, or raw bytes.
//!
//! Deliberately not the product's own client: the tests must see what is really on the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// How long a request may take altogether.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes read at once.
const BLOCK: usize = 64 * 1024;

/// An answer. Header names are in lower case.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers in the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, with chunks put together.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "status {}, not JSON: {}",
                self.status,
                self.text().chars().take(300).collect::<String>()
            )
        })
    }
}

/// `GET path`.
pub fn get(port: u16, path: &str, timeout: Duration) -> Result<Response> {
    request(port, "GET", path, &[], b"", timeout)
}

/// `POST path` with a JSON body, accepting JSON.
pub fn post_json(port: u16, path: &str, body: &serde_json::Value, headers: &[(&str, &str)]) -> Result<Response> {
    let mut all = vec![("Content-Type", "application/json"), ("Accept", "application/json")];
    all.extend_from_slice(headers);
    request(port, "POST", path, &all, &serde_json::to_vec(body)?, TIMEOUT)
}

/// One request on a connection of its own, with `Content-Length` where there is a body or a method that has one.
pub fn request(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    timeout: Duration,
) -> Result<Response> {
    let mut bytes = head(port, method, path, headers);
    if !body.is_empty() || method != "GET" {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    exchange(port, &bytes, method == "HEAD", timeout)
}

/// Request line and headers without the empty line at the end.
pub fn head(port: u16, method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.into_bytes()
}

/// Sends the bytes as they are and reads one answer.
pub fn exchange(port: u16, bytes: &[u8], without_body: bool, timeout: Duration) -> Result<Response> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect(port, timeout)?;
    // A server that refuses early may close before it has read everything: its answer counts all the same.
    let sent = stream.write_all(bytes);
    let mut reader = Reader::new(stream, deadline);
    match reader.response(without_body) {
        Ok(response) => Ok(response),
        Err(error) => {
            sent.context("cannot send the request")?;
            Err(error)
        }
    }
}

/// Sends the bytes and returns everything that comes back until the other side closes or `timeout` has passed;
/// the flag says whether it closed.
pub fn raw(port: u16, bytes: &[u8], timeout: Duration) -> Result<(Vec<u8>, bool)> {
    let deadline = Instant::now() + timeout;
    let mut stream = connect(port, timeout)?;
    if let Err(error) = stream.write_all(bytes)
        && !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
    {
        return Err(error).context("cannot send");
    }
    let mut reader = Reader::new(stream, deadline);
    loop {
        match reader.fill() {
            Ok(true) => {}
            Ok(false) => return Ok((reader.buffer, true)),
            Err(_) if Instant::now() >= deadline => return Ok((reader.buffer, false)),
            Err(error) if is_reset(&error) => return Ok((reader.buffer, true)),
            Err(error) => return Err(error),
        }
    }
}

fn is_reset(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

/// A connection to a port of this machine.
pub fn connect(port: u16, timeout: Duration) -> Result<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let stream =
        TcpStream::connect_timeout(&address, timeout).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(timeout))?;
    Ok(stream)
}

/// Reads answers from a connection.
pub struct Reader {
    stream: TcpStream,
    deadline: Instant,
    buffer: Vec<u8>,
}

impl Reader {
    /// Reads from the stream; no read goes on after the deadline.
    pub fn new(stream: TcpStream, deadline: Instant) -> Self {
        Self {
            stream,
            deadline,
            buffer: Vec::new(),
        }
    }

    /// Moves the deadline.
    pub fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Reads some more bytes. False when the other side has closed; an error when the deadline has passed.
    fn fill(&mut self) -> Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!(
                "no complete answer in time; so far: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut block = vec![0; BLOCK];
        match self.stream.read(&mut block) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.buffer.extend_from_slice(&block[..count]);
                Ok(true)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                bail!(
                    "no complete answer in time; so far: {:?}",
                    String::from_utf8_lossy(&self.buffer)
                )
            }
            Err(error) => Err(error.into()),
        }
    }

    fn must_fill(&mut self) -> Result<()> {
        if !self.fill()? {
            bail!(
                "the connection was closed; so far: {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
        Ok(())
    }

    /// Reads a line and removes it, without its end, from the buffer.
    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(line);
            }
            self.must_fill()?;
        }
    }

    fn exactly(&mut self, count: usize) -> Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.must_fill()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads status line and headers; the body is left for later.
    pub fn response_head(&mut self) -> Result<Response> {
        let line = self.line()?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("not a status line: {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(Response {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            let (name, value) = line
                .split_once(':')
                .with_context(|| format!("not a header: {line:?}"))?;
            headers.push((name.trim().to_lowercase(), value.trim().to_owned()));
        }
    }

    fn response(&mut self, without_body: bool) -> Result<Response> {
        let mut response = self.response_head()?;
        if without_body {
            return Ok(response);
        }
        if response
            .header("transfer-encoding")
            .is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
        {
            while let Some(chunk) = self.chunk()? {
                response.body.extend(chunk);
            }
        } else if let Some(length) = response.header("content-length") {
            let length = length.parse().with_context(|| format!("not a length: {length}"))?;
            response.body = self.exactly(length)?;
        } else {
            while self.fill()? {}
            response.body = std::mem::take(&mut self.buffer);
        }
        Ok(response)
    }

    /// The next chunk of a chunked body; `None` is the clean end.
    pub fn chunk(&mut self) -> Result<Option<Vec<u8>>> {
        let line = self.line()?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).with_context(|| format!("not a chunk size: {line:?}"))?;
        let chunk = self.exactly(size)?;
        self.line()?;
        Ok((size > 0).then_some(chunk))
    }
}
