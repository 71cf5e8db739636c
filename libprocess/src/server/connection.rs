//! One connection: requests in, answers out, in order.
//!
//! Everything happens in one task, so nothing is locked. While a handler or a stream runs, the task keeps reading, in order
//! to notice at once that the peer has closed; it never abandons a handler for that. A message is delivered before its
//! `202` is even queued, and a failed write never stops the requests that were already received.
//!
//! ```text
//! read ─► RequestDecoder ─┬─ malformed ───────────► close unanswered
//!                         ├─ message ► deliver ───► 202 (written together with others that are ready)
//!                         └─ plain   ► handle ────► answer, or stream (stream.rs)
//! ```

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;

use bytes::{BufMut, Bytes};
use seams::{Blocking, BoxStream, Clock, Seams};
use tokio::time::Instant;
use tracing::debug;

use super::control::Control;
use super::transport::Transport;
use crate::codec::{ReceivedBody, ReceivedRequest, RequestDecoder, RequestHead};
use crate::date::DateCache;
use crate::gzip::{self, InflateError};
use crate::limits::Limits;
use crate::message;
use crate::response::{Body, HttpResponse, write_field};
use crate::service::{HttpRequest, Message, Service};

/// Most bytes of answers to messages that wait for a peer which does not read them, before no further message is taken.
const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Most bytes read ahead while a handler runs: pipelined requests wait in the kernel beyond it.
const READ_AHEAD_BYTES: usize = 64 * 1024;

pub(super) struct Connection {
    pub(super) transport: Transport,
    pub(super) control: Arc<Control>,
    pub(super) limits: Limits,
    decoder: RequestDecoder,
    peer: SocketAddr,
    service: Arc<dyn Service>,
    clock: Arc<dyn Clock>,
    blocking: Blocking,
    date: DateCache,
    /// When the first byte of the request that is being received arrived.
    request_began: Option<Instant>,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The next request.
    Continue,
    /// A close that lets the answer arrive.
    Close,
    /// An immediate close.
    Abort,
}

/// What an answer depends on besides itself.
struct AnswerTo {
    is_head: bool,
    is_old: bool,
    keep_alive: bool,
    accepts_gzip: bool,
}

impl AnswerTo {
    fn new(head: &RequestHead) -> Self {
        AnswerTo {
            is_head: head.method == "HEAD",
            is_old: head.is_old,
            keep_alive: head.keep_alive,
            accepts_gzip: gzip::is_accepted(head.headers.get("Accept-Encoding")),
        }
    }
}

