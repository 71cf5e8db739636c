//! The one port of a Mesos process: HTTP/1.1 that carries HTTP APIs and libprocess messages side by side.
//!
//! Used by the master, the agent, the client library and hollow agents. It has its own codec because the exact behaviour at
//! this port is what peers depend on: what is closed unanswered, that a message is delivered before its `202`, that a
//! half-closed peer loses nothing, that one record of a stream is one chunk. Everything runs over
//! [`seams::Network`]; this crate must never open a socket itself, nor know any message or endpoint.
//!
//! | file | holds |
//! | --- | --- |
//! | `upid.rs` | addresses of actors |
//! | `service.rs`, `response.rs`, `headers.rs` | what a process implements, receives and answers |
//! | `server/` | the port: connections, answers, streams |
//! | `routes.rs`, `percent.rs` | path and query rules |
//! | `links/` | outbound messages and the news that a peer has gone |
//! | `client/` | the HTTP client for our own use |
//! | `codec/`, `message.rs`, `gzip.rs`, `date.rs` | bytes |
//!
//! Deliberate differences from Mesos: `HEAD` is answered without a body (with one, keep-alive clients lose their place);
//! bodies are bounded ([`Limits::max_body_bytes`], answered `413`); plain requests of a peer that has closed its sending
//! side are answered, and streams to such a peer end. Two things Mesos accepts close the connection here: header fields
//! folded over several lines and HTTP/0.9. Host names in UPIDs are not resolved.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod client;
mod codec;
mod date;
mod gzip;
mod headers;
mod limits;
mod links;
mod message;
pub mod percent;
mod response;
mod routes;
mod server;
mod service;
mod upid;

pub use client::{BodyReader, ClientError, HttpClient, Request, Response};
pub use headers::Headers;
pub use limits::Limits;
pub use links::{Exited, Links};
pub use message::encode_message;
pub use response::{Body, HttpResponse, StreamItem, reason};
pub use routes::Routes;
pub use server::Server;
pub use service::{HttpRequest, Message, Method, PeerClosed, Service};
pub use upid::{EMPTY_UPID, InvalidUpid, Upid};
