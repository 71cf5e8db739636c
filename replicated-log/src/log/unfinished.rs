//! Finishes a change of the voters whose leader died between its two steps.
//!
//! Voters change by joint consensus: first both the old and the new voters are asked, then only the new ones. A leader
//! that dies after the first step leaves a cluster that needs a quorum of the old voters for ever, among them perhaps
//! the very one that was to be replaced. Whoever leads next takes the second step.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use tokio::sync::watch;

use super::Raft;
use super::membership::change;
use crate::counters::{Counters, Event};
use crate::state_machine::StateMachine;
use crate::status::Status;

/// For how long a change may be between its steps before it counts as left behind: the leader that began it takes the
/// second step itself, one entry later. Asking twice would do no harm.
const GRACE: Duration = Duration::from_millis(500);

/// Runs on every replica; acts while it leads. Ends with the replica.
pub(super) async fn finish_changes<S: StateMachine>(
    raft: Raft<S>,
    mut status: watch::Receiver<Status>,
    counters: Counters,
) {
    let is_left = |status: &Status| status.is_leader() && status.is_joint;
    while status.wait_for(is_left).await.is_ok() {
        tokio::time::sleep(GRACE).await;
        let now = status.borrow().clone();
        if !is_left(&now) {
            continue;
        }
        // No voter is added: this takes the second step of what is under way.
        match change(&raft, ChangeMembers::AddVoterIds(BTreeSet::new())).await {
            Ok(()) => {
                counters.count(Event::MembershipChangesFinished);
                tracing::info!(
                    node_id = now.node_id,
                    term = now.term,
                    "finished a change of the voters left behind"
                );
            }
            Err(error) => {
                tracing::info!(node_id = now.node_id, %error, "a change of the membership is not finished yet")
            }
        }
    }
}
