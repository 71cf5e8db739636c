//! The few HTTP exchanges this library makes, over `libprocess`'s HTTP client.
//!
//! What is certain about a failed exchange is in its type: [`HttpError::NotSent`] or [`HttpError::Lost`]. Nothing is
//! repeated and no redirect followed here.

use std::time::Duration;

use bytes::Bytes;
use libprocess::{BodyReader, ClientError, HttpClient, Request, Response};
use prost::Message;
use proto::json::JsonMessage;
use proto::recordio;
use seams::Seams;
use tokio::time::timeout;

use crate::encoding::Encoding;
use crate::outcome::CallOutcome;

/// Most bytes of an answer that is read whole (the state of a large cluster); protects memory from a broken peer.
const BODY_BYTES_MAX: usize = 1 << 30;
/// Most bytes of an error's text.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Longest time for reading an error's text.
const ERROR_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for the answer to a call: a master answers once the call is committed.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Texts of a `503` to a call that was not looked at.
const NOT_LOOKED_AT: [&str; 2] = ["No leader elected", "Master has not finished recovery"];
/// How a `503` begins whose call was looked at and certainly not carried out.
const NOT_CARRIED_OUT: &str = "The call was not carried out";
/// Largest event; offers of thousands of agents come in one.
const EVENT_BYTES_MAX: usize = 256 << 20;

/// An HTTP client; clones share its idle connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: HttpClient,
}

/// An exchange without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// The request has certainly not been received.
    #[error("{0}")]
    NotSent(String),
    /// The request may have been received, or the answer broke off.
    #[error("{0}")]
    Lost(String),
}

impl From<ClientError> for HttpError {
    fn from(error: ClientError) -> Self {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            text.push_str(&format!(": {source}"));
            cause = source.source();
        }
        if error.was_not_sent() {
            HttpError::NotSent(text)
        } else {
            HttpError::Lost(text)
        }
    }
}

impl Http {
    /// A client without connections.
    pub(crate) fn new(seams: &Seams) -> Self {
        Http {
            client: HttpClient::new(seams.clone()),
        }
    }

    /// `GET path`; for JSON endpoints.
    pub(crate) async fn get(&self, address: &str, path: &str) -> Result<Response, HttpError> {
        self.send(address, Request::get(path).header("Accept", "application/json"))
            .await
    }

