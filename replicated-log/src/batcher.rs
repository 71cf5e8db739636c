//! Turns proposals into entries: everything that arrives while one entry is on its way goes into the next.
//!
//! One entry is under way at a time, so proposals keep their order, a lone one goes at once, and the groups grow with
//! the load. Queue and groups are bounded in count and bytes; who finds the queue full is told so and nothing happened.
//! [`Pause`] holds the next entry back while leadership is handed over, so that none is under way then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::errors::{ClientWriteError, ForwardReason, RaftError};
use tokio::sync::{Mutex, OwnedMutexGuard, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::NodeId;
use crate::counters::{Counters, Event};
use crate::error::{ProposeError, QueueFull};
use crate::state_machine::{Machine, StateMachine};
use crate::status::Status;
use crate::type_config::{CommandGroup, TypeConfig};
use crate::waiting::{Reply, Waiting};

/// Commands of one entry at most: some milliseconds of apply.
const GROUP_COMMANDS_MAX: usize = 1024;
/// Bytes of one entry, unless a single command has more: one entry must not hold up heartbeats.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// Bytes of one command at most; what a peer accepts in one message is a multiple of this.
pub(crate) const COMMAND_BYTES_MAX: usize = 4 << 20;
/// Proposals waiting for the entry before theirs: half a second of work under full load.
const QUEUE_PROPOSALS_MAX: usize = 65_536;
/// Bytes of those.
const QUEUE_BYTES_MAX: usize = 256 << 20;
/// Pause before a write is offered again to a leader that no quorum has confirmed yet.
const LEASE_RETRY: Duration = Duration::from_millis(2);
/// For how long that is tried.
const LEASE_PATIENCE: Duration = Duration::from_secs(1);
/// For how long the new leader may take to commit what this replica had under way when it stopped leading.
const STEPPED_DOWN_PATIENCE: Duration = Duration::from_secs(1);

/// For how long a hand-over waits for the entry under way. Without a quorum it would wait in vain, and a hand-over then
/// is what may help.
const PAUSE_PATIENCE: Duration = Duration::from_secs(1);

/// Holds the batcher between two entries. Clones are the same pause.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pause(Arc<Mutex<()>>);

impl Pause {
    /// Waits until the entry under way is applied; none is begun until the guard is dropped. `None` when the entry
    /// takes longer than a hand-over may wait.
    pub(crate) async fn between_entries(&self) -> Option<OwnedMutexGuard<()>> {
        let waiting = Arc::clone(&self.0).lock_owned();
        tokio::time::timeout(PAUSE_PATIENCE, waiting).await.ok()
    }
}

struct Proposal<O> {
    command: Bytes,
    reply: Reply<O>,
}

/// The accepting side of the queue.
pub(crate) struct Proposer<O> {
    queue: mpsc::Sender<Proposal<O>>,
    bytes: Arc<AtomicUsize>,
    status: watch::Receiver<Status>,
}

impl<O> Proposer<O> {
    /// Queues a command. When this returns `Ok`, `reply` is called exactly once.
    pub(crate) fn propose(&self, command: Bytes, reply: Reply<O>) -> Result<(), QueueFull> {
        let bytes = command.len();
        if bytes > COMMAND_BYTES_MAX {
            reply(Err(ProposeError::TooLarge {
                bytes,
                limit: COMMAND_BYTES_MAX,
            }));
            return Ok(());
        }
        let full = QueueFull {
            limit: QUEUE_PROPOSALS_MAX,
        };
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > QUEUE_BYTES_MAX {
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(full);
        }
        match self.queue.try_send(Proposal { command, reply }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.bytes.fetch_sub(bytes, Ordering::Relaxed);
                Err(full)
            }
            Err(mpsc::error::TrySendError::Closed(proposal)) => {
                (proposal.reply)(Err(stopped(&self.status.borrow())));
                Ok(())
            }
        }
    }
}

/// The answer of a replica that does nothing any more.
fn stopped(status: &Status) -> ProposeError {
    match &status.fatal {
        Some(reason) => ProposeError::Fatal { reason: reason.clone() },
        None => ProposeError::Unavailable {
            reason: "the replica is shut down".into(),
        },
    }
}

/// The working side of the queue.
pub(crate) struct Batcher<S: StateMachine> {
    queue: mpsc::Receiver<Proposal<S::Outcome>>,
    bytes: Arc<AtomicUsize>,
    taken: VecDeque<Proposal<S::Outcome>>,
    waiting: Arc<Waiting<S::Outcome>>,
    next_group: u64,
    committer: Committer<S>,
    pause: Pause,
}

/// Sees one group through.
struct Committer<S: StateMachine> {
    raft: openraft::Raft<TypeConfig, Machine<S>>,
    status: watch::Receiver<Status>,
    timeout: Duration,
    counters: Counters,
}

