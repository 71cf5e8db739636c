//! The types openraft is instantiated with. No other module but this one names openraft's type parameters.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use openraft::impls::leader_id_adv;

use crate::{LogPosition, NodeId};

openraft::declare_raft_types!(
    /// The one instantiation of openraft in this crate.
    ///
    /// `LeaderId` is openraft's ordered form (term, node id): two candidates of one term do not block each other, the
    /// one with the higher id wins. A term may therefore have two leaders in turn; a leadership is the pair.
    pub(crate) TypeConfig:
        D = CommandGroup,
        R = (),
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        Term = u64,
        LeaderId = leader_id_adv::LeaderId<u64, u64>,
        AsyncRuntime = crate::runtime::SeededRuntime,
);

pub(crate) type LeaderId = leader_id_adv::LeaderId<u64, NodeId>;
pub(crate) type LogId = openraft::LogId<LeaderId>;
pub(crate) type Vote = openraft::Vote<LeaderId>;
pub(crate) type Node = openraft::impls::BasicNode;
pub(crate) type Entry = openraft::alias::EntryOf<TypeConfig>;
pub(crate) type Membership = openraft::Membership<NodeId, Node>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<TypeConfig>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<TypeConfig>;
pub(crate) type Snapshot<D> = openraft::alias::SnapshotOf<TypeConfig, D>;
pub(crate) type IoFlushed = openraft::storage::IOFlushed<TypeConfig>;

/// The commands of one entry, in the order in which they are applied.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct CommandGroup {
    /// Random number of the run of the process that proposed the group; tells whose callers wait for it.
    pub(crate) origin: u64,
    /// Number of the group within that run.
    pub(crate) group: u64,
    /// The commands; cheap to clone.
    commands: Arc<[Bytes]>,
    /// The bytes of all commands together.
    bytes: usize,
}

impl CommandGroup {
    pub(crate) fn new(origin: u64, group: u64, commands: Vec<Bytes>) -> Self {
        CommandGroup {
            origin,
            group,
            bytes: commands.iter().map(Bytes::len).sum(),
            commands: commands.into(),
        }
    }

    /// The commands in the order in which they are applied.
    pub(crate) fn commands(&self) -> &[Bytes] {
        &self.commands
    }

    /// The bytes of all commands together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl fmt::Debug for CommandGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for CommandGroup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} commands, {} bytes", self.commands.len(), self.bytes())
    }
}

/// The position of a log id.
pub(crate) fn position(log_id: &LogId) -> LogPosition {
    LogPosition {
        term: log_id.leader_id.term,
        index: log_id.index,
    }
}

/// How many bytes of commands an entry carries.
pub(crate) fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(group) => group.bytes(),
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 0,
    }
}
