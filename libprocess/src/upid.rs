//! Addresses of libprocess actors (UPIDs).
//!
//! Responsible for the text form `id@ip:port` only; must never resolve a name: that would block message delivery.

use std::fmt;
use std::net::SocketAddrV4;
use std::str::FromStr;

/// The text of the empty UPID, as Mesos announces frameworks that have no libprocess address.
pub const EMPTY_UPID: &str = "@0.0.0.0:0";

/// The address of one libprocess actor, e.g. `slave(1)@10.0.0.7:5051`.
///
/// Parsing splits at the first `@`, then at the first `:` of the remainder. The host must be an IPv4 literal
/// (unlike Mesos, host names are not looked up) and the port decimal. What Mesos treats as "no UPID" (empty id, address
/// `0.0.0.0`, port 0, hence also [`EMPTY_UPID`]) is refused too, so that `Option<Upid>` has one way to say "none".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Upid {
    /// Name of the actor within its process, e.g. `master` or `slave(1)`; never percent-encoded.
    pub id: String,
    /// Where its process listens (the advertised address).
    pub address: SocketAddrV4,
}

/// A text that names no actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an actor address of the form id@ipv4:port")]
pub struct InvalidUpid(String);

impl Upid {
    /// The actor `id` at `address`.
    pub fn new(id: impl Into<String>, address: SocketAddrV4) -> Self {
        Upid { id: id.into(), address }
    }

    /// Like parsing, with every failure as `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, address) = text.split_once('@')?;
        let (ip, port) = address.split_once(':')?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let address = SocketAddrV4::new(ip.parse().ok()?, port.parse().ok()?);
        let names_nobody = id.is_empty() || address.ip().is_unspecified() || address.port() == 0;
        (!names_nobody).then(|| Upid::new(id, address))
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.id, self.address)
    }
}

impl FromStr for Upid {
    type Err = InvalidUpid;

    fn from_str(text: &str) -> Result<Self, InvalidUpid> {
        Upid::parse(text).ok_or_else(|| InvalidUpid(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_survives_a_round_trip() {
        for text in [
            "master@10.0.0.1:5050",
            "slave(1)@10.0.0.7:5051",
            "scheduler-4b6c@10.0.0.9:43211",
        ] {
            assert_eq!(text.parse::<Upid>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn splits_at_the_first_at_sign_and_colon() {
        assert_eq!(Upid::parse("a:b@127.0.0.1:1").unwrap().id, "a:b");
        assert_eq!(Upid::parse("a@b@127.0.0.1:1"), None);
    }

    #[test]
    fn anything_else_names_nobody() {
        for text in [
            "",
            "master",
            "master@",
            "master@10.0.0.1",
            "master@10.0.0.1:",
            "master@10.0.0.1:+5",
            "master@10.0.0.1:65536",
            "master@localhost:5050",
            "master@[::1]:5050",
            "@10.0.0.1:5050",
            "master@0.0.0.0:5050",
            "master@10.0.0.1:0",
            EMPTY_UPID,
        ] {
            assert_eq!(Upid::parse(text), None, "{text}");
        }
    }
}