    /// `POST path` with a message in `encoding`, asking for an answer in the same.
    pub(crate) async fn post(
        &self,
        address: &str,
        path: &str,
        encoding: Encoding,
        headers: &[(&'static str, &str)],
        body: Bytes,
    ) -> Result<Response, HttpError> {
        let mut request = Request::post(path, encoding.media_type(), body).header("Accept", encoding.media_type());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(address, request).await
    }

    /// A SUBSCRIBE: its answer is a stream.
    pub(crate) async fn subscribe(
        &self,
        address: &str,
        path: &str,
        encoding: Encoding,
        body: Bytes,
    ) -> Result<Response, HttpError> {
        self.post(address, path, encoding, &[], body).await
    }

    /// A call whose answer has no content; bounded by [`CALL_TIMEOUT`].
    pub(crate) async fn call(
        &self,
        address: &str,
        path: &str,
        encoding: Encoding,
        stream_id: Option<&str>,
        body: Bytes,
    ) -> CallOutcome {
        let headers: Vec<_> = stream_id.map(|id| ("Mesos-Stream-Id", id)).into_iter().collect();
        let response = match timeout(CALL_TIMEOUT, self.post(address, path, encoding, &headers, body)).await {
            Ok(Ok(response)) => response,
            Ok(Err(HttpError::NotSent(reason))) => return CallOutcome::NotSent { reason },
            Ok(Err(HttpError::Lost(reason))) => return CallOutcome::Unknown { reason },
            Err(_) => {
                return CallOutcome::Unknown {
                    reason: format!("no answer within {CALL_TIMEOUT:?}"),
                };
            }
        };
        match response.status {
            200..=299 => {
                // Read to its end, so that the connection can be used again; the call itself is decided.
                drop(timeout(ERROR_TIMEOUT, response.body.collect(ERROR_BYTES_MAX)).await);
                CallOutcome::Accepted
            }
            307 => CallOutcome::NotSent {
                reason: format!("{address} does not lead any more"),
            },
            status @ (500 | 503 | 504) => {
                let text = error_text(response).await;
                let reason = format!("{address} answered {status}: {text}");
                if is_without_effect(&text) {
                    CallOutcome::NotSent { reason }
                } else {
                    // Also the answer to a call whose commit was not seen any more.
                    CallOutcome::Unknown { reason }
                }
            }
            status => CallOutcome::Refused {
                status,
                text: error_text(response).await,
            },
        }
    }

    async fn send(&self, address: &str, request: Request) -> Result<Response, HttpError> {
        Ok(self.client.request(address, request).await?)
    }
}

/// Whether the text of a `503` says that the call had no effect.
pub(crate) fn is_without_effect(text: &str) -> bool {
    NOT_LOOKED_AT.contains(&text) || text.starts_with(NOT_CARRIED_OUT)
}

/// Where a redirect points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RedirectTarget {
    /// `host:port`.
    pub(crate) address: String,
}

/// The target of a `307`, whose `Location` is `//host:port/path` or a full URL; `None` for anything else.
pub(crate) fn redirect_target(response: &Response) -> Option<RedirectTarget> {
    if response.status != 307 {
        return None;
    }
    parse_location(response.headers.get("location")?)
}

fn parse_location(location: &str) -> Option<RedirectTarget> {
    let rest = location.strip_prefix("http:").unwrap_or(location).strip_prefix("//")?;
    let address = rest.split(['/', '?']).next()?;
    let (host, port) = address.rsplit_once(':')?;
    (!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0)).then(|| RedirectTarget {
        address: address.to_owned(),
    })
}

/// The whole body of an answer.
pub(crate) async fn read_body(response: Response) -> Result<Bytes, HttpError> {
    Ok(response.body.collect(BODY_BYTES_MAX).await?)
}

/// The text of an error; what can be read of it in short time.
pub(crate) async fn error_text(response: Response) -> String {
    match timeout(ERROR_TIMEOUT, response.body.collect(ERROR_BYTES_MAX)).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body).into_owned(),
        Ok(Err(error)) => format!("(no text: {error})"),
        Err(_) => "(no text in time)".to_owned(),
    }
}

/// The events of a stream.
#[derive(Debug)]
pub(crate) struct EventStream {
    body: BodyReader,
    records: recordio::Decoder,
    encoding: Encoding,
}

impl EventStream {
    /// Reads the events in the body of an answer.
    pub(crate) fn new(response: Response, encoding: Encoding) -> Self {
        EventStream {
            body: response.body,
            records: recordio::Decoder::new(EVENT_BYTES_MAX),
            encoding,
        }
    }

    /// The next event; `None` when the peer ended the stream in order. Cancel safety: a dropped future loses nothing.
    pub(crate) async fn next<E: Message + JsonMessage + Default>(&mut self) -> Result<Option<E>, HttpError> {
        loop {
            if let Some(record) = self
                .records
                .next()
                .map_err(|error| HttpError::Lost(error.to_string()))?
            {
                let decoded = self.encoding.decode(&record);
                return decoded
                    .map(Some)
                    .map_err(|reason| HttpError::Lost(format!("bad event: {reason}")));
            }
            match self.body.chunk().await? {
                Some(bytes) => self.records.push(&bytes),
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_read_in_every_form_masters_send() {
        for location in [
            "//m1:5050/master/api/v1/scheduler",
            "//m1:5050",
            "http://m1:5050/x?y=//z:1",
            "//m1:5050?q",
        ] {
            assert_eq!(parse_location(location).unwrap().address, "m1:5050", "{location}");
        }
        for location in ["", "/master/state", "//m1", "//:5050/", "//m1:0/", "https://m1:5050"] {
            assert_eq!(parse_location(location), None, "{location}");
        }
    }
}
