//! Talking to peers: gRPC over the network seam.
//!
//! `client` opens and keeps the connections to other replicas and is what openraft sends through, `server` accepts
//! theirs, `peer_service` and `admin_service` answer, `wire` converts, `identity` refuses replicas of other clusters,
//! `closable` lets a stopped replica's connections break at once. Nothing here decides about the log.

mod admin_service;
mod client;
mod closable;
mod identity;
mod peer_service;
mod peers;
pub(crate) mod server;
mod wire;

pub(crate) use self::identity::Refusals;
pub(crate) use self::peers::{PeerError, Peers};
pub(crate) use self::wire::parse_log_id;

/// The generated messages and services.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "generated"
)]
pub(crate) mod proto {
    tonic::include_proto!("replicated_log.v1");
}

/// Bytes of one message at most: an entry of one maximal command and some room, or many small ones of 1 MiB together.
const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Metadata of a refused operator's call: where the leader is, as `host:port`.
pub(crate) const LEADER_ADDRESS: &str = "leader-address";

/// How often an idle connection is probed. A peer that was cut off is found dead by this, not by a retransmission timer.
const KEEPALIVE_INTERVAL: std::time::Duration = std::time::Duration::from_millis(500);
/// How long the answer to a probe may take.
const KEEPALIVE_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);
/// Bytes of one stream on their way: several append requests, so that a round trip does not limit throughput.
const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// Bytes of one connection on their way.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
