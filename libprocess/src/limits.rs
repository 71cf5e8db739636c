//! Bounds of the server, each with its unit and reason.

use std::time::Duration;

/// Longest head (request line and header fields) accepted, as in the HTTP parser of Mesos.
pub(crate) const HEAD_BYTES_MAX: usize = 80 * 1024;

/// Bounds of one [`Server`](crate::Server). Every default suits a master with 40,000 agents.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest body, before and after inflating, in bytes; longer ones are answered `413`. Mesos has no limit and its
    /// agents send tens of MiB when they reregister; a bound is needed so that one peer cannot take all memory.
    pub max_body_bytes: usize,
    /// Longest head (request line and header fields) in bytes; a longer one closes the connection unanswered, as the
    /// parser of Mesos does.
    pub max_header_bytes: usize,
    /// Most connections open at once; further ones are closed as they arrive, so that file descriptors remain for
    /// the log and the peers. An agent holds one connection, a framework two.
    pub max_connections: usize,
    /// Longest time from the first byte of a head to its last. There is no limit on the idle time between requests:
    /// agents and drivers take a closed connection for the death of the master.
    pub head_timeout: Duration,
    /// Longest time from the first byte of a head to the last byte of the body; generous, since a large
    /// reregistration may cross a slow link.
    pub body_timeout: Duration,
    /// Longest time in which a peer accepts not a single byte of an answer or stream before it is given up.
    pub write_stall_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_body_bytes: 256 * 1024 * 1024,
            max_header_bytes: HEAD_BYTES_MAX,
            max_connections: 100_000,
            head_timeout: Duration::from_secs(120),
            body_timeout: Duration::from_secs(600),
            write_stall_timeout: Duration::from_secs(120),
        }
    }
}
