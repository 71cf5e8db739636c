//! Talking to peers.

pub(crate) mod server;

use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::*;
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use seams::Seams;
use tokio_util::sync::CancellationToken;

use crate::NodeId;
use crate::config::Config;
use crate::error::ReadError;
use crate::log_store::LogStore;
use crate::snapshot::SnapshotData;
use crate::type_config::*;

#[derive(Clone)]
pub(crate) struct Peers {}
impl Peers {
    pub(crate) fn new(_: &Config, _: Seams, _: LogStore, _: CancellationToken) -> Self {
        Peers {}
    }
    pub(crate) fn factory<V>(&self) -> Factory<V> {
        Factory(std::marker::PhantomData)
    }
    pub(crate) async fn read_index(&self, leader: NodeId, _t: Duration) -> Result<Option<LogId>, ReadError> {
        Err(ReadError::NotLeader { leader: Some(leader) })
    }
}
pub(crate) struct Factory<V>(std::marker::PhantomData<fn() -> V>);
pub(crate) struct Client<V>(std::marker::PhantomData<fn() -> V>);
impl<V: Send + 'static> RaftNetworkFactory<TypeConfig> for Factory<V> {
    type Network = Client<V>;
    async fn new_client(&mut self, _target: NodeId, _node: &Node) -> Client<V> {
        Client(std::marker::PhantomData)
    }
}
fn no() -> Unreachable<TypeConfig> {
    Unreachable::new(&std::io::Error::other("no network yet"))
}
impl<V: Send + 'static> RaftNetworkV2<TypeConfig> for Client<V> {
    type SnapshotData = SnapshotData<V>;
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(no().into())
    }
    async fn vote(
        &mut self,
        _: VoteRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Err(no().into())
    }
    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<Self::SnapshotData>,
        _: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        Err(no().into())
    }
}
