//! Answers peers: checks who calls, converts, and hands over to openraft.

use std::io::Write;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use openraft::raft::{AppendEntriesResponse, StreamAppendError, TransferLeaderRequest};
use planted::{Bug, is_planted};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming};

use super::proto::peer_server::Peer;
use super::proto::snapshot_chunk::Part;
use super::server::Context;
use super::{identity, proto, wire};
use crate::counters::{Cause, Event};
use crate::error::ReadError;
use crate::log::read_index;
use crate::log_store::{ClusterId, ClusterRecord};
use crate::snapshot::{Image, ImageWriter, SnapshotData};
use crate::state_machine::StateMachine;
use crate::type_config::Vote;

pub(super) struct PeerService<S: StateMachine> {
    context: Context<S>,
    /// One snapshot is received at a time.
    receiving: Arc<Semaphore>,
}

impl<S: StateMachine> PeerService<S> {
    pub(super) fn new(context: Context<S>) -> Self {
        PeerService {
            context,
            receiving: Arc::new(Semaphore::new(1)),
        }
    }

    fn count(&self, event: Event) {
        self.context.store.counters().count(event);
    }

    fn check<T>(&self, request: Request<T>) -> Result<T, Status> {
        let Context {
            store, config, peers, ..
        } = &self.context;
        identity::check(request.metadata(), store, config.node_id, peers.refusals())?;
        Ok(request.into_inner())
    }
}

