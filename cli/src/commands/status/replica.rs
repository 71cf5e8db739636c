//! One replica as it describes itself, or as the leader knows it.

use std::collections::BTreeMap;

use client::Operator;
use serde::{Deserialize, Serialize};

/// A follower this many log entries behind would take noticeable time to take part in a decision again.
pub(super) const LAG_MAX: u64 = 10_000;

/// What a replica answers to `/raft/status`; fields this command does not need are left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RaftStatus {
    node_id: u64,
    term: u64,
    role: String,
    leader: Option<u64>,
    last_log: Option<u64>,
    applied: Option<Position>,
    voters: BTreeMap<u64, String>,
    matched: BTreeMap<u64, Option<u64>>,
    disk_full: bool,
    fatal: Option<String>,
    state_hash: StateHash,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Position {
    index: u64,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(super) struct StateHash {
    pub(super) applied_index: u64,
    pub(super) hash: String,
}

/// One replica.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Replica {
    /// Where it was asked, `host:port`; for one that was not asked its Raft address.
    pub(super) address: String,
    /// Raft node id; 0 when unknown.
    pub(super) node_id: u64,
    /// `leader`, `follower`, `candidate`, `learner`; `absent` when it does not answer, `not asked` when its HTTP
    /// address is not known.
    pub(super) role: String,
    /// The node it follows.
    pub(super) leader_id: Option<u64>,
    /// Raft term.
    pub(super) term: u64,
    /// Index of its last log entry.
    pub(super) last_log_index: u64,
    /// Index of the last entry it applied.
    pub(super) applied_index: u64,
    /// Entries it is behind the leader.
    pub(super) lag: Option<u64>,
    /// Hash of what it has applied; equal on all replicas at equal index.
    pub(super) state_hash: Option<StateHash>,
    /// Why it did not answer, or why it does not take part.
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) voters: BTreeMap<u64, String>,
    #[serde(skip)]
    pub(super) matched: BTreeMap<u64, Option<u64>>,
}

impl Replica {
    pub(super) async fn ask(operator: &Operator, address: String) -> Replica {
        let answer = match operator.get_from(&address, "/raft/status").await {
            Ok(body) => serde_json::from_slice::<RaftStatus>(&body).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match answer {
            Ok(status) => Replica::read(address, status),
            Err(error) => Replica {
                address,
                role: "absent".to_owned(),
                error: Some(error),
                ..Replica::default()
            },
        }
    }

    pub(super) fn read(address: String, status: RaftStatus) -> Replica {
        let disk_full = status.disk_full.then(|| "its disk is full".to_owned());
        Replica {
            address,
            node_id: status.node_id,
            role: status.role,
            leader_id: status.leader,
            term: status.term,
            last_log_index: status.last_log.unwrap_or(0),
            applied_index: status.applied.map_or(0, |position| position.index),
            lag: None,
            state_hash: Some(status.state_hash),
            error: status.fatal.or(disk_full),
            voters: status.voters,
            matched: status.matched,
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.role == "leader" && self.error.is_none()
    }

    /// Whether it certainly takes part in decisions.
    pub(super) fn takes_part(&self) -> bool {
        self.error.is_none() && self.lag.is_none_or(|lag| lag <= LAG_MAX)
    }
}

/// Members whose HTTP address is not known, with what the leader knows of them.
pub(super) fn not_asked(leader: &Replica, asked: &[Replica]) -> Vec<Replica> {
    let is_new = |node_id: &u64| asked.iter().all(|replica| replica.node_id != *node_id);
    // One that was asked and is absent has no node id, so that it would show up twice: then nobody is added.
    if asked.iter().any(|replica| replica.node_id == 0) {
        return Vec::new();
    }
    let members = leader.voters.iter().filter(|(node_id, _)| is_new(node_id));
    members
        .map(|(&node_id, address)| {
            let matched = leader.matched.get(&node_id).copied().flatten().unwrap_or(0);
            Replica {
                address: format!("{address} (raft)"),
                node_id,
                role: "not asked".to_owned(),
                last_log_index: matched,
                lag: Some(leader.last_log_index.saturating_sub(matched)),
                ..Replica::default()
            }
        })
        .collect()
}
