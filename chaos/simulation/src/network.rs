//! The network of the simulated hosts: turmoil's, with gates in front of every connection.
//!
//! A TCP connection across a cut loses nothing for as long as its kernel repeats what was not acknowledged. turmoil drops
//! segments at a cut and repeats none, which would stall every connection for ever; here a cut is a gate instead: what
//! was sent waits before it is read, and goes on when the gate opens. A connection that has waited longer than
//! [`PATIENCE`] is reset when the gate opens, as by a kernel that has given up.
//!
//! Must never know what the bytes mean.

mod listener;
mod seam;
mod stream;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

pub(crate) use self::seam::{WallClock, seams};
use crate::coverage::Counters;
use crate::trace::Trace;

/// For how long a kernel repeats what is not acknowledged. Linux takes 15 minutes by default, and keep-alive probes one;
/// a run is shorter than either, so that both sides of the limit are met.
const PATIENCE: Duration = Duration::from_secs(4);

/// Bytes of a connection that are kept to be said again.
const REPLAY_BYTES_MAX: usize = 256 << 10;

/// Number of a host.
pub(crate) type HostId = usize;

/// The network. Cheap to clone; all clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Net(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    hosts: Vec<Host>,
    ids: BTreeMap<IpAddr, HostId>,
    /// Closed directions, from and to, with how many faults close them and since when.
    closed: BTreeMap<(HostId, HostId), Closed>,
    ends: BTreeMap<u64, End>,
    next_end: u64,
    /// The port whose connections are kept to be said again, while that is asked for.
    recorded_port: Option<u16>,
    recordings: Vec<Recording>,
    counters: Counters,
    trace: Trace,
    now: u64,
}

#[derive(Debug)]
struct Host {
    /// Neither reads nor writes: its process stands still.
    frozen: bool,
    /// No process listens there, and its kernel says so to whoever connects. (turmoil would leave that one waiting.)
    refuses: bool,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    faults: u32,
    since: u64,
}

/// One end of a connection.
#[derive(Debug)]
struct End {
    me: HostId,
    peer: HostId,
    broken: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Place in `recordings`, if what is written is kept.
    recording: Option<usize>,
}

/// What one host has said to another on one connection, from its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    /// Who spoke.
    pub(crate) from: HostId,
    /// To whom.
    pub(crate) to: SocketAddr,
    /// What, from the first byte on.
    pub(crate) bytes: Vec<u8>,
    full: bool,
}

impl Net {
    /// A network of hosts at these addresses, whose numbers are their places.
    pub(crate) fn new(addresses: Vec<IpAddr>, counters: Counters, trace: Trace) -> Self {
        let ids = addresses
            .iter()
            .enumerate()
            .map(|(id, address)| (*address, id))
            .collect();
        let hosts = addresses
            .iter()
            .map(|_| Host {
                frozen: false,
                refuses: false,
            })
            .collect();
        Net(Arc::new(Mutex::new(State {
            hosts,
            ids,
            closed: BTreeMap::new(),
            ends: BTreeMap::new(),
            next_end: 0,
            recorded_port: None,
            recordings: Vec::new(),
            counters,
            trace,
            now: 0,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the time, in microseconds since the run began.
    pub(crate) fn tick(&self, now: u64) {
        self.state().now = now;
    }

    /// Closes the direction from one host to another; counted, so that faults may overlap.
    pub(crate) fn close(&self, from: HostId, to: HostId) {
        let mut state = self.state();
        let since = state.now;
        state
            .closed
            .entry((from, to))
            .or_insert(Closed { faults: 0, since })
            .faults += 1;
    }

    /// Takes one closing back. Connections that waited too long are reset.
    pub(crate) fn open(&self, from: HostId, to: HostId) {
        let mut state = self.state();
        let now = state.now;
        let Some(closed) = state.closed.get_mut(&(from, to)) else {
            return;
        };
        closed.faults -= 1;
        if closed.faults > 0 {
            return;
        }
        let waited = now - closed.since;
        state.closed.remove(&(from, to));
        let given_up = waited > u64::try_from(PATIENCE.as_micros()).unwrap_or(u64::MAX);
        state.wake(given_up, |end| {
            (end.peer, end.me) == (from, to) || (end.me, end.peer) == (from, to)
        });
    }

    /// Lets the process of a host stand still, or go on.
    pub(crate) fn freeze(&self, host: HostId, frozen: bool) {
        let mut state = self.state();
        state.hosts[host].frozen = frozen;
        if !frozen {
            state.wake(false, |end| end.me == host);
        }
    }

    /// Whether connections to a host are refused, because no process runs there.
    pub(crate) fn refuse(&self, host: HostId, refuses: bool) {
        self.state().hosts[host].refuses = refuses;
    }

    /// Resets every connection between hosts for which `which` holds; returns how many ends there were.
    pub(crate) fn reset(&self, which: impl Fn(HostId, HostId) -> bool) -> usize {
        self.state().wake(true, |end| which(end.me, end.peer))
    }

    /// Keeps what is said on connections opened from now on to `port`, until it is taken.
    pub(crate) fn record(&self, port: u16) {
        self.state().recorded_port = Some(port);
    }

    /// What was kept.
    pub(crate) fn take_recordings(&self) -> Vec<Recording> {
        let mut state = self.state();
        state.recorded_port = None;
        for end in state.ends.values_mut() {
            end.recording = None;
        }
        std::mem::take(&mut state.recordings)
    }
}

impl State {
    /// Wakes the ends for which `which` holds, and breaks them if they are to be broken.
    fn wake(&mut self, break_them: bool, which: impl Fn(&End) -> bool) -> usize {
        let mut woken = 0;
        for end in self.ends.values_mut().filter(|end| which(end)) {
            woken += 1;
            end.broken |= break_them;
            for waker in [end.reader.take(), end.writer.take()].into_iter().flatten() {
                waker.wake();
            }
        }
        if break_them && woken > 0 {
            self.counters.add("network/reset", 1);
        }
        woken
    }

    /// Whether `me` cannot open or accept connections with `peer` just now.
    fn is_shut(&self, me: HostId, peer: HostId) -> bool {
        self.hosts[me].frozen || self.is_closed(me, peer) || self.is_closed(peer, me)
    }

    fn is_closed(&self, from: HostId, to: HostId) -> bool {
        from != to && self.closed.contains_key(&(from, to))
    }
}