/// A queue and the batcher that works on it.
pub(crate) fn batcher<S: StateMachine>(
    raft: openraft::Raft<TypeConfig, Machine<S>>,
    waiting: Arc<Waiting<S::Outcome>>,
    status: watch::Receiver<Status>,
    timeout: Duration,
    pause: Pause,
    counters: Counters,
) -> (Proposer<S::Outcome>, Batcher<S>) {
    let (sender, queue) = mpsc::channel(QUEUE_PROPOSALS_MAX);
    let bytes = Arc::new(AtomicUsize::new(0));
    let proposer = Proposer {
        queue: sender,
        bytes: Arc::clone(&bytes),
        status: status.clone(),
    };
    let batcher = Batcher {
        queue,
        bytes,
        taken: VecDeque::new(),
        waiting,
        next_group: 0,
        committer: Committer {
            raft,
            status,
            timeout,
            counters,
        },
        pause,
    };
    (proposer, batcher)
}

impl<S: StateMachine> Batcher<S> {
    /// Works until `stop`, then fails what is queued.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(())) = stop.run_until_cancelled(self.receive()).await {
            let Some(_under_way) = stop.run_until_cancelled(Arc::clone(&self.pause.0).lock_owned()).await else {
                break;
            };
            let (commands, replies) = self.next_group();
            let group = self.next_group;
            self.next_group += 1;
            self.waiting.insert(group, replies);
            let command_group = CommandGroup::new(self.waiting.origin(), group, commands);
            let failed = match stop.run_until_cancelled(self.committer.commit(command_group)).await {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(error),
                None => Some(ProposeError::Unknown),
            };
            // After a success apply has answered them all and none is left.
            for reply in self.waiting.take(group) {
                reply(Err(failed.clone().unwrap_or(ProposeError::Unknown)));
            }
        }
        self.queue.close();
        let error = stopped(&self.committer.status.borrow());
        while let Some(proposal) = self.taken.pop_front().or_else(|| self.queue.try_recv().ok()) {
            (proposal.reply)(Err(error.clone()));
        }
    }

    /// Waits until there is a proposal. `None` when there will never be one again.
    async fn receive(&mut self) -> Option<()> {
        if self.taken.is_empty() {
            let proposal = self.queue.recv().await?;
            self.taken.push_back(proposal);
        }
        Some(())
    }

    /// Takes as many queued proposals as fit into one entry, at least one.
    fn next_group(&mut self) -> (Vec<Bytes>, Vec<Reply<S::Outcome>>) {
        let mut commands = Vec::new();
        let mut replies = Vec::new();
        let mut bytes = 0;
        while commands.len() < GROUP_COMMANDS_MAX {
            let Some(proposal) = self.taken.pop_front().or_else(|| self.queue.try_recv().ok()) else {
                break;
            };
            if !commands.is_empty() && bytes + proposal.command.len() > GROUP_BYTES_MAX {
                self.taken.push_front(proposal);
                break;
            }
            bytes += proposal.command.len();
            commands.push(proposal.command);
            replies.push(proposal.reply);
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        (commands, replies)
    }
}

impl<S: StateMachine> Committer<S> {
    /// Offers the group until it is applied or its fate is decided.
    async fn commit(&self, group: CommandGroup) -> Result<(), ProposeError> {
        let start = Instant::now();
        let mut lease_is_lost = false;
        loop {
            let written = tokio::select! {
                biased;
                written = self.raft.client_write(group.clone()) => written,
                () = tokio::time::sleep(self.timeout) => return Err(ProposeError::Unknown),
                () = self.stepped_down() => return Err(ProposeError::Unknown),
            };
            let refused = match written {
                Ok(_) => return Ok(()),
                Err(RaftError::Fatal(fatal)) => {
                    return Err(ProposeError::Fatal {
                        reason: fatal.to_string(),
                    });
                }
                Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => forward,
                Err(RaftError::APIError(_)) => return Err(ProposeError::Unknown),
            };
            // The core says so before it appends anything, so offering the same group again cannot apply it twice.
            if refused.reason != ForwardReason::LeaseExpired {
                return Err(ProposeError::NotLeader {
                    leader: self.leader_hint(refused.leader_id),
                });
            }
            if !lease_is_lost {
                lease_is_lost = true;
                self.counters.count(Event::LeasesLost);
            }
            if start.elapsed() > LEASE_PATIENCE {
                return Err(ProposeError::Unavailable {
                    reason: "no quorum confirms this leader".into(),
                });
            }
            tokio::time::sleep(LEASE_RETRY).await;
        }
    }

    /// Who leads, if it is another: what the core says, or else what it said last.
    fn leader_hint(&self, leader: Option<NodeId>) -> Option<NodeId> {
        leader
            .or(self.status.borrow().leader)
            .filter(|leader| leader != self.raft.node_id())
    }

    /// Ends some time after this replica has stopped leading.
    async fn stepped_down(&self) {
        let mut status = self.status.clone();
        // The status outlives the batcher; should it end, the timeout decides.
        if status.wait_for(|status| !status.is_leader()).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(STEPPED_DOWN_PATIENCE).await;
    }
}
