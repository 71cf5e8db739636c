//! stub
use super::Peers;
use crate::config::Config;
use crate::log::Raft;
use crate::log_store::LogStore;
use crate::snapshot::SnapshotStore;
use crate::state_machine::StateMachine;
use crate::status::Status;
use std::sync::Arc;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub(crate) struct Context<S: StateMachine> {
    pub(crate) config: Config,
    pub(crate) raft: Raft<S>,
    pub(crate) store: LogStore,
    pub(crate) peers: Peers,
    pub(crate) snapshots: Arc<SnapshotStore>,
    pub(crate) status: watch::Receiver<Status>,
}
pub(crate) async fn serve<S: StateMachine>(_c: Context<S>, _l: Box<dyn seams::Listener>, stop: CancellationToken) {
    stop.cancelled().await
}

impl<S: StateMachine> Clone for Context<S> {
    fn clone(&self) -> Self {
        Context {
            config: self.config.clone(),
            raft: self.raft.clone(),
            store: self.store.clone(),
            peers: self.peers.clone(),
            snapshots: self.snapshots.clone(),
            status: self.status.clone(),
        }
    }
}
