//! A replicated log: Raft over opaque commands, and a trait for the state machine that applies them.
//!
//! This crate knows how to make a command durable on a quorum, in one order, and to apply it on every replica. It
//! must never know what a command means. Start reading at [`ReplicatedLog`] (the handle), then `batcher` (proposals
//! become entries), `log_store` (what is on disk and when it counts as durable), `state_machine` (committed entries
//! become calls of [`StateMachine`]), `snapshot`, `network` (peers), `founding` (how a cluster comes to be),
//! `takeover` (how a dead leader is replaced within milliseconds) and `admin` (what operators' tools call).
//!
//! Promises:
//! * A command acknowledged by [`ReplicatedLog::propose`] is durable on a quorum and applied on this replica.
//! * Commands proposed through one handle are applied in the order in which they were accepted.
//! * [`ReplicatedLog::read_barrier`] is linearizable: there are no lease reads.
//! * A full disk stops this replica from acknowledging, and it goes on by itself when space returns; a failed `fsync`
//!   is fatal for the replica and is never retried.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admin;
mod batcher;
mod codec;
mod compaction;
mod config;
mod contact;
mod counters;
mod durable;
mod error;
mod founding;
mod log;
mod log_store;
mod network;
mod options;
mod runtime;
mod snapshot;
mod state_machine;
mod status;
mod takeover;
mod type_config;
mod waiting;

pub use admin::{Admin, AdminError, Member, Members};
pub use config::{Config, Timers};
pub use counters::{Counters, Event};
pub use error::{ConfigError, MembershipError, ProposeError, QueueFull, ReadError, StartError};
pub use log::ReplicatedLog;
pub use log_store::MemoryStore;
pub use state_machine::StateMachine;
pub use status::{Role, Status, StoredVote};

/// Identifies a replica; the same for as long as its data directory lives, and never used again after its removal.
pub type NodeId = u64;

/// Where an applied command stands in the log. Ordered as the log is.
///
/// One entry may carry several commands; they share a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct LogPosition {
    /// The term in which the entry was proposed.
    pub term: u64,
    /// The index of the entry, counted from 0; rises by one with each entry.
    pub index: u64,
}

impl std::fmt::Display for LogPosition {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.term, self.index)
    }
}

/// A command that is committed and applied here, with what the state machine answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<O> {
    /// Where the command stands in the log.
    pub position: LogPosition,
    /// What [`StateMachine::apply`] returned on this replica.
    pub outcome: O,
}
