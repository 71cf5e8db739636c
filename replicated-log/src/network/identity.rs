//! Who may talk to whom: every call between replicas names the caller's cluster and the node that is meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::NodeId;
use crate::log_store::{ClusterId, LogStore};

pub(super) const CLUSTER_ID: &str = "cluster-id";
pub(super) const FROM_NODE: &str = "from-node";
pub(super) const TO_NODE: &str = "to-node";

/// How many calls were refused. Clones count together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Refusals(Arc<AtomicU64>);

impl Refusals {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Puts the caller's identity into a request; fails while this replica belongs to no cluster.
pub(super) fn sign<T>(message: T, store: &LogStore, from: NodeId, to: NodeId) -> Result<Request<T>, Status> {
    let cluster = store
        .cluster()
        .ok_or_else(|| Status::failed_precondition("this replica belongs to no cluster yet"))?;
    let mut request = Request::new(message);
    for (key, value) in [
        (CLUSTER_ID, cluster.id.to_string()),
        (FROM_NODE, from.to_string()),
        (TO_NODE, to.to_string()),
    ] {
        let value = value
            .parse()
            .map_err(|_| Status::internal(format!("{key} is not a header")))?;
        request.metadata_mut().insert(key, value);
    }
    Ok(request)
}

/// Checks a call; refused calls are counted.
pub(super) fn check(
    metadata: &MetadataMap,
    store: &LogStore,
    node_id: NodeId,
    refusals: &Refusals,
) -> Result<(), Status> {
    let checked = check_cluster(metadata, store).and_then(|()| check_node(metadata, node_id));
    if let Err(status) = &checked {
        refusals.add();
        let from = metadata
            .get(FROM_NODE)
            .and_then(|from| from.to_str().ok())
            .unwrap_or("?");
        tracing::info!(node_id, from, reason = status.message(), "refused a call");
    }
    checked
}

fn text<'a>(metadata: &'a MetadataMap, key: &str) -> Result<&'a str, Status> {
    let value = metadata.get(key).and_then(|value| value.to_str().ok());
    value.ok_or_else(|| Status::unauthenticated(format!("the call has no {key}")))
}

/// Checks that the call names this replica's cluster.
fn check_cluster(metadata: &MetadataMap, store: &LogStore) -> Result<(), Status> {
    let named: ClusterId = text(metadata, CLUSTER_ID)?
        .parse()
        .map_err(|_| Status::unauthenticated(format!("the {CLUSTER_ID} is not one")))?;
    match store.cluster() {
        Some(cluster) if cluster.id == named => Ok(()),
        Some(cluster) => Err(Status::failed_precondition(format!(
            "cluster id {named} of the caller is not {} of this replica",
            cluster.id
        ))),
        None => Err(Status::failed_precondition("this replica belongs to no cluster yet")),
    }
}

fn check_node(metadata: &MetadataMap, node_id: NodeId) -> Result<(), Status> {
    let meant = text(metadata, TO_NODE)?;
    if meant.parse() == Ok(node_id) {
        return Ok(());
    }
    Err(Status::failed_precondition(format!(
        "node {meant} is meant, this is node {node_id}"
    )))
}

/// Checks an operator's call, which may leave the cluster out.
pub(super) fn check_admin(metadata: &MetadataMap, store: &LogStore, refusals: &Refusals) -> Result<(), Status> {
    if metadata.get(CLUSTER_ID).is_none() {
        return Ok(());
    }
    check_cluster(metadata, store).inspect_err(|_| refusals.add())
}
