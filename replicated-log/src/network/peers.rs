//! The connections to other replicas, kept for as long as this replica runs, so that a new leader finds them open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use seams::Seams;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use super::closable::Closable;
use super::proto::admin_client::AdminClient;
use super::proto::peer_client::PeerClient;
use super::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_BYTES_MAX, Refusals, STREAM_WINDOW_BYTES,
    client, identity, proto, wire,
};
use crate::NodeId;
use crate::config::Config;
use crate::contact::LeaderContact;
use crate::error::ReadError;
use crate::log_store::{ClusterId, LogStore};
use crate::status::Status as ReplicaStatus;
use crate::type_config::LogId;

/// For how long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections kept at most; addresses come from the membership, so this is never reached in earnest.
const CHANNELS_MAX: usize = 256;

/// What a connection carries. Each kind has its own, so that a burst of one never delays another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Votes, heartbeats and questions: small and urgent.
    Control,
    /// Entries.
    Entries,
    /// Snapshots.
    Snapshots,
}

/// A question to a peer was not answered.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{address}: {reason}")]
pub(crate) struct PeerError {
    address: String,
    reason: String,
}

/// The way to all peers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Peers(Arc<Shared>);

struct Shared {
    node_id: NodeId,
    cluster_name: String,
    seams: Seams,
    store: LogStore,
    stop: CancellationToken,
    refusals: Refusals,
    contact: LeaderContact,
    channels: Mutex<BTreeMap<(String, Lane), Channel>>,
    status: std::sync::OnceLock<tokio::sync::watch::Receiver<ReplicaStatus>>,
}

impl Peers {
    pub(crate) fn new(config: &Config, seams: Seams, store: LogStore, stop: CancellationToken) -> Self {
        Peers(Arc::new(Shared {
            node_id: config.node_id,
            cluster_name: config.cluster_name.clone(),
            seams,
            store,
            stop,
            refusals: Refusals::default(),
            contact: LeaderContact::new(config.timers),
            channels: Mutex::new(BTreeMap::new()),
            status: std::sync::OnceLock::new(),
        }))
    }

    /// What openraft sends through.
    pub(crate) fn factory<V>(&self) -> client::Factory<V> {
        client::Factory::new(self.clone())
    }

    pub(crate) fn node_id(&self) -> NodeId {
        self.0.node_id
    }

    pub(crate) fn store(&self) -> &LogStore {
        &self.0.store
    }

    pub(crate) fn seams(&self) -> &Seams {
        &self.0.seams
    }

    pub(crate) fn contact(&self) -> &LeaderContact {
        &self.0.contact
    }

