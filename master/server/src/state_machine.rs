//! Joins the two crates that do not know each other: `replicated-log` calls it, it calls `master-core`.
//!
//! On every replica it applies commands, keeps the operator events they give rise to, and publishes a view of the registry. On the leading replica it also feeds the
//! leadership: one [`Batch`] per applied batch, in log order, beginning with the very entry that announced this
//! replica as leader. Followers drop effects; a leader that dies between commit and effect loses nothing, because the
//! next one derives unfinished work from the registry.

use std::io::{self, Read, Write};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::{BufMut, Bytes, BytesMut};
use master_core::registry::Position;
use master_core::{Applied, Command, CommandKind, Event, Outcome, Registry};
use planted::{Bug, is_planted};
use proto::ext::event_position::EventPosition;
use replicated_log::{LogPosition, StateMachine};
use tokio::sync::{mpsc, watch};

use crate::metrics::Metrics;

use crate::event_log::{EventLog, LoggedEvent};

/// Identifies a proposal of one leadership: which term made it, and its number within.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ProposalId {
    /// Raft term of the proposing leadership.
    pub(crate) term: u64,
    /// Counts from 1 within the term.
    pub(crate) number: u64,
}

/// Bytes in front of each command: term and number, both big endian.
const HEADER_BYTES: usize = 16;

/// A command as the log carries it.
pub(crate) fn encode(id: ProposalId, command: &Command) -> Bytes {
    let body = command.encode();
    let mut bytes = BytesMut::with_capacity(HEADER_BYTES + body.len());
    bytes.put_u64(id.term);
    bytes.put_u64(id.number);
    bytes.put_slice(&body);
    bytes.freeze()
}

/// The same, proposed by nobody: for programs that prepare the log of a master.
pub fn log_entry(command: &Command) -> Bytes {
    encode(ProposalId { term: 0, number: 0 }, command)
}

/// The encoded command in an entry of a master's log; `None` if it is none.
pub fn logged_command(entry: &[u8]) -> Option<&[u8]> {
    entry.get(HEADER_BYTES..)
}

/// One applied command, as the leadership that proposed it sees it.
#[derive(Debug)]
pub(crate) struct AppliedCommand {
    /// Which proposal it was; of an earlier term when a former leader's entry was committed by this one.
    pub(crate) id: ProposalId,
    /// What apply made of it, but for the events, which went to the event log.
    pub(crate) applied: Applied,
}

/// Everything applied in one go.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The state after the last command of the batch.
    pub(crate) registry: Registry,
    /// Position of the last applied entry.
    pub(crate) upto: LogPosition,
    /// In log order.
    pub(crate) commands: Vec<AppliedCommand>,
}

/// The registry as the log's state machine.
#[derive(Debug)]
pub(crate) struct ReplicatedRegistry {
    node_id: u64,
    registry: Registry,
    /// Where readers find the latest applied state.
    published: Arc<ArcSwap<Published>>,
    /// Whether the newest announced leader is this replica: then batches are fed.
    feeding: bool,
    batch: Vec<AppliedCommand>,
    /// Where event streams find what happened.
    event_log: Arc<EventLog>,
    /// What happened in the batch being applied.
    events: Vec<LoggedEvent>,
    /// Behind the last event.
    last_event: EventPosition,
    /// Term of the newest announcement applied, so that the redirect follows it.
    announced: watch::Sender<u64>,
    /// An announcement of the batch being applied.
    announcement: Option<u64>,
    // Bounded by construction: only this replica's own leadership proposes while it feeds, and it limits how many of
    // its proposals are under way (`PROPOSALS_IN_FLIGHT`). A bounded channel would have to block apply instead.
    feed: mpsc::UnboundedSender<Batch>,
    metrics: Arc<Metrics>,
}

/// What readers see: the registry and how far the log has been applied.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) registry: Registry,
    pub(crate) applied: LogPosition,
}

