//! The handle of a replica: starting, proposing, reading, watching, changing the membership, stopping.

pub(crate) mod membership;
mod opening;
mod reading;
mod status_loop;
mod unfinished;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use seams::Seams;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::batcher::{Pause, Proposer, batcher};
use crate::config::Config;
use crate::counters::Counters;
use crate::error::{ProposeError, QueueFull, StartError};
use crate::founding;
use crate::log_store::LogStore;
use crate::network::{Peers, server};
use crate::options::raft_options;
use crate::snapshot::SnapshotStore;
use crate::state_machine::{Machine, StateMachine};
use crate::status::Status;
use crate::type_config::TypeConfig;
use crate::waiting::Waiting;
use crate::{Applied, compaction, runtime, takeover};

/// For how long a planned stop waits for the other replica to lead.
const HAND_OVER_PATIENCE: Duration = Duration::from_secs(2);
/// For how long a stop waits for what still runs.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

pub(crate) use self::reading::read_index;

pub(crate) type Raft<S> = openraft::Raft<TypeConfig, Machine<S>>;

/// One replica of a replicated log. Cheap to clone; all clones are the same replica.
///
/// The replica lives until [`ReplicatedLog::shutdown`]; dropping handles does not stop it.
pub struct ReplicatedLog<S: StateMachine>(Arc<Inner<S>>);

impl<S: StateMachine> Clone for ReplicatedLog<S> {
    fn clone(&self) -> Self {
        ReplicatedLog(Arc::clone(&self.0))
    }
}

struct Inner<S: StateMachine> {
    config: Config,
    raft: Raft<S>,
    store: LogStore,
    snapshots: Arc<SnapshotStore>,
    peers: Peers,
    proposer: Proposer<S::Outcome>,
    pause: Pause,
    status: watch::Receiver<Status>,
    status_sender: Arc<watch::Sender<Status>>,
    raft_address: std::net::SocketAddr,
    /// Ends everything this replica runs and every connection it holds.
    stop: CancellationToken,
    running: TaskTracker,
}

impl<S: StateMachine> ReplicatedLog<S> {
    /// Starts a replica: opens its data, applies what was committed, listens for peers.
    ///
    /// With an empty data directory the members are asked first whether they know this replica, and the cluster is
    /// founded once all of `initial_members` have been reached, in the background: the handle is there at once, and
    /// [`Status::cluster_id`] says when it is done. A replica that finds its data again needs nobody for its start.
    ///
    /// Errors: everything that an operator must decide about, see [`StartError`].
    pub async fn start(config: Config, seams: Seams, state_machine: S) -> Result<Self, StartError> {
        config.validate()?;
        let options = raft_options(&config)?;
        runtime::seed(seams.random_u64());
        let opened = opening::open(&config).await?;
        let listener = seams.network.listen(config.listen).await;
        let listener = listener.map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;
        let raft_address = listener.local_addr().map_err(|source| StartError::Listen {
            address: config.listen,
            source,
        })?;

        let stop = CancellationToken::new();
        let running = TaskTracker::new();
        let peers = Peers::new(&config, seams.clone(), opened.store.clone(), stop.clone());
        let waiting = Arc::new(Waiting::new(seams.random_u64()));
        let counters = opened.store.counters().clone();
        counters.begin(config.node_id, opened.store.vote());
        let machine = Machine::new(
            state_machine,
            Arc::clone(&waiting),
            Arc::clone(&opened.snapshots),
            counters,
        );
        let raft = Raft::<S>::new(config.node_id, options, peers.factory(), opened.store.clone(), machine)
            .await
            .map_err(|error| opening::core_error(&config, &error))?;

        let (status_sender, status_loop) = status_loop::status_loop(
            &config,
            raft.clone(),
            opened.store.clone(),
            peers.contact(),
            stop.clone(),
        );
        let status = status_sender.subscribe();
        peers.watch_status(status.clone());
        running.spawn(stop.clone().run_until_cancelled_owned(status_loop));
        let pause = Pause::default();
        let timeout = config.propose_timeout;
        let counters = opened.store.counters().clone();
        let (proposer, batcher) = batcher(raft.clone(), waiting, status.clone(), timeout, pause.clone(), counters);
        running.spawn(batcher.run(stop.clone()));
        let context = server::Context {
            config: config.clone(),
            raft: raft.clone(),
            store: opened.store.clone(),
            peers: peers.clone(),
            snapshots: opened.snapshots,
            pause: pause.clone(),
            status: status.clone(),
        };
        running.spawn(server::serve(context.clone(), listener, stop.clone()));
        let log = ReplicatedLog(Arc::new(Inner {
            config,
            raft,
            store: opened.store,
            snapshots: Arc::clone(&context.snapshots),
            peers,
            proposer,
            pause,
            status,
            status_sender,
            raft_address,
            stop,
            running,
        }));
        if let Err(error) = founding::settle(&context, &log.0.running, &log.0.stop).await {
            log.shutdown(false).await;
            return Err(error);
        }
        log.start_takeover();
        let finishing = unfinished::finish_changes(log.0.raft.clone(), log.status(), log.counters().clone());
        log.0
            .running
            .spawn(log.0.stop.clone().run_until_cancelled_owned(finishing));
        let compaction = compaction::run(
            log.0.config.clone(),
            log.0.raft.clone(),
            log.0.store.clone(),
            log.status(),
        );
        log.0
            .running
            .spawn(log.0.stop.clone().run_until_cancelled_owned(compaction));
        tracing::info!(node_id = log.0.config.node_id, address = %raft_address, "replica started");
        Ok(log)
    }