impl Connection {
    pub(super) fn new(
        stream: BoxStream,
        peer: SocketAddr,
        limits: Limits,
        seams: &Seams,
        service: Arc<dyn Service>,
        control: Arc<Control>,
    ) -> Self {
        Connection {
            transport: Transport::new(stream),
            control,
            limits,
            decoder: RequestDecoder::new(limits.max_header_bytes, limits.max_body_bytes),
            peer,
            service,
            clock: seams.clock.clone(),
            blocking: seams.blocking,
            date: DateCache::default(),
            request_began: None,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) {
        let next = self.serve_requests().await;
        self.transport.flush(self.limits.write_stall_timeout).await;
        if next != Next::Abort {
            self.transport.close(next == Next::Close).await;
        }
    }

    async fn serve_requests(&mut self) -> Next {
        loop {
            match self.decoder.decode(&mut self.transport.input) {
                Err(error) => {
                    debug!(peer = %self.peer, %error, "closing a connection unanswered");
                    return Next::Abort;
                }
                Ok(Some(request)) => {
                    self.request_began = None;
                    let next = self.serve(request).await;
                    if next != Next::Continue {
                        return next;
                    }
                }
                Ok(None) if self.transport.is_eof => return Next::Continue,
                Ok(None) => {
                    if !self.receive().await {
                        return Next::Continue;
                    }
                }
            }
        }
    }

    /// Waits for more input while answers go out. False if the connection is to end: it is idle and the server stops, or
    /// the peer began a request and does not finish it.
    async fn receive(&mut self) -> bool {
        let is_idle = self.transport.input.is_empty() && !self.decoder.is_in_body();
        if is_idle {
            self.transport.input = bytes::BytesMut::new();
            self.request_began = None;
        }
        let awaited = self.decoder.awaited(self.transport.input.len());
        let (transport, control) = (&mut self.transport, &self.control);
        let receiving = poll_fn(|context| {
            if control.poll_is_stopping(context) && is_idle {
                return Poll::Ready(false);
            }
            let mut progress = false;
            // Whether output is left does not matter here: it goes out while input is awaited.
            let _is_written = transport.poll_write(context, &mut progress).is_ready();
            transport.poll_read(context, awaited).map(|()| true)
        });
        if is_idle {
            return receiving.await;
        }
        let began = *self.request_began.get_or_insert_with(Instant::now);
        let limit = if self.decoder.is_in_body() {
            self.limits.body_timeout
        } else {
            self.limits.head_timeout
        };
        match tokio::time::timeout_at(began + limit, receiving).await {
            Ok(is_going_on) => is_going_on,
            Err(_) => {
                debug!(peer = %self.peer, ?limit, "closing a connection: its request does not end");
                false
            }
        }
    }

    async fn serve(&mut self, request: ReceivedRequest) -> Next {
        let ReceivedRequest { head, body } = request;
        let answer_to = AnswerTo::new(&head);
        let body = match take_body(self.blocking, self.limits.max_body_bytes, &head, body).await {
            Ok(body) => body,
            Err(response) => {
                let is_readable = response.status != 413;
                let next = self.answer(
                    response,
                    AnswerTo {
                        keep_alive: is_readable && answer_to.keep_alive,
                        ..answer_to
                    },
                );
                return next.await;
            }
        };
        if !head.path.starts_with('/') {
            return self
                .answer(
                    HttpResponse::text(400, "Request URL path must start with '/'"),
                    answer_to,
                )
                .await;
        }
        if head.path.contains("/..") {
            return self.answer(HttpResponse::status(404), answer_to).await;
        }
        if message::is_message(&head) {
            return self.serve_message(&head, body, answer_to).await;
        }
        if !message::has_decodable_actor(&head.path) {
            return self.answer(HttpResponse::status(404), answer_to).await;
        }
        let response = self.handle(head, body).await;
        self.answer(response, answer_to).await
    }

    async fn serve_message(&mut self, head: &RequestHead, body: Bytes, answer_to: AnswerTo) -> Next {
        let (to, name) = match message::target(&head.path) {
            Ok(target) => target,
            Err(error) => {
                let text = format!("Failed to decode URL path: {error}");
                return self.answer(HttpResponse::text(500, text), answer_to).await;
            }
        };
        if !self.service.knows_actor(&to) {
            return self.answer(HttpResponse::status(404), answer_to).await;
        }
        let message = Message {
            from: message::sender(head),
            to,
            name: name.to_owned(),
            body,
            peer: self.peer,
        };
        self.service.deliver(message).await;
        self.answer(HttpResponse::new(202), answer_to).await
    }

    /// Runs the handler to its end, reading ahead meanwhile.
    async fn handle(&mut self, head: RequestHead, body: Bytes) -> HttpResponse {
        let request = HttpRequest {
            method: head.method,
            path: head.path,
            query: head.query,
            headers: head.headers,
            body,
            peer: self.peer,
            closed: self.transport.closed.clone(),
        };
        let service = self.service.clone();
        let mut handling = service.handle(request);
        poll_fn(|context| {
            if let Poll::Ready(response) = handling.as_mut().poll(context) {
                return Poll::Ready(response);
            }
            let mut progress = false;
            let _is_written = self.transport.poll_write(context, &mut progress).is_ready();
            while !self.transport.is_eof && self.transport.input.len() < READ_AHEAD_BYTES {
                if self.transport.poll_read(context, 0).is_pending() {
                    break;
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Queues or sends an answer.
    async fn answer(&mut self, mut response: HttpResponse, answer_to: AnswerTo) -> Next {
        let body = std::mem::replace(&mut response.body, Body::Empty);
        let body = match body {
            Body::Full(body) => Body::Full(compressed(self.blocking, body, &mut response, &answer_to).await),
            body => body,
        };
        let keep_alive = answer_to.keep_alive && !self.control.is_stopping();
        self.put_head(&response, &body, keep_alive, answer_to.is_old);
        let next = if keep_alive { Next::Continue } else { Next::Close };
        let stall = self.limits.write_stall_timeout;
        match body {
            _ if answer_to.is_head => {}
            Body::Empty => {}
            Body::Full(body) => self.transport.put_body(body),
            Body::Stream(chunks) => return self.stream(chunks, next).await,
            Body::AbortableStream(chunks) => return self.stream(chunks, next).await,
        }
        if self.transport.output.len() > OUTPUT_BYTES_MAX || self.transport.has_tail() {
            self.transport.flush(stall).await;
        }
        next
    }

    fn put_head(&mut self, response: &HttpResponse, body: &Body, keep_alive: bool, is_old: bool) {
        let date = self.date.at(self.clock.now_micros());
        let out = &mut self.transport.output;
        response.write_head(date, out);
        if !keep_alive {
            write_field("Connection", "close", out);
        } else if is_old {
            write_field("Connection", "keep-alive", out);
        }
        match body {
            Body::Empty if matches!(response.status, 204 | 304) => {}
            Body::Empty => write_field("Content-Length", "0", out),
            Body::Full(body) => write_field("Content-Length", &body.len().to_string(), out),
            Body::Stream(_) | Body::AbortableStream(_) => write_field("Transfer-Encoding", "chunked", out),
        }
        out.put_slice(b"\r\n");
    }
}

/// The body as the service sees it, or the answer that refuses it.
async fn take_body(
    blocking: Blocking,
    limit: usize,
    head: &RequestHead,
    body: ReceivedBody,
) -> Result<Bytes, HttpResponse> {
    let undecodable = || HttpResponse::text(500, "failed to decode body");
    let body = match body {
        ReceivedBody::Complete(body) => body,
        ReceivedBody::Undecodable => return Err(undecodable()),
        ReceivedBody::TooLarge { bytes } => {
            return Err(HttpResponse::text(
                413,
                format!("body of {bytes} bytes exceeds the limit of {limit} bytes"),
            ));
        }
    };
    if !head
        .headers
        .get("Content-Encoding")
        .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"))
    {
        return Ok(body);
    }
    let length = body.len();
    gzip::inflate(blocking, body, limit).await.map_err(|error| match error {
        InflateError::NotGzip => undecodable(),
        InflateError::TooLarge => HttpResponse::text(
            413,
            format!("body of {length} bytes inflates beyond the limit of {limit} bytes"),
        ),
    })
}

/// The body compressed, if it is worth it and allowed; the header field is added then.
async fn compressed(blocking: Blocking, body: Bytes, response: &mut HttpResponse, answer_to: &AnswerTo) -> Bytes {
    let is_wanted = answer_to.accepts_gzip
        && !answer_to.is_head
        && body.len() >= gzip::COMPRESS_BYTES_MIN
        && !response.has_header("Content-Encoding");
    if !is_wanted {
        return body;
    }
    match gzip::compress(blocking, body.clone()).await {
        Some(smaller) => {
            response.headers.push(("Content-Encoding".into(), "gzip".to_owned()));
            smaller
        }
        None => body,
    }
}
