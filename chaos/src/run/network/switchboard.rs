//! What happens to bytes on their way from one host to another: rules that faults add and take away.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{Notify, watch};

use super::Host;
use super::identity::Identities;

/// Bytes of one connection that are kept to be said again; a replay needs the beginning, and that is enough.
const RECORDING_BYTES_MAX: usize = 1 << 20;
/// Recordings kept at once.
const RECORDINGS_MAX: usize = 16;

/// What a rule does to the bytes it is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Nothing passes; what was sent is held until it does.
    Block,
    /// Each piece arrives later, by a time drawn anew for each.
    Delay {
        /// Shortest.
        low: Duration,
        /// Longest.
        high: Duration,
    },
    /// One piece in `one_in` is lost and sent again after `pause`; everything behind it waits.
    Lose {
        /// How many pieces there are to one that is lost.
        one_in: u64,
        /// Time until it is sent again.
        pause: Duration,
    },
    /// Each connection is late by a time of its own, so that connections overtake each other.
    Reorder {
        /// The latest.
        high: Duration,
    },
    /// What is said on new connections is kept, to be said again.
    Record,
}

/// Names a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleId(u64);

type Matches = Box<dyn Fn(Host, Host) -> bool + Send + Sync>;

struct Rule {
    matches: Matches,
    effect: Effect,
}

/// One end of a proxied connection, as far as it can be cut.
struct Connection {
    from: Host,
    to: Host,
    cut: Arc<Notify>,
}

/// What one host said at the beginning of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// Whom it spoke to: the process itself, behind its proxy.
    pub(crate) upstream: SocketAddr,
    pub(crate) bytes: BytesMut,
}

/// The rules, and every connection they are applied to.
pub(crate) struct Switchboard {
    /// Who is who.
    pub(crate) identities: Identities,
    rules: Mutex<BTreeMap<RuleId, Rule>>,
    /// Raised whenever the rules change, so that whoever waits looks again.
    changes: watch::Sender<u64>,
    connections: Mutex<BTreeMap<u64, Connection>>,
    recordings: Mutex<BTreeMap<u64, Recording>>,
    next: AtomicU64,
}

impl Switchboard {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Switchboard {
            identities: Identities::default(),
            rules: Mutex::default(),
            changes: watch::Sender::new(0),
            connections: Mutex::default(),
            recordings: Mutex::default(),
            next: AtomicU64::new(1),
        })
    }

    fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on `effect` holds for what goes from a host to another for which `matches` says so.
    pub(crate) fn add(&self, effect: Effect, matches: impl Fn(Host, Host) -> bool + Send + Sync + 'static) -> RuleId {
        let id = RuleId(self.fresh());
        let rule = Rule {
            matches: Box::new(matches),
            effect,
        };
        lock(&self.rules).insert(id, rule);
        self.changes.send_modify(|version| *version += 1);
        id
    }

    /// Takes a rule away; one that is gone already is no error.
    pub(crate) fn remove(&self, id: RuleId) {
        lock(&self.rules).remove(&id);
        self.changes.send_modify(|version| *version += 1);
    }

    /// Takes all rules away.
    pub(crate) fn heal(&self) {
        lock(&self.rules).clear();
        lock(&self.recordings).clear();
        self.changes.send_modify(|version| *version += 1);
    }

    fn any(&self, from: Host, to: Host, wanted: impl Fn(Effect) -> bool) -> bool {
        let rules = lock(&self.rules);
        let mut matching = rules.values().filter(|rule| (rule.matches)(from, to));
        matching.any(|rule| wanted(rule.effect))
    }

    pub(super) fn is_blocked(&self, from: Host, to: Host) -> bool {
        self.any(from, to, |effect| effect == Effect::Block)
    }

    pub(super) fn records(&self, from: Host, to: Host) -> bool {
        self.any(from, to, |effect| effect == Effect::Record)
    }

    /// Waits until bytes may pass. Cancel safety: nothing is lost.
    pub(super) async fn passable(&self, from: Host, to: Host) {
        let mut changes = self.changes.subscribe();
        while self.is_blocked(from, to) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// By how much a piece is late; `chance` is a fresh random number, `connection` the same for all its pieces.
    pub(super) fn lateness(&self, from: Host, to: Host, connection: u64, chance: u64) -> Duration {
        let rules = lock(&self.rules);
        let matching = rules.values().filter(|rule| (rule.matches)(from, to));
        matching
            .map(|rule| match rule.effect {
                Effect::Delay { low, high } => low + part(high.saturating_sub(low), chance),
                Effect::Lose { one_in, pause } if chance.is_multiple_of(one_in.max(1)) => pause,
                Effect::Reorder { high } => part(high, connection.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20),
                Effect::Lose { .. } | Effect::Block | Effect::Record => Duration::ZERO,
            })
            .sum()
    }

    /// A connection was made; until it is forgotten it can be cut.
    pub(super) fn connected(&self, from: Host, to: Host) -> (u64, Arc<Notify>) {
        let id = self.fresh();
        let cut = Arc::new(Notify::new());
        let connection = Connection {
            from,
            to,
            cut: Arc::clone(&cut),
        };
        lock(&self.connections).insert(id, connection);
        (id, cut)
    }

    pub(super) fn disconnected(&self, id: u64) {
        lock(&self.connections).remove(&id);
    }

    /// Resets every connection for which `matches`, given who opened it and to whom; returns how many there were.
    pub(crate) fn reset(&self, matches: impl Fn(Host, Host) -> bool) -> usize {
        let connections = lock(&self.connections);
        let matching = connections
            .values()
            .filter(|connection| matches(connection.from, connection.to));
        // One permit is kept for a connection that is not waiting at this moment.
        matching.inspect(|connection| connection.cut.notify_one()).count()
    }

    pub(super) fn record(&self, connection: u64, upstream: SocketAddr, bytes: &[u8]) {
        let mut recordings = lock(&self.recordings);
        if recordings.len() >= RECORDINGS_MAX && !recordings.contains_key(&connection) {
            return;
        }
        let recording = recordings.entry(connection).or_insert_with(|| Recording {
            upstream,
            bytes: BytesMut::new(),
        });
        let room = RECORDING_BYTES_MAX - recording.bytes.len();
        recording.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// What was recorded, once.
    pub(crate) fn take_recordings(&self) -> Vec<Recording> {
        std::mem::take(&mut *lock(&self.recordings)).into_values().collect()
    }
}

fn part(of: Duration, chance: u64) -> Duration {
    let micros = u64::try_from(of.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(chance % micros.saturating_add(1))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
