//! The state machine: the trait its owner implements, and the adapter that feeds it with committed entries.
//!
//! openraft calls the adapter from one place, in log order. The adapter counts positions, answers the proposers and
//! hands out frozen views; it never looks into a command.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, RaftSnapshotBuilder};
use planted::{Bug, is_planted};

use crate::counters::{Counters, Event};
use crate::snapshot::{Image, SnapshotData, SnapshotStore};
use crate::type_config::{CommandGroup, LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, position};
use crate::waiting::{Reply, Waiting};
use crate::{Applied, LogPosition};

/// Pause between two tries to write a snapshot to a full disk.
const SPACE_POLL: Duration = Duration::from_secs(1);

/// Replicated state.
///
/// All calls come in log order, one at a time, from one task that also is Raft's apply path: none may block.
pub trait StateMachine: Send + Sync + 'static {
    /// What the proposer of a command gets back. Stays on the replica that proposed it.
    type Outcome: Send + 'static;

    /// The state at one moment. Cheap to clone, never changes.
    type View: Clone + Send + Sync + 'static;

    /// Applies one committed command. Must be pure, total and deterministic: the same commands give the same state on
    /// every replica, and no bytes make it panic. The commands of one entry share a position and come in order.
    fn apply(&mut self, position: LogPosition, command: &[u8]) -> Self::Outcome;

    /// Called after each batch of entries, before the proposers of its commands get their outcomes. `upto` is the last
    /// entry of the batch; it may be one without commands.
    fn applied(&mut self, upto: LogPosition);

    /// The state now.
    fn view(&self) -> Self::View;

    /// Writes a view. Runs on a background thread.
    fn write_snapshot(view: &Self::View, out: &mut dyn io::Write) -> io::Result<()>;

    /// Reads what [`StateMachine::write_snapshot`] wrote, all of it. Runs on a background thread; damage was already
    /// ruled out by checksums.
    fn read_snapshot(input: &mut dyn io::Read) -> io::Result<Self::View>;

    /// Replaces the whole state by `view`, which is the state after the entry `upto`.
    fn install(&mut self, upto: LogPosition, view: Self::View);
}

/// Feeds a [`StateMachine`] with what openraft has committed.
pub(crate) struct Machine<S: StateMachine> {
    machine: S,
    applied: Option<LogId>,
    /// Whether anything was applied since the start, and what before the last batch; for planted bugs only.
    has_applied: bool,
    applied_before: Option<LogId>,
    membership: StoredMembership,
    waiting: Arc<Waiting<S::Outcome>>,
    snapshots: Arc<SnapshotStore>,
    counters: Counters,
}

impl<S: StateMachine> Machine<S> {
    pub(crate) fn new(
        machine: S,
        waiting: Arc<Waiting<S::Outcome>>,
        snapshots: Arc<SnapshotStore>,
        counters: Counters,
    ) -> Self {
        Machine {
            machine,
            applied: None,
            has_applied: false,
            applied_before: None,
            membership: StoredMembership::default(),
            waiting,
            snapshots,
            counters,
        }
    }

    fn apply_group(&mut self, log_id: &LogId, group: &CommandGroup, answers: &mut Vec<Answer<S::Outcome>>) {
        let position = position(log_id);
        let mut replies = self.waiting.take_applied(group).into_iter();
        for command in group.commands() {
            let outcome = self.machine.apply(position, command);
            if let Some(reply) = replies.next() {
                answers.push((reply, Applied { position, outcome }));
            }
        }
    }
}

type Answer<O> = (Reply<O>, Applied<O>);

