//! The Raft log and vote of one replica: what openraft reads from memory, and the order in which it reaches the disk.
//!
//! [`LogStore`] keeps every entry not yet purged in memory, so that neither replication nor apply reads the disk, and
//! hands each change to one queue. A [`Disk`] behind the queue makes changes durable in exactly that order: the
//! [`sled`] one on its own thread, the simulated one of [`memory`] in a task. An append, vote, truncation and purge can therefore
//! never overtake each other, which is what openraft's safety rests on.
//!
//! This module never acknowledges what its disk has not made durable, and never writes again after a failure.

mod codec;
#[cfg(test)]
mod conformance;
#[cfg(test)]
pub(crate) mod delayed;
mod identity;
mod keys;
mod layout;
pub(crate) mod memory;
mod reader;
pub(crate) mod sled;
mod writer;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::LogState;
use openraft::storage::RaftLogStorage;
use planted::{Bug, is_planted};

pub(crate) use self::identity::{ClusterId, ClusterRecord, NodeRecord};
pub(crate) use self::layout::OpenError;
pub use self::memory::MemoryStore;
pub(crate) use self::memory::Mount;
pub(crate) use self::writer::StorageHealth;
use self::writer::{Done, Job, Writer};
use crate::counters::{Counters, Event};
use crate::type_config::{Entry, IoFlushed, LogId, TypeConfig, Vote};

/// One change of what is on disk.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// Entries that follow the last one without a gap. The promise that rests on it: this replica counts towards the
    /// quorum that commits them.
    Append(Vec<Entry>),
    /// The promise that rests on it: this replica never votes for an older candidate.
    Vote(Vote),
    /// A hint that lets a restarted replica apply at once what it had applied before. No promise rests on it.
    Committed(Option<LogId>),
    /// Removes the entries from this index on.
    TruncateFrom(u64),
    /// Removes the entries up to and including this one; a snapshot holds them.
    Purge(LogId),
    /// Which cluster this replica belongs to.
    Cluster(ClusterRecord),
}

