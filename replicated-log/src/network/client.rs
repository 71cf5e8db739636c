//! What openraft sends to one peer.

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::anyerror::AnyError;
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::{Backoff, RPCOption, RPCTypes};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{RaftNetworkFactory, RaftNetworkV2};
use tonic::{Code, Status};

use super::peers::{Lane, Peers};
use super::{proto, wire};
use crate::NodeId;
use crate::counters::Event;
use crate::snapshot::{FRAME_BYTES, Image, SnapshotData};
use crate::type_config::{LogId, Node, Snapshot, TypeConfig, Vote};

/// Pause before an unreachable peer is tried again; constant, because a restarted peer shall be found at once.
const BACKOFF: Duration = Duration::from_millis(20);
/// Chunks of a snapshot read ahead of the network.
const CHUNKS_AHEAD: usize = 2;

/// Makes clients for openraft.
pub(crate) struct Factory<V> {
    peers: Peers,
    view: PhantomData<fn() -> V>,
}

impl<V> Factory<V> {
    pub(super) fn new(peers: Peers) -> Self {
        Factory {
            peers,
            view: PhantomData,
        }
    }

    fn client(&self, target: NodeId, node: &Node, lane: Lane) -> Client<V> {
        Client {
            peers: self.peers.clone(),
            target,
            address: node.addr.clone(),
            lane,
            view: PhantomData,
        }
    }
}

impl<V: Send + 'static> RaftNetworkFactory<TypeConfig> for Factory<V> {
    type Network = Client<V>;

    async fn new_client(&mut self, target: NodeId, node: &Node) -> Client<V> {
        self.client(target, node, Lane::Entries)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, node: &Node) -> Client<V> {
        self.client(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, node: &Node) -> Client<V> {
        self.client(target, node, Lane::Snapshots)
    }
}

/// Sends to one peer.
pub(crate) struct Client<V> {
    peers: Peers,
    target: NodeId,
    address: String,
    /// The lane of entries, heartbeats or snapshots; votes always take the control lane.
    lane: Lane,
    view: PhantomData<fn() -> V>,
}

impl<V> Client<V> {
    fn timeout(&self, action: RPCTypes, timeout: Duration) -> Timeout<TypeConfig> {
        Timeout {
            action,
            id: self.peers.node_id(),
            target: self.target,
            timeout,
        }
    }

    async fn bounded<T>(
        &self,
        action: RPCTypes,
        limit: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, RPCError<TypeConfig>> {
        match tokio::time::timeout(limit, call).await {
            Ok(answer) => answer.map_err(|status| rpc_error(&status)),
            Err(_) => Err(self.timeout(action, limit).into()),
        }
    }

    async fn ask_for_vote(
        &self,
        request: &VoteRequest<TypeConfig>,
        option: &RPCOption,
        pre_vote: bool,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = self.peers.sign(wire::vote_request(request), self.target)?;
            let mut client = self.peers.client(&self.address, Lane::Control)?;
            let reply = if pre_vote {
                client.pre_vote(message).await?
            } else {
                client.vote(message).await?
            };
            wire::parse_vote_reply(reply.into_inner())
        };
        self.bounded(RPCTypes::Vote, option.hard_ttl(), call).await
    }
}

/// A peer that is not there or refuses us is left alone for a moment; anything else is tried again at once.
fn rpc_error(status: &Status) -> RPCError<TypeConfig> {
    let error = AnyError::error(format!("{:?}: {}", status.code(), status.message()));
    match status.code() {
        Code::Unavailable | Code::FailedPrecondition | Code::Unauthenticated | Code::Unimplemented => {
            Unreachable::new(&error).into()
        }
        _ => NetworkError::new(&error).into(),
    }
}

