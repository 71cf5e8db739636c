//! Replacing a dead leader at once, instead of after a timeout.
//!
//! Each replica holds an idle connection to every other voter's port. When the leader's breaks, the replica connects
//! once more: *refused* or *reset* comes from the leader's own host and proves that the process is gone. Then the
//! follower with the most complete log campaigns at once, the next some milliseconds later if nothing happened.
//!
//! A plain election would be refused, because the other followers still hold their lease on the dead leader. The
//! campaign is therefore made the way a leader hands over: by a transfer request, here addressed to ourselves, which
//! makes voters ignore the lease. Logs and votes are checked as always, so no committed entry can be lost; what is
//! given up is the lease, and with it lease reads (see `log::reading`). A timeout never starts this: silence may be a
//! slow network, and the timers take care of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::raft::TransferLeaderRequest;
use seams::BoxStream;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::NodeId;
use crate::counters::{Cause, Event};
use crate::log::Raft;
use crate::network::Peers;
use crate::state_machine::StateMachine;
use crate::status::Status;

/// For how long a first connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two tries to reach a replica that is not there.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// The same after a connection that broke although the replica is there; doubled up to the above while that repeats.
const RECONNECT_PAUSE: Duration = Duration::from_millis(1);
/// For how long the one connect after a break may take. It proves something only when it is refused, which is quick.
const PROBE_TIMEOUT: Duration = Duration::from_millis(100);
/// For how long the other followers may take to say how complete their logs are.
const COMPARE_TIMEOUT: Duration = Duration::from_millis(5);
/// Head start of each follower before the next.
const HEAD_START: Duration = Duration::from_millis(10);
/// How often a campaign that was not taken up is repeated.
const CAMPAIGNS_MAX: u32 = 3;
/// For how long a campaign may take before the next.
const CAMPAIGN_PATIENCE: Duration = Duration::from_millis(30);

/// Watches all other voters for as long as this replica runs.
pub(crate) async fn run<S: StateMachine>(raft: Raft<S>, peers: Peers, mut status: watch::Receiver<Status>) {
    let mut watchers = JoinSet::new();
    let mut watched: BTreeMap<(NodeId, String), AbortHandle> = BTreeMap::new();
    loop {
        let wanted: Vec<(NodeId, String)> = {
            let status = status.borrow_and_update();
            let others = status.voters.iter().filter(|(id, _)| **id != peers.node_id());
            others.map(|(id, address)| (*id, address.clone())).collect()
        };
        watched.retain(|key, watcher| {
            let keep = wanted.contains(key);
            if !keep {
                watcher.abort();
            }
            keep
        });
        for key in wanted {
            watched.entry(key.clone()).or_insert_with(|| {
                let watcher = Watcher {
                    raft: raft.clone(),
                    peers: peers.clone(),
                    status: status.clone(),
                    peer: key.0,
                    address: key.1,
                };
                watchers.spawn(watcher.run())
            });
        }
        // Aborted watchers are collected, so that the set does not grow.
        while watchers.try_join_next().is_some() {}
        if status.changed().await.is_err() {
            return;
        }
    }
}

struct Watcher<S: StateMachine> {
    raft: Raft<S>,
    peers: Peers,
    status: watch::Receiver<Status>,
    peer: NodeId,
    address: String,
}

impl<S: StateMachine> Watcher<S> {
    async fn run(self) {
        loop {
            let stream = match self.connect(CONNECT_TIMEOUT).await {
                Ok(stream) => stream,
                Err(_) => {
                    sleep(CONNECT_PAUSE).await;
                    continue;
                }
            };
            self.watch(stream).await;
        }
    }

    async fn connect(&self, limit: Duration) -> io::Result<BoxStream> {
        let network = Arc::clone(&self.peers.seams().network);
        let connected = timeout(limit, network.connect(&self.address)).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns when the peer is found dead or unreachable.
    async fn watch(&self, mut stream: BoxStream) {
        // Opens the connection over which logs are compared when it matters. Its failure shows below.
        drop(self.peers.identify(&self.address, CONNECT_TIMEOUT).await);
        let mut pause = RECONNECT_PAUSE;
        loop {
            let opened = Instant::now();
            until_closed(&mut stream).await;
            if opened.elapsed() >= CONNECT_PAUSE {
                pause = RECONNECT_PAUSE;
            }
            match self.connect(PROBE_TIMEOUT).await {
                Ok(again) => {
                    stream = again;
                    // A peer that closes at once, again and again, shall not keep us busy nor use up the ports.
                    sleep(pause).await;
                    pause = (pause * 2).min(CONNECT_PAUSE);
                }
                Err(error) if proves_death(&error) => {
                    self.take_over().await;
                    return;
                }
                Err(_) => return,
            }
        }
    }

    async fn take_over(&self) {
        let node_id = self.peers.node_id();
        let vote = self.raft.metrics().borrow_watched().vote;
        let leads = |status: &Status| status.leader == Some(self.peer) && status.voters.contains_key(&node_id);
        let status = self.status.borrow().clone();
        if !leads(&status) || !vote.committed || vote.leader_id.node_id != self.peer {
            return;
        }
        let rank = self.rank(&status).await;
        let counters = self.peers.store().counters();
        counters.count(Event::LeadersFoundDead);
        tracing::info!(
            node_id,
            leader = self.peer,
            term = vote.leader_id.term,
            rank,
            "the leader is dead"
        );
        sleep(HEAD_START * rank).await;
        for _ in 0..CAMPAIGNS_MAX {
            if self.raft.metrics().borrow_watched().vote != vote {
                return;
            }
            let request = TransferLeaderRequest::new(vote, node_id, self.peers.store().last_log_id());
            counters.expect_campaign(vote.leader_id.term, Some(Cause::Takeover));
            match self.raft.handle_transfer_leader(request).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    counters.expect_campaign(vote.leader_id.term, None);
                    tracing::info!(node_id, %error, "not campaigning yet");
                }
                Err(fatal) => {
                    tracing::warn!(node_id, %fatal, "cannot campaign");
                    return;
                }
            }
            sleep(CAMPAIGN_PATIENCE).await;
        }
    }

    /// How many of the other followers shall campaign before this one: those with a longer log, or with an equal one
    /// and a higher id, whose vote also wins in the same term.
    async fn rank(&self, status: &Status) -> u32 {
        let ours = (self.peers.store().last_log_id(), self.peers.node_id());
        let others = status
            .voters
            .iter()
            .filter(|(id, _)| **id != self.peer && **id != self.peers.node_id());
        let questions = others.map(|(id, address)| async move {
            let reply = self.peers.identify(address, COMPARE_TIMEOUT).await.ok()?;
            Some((reply.last_log_id.map(crate::network::parse_log_id), *id))
        });
        let better = join_all(questions)
            .await
            .into_iter()
            .flatten()
            .filter(|theirs| *theirs > ours)
            .count();
        u32::try_from(better).unwrap_or(u32::MAX)
    }
}

/// Reads whatever comes until the connection ends.
async fn until_closed(stream: &mut BoxStream) {
    let mut ignored = [0; 256];
    while matches!(stream.read(&mut ignored).await, Ok(bytes) if bytes > 0) {}
}

/// Whether a failed connect proves that the process is gone: its host answered, and nobody listens.
fn proves_death(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset
    )
}
