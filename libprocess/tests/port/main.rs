//! The port as peers see it: raw bytes over real sockets on the loopback interface.
#![allow(clippy::unwrap_used)]

mod client;
mod http;
mod links;
mod messages;
mod silence;
mod streams;
mod support;
