//! Why an operator's question or change failed: refused and unknown are never mixed.

use crate::network::proto::StatusReply;

/// Why an operator's question was not answered, or a change not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// None of the members asked leads or names a leader that answers.
    #[error("no leader found: {asked}")]
    NoLeader {
        /// What each address answered.
        asked: String,
    },
    /// Certainly nothing was changed.
    #[error("cannot {change}: {reason} (asked the leader at {leader})")]
    Refused {
        /// What was asked for, as in "remove node 3".
        change: String,
        /// `host:port` of the leader.
        leader: String,
        /// What is in the way.
        reason: String,
    },
    /// The change may or may not be made; read the membership.
    #[error("unknown whether the leader at {leader} did {change}: {reason}; list the members to see")]
    Unknown {
        /// What was asked for, as in "remove node 3".
        change: String,
        /// `host:port` of the leader.
        leader: String,
        /// What happened instead of an answer.
        reason: String,
    },
}

impl AdminError {
    pub(super) fn no_leader(answers: &[(String, Result<StatusReply, String>)]) -> AdminError {
        let sentence = |(address, answer): &(String, Result<StatusReply, String>)| match answer {
            Err(reason) => format!("{address}: {reason}"),
            Ok(status) => {
                let leader = status
                    .leader
                    .map_or("no leader".into(), |leader| format!("node {leader} as the leader"));
                format!(
                    "{address}: node {} is a {} and knows {leader}",
                    status.node_id, status.role
                )
            }
        };
        let asked: Vec<String> = answers.iter().map(sentence).collect();
        AdminError::NoLeader {
            asked: asked.join("; "),
        }
    }
}