impl ReplicatedRegistry {
    pub(crate) fn new(
        node_id: u64,
        published: Arc<ArcSwap<Published>>,
        event_log: Arc<EventLog>,
        announced: watch::Sender<u64>,
        feed: mpsc::UnboundedSender<Batch>,
        metrics: Arc<Metrics>,
    ) -> ReplicatedRegistry {
        ReplicatedRegistry {
            node_id,
            registry: Registry::default(),
            published,
            feeding: false,
            batch: Vec::new(),
            event_log,
            events: Vec::new(),
            last_event: EventPosition::default(),
            announced,
            announcement: None,
            feed,
            metrics,
        }
    }

    /// Numbers the events of one command. The commands of one entry share its index.
    fn keep_events(&mut self, index: u64, events: Vec<Event>) {
        for event in events {
            let number = if self.last_event.index == index {
                self.last_event.number
            } else {
                0
            };
            self.last_event = EventPosition {
                index,
                number: number.saturating_add(1),
            };
            self.events.push(LoggedEvent::new(self.last_event, event));
        }
    }

    fn publish(&self, applied: LogPosition) {
        self.published.store(Arc::new(Published {
            registry: self.registry.clone(),
            applied,
        }));
    }
}

/// An entry that this version cannot read. Going on without it would let the replicas drift apart.
fn stop_on_unreadable(position: LogPosition, problem: &str) -> ! {
    tracing::error!(
        term = position.term,
        log_index = position.index,
        problem,
        "the log holds a command this version cannot read; upgrade this replica"
    );
    // Apply has no way to fail: the process stops here, before it can diverge.
    std::process::exit(70);
}

impl StateMachine for ReplicatedRegistry {
    type Outcome = ();
    type View = Registry;

    fn apply(&mut self, position: LogPosition, command: &[u8]) {
        let Some((header, body)) = command.split_at_checked(HEADER_BYTES) else {
            stop_on_unreadable(position, "shorter than its header");
        };
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&header[at..at + 8]);
            u64::from_be_bytes(bytes)
        };
        let id = ProposalId {
            term: word(0),
            number: word(8),
        };
        let command = match Command::decode(body) {
            Ok(command) => command,
            Err(error) => stop_on_unreadable(position, &error.to_string()),
        };
        self.metrics.command(&command.kind);
        let announced = match &command.kind {
            CommandKind::AnnounceLeader(announce) => Some(announce.node_id),
            _ => None,
        };
        if is_planted(Bug::NondeterministicApply)
            && self.node_id == 2
            && matches!(command.kind, CommandKind::KillTask(_))
        {
            return;
        }
        let mut applied = self.registry.apply(
            Position {
                term: position.term,
                index: position.index,
            },
            &command,
        );
        self.keep_events(position.index, std::mem::take(&mut applied.events));
        if let (Some(node_id), Outcome::LeaderAnnounced { .. }) = (announced, &applied.outcome) {
            self.feeding = node_id == self.node_id;
            self.announcement = Some(position.term);
        }
        if self.feeding {
            self.batch.push(AppliedCommand { id, applied });
        }
    }

    fn applied(&mut self, upto: LogPosition) {
        // First, so that whoever sees the state finds the events that follow it.
        self.event_log.append(self.events.drain(..), upto.index);
        self.publish(upto);
        if let Some(term) = self.announcement.take() {
            self.announced.send_replace(term);
        }
        if self.batch.is_empty() {
            return;
        }
        let batch = Batch {
            registry: self.registry.clone(),
            upto,
            commands: std::mem::take(&mut self.batch),
        };
        if self.feed.send(batch).is_err() {
            // The master is stopping; what was applied stays applied.
            self.feeding = false;
        }
    }

    fn view(&self) -> Registry {
        self.registry.clone()
    }

    fn write_snapshot(view: &Registry, out: &mut dyn Write) -> io::Result<()> {
        view.write_to(out)
    }

    fn read_snapshot(input: &mut dyn Read) -> io::Result<Registry> {
        Registry::read_from(input).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    fn install(&mut self, upto: LogPosition, view: Registry) {
        self.registry = view;
        // A replica that receives a snapshot is behind: whoever sent it leads.
        self.feeding = false;
        self.batch.clear();
        self.events.clear();
        self.event_log.start_over(upto.index);
        self.publish(upto);
        self.announced.send_replace(upto.term);
    }
}
