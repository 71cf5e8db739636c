//! `/raft/status`: Raft's state of this very replica, never redirected. `mesoraft status` and tests compare replicas by it.

use std::collections::BTreeMap;

use libprocess::{HttpRequest, HttpResponse};
use replicated_log::{LogPosition, Role, Status};
use serde::Serialize;

use super::answer::{json, parameters};
use crate::actor::Context;

#[derive(Serialize)]
struct PositionJson {
    term: u64,
    index: u64,
}

impl From<LogPosition> for PositionJson {
    fn from(position: LogPosition) -> Self {
        PositionJson {
            term: position.term,
            index: position.index,
        }
    }
}

/// The vote stored here; `node_id` 0 before the first.
#[derive(Serialize)]
struct VoteJson {
    term: u64,
    node_id: u64,
    committed: bool,
}

/// Equal indexes have equal hashes on every replica.
#[derive(Serialize)]
struct StateHash {
    applied_index: u64,
    /// 32 hexadecimal digits.
    hash: String,
}

#[derive(Serialize)]
struct StatusJson<'a> {
    node_id: u64,
    cluster_id: Option<&'a str>,
    term: u64,
    role: &'static str,
    leader: Option<u64>,
    vote: VoteJson,
    /// Index of the last entry stored here.
    last_log: Option<u64>,
    committed: Option<PositionJson>,
    applied: Option<PositionJson>,
    snapshot: Option<PositionJson>,
    purged: Option<PositionJson>,
    /// Node id to the address of its Raft port.
    voters: &'a BTreeMap<u64, String>,
    learners: &'a BTreeMap<u64, String>,
    /// On the leader: up to which index each other replica's log is known to match.
    matched: &'a BTreeMap<u64, Option<u64>>,
    disk_full: bool,
    running: bool,
    fatal: Option<&'a str>,
    state_hash: StateHash,
}

fn status_json(status: &Status, applied_index: u64, hash: u128) -> StatusJson<'_> {
    StatusJson {
        node_id: status.node_id,
        cluster_id: status.cluster_id.as_deref(),
        term: status.term,
        role: role(status.role),
        leader: status.leader,
        vote: VoteJson {
            term: status.vote.term,
            node_id: status.vote.node_id,
            committed: status.vote.committed,
        },
        last_log: status.last_log,
        committed: status.committed.map(PositionJson::from),
        applied: status.applied.map(PositionJson::from),
        snapshot: status.snapshot.map(PositionJson::from),
        purged: status.purged.map(PositionJson::from),
        voters: &status.voters,
        learners: &status.learners,
        matched: &status.matched,
        disk_full: status.disk_full,
        running: status.running,
        fatal: status.fatal.as_deref(),
        state_hash: StateHash {
            applied_index,
            hash: format!("{hash:032x}"),
        },
    }
}

/// The answer of this replica.
pub(super) fn status(context: &Context, request: &HttpRequest) -> HttpResponse {
    let published = context.published.load();
    let status = context.log.status().borrow().clone();
    json(
        &parameters(request),
        &status_json(&status, published.applied.index, published.registry.state_hash()),
    )
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

#[cfg(test)]
mod tests {
    use replicated_log::StoredVote;

    use super::*;

    #[test]
    fn a_replica_describes_itself() {
        let status = Status {
            node_id: 2,
            cluster_id: Some("c".to_owned()),
            term: 7,
            role: Role::Follower,
            leader: Some(1),
            vote: StoredVote {
                term: 7,
                node_id: 1,
                committed: true,
            },
            last_log: Some(12),
            applied: Some(LogPosition { term: 7, index: 11 }),
            voters: BTreeMap::from([(1, "a:1".to_owned()), (2, "b:1".to_owned())]),
            running: true,
            ..Status::default()
        };
        assert_eq!(
            serde_json::to_string(&status_json(&status, 11, 255)).unwrap(),
            "{\"node_id\":2,\"cluster_id\":\"c\",\"term\":7,\"role\":\"follower\",\"leader\":1,\
             \"vote\":{\"term\":7,\"node_id\":1,\"committed\":true},\"last_log\":12,\
             \"committed\":null,\"applied\":{\"term\":7,\"index\":11},\"snapshot\":null,\"purged\":null,\
             \"voters\":{\"1\":\"a:1\",\"2\":\"b:1\"},\"learners\":{},\"matched\":{},\"disk_full\":false,\
             \"running\":true,\"fatal\":null,\
             \"state_hash\":{\"applied_index\":11,\"hash\":\"000000000000000000000000000000ff\"}}"
        );
    }
}
