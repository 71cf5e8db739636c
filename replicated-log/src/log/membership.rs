//! Changing who is a member. Each change is committed by the log itself; voters change by joint consensus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, ForwardReason, ForwardToLeader, RaftError};
use tokio::time::Instant;

use super::{Raft, ReplicatedLog};
use crate::NodeId;
use crate::batcher::Pause;
use crate::counters::{Counters, Event};
use crate::error::MembershipError;
use crate::state_machine::StateMachine;
use crate::status::Status;
use crate::type_config::{Membership, Node, TypeConfig};

/// For how long a change of the membership may take: two entries and what is ahead of them.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a leader may take to become ready for a change.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two tries.
const READY_RETRY: Duration = Duration::from_millis(10);

impl<S: StateMachine> ReplicatedLog<S> {
    /// Adds a node that receives the log without voting. `address` is its `host:port`. Adding it again does nothing.
    pub async fn add_learner(&self, node_id: NodeId, address: impl Into<String>) -> Result<(), MembershipError> {
        self.with_hint(add_learner(&self.0.raft, node_id, address.into()).await)
    }

    /// Makes a learner a voter. It should have caught up before, see [`Status::matched`]: a voter that lags slows the
    /// quorum down.
    pub async fn promote(&self, node_id: NodeId) -> Result<(), MembershipError> {
        self.with_hint(promote(&self.0.raft, node_id).await)
    }

    /// Removes a member, voter or learner. Its id must not be used again.
    pub async fn remove(&self, node_id: NodeId) -> Result<(), MembershipError> {
        self.with_hint(remove(&self.0.raft, node_id).await)
    }

    /// The core does not always name the leader that it named before.
    fn with_hint(&self, result: Result<(), MembershipError>) -> Result<(), MembershipError> {
        match result {
            Err(MembershipError::NotLeader { leader: None }) => Err(MembershipError::NotLeader {
                leader: self
                    .0
                    .status
                    .borrow()
                    .leader
                    .filter(|leader| *leader != self.0.config.node_id),
            }),
            other => other,
        }
    }

    /// Asks `to`, or the most up-to-date follower, to lead. Returns when it was asked; the status tells when it leads.
    ///
    /// The entry under way is applied first, and proposals that come later are answered [`ProposeError::NotLeader`]:
    /// none becomes unknown, unless the entry takes longer than a second.
    ///
    /// [`ProposeError::NotLeader`]: crate::ProposeError::NotLeader
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<(), MembershipError> {
        let status = self.0.status.borrow().clone();
        transfer_leadership(&self.0.raft, &self.0.pause, self.counters(), &status, to).await
    }
}

pub(crate) async fn add_learner<S: StateMachine>(
    raft: &Raft<S>,
    node_id: NodeId,
    address: String,
) -> Result<(), MembershipError> {
    let nodes = BTreeMap::from([(node_id, Node::new(address))]);
    change(raft, ChangeMembers::AddNodes(nodes)).await
}

pub(crate) async fn promote<S: StateMachine>(raft: &Raft<S>, node_id: NodeId) -> Result<(), MembershipError> {
    change(raft, ChangeMembers::AddVoterIds(BTreeSet::from([node_id]))).await
}

pub(crate) async fn remove<S: StateMachine>(raft: &Raft<S>, node_id: NodeId) -> Result<(), MembershipError> {
    let membership = current(raft).await?;
    if membership.voter_ids().any(|voter| voter == node_id) {
        // Without `retain` the node leaves the membership as a whole with the voters' change.
        return change(raft, ChangeMembers::RemoveVoters(BTreeSet::from([node_id]))).await;
    }
    if membership.get_node(&node_id).is_some() {
        return change(raft, ChangeMembers::RemoveNodes(BTreeSet::from([node_id]))).await;
    }
    Err(MembershipError::Rejected {
        reason: format!("node {node_id} is not a member"),
    })
}

/// The membership now; the status may be a moment behind.
async fn current<S: StateMachine>(raft: &Raft<S>) -> Result<Membership, MembershipError> {
    let read = raft.with_raft_state(|state| state.membership_state.effective().membership().clone());
    read.await.map_err(|fatal| MembershipError::Fatal {
        reason: fatal.to_string(),
    })
}

pub(super) async fn change<S: StateMachine>(
    raft: &Raft<S>,
    members: ChangeMembers<NodeId, Node>,
) -> Result<(), MembershipError> {
    let start = Instant::now();
    loop {
        // A leader that has removed itself leads until that is committed; the core takes no further change from it.
        if !current(raft).await?.voter_ids().any(|voter| voter == *raft.node_id()) {
            return Err(MembershipError::NotLeader { leader: None });
        }
        let changed = tokio::time::timeout(CHANGE_PATIENCE, raft.change_membership(members.clone(), false)).await;
        let error = match changed {
            Err(_) => return Err(MembershipError::Unknown),
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => membership_error(error),
        };
        // A leader that has just won is not ready for a moment; nothing was appended, so asking again is safe.
        if !matches!(error, MembershipError::Unavailable { .. }) || start.elapsed() > READY_PATIENCE {
            return Err(error);
        }
        tokio::time::sleep(READY_RETRY).await;
    }
}

fn membership_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>) -> MembershipError {
    match error {
        RaftError::Fatal(fatal) => MembershipError::Fatal {
            reason: fatal.to_string(),
        },
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => membership_forward(forward),
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => MembershipError::Unknown,
        RaftError::APIError(ClientWriteError::ChangeMembershipError(
            error @ (ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_)),
        )) => MembershipError::Unavailable {
            reason: error.to_string(),
        },
        RaftError::APIError(error) => MembershipError::Rejected {
            reason: error.to_string(),
        },
    }
}

fn membership_forward(forward: ForwardToLeader<TypeConfig>) -> MembershipError {
    if forward.reason == ForwardReason::LeaseExpired {
        return MembershipError::Unavailable {
            reason: "no quorum confirms this leader".into(),
        };
    }
    MembershipError::NotLeader {
        leader: forward.leader_id,
    }
}

pub(crate) async fn transfer_leadership<S: StateMachine>(
    raft: &Raft<S>,
    pause: &Pause,
    counters: &Counters,
    status: &Status,
    to: Option<NodeId>,
) -> Result<(), MembershipError> {
    if !status.is_leader() {
        return Err(MembershipError::NotLeader { leader: status.leader });
    }
    let to = to
        .or_else(|| most_up_to_date(status))
        .ok_or_else(|| MembershipError::Rejected {
            reason: "there is no other voter".into(),
        })?;
    if !current(raft).await?.voter_ids().any(|voter| voter == to) {
        return Err(MembershipError::Rejected {
            reason: format!("node {to} is not a voter"),
        });
    }
    // From here on the core takes no entry: what is queued is refused once the pause ends.
    let _paused = pause.between_entries().await;
    counters.count(Event::TransfersAsked);
    let asked = raft.trigger().transfer_leader(to).await;
    asked.map_err(|fatal| MembershipError::Fatal {
        reason: fatal.to_string(),
    })
}

/// The other voter whose log reaches furthest; the lowest id among equals.
fn most_up_to_date(status: &Status) -> Option<NodeId> {
    let others = status.voters.keys().filter(|id| **id != status.node_id);
    others
        .copied()
        .max_by_key(|id| (status.matched.get(id).copied().flatten(), std::cmp::Reverse(*id)))
}
