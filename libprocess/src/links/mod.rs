//! Outbound libprocess messages, and the news that a linked peer has gone.
//!
//! ```text
//! send ─► linked?  ── yes ─► queue ─► persistent connection (link.rs)      ends ─► Exited, exactly once
//!                  └─ no ──► queue ─► temporary connection (temporary.rs)  ends ─► nothing
//! ```
//!
//! Keys are addresses, not actors: all actors of a process share one connection, and one end means all of them.
//! Answers are read and thrown away. Must never send on an inbound connection, nor wait for a peer: `send` only queues.

mod link;
mod queue;
mod temporary;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use seams::Seams;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use self::queue::Queue;
use crate::message::encode_message;
use crate::upid::Upid;

/// Most bytes that wait for one peer. A peer that takes nothing (stopped, or cut off) is pinged and told very little; more
/// means that it will not catch up. A message that finds the queue empty is always taken, however long it is.
const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest time to connect. The kernel alone would take two minutes to report a host that is gone.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most temporary connections at once: anybody can make a process answer to addresses of his choice.
const TEMPORARIES_MAX: usize = 4096;

/// A link has ended: its connection could not be made, was closed by the peer, broke, or the peer took too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exited {
    /// The linked address; every actor there has exited.
    pub address: SocketAddrV4,
    /// Which link to that address, as [`Links::link`] said: tells a stale event from one of the present link.
    pub generation: u64,
}

/// The outbound side of one process. Cheap to clone; when the last clone is dropped, queued messages are still sent and the
/// connections closed. Every method must be called within a Tokio runtime; none of them waits.
///
/// Messages to the own address are sent like all others, through the own port.
#[derive(Clone, Debug)]
pub struct Links {
    owner: Arc<Owner>,
}

/// Ends the links with the last clone of [`Links`]; the tasks hold only the shared part.
#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    seams: Seams,
    self_address: SocketAddrV4,
    exited: mpsc::Sender<Exited>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    links: BTreeMap<SocketAddrV4, Link>,
    temporaries: BTreeMap<SocketAddrV4, Arc<Queue>>,
    generations: u64,
}

#[derive(Debug)]
struct Link {
    generation: u64,
    queue: Arc<Queue>,
}

impl Links {
    /// No links yet. `self_address` is the advertised address, the one in every `Libprocess-From`; ends of links are
    /// reported to `exited`, whose reader may be slow.
    pub fn new(seams: Seams, self_address: SocketAddrV4, exited: mpsc::Sender<Exited>) -> Self {
        let shared = Shared {
            seams,
            self_address,
            exited,
            table: Mutex::default(),
        };
        Links {
            owner: Arc::new(Owner {
                shared: Arc::new(shared),
            }),
        }
    }

    /// The advertised address.
    pub fn self_address(&self) -> SocketAddrV4 {
        self.owner.shared.self_address
    }

    /// Opens a persistent connection to `address`, or keeps the one that is there. Yields its generation: numbers grow and
    /// are never used twice.
    pub fn link(&self, address: SocketAddrV4) -> u64 {
        let shared = &self.owner.shared;
        let mut table = shared.table();
        table.generations += 1;
        let generation = table.generations;
        match table.links.entry(address) {
            Entry::Occupied(entry) => entry.get().generation,
            Entry::Vacant(entry) => {
                let queue = Arc::new(Queue::new(QUEUE_BYTES_MAX));
                entry.insert(Link {
                    generation,
                    queue: queue.clone(),
                });
                tokio::spawn(link::run(shared.clone(), address, generation, queue));
                generation
            }
        }
    }

    /// Whether there is a link to `address`, connected or being connected.
    pub fn is_linked(&self, address: SocketAddrV4) -> bool {
        self.owner.shared.table().links.contains_key(&address)
    }

    /// Forgets the link: what is queued is still sent, then the connection is closed. No `Exited` follows, except one that is
    /// on its way already.
    pub fn unlink(&self, address: SocketAddrV4) {
        if let Some(link) = self.owner.shared.table().links.remove(&address) {
            link.queue.finish();
        }
    }

    /// Queues a message from the actor `from_id` of this process: at most once, in order while the link lives, without
    /// report of failure unless the address is linked.
    pub fn send(&self, from_id: &str, to: &Upid, name: &str, body: Bytes) {
        let shared = &self.owner.shared;
        let from = format!("{from_id}@{}", shared.self_address);
        let mut table = shared.table();
        if let Some(link) = table.links.get(&to.address) {
            let queue = link.queue.clone();
            drop(table);
            if !queue.push(|out| encode_message(&from, to, name, &body, out)) {
                warn!(%to, name, limit = QUEUE_BYTES_MAX, "breaking a link: its peer takes too little");
            }
            return;
        }
        let count = table.temporaries.len();
        let queue = match table.temporaries.entry(to.address) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if count >= TEMPORARIES_MAX => {
                warn!(%to, name, limit = TEMPORARIES_MAX, "dropping a message: too many temporary connections");
                return;
            }
            Entry::Vacant(entry) => {
                let queue = Arc::new(Queue::new(QUEUE_BYTES_MAX));
                tokio::spawn(temporary::run(shared.clone(), to.address, queue.clone()));
                entry.insert(queue)
            }
        };
        // Under the table's lock: a temporary connection retires under it, once its queue is empty.
        if !queue.push(|out| encode_message(&from, to, name, &body, out)) {
            warn!(%to, name, limit = QUEUE_BYTES_MAX, "dropping the messages to a peer that takes too little");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        for link in std::mem::take(&mut self.shared.table().links).into_values() {
            link.queue.finish();
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        // The table is consistent between any two statements, so a panic elsewhere does not spoil it.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a link that has ended; true if it still was the present one, and so is to be reported.
    fn forget(&self, address: SocketAddrV4, generation: u64) -> bool {
        match self.table().links.entry(address) {
            Entry::Occupied(entry) if entry.get().generation == generation => {
                entry.remove();
                true
            }
            _ => false,
        }
    }

    /// Removes a temporary connection if nothing waits for it.
    fn retire(&self, address: SocketAddrV4, queue: &Queue) -> bool {
        let mut table = self.table();
        let is_over = queue.is_empty() || queue.is_broken();
        if is_over {
            table.temporaries.remove(&address);
        }
        is_over
    }

    async fn report(&self, exited: Exited) {
        if self.exited.send(exited).await.is_err() {
            debug!(address = %exited.address, "nobody listens for the ends of links any more");
        }
    }
}
