//! Turns openraft's metrics, the store's health and the silence of the leader into [`Status`], and says what changed.

use std::future::Future;
use std::sync::Arc;

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::metrics::RaftMetrics;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Raft;
use crate::config::Config;
use crate::contact::LeaderContact;
use crate::counters::Event;
use crate::log_store::{LogStore, StorageHealth};
use crate::state_machine::StateMachine;
use crate::status::{Role, Status, StoredVote};
use crate::type_config::{TypeConfig, position};

/// Says that the replica does nothing any more.
pub(super) fn stopped(status: &watch::Sender<Status>) {
    status.send_modify(|published| {
        published.running = false;
        published.role = Role::Learner;
        published.leader = published.leader.filter(|leader| *leader != published.node_id);
    });
}

/// The status, and the loop that keeps it up to date until the core stops. When the replica is broken it cancels
/// `stop`.
pub(super) fn status_loop<S: StateMachine>(
    config: &Config,
    raft: Raft<S>,
    store: LogStore,
    contact: &LeaderContact,
    stop: CancellationToken,
) -> (Arc<watch::Sender<Status>>, impl Future<Output = ()> + use<S>) {
    let mut metrics = raft.metrics();
    let mut health = store.health();
    let mut cluster = store.watch_cluster();
    let first = status_of(&metrics.borrow_watched(), &store, &health.borrow());
    let sender = Arc::new(watch::channel(first).0);
    let published = Arc::clone(&sender);
    let node_id = config.node_id;
    let contact = contact.clone();
    let work = async move {
        loop {
            tokio::select! {
                biased;
                changed = metrics.changed() => if changed.is_err() { break },
                changed = health.changed() => if changed.is_err() { break },
                changed = cluster.changed() => if changed.is_err() { break },
                () = tokio::time::sleep(contact.interval()) => {}
            }
            let mut status = status_of(&metrics.borrow_watched(), &store, &health.borrow_and_update());
            // openraft itself goes on naming it.
            if status.leader.is_some_and(|leader| leader != node_id) && contact.is_lost() {
                status.leader = None;
            }
            sender.send_if_modified(|published| {
                report(node_id, published, &status);
                if status.disk_full && !published.disk_full {
                    store.counters().count(Event::DiskFullEpisodes);
                }
                let modified = *published != status;
                *published = status;
                modified
            });
            if sender.borrow().fatal.is_some() {
                // The others shall see broken connections now and not wait for their timers.
                stop.cancel();
                return;
            }
        }
        stopped(&sender);
    };
    (published, work)
}

fn report(node_id: u64, before: &Status, after: &Status) {
    if before.role != after.role || before.leader != after.leader || before.term != after.term {
        let log_index = after.last_log;
        tracing::info!(node_id, term = after.term, role = ?after.role, leader = ?after.leader, log_index, "leadership changed");
    }
    if before.voters != after.voters || before.learners != after.learners {
        tracing::info!(node_id, voters = ?after.voters, learners = ?after.learners, "membership changed");
    }
    if let (None, Some(reason)) = (&before.fatal, &after.fatal) {
        tracing::error!(node_id, reason, "the replica is broken and must be restarted");
    }
}

fn status_of(metrics: &RaftMetrics<TypeConfig>, store: &LogStore, health: &StorageHealth) -> Status {
    let membership = metrics.membership_config.membership();
    let voter_ids: std::collections::BTreeSet<_> = membership.voter_ids().collect();
    let nodes = || membership.nodes().map(|(id, node)| (*id, node.addr.clone()));
    let (voters, learners) = nodes().partition(|(id, _)| voter_ids.contains(id));
    let stopped = metrics.running_state.as_ref().err();
    let fatal = match health {
        StorageHealth::Failed(reason) => Some(reason.clone()),
        StorageHealth::Working | StorageHealth::Full => stopped.and_then(|fatal| match fatal {
            openraft::errors::Fatal::Stopped => None,
            other => Some(other.to_string()),
        }),
    };
    Status {
        node_id: metrics.id,
        cluster_id: store.cluster().map(|cluster| cluster.id.to_string()),
        term: metrics.current_term,
        role: match metrics.state {
            _ if stopped.is_some() || fatal.is_some() => Role::Learner,
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Follower,
            ServerState::Learner | ServerState::Shutdown => Role::Learner,
        },
        leader: metrics.current_leader,
        vote: StoredVote {
            term: metrics.vote.leader_id.term,
            node_id: metrics.vote.leader_id.node_id,
            committed: metrics.vote.committed,
        },
        last_log: metrics.last_log_index,
        committed: metrics.local_committed.as_ref().map(position),
        applied: metrics.last_applied.as_ref().map(position),
        snapshot: metrics.snapshot.as_ref().map(position),
        purged: metrics.purged.as_ref().map(position),
        voters,
        learners,
        is_joint: membership.get_joint_config().len() > 1,
        matched: metrics
            .replication
            .iter()
            .flatten()
            .map(|(id, log_id)| (*id, log_id.as_ref().map(|log_id| log_id.index)))
            .collect(),
        disk_full: *health == StorageHealth::Full,
        running: stopped.is_none() && fatal.is_none(),
        fatal,
    }
}
