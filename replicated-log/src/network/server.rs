//! Accepts peers and operators' tools. Bytes that are not HTTP/2 end their own connection and nothing else.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::Stream;
use seams::Listener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Server;

use super::admin_service::AdminService;
use super::closable::Closable;
use super::peer_service::PeerService;
use super::proto::admin_server::{AdminServer, SERVICE_NAME as ADMIN_SERVICE};
use super::proto::peer_server::PeerServer;
use super::{
    CONNECTION_WINDOW_BYTES, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT, MESSAGE_BYTES_MAX, Peers, STREAM_WINDOW_BYTES,
};
use crate::batcher::Pause;
use crate::config::Config;
use crate::log::Raft;
use crate::log_store::LogStore;
use crate::snapshot::SnapshotStore;
use crate::state_machine::StateMachine;
use crate::status::Status;

/// Connections at once; each peer has four. More are closed at once.
const CONNECTIONS_MAX: usize = 1024;
/// Pause after a failed accept, which mostly means that the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What answers need.
pub(crate) struct Context<S: StateMachine> {
    pub(crate) config: Config,
    pub(crate) raft: Raft<S>,
    pub(crate) store: LogStore,
    pub(crate) peers: Peers,
    pub(crate) snapshots: Arc<SnapshotStore>,
    pub(crate) pause: Pause,
    pub(crate) status: watch::Receiver<Status>,
}

impl<S: StateMachine> Clone for Context<S> {
    fn clone(&self) -> Self {
        Context {
            config: self.config.clone(),
            raft: self.raft.clone(),
            store: self.store.clone(),
            peers: self.peers.clone(),
            snapshots: Arc::clone(&self.snapshots),
            pause: self.pause.clone(),
            status: self.status.clone(),
        }
    }
}

/// Serves until `stop`.
pub(crate) async fn serve<S: StateMachine>(context: Context<S>, listener: Box<dyn Listener>, stop: CancellationToken) {
    let node_id = context.config.node_id;
    let peer = PeerServer::new(PeerService::new(context.clone()))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let admin = AdminServer::new(AdminService::new(context));
    let served = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .serve_with_incoming_shutdown(
            Dispatch { peer, admin },
            incoming(listener, stop.clone()),
            stop.cancelled_owned(),
        )
        .await;
    if let Err(error) = served {
        tracing::error!(node_id, %error, "serving peers ended");
    }
}

/// Tells the two services apart by the path.
struct Dispatch<S: StateMachine> {
    peer: PeerServer<PeerService<S>>,
    admin: AdminServer<AdminService<S>>,
}

impl<S: StateMachine> Clone for Dispatch<S> {
    fn clone(&self) -> Self {
        Dispatch {
            peer: self.peer.clone(),
            admin: self.admin.clone(),
        }
    }
}

impl<S: StateMachine> Service<http::Request<Body>> for Dispatch<S> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut std::task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let is_admin = request
            .uri()
            .path()
            .strip_prefix('/')
            .is_some_and(|path| path.starts_with(ADMIN_SERVICE));
        if is_admin {
            self.admin.call(request)
        } else {
            self.peer.call(request)
        }
    }
}

struct Accepting {
    listener: Box<dyn Listener>,
    stop: CancellationToken,
    permits: Arc<Semaphore>,
}

fn incoming(listener: Box<dyn Listener>, stop: CancellationToken) -> impl Stream<Item = std::io::Result<Closable>> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    futures_util::stream::unfold(
        Accepting {
            listener,
            stop,
            permits,
        },
        |mut accepting| async move {
            let connection = accepting.next().await;
            Some((Ok(connection), accepting))
        },
    )
}

impl Accepting {
    async fn next(&mut self) -> Closable {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => match Arc::clone(&self.permits).try_acquire_owned() {
                    Ok(permit) => return Closable::new(stream, self.stop.clone(), Some(permit)),
                    Err(_) => tracing::warn!(%peer, "closed a connection: there are {CONNECTIONS_MAX} already"),
                },
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}
