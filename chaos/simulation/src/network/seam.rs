//! The seams of one simulated host: this network, a wall clock of its own, and random numbers from the seed.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use seams::{Blocking, BoxStream, Clock, Entropy, Listener, Network, Seams};
use turmoil::net::TcpStream;

use super::listener::{Gated, LOOK};
use super::stream::Wire;
use super::{HostId, Net};
use crate::random::Random;
use crate::time::now_micros;

/// Simulated time begins here: 2026-01-01, in microseconds.
const EPOCH_MICROS: i64 = 1_767_225_600_000_000;

/// Seams for the host `me`, whose wall clock is `clock`.
pub(crate) fn seams(net: &Net, me: HostId, clock: &Arc<WallClock>, random: Random) -> Seams {
    Seams {
        network: Arc::new(HostNetwork { net: net.clone(), me }),
        clock: clock.clone(),
        entropy: Arc::new(HostEntropy(Mutex::new(random))),
        blocking: Blocking::Inline,
    }
}

#[derive(Debug)]
struct HostNetwork {
    net: Net,
    me: HostId,
}

impl HostNetwork {
    fn is_refused(&self, address: SocketAddr) -> bool {
        let state = self.net.state();
        state
            .ids
            .get(&address.ip())
            .is_some_and(|peer| state.hosts[*peer].refuses)
    }

    fn is_shut(&self, address: SocketAddr) -> bool {
        let state = self.net.state();
        let peer = state.ids.get(&address.ip()).copied().unwrap_or(self.me);
        state.is_shut(self.me, peer)
    }
}

impl Network for HostNetwork {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = Gated::bind(self.net.clone(), self.me, address).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let parsed = address.parse::<SocketAddr>();
            let address =
                parsed.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, format!("{address}: {error}")))?;
            while self.is_shut(address) {
                tokio::time::sleep(LOOK).await;
            }
            if self.is_refused(address) {
                tokio::time::sleep(LOOK).await;
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, address.to_string()));
            }
            let stream = TcpStream::connect(address).await?;
            let wire = Wire::new(stream, self.net.clone(), self.me, address, true)?;
            Ok(Box::new(wire) as BoxStream)
        })
    }
}

/// The wall clock of a host: simulated time, run fast or slow, and set wrong.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    offset_micros: AtomicI64,
    /// Millionths by which it runs fast.
    skew: AtomicI64,
}

impl WallClock {
    /// Sets the clock wrong by so much more.
    pub(crate) fn jump(&self, micros: i64) {
        self.offset_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Lets it run fast by so many millionths; the time it shows now stays.
    pub(crate) fn skew(&self, millionths: i64) {
        let elapsed = i64::try_from(now_micros()).unwrap_or(i64::MAX);
        let before = self.skew.swap(millionths, Ordering::Relaxed);
        let difference = (before - millionths).saturating_mul(elapsed) / 1_000_000;
        self.offset_micros.fetch_add(difference, Ordering::Relaxed);
    }

    /// Sets it right.
    pub(crate) fn repair(&self) {
        self.skew.store(0, Ordering::Relaxed);
        self.offset_micros.store(0, Ordering::Relaxed);
    }
}

impl Clock for WallClock {
    fn now_micros(&self) -> u64 {
        let elapsed = i64::try_from(now_micros()).unwrap_or(i64::MAX);
        let fast = elapsed.saturating_mul(self.skew.load(Ordering::Relaxed)) / 1_000_000;
        let shown = EPOCH_MICROS + elapsed + fast + self.offset_micros.load(Ordering::Relaxed);
        u64::try_from(shown).unwrap_or(0)
    }
}

#[derive(Debug)]
struct HostEntropy(Mutex<Random>);

impl Entropy for HostEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}
