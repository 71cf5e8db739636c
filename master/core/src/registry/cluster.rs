//! What belongs to the cluster as a whole: its name, the counters that mint ids, its clock, who leads.

use std::sync::Arc;

use imbl::OrdMap;
use proto::v1::MasterInfo;
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::timestamp::Timestamp;

/// Invariants: counters only grow, so that no id is ever given twice; `clock` only grows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cluster {
    /// UUID text, first part of every id minted here. `None` until the first leader was announced.
    pub id: Option<Arc<str>>,
    /// Number of the next framework.
    pub next_framework: u64,
    /// Number of the next agent.
    pub next_agent: u64,
    /// Number of the next entry of any bounded list.
    pub next_entry: u64,
    /// Largest time of any applied command.
    pub clock: Timestamp,
    /// Leader of the highest announced term.
    pub leader: Option<LeaderRecord>,
    /// Latest MasterInfo of each node that ever led, by node id.
    pub masters: OrdMap<u64, Encoded<MasterInfo>>,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// Raft node id.
    pub node_id: u64,
    /// Raft term.
    pub term: u64,
    /// As published to agents and frameworks.
    pub master: Encoded<MasterInfo>,
    /// When it was announced.
    pub announced_at: Timestamp,
}

/// The stored form of a [`Cluster`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClusterRecord {
    pub(crate) id: Option<Arc<str>>,
    pub(crate) next_framework: u64,
    pub(crate) next_agent: u64,
    pub(crate) next_entry: u64,
    pub(crate) clock: Timestamp,
    pub(crate) leader: Option<LeaderRecord>,
    pub(crate) masters: Vec<(u64, Encoded<MasterInfo>)>,
}

impl From<&Cluster> for ClusterRecord {
    fn from(cluster: &Cluster) -> Self {
        Self {
            id: cluster.id.clone(),
            next_framework: cluster.next_framework,
            next_agent: cluster.next_agent,
            next_entry: cluster.next_entry,
            clock: cluster.clock,
            leader: cluster.leader.clone(),
            masters: cluster
                .masters
                .iter()
                .map(|(node_id, master)| (*node_id, master.clone()))
                .collect(),
        }
    }
}

impl From<ClusterRecord> for Cluster {
    fn from(record: ClusterRecord) -> Self {
        Self {
            id: record.id,
            next_framework: record.next_framework,
            next_agent: record.next_agent,
            next_entry: record.next_entry,
            clock: record.clock,
            leader: record.leader,
            masters: record.masters.into_iter().collect(),
        }
    }
}