impl<S: StateMachine> RaftStateMachine<TypeConfig> for Machine<S> {
    type SnapshotData = SnapshotData<S::View>;
    type SnapshotBuilder = Builder<S>;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + Send,
    {
        let mut answers = Vec::new();
        let mut responders = Vec::new();
        let mut upto = None;
        self.applied_before = self.applied;
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            self.applied = Some(entry.log_id);
            upto = Some(position(&entry.log_id));
            let again = is_planted(Bug::ApplyTwice) && !std::mem::replace(&mut self.has_applied, true);
            match entry.payload {
                EntryPayload::Normal(group) if again => {
                    self.apply_group(&entry.log_id, &group, &mut answers);
                    self.apply_group(&entry.log_id, &group, &mut answers);
                }
                EntryPayload::Blank => {}
                EntryPayload::Normal(group) => self.apply_group(&entry.log_id, &group, &mut answers),
                EntryPayload::Membership(membership) => {
                    self.counters
                        .membership_applied(self.membership.membership(), &membership);
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            responders.extend(responder);
        }
        if let Some(upto) = upto {
            self.machine.applied(upto);
        }
        // Only now: whoever gets an outcome finds the state published.
        for (reply, applied) in answers {
            reply(Ok(applied));
        }
        for responder in responders {
            responder.send(());
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self::SnapshotBuilder {
        let before = self.applied_before.filter(|_| is_planted(Bug::SnapshotClaimsLess));
        Builder {
            view: Some(self.machine.view()),
            meta: SnapshotMeta {
                last_log_id: before.or(self.applied),
                last_membership: self.membership.clone(),
            },
            snapshots: Arc::clone(&self.snapshots),
            counters: self.counters.clone(),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Self::SnapshotData) -> Result<(), io::Error> {
        self.counters.count(match snapshot.view {
            Some(_) => Event::SnapshotsInstalled,
            None => Event::SnapshotsLoaded,
        });
        let snapshots = Arc::clone(&self.snapshots);
        let kept_meta = meta.clone();
        let work = move || {
            let view = match snapshot.view {
                Some(view) => view,
                None => snapshot.image.read_view::<S>()?.1,
            };
            snapshots.keep(&kept_meta, snapshot.image)?;
            Ok(view)
        };
        let view = self.snapshots.off_the_runtime(work).await?;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        let upto = meta.last_log_id.as_ref().map(position).unwrap_or_default();
        self.machine.install(upto, view);
        tracing::info!(log_index = upto.index, term = upto.term, "installed a snapshot");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Self::SnapshotData>>, io::Error> {
        Ok(self.snapshots.current().map(|(meta, image)| snapshot_of(meta, image)))
    }
}

fn snapshot_of<V: Send + 'static>(meta: SnapshotMeta, image: Image) -> Snapshot<SnapshotData<V>> {
    openraft::Snapshot {
        meta,
        snapshot: SnapshotData { image, view: None },
    }
}

/// Writes one snapshot from a frozen view.
pub(crate) struct Builder<S: StateMachine> {
    view: Option<S::View>,
    meta: SnapshotMeta,
    snapshots: Arc<SnapshotStore>,
    counters: Counters,
}

impl<S: StateMachine> RaftSnapshotBuilder<TypeConfig> for Builder<S> {
    type SnapshotData = SnapshotData<S::View>;

    async fn build_snapshot(&mut self) -> Result<Snapshot<Self::SnapshotData>, io::Error> {
        let view = self
            .view
            .take()
            .ok_or_else(|| io::Error::other("a snapshot is built once"))?;
        let meta = self.meta.clone();
        let snapshots = Arc::clone(&self.snapshots);
        let image = loop {
            let (meta, view, store) = (meta.clone(), view.clone(), Arc::clone(&snapshots));
            match snapshots.off_the_runtime(move || store.write::<S>(&meta, &view)).await {
                // A snapshot that fails would stop the replica.
                Err(error) if error.kind() == io::ErrorKind::StorageFull && !snapshots.is_closed() => {
                    tracing::error!("the disk is full: the snapshot waits until there is space");
                    tokio::time::sleep(SPACE_POLL).await;
                }
                other => break other?,
            }
        };
        let store = Arc::clone(&snapshots);
        let work = move || {
            // Freeing the view takes long when the state has moved on, so it happens here and not on the apply path.
            drop(view);
            let image = store.keep(&meta, image)?;
            Ok(snapshot_of(meta, image))
        };
        let snapshot = snapshots.off_the_runtime(work).await?;
        let upto = self.meta.last_log_id.as_ref().map(position).unwrap_or_default();
        self.counters.count(Event::SnapshotsBuilt);
        tracing::info!(log_index = upto.index, term = upto.term, "wrote a snapshot");
        Ok(snapshot)
    }
}
