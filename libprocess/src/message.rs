//! libprocess messages as HTTP requests: the exact bytes of the sender, and how a receiver recognises one.
//!
//! Source: Mesos `3rdparty/libprocess/src/encoder.hpp` and `decoder.hpp` (as facts of the protocol). Must never look
//! into a body.

use bytes::{BufMut, BytesMut};

use crate::codec::{RequestHead, write_chunk};
use crate::percent::{self, MalformedEscape};
use crate::upid::Upid;

/// What a `User-Agent` of a message begins with.
const USER_AGENT_PREFIX: &str = "libprocess/";

/// Writes the request that carries a message, byte for byte as Mesos does. `from` is the text of the sender's UPID.
pub fn encode_message(from: &str, to: &Upid, name: &str, body: &[u8], out: &mut BytesMut) {
    let host = to.address.to_string();
    let fixed = 128;
    out.reserve(fixed + to.id.len() + name.len() + 2 * from.len() + host.len() + body.len());
    for part in [
        "POST /",
        &to.id,
        if to.id.is_empty() { "" } else { "/" },
        name,
        " HTTP/1.1\r\n",
    ] {
        out.put_slice(part.as_bytes());
    }
    for part in ["User-Agent: libprocess/", from, "\r\nLibprocess-From: ", from] {
        out.put_slice(part.as_bytes());
    }
    for part in ["\r\nConnection: Keep-Alive\r\nHost: ", &host, "\r\n"] {
        out.put_slice(part.as_bytes());
    }
    if body.is_empty() {
        out.put_slice(b"\r\n");
        return;
    }
    out.put_slice(b"Transfer-Encoding: chunked\r\n\r\n");
    write_chunk(body, out);
    out.put_slice(b"0\r\n\r\n");
}

/// Whether a request carries a message; everything else on the port is plain HTTP.
pub(crate) fn is_message(head: &RequestHead) -> bool {
    head.method == "POST"
        && (head.headers.contains("Libprocess-From")
            || head
                .headers
                .get("User-Agent")
                .is_some_and(|value| value.starts_with(USER_AGENT_PREFIX)))
}

/// The sender of a message; `None` if it is empty or unparsable.
pub(crate) fn sender(head: &RequestHead) -> Option<Upid> {
    let text = if head.headers.contains("Libprocess-From") {
        head.headers.get("Libprocess-From")
    } else {
        head.headers
            .get("User-Agent")
            .and_then(|value| value.strip_prefix(USER_AGENT_PREFIX))
    };
    Upid::parse(text?)
}

/// Whether the first segment of a path that starts with one slash can be percent-decoded.
pub(crate) fn has_decodable_actor(path: &str) -> bool {
    path.split('/')
        .nth(1)
        .is_none_or(|actor| percent::is_well_formed(actor.as_bytes()))
}

/// Receiving actor (decoded) and message name (not decoded) of a path that starts with one slash.
pub(crate) fn target(path: &str) -> Result<(String, &str), MalformedEscape> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let (actor, name) = path.split_once('/').unwrap_or((path, ""));
    Ok((percent::decode(actor)?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(to: &str, name: &str, body: &[u8]) -> String {
        let mut out = BytesMut::new();
        encode_message(
            "master@127.0.0.1:15051",
            &Upid::parse(to).unwrap(),
            name,
            body,
            &mut out,
        );
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn bytes_are_those_of_an_unmodified_mesos_master() {
        assert_eq!(
            encoded(
                "slave(1)@127.0.0.1:15061",
                "mesos.internal.PingSlaveMessage",
                b"\x08\x01"
            ),
            "POST /slave(1)/mesos.internal.PingSlaveMessage HTTP/1.1\r\n\
             User-Agent: libprocess/master@127.0.0.1:15051\r\n\
             Libprocess-From: master@127.0.0.1:15051\r\n\
             Connection: Keep-Alive\r\n\
             Host: 127.0.0.1:15061\r\n\
             Transfer-Encoding: chunked\r\n\r\n\
             2\r\n\x08\x01\r\n0\r\n\r\n"
        );
    }

    #[test]
    fn empty_body_has_neither_length_nor_coding() {
        assert_eq!(
            encoded(
                "slave-observer(1)@127.0.0.1:15061",
                "mesos.internal.PongSlaveMessage",
                b""
            ),
            "POST /slave-observer(1)/mesos.internal.PongSlaveMessage HTTP/1.1\r\n\
             User-Agent: libprocess/master@127.0.0.1:15051\r\n\
             Libprocess-From: master@127.0.0.1:15051\r\n\
             Connection: Keep-Alive\r\n\
             Host: 127.0.0.1:15061\r\n\r\n"
        );
    }

    #[test]
    fn chunk_length_is_lower_case_hexadecimal() {
        assert!(encoded("a@127.0.0.1:1", "N", &[b'x'; 171]).contains("\r\n\r\nab\r\nxxx"));
    }

    #[test]
    fn target_is_the_first_segment_decoded_and_the_rest_as_it_is() {
        for (path, actor, name) in [
            ("/master/mesos.X", "master", "mesos.X"),
            ("/%6daster/a%20b/c", "master", "a%20b/c"),
            ("/slave(1)", "slave(1)", ""),
            ("/master/", "master", ""),
            ("/", "", ""),
        ] {
            assert_eq!(target(path).unwrap(), (actor.to_owned(), name));
        }
        assert!(target("/%zz/x").is_err());
    }
}
