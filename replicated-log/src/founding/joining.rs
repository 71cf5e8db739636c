//! Joining a cluster that exists: learn its id, become a learner, catch up, become a voter. A replica that is removed
//! later does not come back by itself: the record that it joins is cleared once it votes.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{ASK_TIMEOUT, ROUND_PAUSE, storage_error};
use crate::counters::Event;
use crate::error::StartError;
use crate::log_store::{ClusterId, ClusterRecord};
use crate::network::PeerError;
use crate::network::server::Context;
use crate::state_machine::StateMachine;

/// For how long the member to join at may be away.
const CONTACT_PATIENCE: Duration = Duration::from_secs(10);
/// For how long a change of the membership may take.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// How many entries behind the leader a learner may be when it becomes a voter.
pub(crate) const LAG_MAX: u64 = 1000;

/// Learns and stores which cluster is joined.
pub(super) async fn adopt_cluster<S: StateMachine>(context: &Context<S>) -> Result<(), StartError> {
    let config = &context.config;
    let address = config.join.clone().unwrap_or_default();
    let failed = |reason: String| StartError::Join {
        address: address.clone(),
        reason,
    };
    let asked = tokio::time::timeout(CONTACT_PATIENCE, async {
        loop {
            match context.peers.identify(&address, ASK_TIMEOUT).await {
                Ok(reply) if reply.cluster_id.is_some() => return reply,
                Ok(_) => tracing::info!(
                    node_id = config.node_id,
                    address,
                    "the cluster to join is not founded yet"
                ),
                Err(error) => tracing::info!(node_id = config.node_id, %error, "the cluster to join does not answer"),
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    });
    let reply = asked
        .await
        .map_err(|_| failed(format!("no cluster answers within {CONTACT_PATIENCE:?}")))?;
    if reply.cluster_name != config.cluster_name {
        return Err(failed(format!(
            "it is cluster '{}', not '{}'",
            reply.cluster_name, config.cluster_name
        )));
    }
    let cluster_id = reply.cluster_id.unwrap_or_default();
    if reply.voters.contains_key(&config.node_id) {
        return Err(StartError::LostDirectory {
            node_id: config.node_id,
            peer: reply.node_id,
            cluster_id,
        });
    }
    let id: ClusterId = cluster_id
        .parse()
        .map_err(|error| failed(format!("cluster id '{cluster_id}': {error}")))?;
    let saved = context.store.save_cluster(ClusterRecord::joining(id)).await;
    saved.map_err(|error| storage_error(context, error))
}

/// Becomes a learner, then a voter.
pub(super) fn in_background<S: StateMachine>(context: &Context<S>, running: &TaskTracker, stop: &CancellationToken) {
    let context = context.clone();
    running.spawn(stop.clone().run_until_cancelled_owned(async move {
        let node_id = context.config.node_id;
        while !context.status.borrow().voters.contains_key(&node_id) {
            if let Err(error) = step(&context).await {
                tracing::info!(node_id, %error, "joining goes on");
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        context.store.counters().count(Event::ClustersJoined);
        tracing::info!(node_id, "joined the cluster as a voter");
        if let Some(cluster) = context.store.cluster()
            && let Err(error) = context.store.save_cluster(ClusterRecord::adopted(cluster.id)).await
        {
            tracing::error!(node_id, %error, "storing that this replica has joined");
        }
    }));
}

/// Asks for what is next.
async fn step<S: StateMachine>(context: &Context<S>) -> Result<(), PeerError> {
    let config = &context.config;
    let status = context.status.borrow().clone();
    // Once the leader is known by its messages, the member first contacted may go.
    let contact = status
        .leader
        .and_then(|leader| status.voters.get(&leader))
        .or(config.join.as_ref());
    let Some(contact) = contact else {
        return Ok(());
    };
    let reply = context.peers.identify(contact, ASK_TIMEOUT).await?;
    let Some(leader) = reply.leader.and_then(|leader| reply.voters.get(&leader)) else {
        return Ok(());
    };
    if !reply.learners.contains_key(&config.node_id) && !reply.voters.contains_key(&config.node_id) {
        return context
            .peers
            .ask_to_add_learner(leader, config.node_id, &config.advertise, CHANGE_TIMEOUT)
            .await;
    }
    let ours = context.store.last_log_id().map_or(0, |last| last.index);
    let theirs = reply.last_log_id.map_or(0, |last| last.index);
    if status.learners.contains_key(&config.node_id) && ours + LAG_MAX >= theirs {
        return context
            .peers
            .ask_to_promote(leader, config.node_id, CHANGE_TIMEOUT)
            .await;
    }
    Ok(())
}
