//! One master replica: starts the replicated log, the actor and the port, and stops them in the right order.

use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Links, Message, Server, Service, Upid};
use master_core::Registry;
use replicated_log::{Counters, LogPosition, ReplicatedLog, Status, Timers};
use seams::Seams;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::actor::{self, Context, Inbox, MAILBOX};
use crate::config::{Config, ConfigError};
use crate::event_log::{EVENT_BYTES_MAX, EventLog};
use crate::http::Edge;
use crate::leader::LeaderView;
use crate::metrics::Metrics;
use crate::state_machine::{Published, ReplicatedRegistry};

/// Time streams get to end cleanly when the master stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// For how long a master that stops waits until another has announced that it leads.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(2);

/// For how long a master that has handed over still redirects: calls that its clients are about to make shall find an
/// answer and not a closed connection.
const LINGER: Duration = Duration::from_millis(200);

/// Broken connections waiting for the actor.
const EXITED_QUEUED: usize = 4_096;

/// Why a master does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A flag is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The HTTP port cannot be bound.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The replicated log does not start; its text says what to do.
    #[error(transparent)]
    Log(#[from] replicated_log::StartError),
}

/// A running master replica.
#[derive(Debug)]
pub struct Master {
    context: Arc<Context>,
    server: Server,
    actor: JoinHandle<()>,
}

/// The port opens before the log is up, so that the advertised address is known; until then every answer is 503.
#[derive(Debug, Default)]
struct Starting(OnceLock<Edge>);

impl Service for Starting {
    fn knows_actor(&self, id: &str) -> bool {
        self.0.get().is_none_or(|edge| edge.knows_actor(id))
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        match self.0.get() {
            Some(edge) => edge.deliver(message),
            // Peers repeat what matters.
            None => Box::pin(std::future::ready(())),
        }
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        match self.0.get() {
            Some(edge) => edge.handle(request),
            None => Box::pin(std::future::ready(HttpResponse::text(
                503,
                "Master has not finished recovery",
            ))),
        }
    }
}