    pub(crate) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    /// The connection to `address`; opened when it is first used, and again after it broke.
    fn channel(&self, address: &str, lane: Lane) -> Result<Channel, Status> {
        let key = (address.to_owned(), lane);
        let mut channels = self.0.channels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(channel) = channels.get(&key) {
            return Ok(channel.clone());
        }
        if channels.len() >= CHANNELS_MAX {
            channels.clear();
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("address '{address}': {error}")))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
        let connector = {
            let (network, stop) = (Arc::clone(&self.0.seams.network), self.0.stop.clone());
            let address = address.to_owned();
            tower::service_fn(move |_: Uri| {
                let (network, stop, address) = (Arc::clone(&network), stop.clone(), address.clone());
                async move {
                    let stream = network.connect(&address).await?;
                    Ok::<_, std::io::Error>(TokioIo::new(Closable::new(stream, stop, None)))
                }
            })
        };
        let channel = endpoint.connect_with_connector_lazy(connector);
        channels.insert(key, channel.clone());
        Ok(channel)
    }

    pub(super) fn client(&self, address: &str, lane: Lane) -> Result<PeerClient<Channel>, Status> {
        let client = PeerClient::new(self.channel(address, lane)?);
        Ok(client
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    fn admin(&self, address: &str) -> Result<AdminClient<Channel>, Status> {
        Ok(AdminClient::new(self.channel(address, Lane::Control)?))
    }

    pub(super) fn sign<T>(&self, message: T, to: NodeId) -> Result<Request<T>, Status> {
        identity::sign(message, &self.0.store, self.0.node_id, to)
    }

    /// Asks a replica who it is.
    pub(crate) async fn identify(&self, address: &str, timeout: Duration) -> Result<proto::IdentifyReply, PeerError> {
        let request = proto::IdentifyRequest {
            cluster_name: self.0.cluster_name.clone(),
            node_id: self.0.node_id,
        };
        bounded(address, timeout, async {
            self.client(address, Lane::Control)?.identify(request).await
        })
        .await
    }

    /// Makes a new replica remember its cluster.
    pub(crate) async fn adopt(
        &self,
        address: &str,
        to_node: NodeId,
        cluster_id: ClusterId,
        timeout: Duration,
    ) -> Result<(), PeerError> {
        let request = proto::AdoptRequest {
            cluster_name: self.0.cluster_name.clone(),
            to_node,
            cluster_id: cluster_id.to_string(),
        };
        let adopted = bounded(address, timeout, async {
            self.client(address, Lane::Control)?.adopt(request).await
        });
        adopted.await.map(|proto::AdoptReply {}| ())
    }

    /// Asks the leader to add this replica, for a replica that joins.
    pub(crate) async fn ask_to_add_learner(
        &self,
        leader: &str,
        node_id: NodeId,
        address: &str,
        timeout: Duration,
    ) -> Result<(), PeerError> {
        let request = proto::AddLearnerRequest {
            node_id,
            address: address.to_owned(),
        };
        let added = bounded(leader, timeout, async {
            self.admin(leader)?.add_learner(request).await
        });
        added.await.map(|proto::MembershipReply {}| ())
    }

    /// Asks the leader to promote this replica, for a replica that joins.
    pub(crate) async fn ask_to_promote(
        &self,
        leader: &str,
        node_id: NodeId,
        timeout: Duration,
    ) -> Result<(), PeerError> {
        let request = proto::PromoteRequest { node_id };
        let promoted = bounded(leader, timeout, async { self.admin(leader)?.promote(request).await });
        promoted.await.map(|proto::MembershipReply {}| ())
    }

    /// Where the members are, once the status is known.
    pub(crate) fn watch_status(&self, status: tokio::sync::watch::Receiver<ReplicaStatus>) {
        // Set once, at the start.
        drop(self.0.status.set(status));
    }

    fn address_of(&self, node_id: NodeId) -> Option<String> {
        let status = self.0.status.get()?.borrow();
        status
            .voters
            .get(&node_id)
            .or_else(|| status.learners.get(&node_id))
            .cloned()
    }

    /// Asks the leader up to where a linearizable read must have applied.
    pub(crate) async fn read_index(&self, leader: NodeId, timeout: Duration) -> Result<Option<LogId>, ReadError> {
        let address = self
            .address_of(leader)
            .ok_or(ReadError::NotLeader { leader: Some(leader) })?;
        let asked = async {
            let request = self.sign(proto::ReadIndexRequest {}, leader)?;
            self.client(&address, Lane::Control)?.read_index(request).await
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(Ok(reply)) => Ok(reply.into_inner().log_id.map(wire::parse_log_id)),
            Ok(Err(status)) if status.code() == tonic::Code::FailedPrecondition => {
                Err(ReadError::NotLeader { leader: Some(leader) })
            }
            Ok(Err(status)) => Err(ReadError::Unavailable {
                reason: format!("leader {leader} at {address}: {}", status.message()),
            }),
            Err(_) => Err(ReadError::Unavailable {
                reason: format!("leader {leader} at {address} did not answer within {timeout:?}"),
            }),
        }
    }
}

async fn bounded<T>(
    address: &str,
    timeout: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, PeerError> {
    let reason = match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => return Ok(response.into_inner()),
        Ok(Err(status)) => status.message().to_owned(),
        Err(_) => format!("no answer within {timeout:?}"),
    };
    Err(PeerError {
        address: address.to_owned(),
        reason,
    })
}