    fn start_takeover(&self) {
        if self.0.config.takeover_on_disconnect {
            let watcher = takeover::run(self.0.raft.clone(), self.0.peers.clone(), self.0.status.clone());
            self.0
                .running
                .spawn(self.0.stop.clone().run_until_cancelled_owned(watcher));
        }
    }

    /// Proposes a command and waits until it is committed and applied here.
    ///
    /// Cancel safety: a dropped future leaves the command proposed; its fate is then unknown.
    pub async fn propose(&self, command: Bytes) -> Result<Applied<S::Outcome>, ProposeError> {
        let (sender, receiver) = oneshot::channel();
        // A proposer that went away does not need the answer.
        let accepted = self.propose_with(command, move |result| drop(sender.send(result)));
        accepted.map_err(|full| ProposeError::Unavailable {
            reason: full.to_string(),
        })?;
        receiver.await.unwrap_or(Err(ProposeError::Unknown))
    }

    /// Proposes a command without waiting. When this returns `Ok`, `reply` is called exactly once with its fate, on the
    /// apply path or another of this replica's loops: it must not block. Commands proposed from one thread are applied
    /// in the order of these calls.
    pub fn propose_with(
        &self,
        command: Bytes,
        reply: impl FnOnce(Result<Applied<S::Outcome>, ProposeError>) + Send + 'static,
    ) -> Result<(), QueueFull> {
        self.0.proposer.propose(command, Box::new(reply))
    }

    /// The replica's state, now and whenever it changes.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.clone()
    }

    /// What this replica has done since it was started.
    pub fn counters(&self) -> &Counters {
        self.0.store.counters()
    }

    /// The address at which this replica listens for its peers.
    pub fn raft_address(&self) -> std::net::SocketAddr {
        self.0.raft_address
    }

    /// How many calls of replicas of other clusters, or meant for other nodes, were refused since the start.
    pub fn refused_calls(&self) -> u64 {
        self.0.peers.refusals().count()
    }

    /// Writes a snapshot soon, whatever the number of entries since the last.
    pub async fn snapshot(&self) -> Result<(), ProposeError> {
        let triggered = self.0.raft.trigger().snapshot().await;
        triggered.map_err(|fatal| ProposeError::Fatal {
            reason: fatal.to_string(),
        })
    }

    /// Removes the entries up to and including `index` that a snapshot covers. Done by itself as configured; for tests
    /// and operators.
    pub async fn purge(&self, index: u64) -> Result<(), ProposeError> {
        let triggered = self.0.raft.trigger().purge_log(index).await;
        triggered.map_err(|fatal| ProposeError::Fatal {
            reason: fatal.to_string(),
        })
    }

    /// Stops the replica. With `hand_over` a leading replica first makes the most up-to-date follower the leader;
    /// without, it stops as a killed process does: connections break, the others take over.
    pub async fn shutdown(&self, hand_over: bool) {
        if hand_over {
            self.hand_over().await;
        }
        self.0.stop.cancel();
        if let Err(error) = self.0.raft.shutdown().await {
            tracing::warn!(node_id = self.0.config.node_id, %error, "the raft core did not stop cleanly");
        }
        self.0.running.close();
        if tokio::time::timeout(STOP_PATIENCE, self.0.running.wait())
            .await
            .is_err()
        {
            tracing::warn!(node_id = self.0.config.node_id, "some loops did not stop in time");
        }
        self.0.store.close().await;
        self.0.snapshots.close().await;
        status_loop::stopped(&self.0.status_sender);
        tracing::info!(node_id = self.0.config.node_id, hand_over, "replica stopped");
    }

    async fn hand_over(&self) {
        let node_id = self.0.config.node_id;
        let before = self.0.status.borrow().clone();
        if !before.is_leader() || before.voters.len() < 2 {
            return;
        }
        if let Err(error) = self.transfer_leadership(None).await {
            tracing::warn!(node_id, %error, "leadership was not handed over");
            return;
        }
        let mut status = self.status();
        let handed_over = async {
            let other_leads = |status: &Status| status.leader.is_some_and(|leader| leader != node_id);
            // An error means that the replica has stopped, and nothing is left to wait for.
            drop(status.wait_for(other_leads).await);
        };
        if tokio::time::timeout(HAND_OVER_PATIENCE, handed_over).await.is_err() {
            tracing::warn!(node_id, "nobody took the leadership over in time");
        }
    }
}