impl Master {
    /// Starts a replica: binds the HTTP port, opens the log, joins its peers.
    ///
    /// Errors: a wrong flag, a port in use, or a data directory that must not be used; each says what to do.
    pub async fn start(config: Config, seams: Seams) -> Result<Master, StartError> {
        config.validate()?;
        let listen = SocketAddr::new(config.ip.into(), config.port);
        let starting = Arc::new(Starting::default());
        let limits = Limits {
            max_body_bytes: config.max_body_bytes,
            ..Limits::default()
        };
        let bound = |source| StartError::Listen {
            address: listen,
            source,
        };
        let server = Server::start(seams.clone(), listen, limits, starting.clone())
            .await
            .map_err(bound)?;
        let pid = advertised(&config, server.local_addr());
        let hostname = config.hostname.clone().unwrap_or_else(|| pid.address.ip().to_string());

        let empty = Published {
            registry: Registry::default(),
            applied: LogPosition::default(),
        };
        let published = Arc::new(ArcSwap::from_pointee(empty));
        #[expect(
            clippy::disallowed_methods,
            reason = "apply must not wait for the actor; only this leadership proposes, and proposals are limited"
        )]
        let (feed, batches) = mpsc::unbounded_channel();
        let (announced_sender, announced) = watch::channel(0);
        let event_log = Arc::new(EventLog::new(EVENT_BYTES_MAX));
        let metrics = Arc::new(Metrics::default());
        let machine = ReplicatedRegistry::new(
            config.node_id,
            published.clone(),
            event_log.clone(),
            announced_sender,
            feed,
            metrics.clone(),
        );
        let log = start_log(&config, seams.clone(), machine).await?;

        let (exited_sender, exited) = mpsc::channel(EXITED_QUEUED);
        #[expect(
            clippy::disallowed_methods,
            reason = "one completion per proposal, and proposals are limited"
        )]
        let (completions_sender, completions) = mpsc::unbounded_channel();
        let (mailbox_sender, mailbox) = mpsc::channel(MAILBOX);
        let context = Arc::new(Context {
            links: Links::new(seams.clone(), pid.address, exited_sender),
            log,
            pid,
            hostname,
            validation: master_core::validate::Config {
                roles: config.roles.as_ref().map(|roles| roles.iter().cloned().collect()),
                root_submissions: config.root_submissions,
            },
            published,
            event_log,
            event_streams: Arc::default(),
            metrics,
            completions: completions_sender,
            mailbox: mailbox_sender,
            leader: watch::Sender::new(LeaderView::Unknown),
            started_at: seams.clock.now_micros(),
            seams,
            config,
        });
        let inbox = Inbox {
            mailbox,
            batches,
            completions,
            exited,
            announced,
        };
        let actor = tokio::spawn(actor::run(context.clone(), inbox));
        if starting.0.set(Edge::new(context.clone())).is_err() {
            tracing::error!("the port was handed to two masters");
        }
        tracing::info!(
            node_id = context.config.node_id,
            pid = %context.pid,
            cluster = context.config.cluster,
            "master started"
        );
        Ok(Master { context, server, actor })
    }

    /// The address really bound for HTTP and libprocess messages.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// What its leaderships share.
    #[cfg(test)]
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// Raft's state of this replica.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.context.log.status()
    }

    /// What this replica's log has done since it was started.
    pub fn log_counters(&self) -> &Counters {
        self.context.log.counters()
    }

    /// All counters of this replica by their names in `/metrics/snapshot`, since it was started.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        crate::http::metrics::counters(&self.context)
    }

    /// The hash of the registry as last applied here, with the index it was applied at. Equal index, equal hash, on
    /// every replica.
    pub fn state_hash(&self) -> (u64, u128) {
        let published = self.context.published.load();
        (published.applied.index, published.registry.state_hash())
    }

    /// Writes a snapshot soon, however few entries there are since the last one. For tests.
    ///
    /// Errors: the replica has stopped.
    pub async fn snapshot(&self) -> Result<(), replicated_log::ProposeError> {
        self.context.log.snapshot().await
    }

    /// Resolves with the reason when this replica can no longer work (its disk failed, an invariant broke).
    pub async fn failed(&self) -> String {
        let mut status = self.context.log.status();
        let broken = status.wait_for(|status| status.fatal.is_some()).await;
        match broken {
            Ok(status) => status.fatal.clone().unwrap_or_default(),
            Err(_) => "the replicated log stopped".to_owned(),
        }
    }

    /// Stops this replica. With `hand_over` a follower leads before this one lets go, so that clients notice nothing
    /// but a redirect.
    pub async fn shutdown(self, hand_over: bool) {
        if hand_over && self.hand_over().await {
            // The log goes last: it tells what became of calls that were on their way.
            self.server.stop(STOP_GRACE).await;
            self.context.log.shutdown(false).await;
            self.actor.abort();
            return;
        }
        self.context.log.shutdown(false).await;
        // The actor has seen by now, or sees below, that it no longer leads: streams have their final chunk.
        self.server.stop(STOP_GRACE).await;
        self.actor.abort();
    }

    /// Makes a follower the leader and sends this replica's clients there; `false` if it did not lead or nobody took
    /// over.
    async fn hand_over(&self) -> bool {
        let node_id = self.context.config.node_id;
        let status = self.context.log.status().borrow().clone();
        if !status.is_leader() || status.voters.len() < 2 {
            return false;
        }
        if let Err(error) = self.context.log.transfer_leadership(None).await {
            tracing::warn!(node_id, %error, "leadership was not handed over");
            return false;
        }
        let mut leader = self.context.leader.subscribe();
        let elsewhere = leader.wait_for(|view| matches!(view, LeaderView::Elsewhere(_)));
        if !matches!(tokio::time::timeout(HAND_OVER_PATIENCE, elsewhere).await, Ok(Ok(_))) {
            tracing::warn!(node_id, "nobody took the leadership over in time");
            return false;
        }
        tokio::time::sleep(LINGER).await;
        true
    }
}

/// Where agents and frameworks are told to connect.
fn advertised(config: &Config, bound: SocketAddr) -> Upid {
    let ip = config.advertise_ip.unwrap_or(config.ip);
    let port = config.advertise_port.unwrap_or(bound.port());
    Upid::new("master", SocketAddrV4::new(ip, port))
}

/// Starts the log on its own runtime, where there is one: all its loops stay there.
async fn start_log(
    config: &Config,
    seams: Seams,
    machine: ReplicatedRegistry,
) -> Result<ReplicatedLog<ReplicatedRegistry>, replicated_log::StartError> {
    let starting = ReplicatedLog::start(log_config(config), seams, machine);
    match &config.log_runtime {
        None => starting.await,
        Some(runtime) => {
            let started = runtime.spawn(starting).await;
            started.unwrap_or_else(|error| Err(replicated_log::StartError::Core(error.to_string())))
        }
    }
}

fn log_config(config: &Config) -> replicated_log::Config {
    let advertise = config
        .initial_cluster
        .get(&config.node_id)
        .cloned()
        .unwrap_or_else(|| format!("{}:{}", config.advertise_ip.unwrap_or(config.ip), config.raft_port));
    let listen = SocketAddr::new(config.ip.into(), config.raft_port);
    let mut log = replicated_log::Config::new(config.node_id, config.cluster.clone(), listen);
    log.advertise = advertise;
    log.data_dir = config.work_dir.as_ref().map(|dir| dir.join("replicated_log"));
    log.initial_members = config.initial_cluster.clone();
    log.join = config.join.clone();
    log.timers = Timers {
        heartbeat: config.raft_heartbeat,
        election_min: config.raft_election_min,
        election_max: config.raft_election_max,
    };
    log.memory_store = config.memory_store.clone();
    log.snapshot_every = config.snapshot_every;
    log.entries_kept = config.entries_kept;
    log.propose_timeout = config.propose_timeout;
    log
}
