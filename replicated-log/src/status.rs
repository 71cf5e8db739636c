//! What a replica says about itself.

use std::collections::BTreeMap;

use crate::{LogPosition, NodeId};

/// The Raft role of a replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Receives entries, does not vote. Also before the cluster is founded.
    #[default]
    Learner,
    /// Follows the leader and votes.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// A vote as a replica stores it. Ordered: a replica replaces it by a greater one only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredVote {
    /// The term it is for.
    pub term: u64,
    /// The candidate or leader; 0 before the first vote.
    pub node_id: NodeId,
    /// Whether a quorum has voted so: the node leads.
    pub committed: bool,
}

/// The state of a replica at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// This replica.
    pub node_id: NodeId,
    /// The cluster's id, once it is founded or joined.
    pub cluster_id: Option<String>,
    /// The current term. A leadership is identified by term and leader: rarely, two replicas lead in one term, in turn.
    pub term: u64,
    /// This replica's role.
    pub role: Role,
    /// Who leads, as far as this replica knows; `None` also when it has not heard of its leader for five times the
    /// longest election timeout.
    pub leader: Option<NodeId>,
    /// The vote stored here: whom this replica voted for in its term, or who leads in it.
    pub vote: StoredVote,
    /// Index of the last entry stored here.
    pub last_log: Option<u64>,
    /// The last entry known to be committed.
    pub committed: Option<LogPosition>,
    /// The last entry applied here.
    pub applied: Option<LogPosition>,
    /// The last entry of the newest snapshot.
    pub snapshot: Option<LogPosition>,
    /// The last entry removed from the log.
    pub purged: Option<LogPosition>,
    /// Who votes, with addresses.
    pub voters: BTreeMap<NodeId, String>,
    /// Who receives entries without voting, with addresses.
    pub learners: BTreeMap<NodeId, String>,
    /// Whether the voters are being changed: until that is finished, a quorum of the old ones is needed too.
    pub is_joint: bool,
    /// On the leader: how far each other replica's log is known to match, as an index.
    pub matched: BTreeMap<NodeId, Option<u64>>,
    /// Whether this replica acknowledges nothing because its disk is full.
    pub disk_full: bool,
    /// Whether the replica works; false after a shutdown or a fatal error.
    pub running: bool,
    /// Why the replica is broken, if it is.
    pub fatal: Option<String>,
}

impl Status {
    /// Whether this replica leads.
    pub fn is_leader(&self) -> bool {
        self.role == Role::Leader
    }
}