/// Where changes become durable.
pub(crate) trait Disk: Send + 'static {
    /// Applies `changes` in order. They may be lost with the power until [`Disk::sync`] has returned; after an error
    /// nothing may be written any more.
    fn write(&mut self, changes: &[Change]) -> io::Result<()>;

    /// When this returns `Ok`, everything written before survives the loss of power; after an error nothing may be
    /// written any more.
    fn sync(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// Whether there is room for some more writes. Called before each write.
    fn has_space(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

/// What was found on disk at start-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) cluster: Option<ClusterRecord>,
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    /// Without a gap; the first follows `purged`, except that some before it may be left.
    pub(crate) entries: Vec<Entry>,
    /// Whether a write that the loss of power had cut short was dropped.
    pub(crate) torn: bool,
}

/// What is in memory. Entries have consecutive indexes.
#[derive(Debug, Default)]
struct State {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: VecDeque<Entry>,
}

impl State {
    fn first_index(&self) -> Option<u64> {
        self.entries.front().map(|entry| entry.log_id.index)
    }

    fn last_log_id(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }
}

struct Shared {
    state: Mutex<State>,
    cluster: tokio::sync::watch::Sender<Option<ClusterRecord>>,
    writer: Writer,
    counters: Counters,
}

/// The log store handed to openraft. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub(crate) struct LogStore(Arc<Shared>);

impl LogStore {
    /// A store on `disk`, written by a thread of its own.
    pub(crate) fn on_thread(recovered: Recovered, disk: impl Disk) -> io::Result<Self> {
        Ok(Self::new(recovered, Writer::on_thread(disk)?))
    }

    /// A store on `disk`, written by a task of the current runtime; for disks that never block.
    pub(crate) fn in_task(recovered: Recovered, disk: impl Disk) -> Self {
        Self::new(recovered, Writer::in_task(disk))
    }

    /// A store that reports its appends late and out of order.
    #[cfg(test)]
    pub(crate) fn delayed(recovered: Recovered, disk: impl Disk, delay: delayed::Delay) -> Self {
        Self::new(recovered, Writer::delayed(disk, delay))
    }

    fn new(recovered: Recovered, writer: Writer) -> Self {
        let counters = Counters::default();
        if recovered.torn {
            counters.count(Event::TornTails);
        }
        let state = State {
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            entries: recovered
                .entries
                .into_iter()
                .filter(|entry| recovered.purged.is_none_or(|purged| entry.log_id.index > purged.index))
                .collect(),
        };
        LogStore(Arc::new(Shared {
            state: Mutex::new(state),
            cluster: tokio::sync::watch::channel(recovered.cluster).0,
            writer,
            counters,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is changed by short, panic-free steps only; a poisoned lock still guards a whole state.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this replica counts; here because whatever it does passes here.
    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// The vote stored before anything else was.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.state().vote
    }

    /// The cluster this replica belongs to, if it knows one.
    pub(crate) fn cluster(&self) -> Option<ClusterRecord> {
        self.0.cluster.borrow().clone()
    }

    /// The cluster this replica belongs to, now and when it is founded or joined.
    pub(crate) fn watch_cluster(&self) -> tokio::sync::watch::Receiver<Option<ClusterRecord>> {
        self.0.cluster.subscribe()
    }

    /// Stores the cluster durably before it returns.
    pub(crate) async fn save_cluster(&self, cluster: ClusterRecord) -> io::Result<()> {
        self.write_durably(Change::Cluster(cluster.clone())).await?;
        self.0.cluster.send_replace(Some(cluster));
        Ok(())
    }

    /// Whether this replica has never voted nor stored an entry.
    pub(crate) fn is_pristine(&self) -> bool {
        let state = self.state();
        state.vote.is_none() && state.last_log_id().is_none()
    }

    /// The last entry stored, durable or not.
    pub(crate) fn last_log_id(&self) -> Option<LogId> {
        self.state().last_log_id()
    }

    /// How the disk is doing; changes when it fails, fills up or has room again.
    pub(crate) fn health(&self) -> tokio::sync::watch::Receiver<StorageHealth> {
        self.0.writer.health()
    }

    /// Declares the replica broken: nothing is written any more.
    pub(crate) fn fail(&self, reason: String) {
        self.0.writer.fail(reason);
    }

    /// Writes what is queued and lets go of the disk. Later changes fail.
    pub(crate) async fn close(&self) {
        self.0.writer.close().await;
    }

    async fn write_durably(&self, change: Change) -> io::Result<()> {
        let (reply, done) = tokio::sync::oneshot::channel();
        self.0
            .writer
            .submit(Job {
                change,
                done: Done::Reply(reply),
            })
            .await?;
        done.await.unwrap_or_else(|_| Err(writer::closed()))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.state();
        Ok(LogState {
            last_purged_log_id: state.purged,
            last_log_id: state.last_log_id(),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let change = Change::Vote(*vote);
        if is_planted(Bug::ForgetVote) {
            let done = Done::Nobody;
            self.0.writer.submit(Job { change, done }).await?;
        } else {
            self.write_durably(change).await?;
        }
        self.state().vote = Some(*vote);
        self.counters().vote_stored(vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        self.state().committed = committed;
        self.0.writer.submit_hint(Change::Committed(committed)).await
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.state().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IoFlushed) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let Some(first) = entries.first() else {
            callback.io_completed(Ok(()));
            return Ok(());
        };
        {
            let mut state = self.state();
            let expected = state.last_log_id().map_or(0, |last| last.index + 1);
            // The conformance suite starts logs anywhere; a log that has entries may not get a gap.
            if first.log_id.index != expected && !state.entries.is_empty() {
                let message = format!(
                    "append of index {} to a log that ends before {expected}",
                    first.log_id.index
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
            state.entries.extend(entries.iter().cloned());
        }
        let change = Change::Append(entries);
        self.0
            .writer
            .submit(Job {
                change,
                done: Done::Flushed(callback),
            })
            .await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let mut from = last_log_id.map_or(0, |last| last.index + 1);
        if is_planted(Bug::TruncateTooMuch) {
            from = from.saturating_sub(1);
        }
        {
            let mut state = self.state();
            if state.entries.back().is_some_and(|entry| entry.log_id.index >= from) {
                self.counters().count(Event::LogTruncations);
            }
            while state.entries.back().is_some_and(|entry| entry.log_id.index >= from) {
                state.entries.pop_back();
            }
        }
        if is_planted(Bug::TruncateTooLittle) {
            return Ok(());
        }
        // Appends that follow wait in the same queue, so nobody needs to wait for the truncation itself.
        let change = Change::TruncateFrom(from);
        self.0
            .writer
            .submit(Job {
                change,
                done: Done::Nobody,
            })
            .await
    }

    async fn purge(&mut self, log_id: LogId) -> Result<(), io::Error> {
        {
            let mut state = self.state();
            if state.purged < Some(log_id) {
                self.counters().count(Event::LogPurges);
            }
            state.purged = state.purged.max(Some(log_id));
            let last = log_id.index + u64::from(is_planted(Bug::PurgeTooMuch)) * 3;
            while state.entries.front().is_some_and(|entry| entry.log_id.index <= last) {
                state.entries.pop_front();
            }
        }
        let change = Change::Purge(log_id);
        self.0
            .writer
            .submit(Job {
                change,
                done: Done::Nobody,
            })
            .await
    }
}
