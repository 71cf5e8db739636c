//! Linearizable reads: ReadIndex only. The fast takeover ignores leases, so a lease would prove nothing.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use planted::{Bug, is_planted};

use super::{Raft, ReplicatedLog};
use crate::LogPosition;
use crate::error::ReadError;
use crate::state_machine::StateMachine;
use crate::type_config::{LogId, position};

impl<S: StateMachine> ReplicatedLog<S> {
    /// Waits until everything that was committed when this was called is applied on this replica, and returns up to
    /// where. A read of this replica's state after that is linearizable. A follower asks the leader.
    ///
    /// Errors: [`ReadError::Unavailable`] when no quorum confirms the leader within `read_timeout`.
    /// Cancel safety: nothing is left behind.
    pub async fn read_barrier(&self) -> Result<LogPosition, ReadError> {
        if is_planted(Bug::StaleRead) {
            return Ok(self.status().borrow().applied.unwrap_or_default());
        }
        let limit = self.0.config.read_timeout;
        let unavailable = |what: &str| ReadError::Unavailable {
            reason: format!("{what} within {limit:?}"),
        };
        tokio::time::timeout(limit, self.wait_for_read_index())
            .await
            .unwrap_or_else(|_| {
                Err(unavailable(
                    "no quorum confirmed the leader, or this replica did not catch up,",
                ))
            })
    }

    async fn wait_for_read_index(&self) -> Result<LogPosition, ReadError> {
        let read_index = match read_index(&self.0.raft).await {
            Err(ReadError::NotLeader { leader: Some(leader) }) if leader != self.0.config.node_id => {
                self.0.peers.read_index(leader, self.0.config.read_timeout).await?
            }
            other => other?,
        };
        let Some(read_index) = read_index else {
            return Ok(LogPosition::default());
        };
        let wait = self.0.raft.wait(None::<Duration>);
        match wait
            .applied_index_at_least(Some(read_index.index), "read barrier")
            .await
        {
            Ok(_) => Ok(position(&read_index)),
            Err(error) => Err(ReadError::Fatal {
                reason: error.to_string(),
            }),
        }
    }
}

/// On the leader: the log id up to which a read must have applied; confirmed by a quorum after this was called.
pub(crate) async fn read_index<S: StateMachine>(raft: &Raft<S>) -> Result<Option<LogId>, ReadError> {
    match raft.get_read_log_id(ReadPolicy::ReadIndex).await {
        Ok((read_log_id, _)) => Ok(Some(*read_log_id.log_id())),
        Err(RaftError::Fatal(fatal)) => Err(ReadError::Fatal {
            reason: fatal.to_string(),
        }),
        Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(forward))) => Err(ReadError::NotLeader {
            leader: forward.leader_id,
        }),
        Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(missing))) => Err(ReadError::Unavailable {
            reason: missing.to_string(),
        }),
    }
}