fn unavailable(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl<S: StateMachine> Peer for PeerService<S> {
    async fn identify(
        &self,
        request: Request<proto::IdentifyRequest>,
    ) -> Result<Response<proto::IdentifyReply>, Status> {
        let Context {
            config, store, status, ..
        } = &self.context;
        tracing::debug!(
            node_id = config.node_id,
            from = request.get_ref().node_id,
            "asked who this is"
        );
        let status = status.borrow().clone();
        Ok(Response::new(proto::IdentifyReply {
            cluster_name: config.cluster_name.clone(),
            node_id: config.node_id,
            cluster_id: store.cluster().map(|cluster| cluster.id.to_string()),
            pristine: store.is_pristine(),
            initial_members: config.initial_members.clone(),
            voters: status.voters,
            learners: status.learners,
            last_log_id: store.last_log_id().as_ref().map(wire::log_id),
            leader: status.leader,
        }))
    }

    async fn adopt(&self, request: Request<proto::AdoptRequest>) -> Result<Response<proto::AdoptReply>, Status> {
        let Context { config, store, .. } = &self.context;
        let request = request.into_inner();
        if request.cluster_name != config.cluster_name || request.to_node != config.node_id {
            return Err(Status::failed_precondition(format!(
                "node {} of cluster '{}' is meant, this is node {} of cluster '{}'",
                request.to_node, request.cluster_name, config.node_id, config.cluster_name
            )));
        }
        let id: ClusterId = request
            .cluster_id
            .parse()
            .map_err(|error| Status::invalid_argument(format!("cluster id '{}': {error}", request.cluster_id)))?;
        match store.cluster() {
            Some(cluster) if cluster.id == id => {}
            Some(cluster) => {
                let text = format!("this replica belongs to cluster {}, not {id}", cluster.id);
                return Err(Status::failed_precondition(text));
            }
            None if config.join.is_some() || !store.is_pristine() => {
                return Err(Status::failed_precondition("this replica does not wait for a founder"));
            }
            // Durable before the answer: the founder lets nobody vote before all have answered.
            None => {
                store
                    .save_cluster(ClusterRecord::adopted(id))
                    .await
                    .map_err(unavailable)?;
                store.counters().count(Event::ClustersAdopted);
                tracing::info!(node_id = config.node_id, cluster_id = %id, "became a member of a new cluster");
            }
        }
        Ok(Response::new(proto::AdoptReply {}))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteReply>, Status> {
        let request = wire::parse_vote_request(self.check(request)?)?;
        let response = self.context.raft.vote(request).await.map_err(unavailable)?;
        if !response.vote_granted {
            self.count(Event::VotesRefused);
        }
        Ok(Response::new(wire::vote_reply(&response)))
    }

    async fn pre_vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteReply>, Status> {
        let request = wire::parse_vote_request(self.check(request)?)?;
        let response = self.context.raft.pre_vote(request).await.map_err(unavailable)?;
        if !response.vote_granted {
            self.count(Event::PreVotesRefused);
        }
        Ok(Response::new(wire::vote_reply(&response)))
    }

    async fn append(&self, request: Request<proto::AppendRequest>) -> Result<Response<proto::AppendReply>, Status> {
        let request = wire::parse_append_request(self.check(request)?)?;
        self.context.peers.contact().heard();
        let prev_log_id = request.prev_log_id;
        let last_log_id = request.entries.last().map(|entry| entry.log_id).or(prev_log_id);
        let response = self.context.raft.append_entries(request).await.map_err(unavailable)?;
        if response == AppendEntriesResponse::Conflict {
            self.count(Event::AppendsRefused);
        }
        Ok(Response::new(wire::heartbeat_reply(
            response,
            prev_log_id,
            last_log_id,
        )?))
    }

    type AppendStreamStream = Pin<Box<dyn Stream<Item = Result<proto::AppendReply, Status>> + Send>>;

    async fn append_stream(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStreamStream>, Status> {
        let node_id = self.context.config.node_id;
        let messages = self.check(request)?;
        let contact = self.context.peers.contact().clone();
        let status = self.context.status.clone();
        // The first broken message ends the stream; what came before it counts.
        let requests = messages.scan((), move |(), message| {
            contact.heard();
            let mut parsed = message.and_then(wire::parse_append_request);
            if is_planted(Bug::SkipTermCheck)
                && let Ok(request) = &mut parsed
            {
                let known = status.borrow().vote;
                if known.committed
                    && (known.term, known.node_id) > (request.vote.leader_id.term, request.vote.leader_id.node_id)
                {
                    request.vote.leader_id.term = known.term;
                    request.vote.leader_id.node_id = known.node_id;
                }
            }
            let parsed = parsed.inspect_err(|status| {
                tracing::info!(node_id, reason = status.message(), "a stream of entries ended");
            });
            std::future::ready(parsed.ok())
        });
        let replies = self.context.raft.stream_append(requests);
        let counters = self.context.store.counters().clone();
        let replies = replies.map(move |reply| match reply {
            Ok(result) => {
                if matches!(result, Err(StreamAppendError::Conflict(_))) {
                    counters.count(Event::AppendsRefused);
                }
                Ok(wire::append_reply(&result))
            }
            Err(fatal) => Err(unavailable(fatal)),
        });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotChunk>>,
    ) -> Result<Response<proto::SnapshotReply>, Status> {
        let chunks = self.check(request)?;
        let _permit = self
            .receiving
            .try_acquire()
            .map_err(|_| Status::unavailable("this replica receives another snapshot"))?;
        let (vote, image) = self
            .receive(chunks)
            .await
            .inspect_err(|_| self.count(Event::SnapshotsRefused))?;
        let received = image.clone();
        let installed = self.install(vote, image).await;
        // If it was not taken over, its file is in nobody's use.
        if let Err(error) = received.discard_if_partial() {
            tracing::warn!(node_id = self.context.config.node_id, %error, "removing a snapshot that was not installed");
        }
        if installed.is_err() {
            self.count(Event::SnapshotsRefused);
        }
        installed.map(Response::new)
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderReply>, Status> {
        let request = self.check(request)?;
        let from_leader = wire::parse_vote(request.from_leader)?;
        let (counters, term) = (self.context.store.counters(), from_leader.leader_id.term);
        // The request also reaches those who shall not campaign.
        if request.to_node == self.context.config.node_id {
            counters.expect_campaign(term, Some(Cause::Transfer));
        }
        let request = TransferLeaderRequest::new(
            from_leader,
            request.to_node,
            request.last_log_id.map(wire::parse_log_id),
        );
        let response = self
            .context
            .raft
            .handle_transfer_leader(request)
            .await
            .map_err(unavailable)?;
        if response.is_err() {
            counters.expect_campaign(term, None);
        }
        Ok(Response::new(proto::TransferLeaderReply {
            refused: response.err().map(|error| error.to_string()),
        }))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Result<Response<proto::ReadIndexReply>, Status> {
        let proto::ReadIndexRequest {} = self.check(request)?;
        match read_index(&self.context.raft).await {
            Ok(log_id) => Ok(Response::new(proto::ReadIndexReply {
                log_id: log_id.as_ref().map(wire::log_id),
            })),
            Err(error @ ReadError::NotLeader { .. }) => Err(Status::failed_precondition(error.to_string())),
            Err(error) => Err(unavailable(error)),
        }
    }
}

impl<S: StateMachine> PeerService<S> {
    /// Receives an image into a file of its own.
    async fn receive(&self, mut chunks: Streaming<proto::SnapshotChunk>) -> Result<(Vote, Image), Status> {
        let header = match chunks.message().await?.and_then(|chunk| chunk.part) {
            Some(Part::Header(header)) => header,
            _ => return Err(Status::invalid_argument("the snapshot does not start with its header")),
        };
        let vote = wire::parse_vote(header.vote)?;
        let mut writer: ImageWriter = self.context.snapshots.create().map_err(unavailable)?;
        while let Some(chunk) = chunks.message().await? {
            self.context.peers.contact().heard();
            let Some(Part::Bytes(bytes)) = chunk.part else {
                return Err(Status::invalid_argument("a chunk of the snapshot has no bytes"));
            };
            let written = self.context.snapshots.off_the_runtime(move || {
                writer.write_all(&bytes)?;
                Ok(writer)
            });
            writer = written.await.map_err(unavailable)?;
        }
        let image = self
            .context
            .snapshots
            .off_the_runtime(move || writer.finish())
            .await
            .map_err(unavailable)?;
        let received = image.len().map_err(unavailable)?;
        if received != header.image_bytes {
            image.discard_if_partial().map_err(unavailable)?;
            let text = format!(
                "{received} bytes of the snapshot came, {} were announced",
                header.image_bytes
            );
            return Err(Status::data_loss(text));
        }
        Ok((vote, image))
    }

    /// Checks and decodes the image, then lets openraft take it over.
    async fn install(&self, vote: Vote, image: Image) -> Result<proto::SnapshotReply, Status> {
        let read = image.clone();
        let read = self
            .context
            .snapshots
            .off_the_runtime(move || read.read_view::<S>())
            .await;
        let (meta, view) = read.map_err(|error| Status::data_loss(format!("the snapshot: {error}")))?;
        let snapshot = openraft::Snapshot {
            meta,
            snapshot: SnapshotData {
                image,
                view: Some(view),
            },
        };
        let response = self
            .context
            .raft
            .install_full_snapshot(vote, snapshot)
            .await
            .map_err(unavailable)?;
        Ok(proto::SnapshotReply {
            vote: Some(wire::vote(&response.vote)),
        })
    }
}
