//! What can go wrong, one type per boundary.
//!
//! Unavailable (nothing happened, try again or elsewhere), unknown (it may or may not have happened) and fatal (this
//! replica is broken and must stop) are never mixed.

use crate::NodeId;

/// A configuration value is wrong; the text names it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("configuration: {0}")]
pub struct ConfigError(pub String);

/// Why a replica did not start. Data on disk is unchanged; a directory that was empty may have been prepared for it.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A configuration value is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data directory belongs to another cluster or node.
    #[error(
        "data directory {directory} belongs to {what} '{found}', this replica is configured as {what} '{configured}': \
         correct the configuration or give the replica its own directory"
    )]
    ForeignDirectory {
        /// The directory.
        directory: String,
        /// What differs: `cluster`, `cluster id`, `node`.
        what: &'static str,
        /// The value stored in the directory.
        found: String,
        /// The value configured.
        configured: String,
    },
    /// The data directory is damaged.
    #[error(
        "data directory {directory} is damaged: {reason}. Do not repair it: remove member {node_id} from the cluster, \
         empty the directory, and add the member again under a new id"
    )]
    Damaged {
        /// The directory.
        directory: String,
        /// What was found where.
        reason: String,
        /// This replica.
        node_id: NodeId,
    },
    /// A member's directory is empty although it has voted or stored entries before.
    #[error(
        "the data directory of member {node_id} is empty, but peer {peer} knows it as a voter of cluster {cluster_id}: \
         what it had promised is lost. Remove member {node_id} from the cluster and add it again under a new id"
    )]
    LostDirectory {
        /// This replica.
        node_id: NodeId,
        /// The peer that knows it.
        peer: NodeId,
        /// The cluster's id.
        cluster_id: String,
    },
    /// The cluster exists, and this node is not a member of it.
    #[error(
        "cluster {cluster_id} exists already and node {node_id} is not a member of it: start it with an address to \
         join instead of initial members"
    )]
    NotAMember {
        /// This replica.
        node_id: NodeId,
        /// The cluster's id.
        cluster_id: String,
    },
    /// The cluster to join could not be joined.
    #[error("joining the cluster at {address}: {reason}")]
    Join {
        /// The address configured.
        address: String,
        /// What was answered.
        reason: String,
    },
    /// The listening socket could not be bound.
    #[error("listening on {address}")]
    Listen {
        /// The address configured.
        address: std::net::SocketAddr,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Log or snapshot could not be opened.
    #[error("opening the log store in {directory}")]
    Storage {
        /// The directory.
        directory: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The Raft core did not start.
    #[error("starting the raft core: {0}")]
    Core(String),
}

/// Why a command was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// This replica does not lead; certainly not proposed. Ask the leader.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// Who leads as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// Certainly not proposed; try again later.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The command is larger than an entry may be; certainly not proposed.
    #[error("the command has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// The command's size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The command may or may not become part of the log.
    #[error("unknown whether the command was committed")]
    Unknown,
    /// This replica is broken; the process must be restarted. Whether the command was committed is unknown.
    #[error("fatal: {reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
}

impl ProposeError {
    /// Whether the command certainly did not and never will become part of the log.
    pub fn is_certainly_not_proposed(&self) -> bool {
        matches!(
            self,
            Self::NotLeader { .. } | Self::Unavailable { .. } | Self::TooLarge { .. }
        )
    }
}

/// The queue of proposals is full: the command was not accepted, and the reply closure will not be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of {limit} proposals is full")]
pub struct QueueFull {
    /// The queue's bound.
    pub limit: usize,
}

/// Why a linearizable read was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// This replica does not lead and the leader could not be asked.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// Who leads as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// No quorum confirmed the leader in time, or this replica did not catch up; try again.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// This replica is broken; the process must be restarted.
    #[error("fatal: {reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
}

/// Why a change of the membership was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// This replica does not lead; nothing was changed. Ask the leader.
    #[error("not the leader; the leader is {leader:?}")]
    NotLeader {
        /// Who leads as far as this replica knows.
        leader: Option<NodeId>,
    },
    /// The change is wrong now; the text names what is in its way.
    #[error("{reason}")]
    Rejected {
        /// What is in the way.
        reason: String,
    },
    /// Certainly nothing was changed; try again.
    #[error("unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The change may or may not be made; read the membership.
    #[error("unknown whether the membership was changed")]
    Unknown,
    /// This replica is broken; the process must be restarted.
    #[error("fatal: {reason}")]
    Fatal {
        /// Why.
        reason: String,
    },
}
