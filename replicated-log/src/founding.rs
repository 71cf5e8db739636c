//! stub
use crate::error::StartError;
use crate::log_store::{ClusterId, ClusterRecord};
use crate::network::server::Context;
use crate::state_machine::StateMachine;
use crate::type_config::Node;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) async fn settle<S: StateMachine>(
    c: &Context<S>,
    _r: &TaskTracker,
    _s: &CancellationToken,
) -> Result<(), StartError> {
    if c.store.cluster().is_none() {
        let bytes = *uuid::Uuid::new_v4().as_bytes();
        c.store
            .save_cluster(ClusterRecord {
                id: ClusterId(bytes),
                founder: true,
            })
            .await
            .map_err(|e| StartError::Core(e.to_string()))?;
        let members: std::collections::BTreeMap<_, _> = c
            .config
            .initial_members
            .iter()
            .map(|(k, v)| (*k, Node::new(v)))
            .collect();
        c.raft
            .initialize(members)
            .await
            .map_err(|e| StartError::Core(e.to_string()))?;
    }
    Ok(())
}