impl<V: Send + 'static> RaftNetworkV2<TypeConfig> for Client<V> {
    type SnapshotData = SnapshotData<V>;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let last_log_id = last_log_id(&request);
        let call = async {
            let message = self.peers.sign(wire::append_request(&request)?, self.target)?;
            let reply = self.peers.client(&self.address, self.lane)?.append(message).await?;
            wire::parse_heartbeat_reply(reply.into_inner(), last_log_id)
        };
        self.bounded(RPCTypes::AppendEntries, option.hard_ttl(), call).await
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>>, RPCError<TypeConfig>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            // A request that cannot be encoded ends the stream; the core then starts another.
            let messages = input
                .map(|request| wire::append_request(&request))
                .take_while(|message| std::future::ready(message.is_ok()));
            let messages = messages.filter_map(|message| std::future::ready(message.ok()));
            let call = async {
                let messages = self.peers.sign(messages, self.target)?;
                self.peers
                    .client(&self.address, self.lane)?
                    .append_stream(messages)
                    .await
            };
            let replies = self
                .bounded(RPCTypes::AppendEntries, option.hard_ttl(), call)
                .await?
                .into_inner();
            let results = replies.map(|reply| {
                reply
                    .and_then(wire::parse_append_reply)
                    .map_err(|status| rpc_error(&status))
            });
            let results: BoxStream<'s, _> = Box::pin(results);
            Ok(results)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(&request, &option, false).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        self.ask_for_vote(&request, &option, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<Self::SnapshotData>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let log_index = snapshot.meta.last_log_id.map(|last| last.index);
        tracing::info!(
            node_id = self.peers.node_id(),
            target_node = self.target,
            log_index,
            "sending a snapshot"
        );
        let image = snapshot.snapshot.image;
        let call = async {
            let image_bytes = image.len().map_err(|error| Status::internal(error.to_string()))?;
            let header = proto::SnapshotHeader {
                vote: Some(wire::vote(&vote)),
                image_bytes,
            };
            let message = self.peers.sign(snapshot_chunks(header, image), self.target)?;
            let reply = self
                .peers
                .client(&self.address, Lane::Snapshots)?
                .install_snapshot(message)
                .await?;
            wire::parse_vote(reply.into_inner().vote)
        };
        tokio::select! {
            biased;
            sent = self.bounded(RPCTypes::InstallSnapshot, option.hard_ttl(), call) => {
                let higher = sent?;
                self.peers.store().counters().count(Event::SnapshotsSent);
                Ok(SnapshotResponse::new(higher))
            }
            closed = cancel => Err(closed.into()),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let call = async {
            let message = proto::TransferLeaderRequest {
                from_leader: Some(wire::vote(request.from_leader())),
                to_node: *request.to_node_id(),
                last_log_id: request.last_log_id().map(wire::log_id),
            };
            let message = self.peers.sign(message, self.target)?;
            self.peers
                .client(&self.address, Lane::Control)?
                .transfer_leader(message)
                .await
        };
        let reply = self
            .bounded(RPCTypes::TransferLeader, option.hard_ttl(), call)
            .await?
            .into_inner();
        match reply.refused {
            None => Ok(Ok(())),
            Some(reason) => Err(NetworkError::new(&AnyError::error(reason)).into()),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(std::iter::repeat(BACKOFF)))
    }
}

fn last_log_id(request: &AppendEntriesRequest<TypeConfig>) -> Option<LogId> {
    request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id)
}

/// The header, then the image; a file is read ahead on a blocking thread.
fn snapshot_chunks(
    header: proto::SnapshotHeader,
    image: Image,
) -> impl Stream<Item = proto::SnapshotChunk> + Send + 'static {
    use proto::snapshot_chunk::Part;
    let header = std::iter::once(Part::Header(header));
    let blocks = image.blocks();
    let parts = header.chain(ImageChunks { image, offset: 0 }.map(Part::Bytes));
    let mut messages = parts.map(|part| proto::SnapshotChunk { part: Some(part) });
    if !blocks {
        return futures_util::stream::iter(messages).left_stream();
    }
    let (sender, receiver) = tokio::sync::mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        // An error means that the transfer has ended.
        while messages
            .next()
            .is_some_and(|message| sender.blocking_send(message).is_ok())
        {}
    });
    tokio_stream::wrappers::ReceiverStream::new(receiver).right_stream()
}

struct ImageChunks {
    image: Image,
    offset: u64,
}

impl Iterator for ImageChunks {
    type Item = bytes::Bytes;

    fn next(&mut self) -> Option<bytes::Bytes> {
        match self.image.chunk(self.offset, FRAME_BYTES) {
            Ok(bytes) if bytes.is_empty() => None,
            Ok(bytes) => {
                self.offset += bytes.len() as u64;
                Some(bytes)
            }
            Err(error) => {
                // The receiver misses bytes and refuses the image.
                tracing::warn!(%error, "reading the snapshot for a peer");
                None
            }
        }
    }
}
