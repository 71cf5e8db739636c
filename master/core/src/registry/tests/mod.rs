//! What commands do, by topic; each test is named for the fact it proves.

mod agents;
mod events;
mod frameworks;
mod operations;
mod quotas;
mod random;
mod snapshots;
mod tasks;

use proto::internal::StatusUpdate;
use proto::v1::TaskState;

use crate::effect::Effect;
use crate::outcome::Applied;

/// The updates for frameworks among the effects.
fn forwarded(applied: &Applied) -> Vec<&StatusUpdate> {
    applied
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::ForwardStatus { update, .. } => Some(&**update),
            _ => None,
        })
        .collect()
}

/// Their states.
fn forwarded_states(applied: &Applied) -> Vec<TaskState> {
    forwarded(applied).iter().map(|update| update.status.state()).collect()
}
