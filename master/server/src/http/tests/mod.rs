//! Requests and a small cluster for the tests of this module.

pub(super) mod cluster;

use bytes::Bytes;
use libprocess::{Headers, HttpRequest, PeerClosed};

/// A request without header fields and body.
pub(super) fn request(method: &'static str, path: &str) -> HttpRequest {
    request_with(method, path, &[], "")
}

/// A request; what follows a `?` in `path` is its query.
pub(super) fn request_with(
    method: &'static str,
    path: &str,
    headers: &[(&'static str, &str)],
    body: &str,
) -> HttpRequest {
    let (path, query) = path
        .split_once('?')
        .map_or((path, None), |(path, query)| (path, Some(query)));
    HttpRequest {
        method,
        path: path.to_owned(),
        query: query.map(str::to_owned),
        headers: Headers::from_pairs(headers.iter().copied()),
        body: Bytes::copy_from_slice(body.as_bytes()),
        peer: "127.0.0.1:1".parse().unwrap(),
        closed: PeerClosed::new(),
    }
}
