//! Where the outside world enters: network, wall clock and randomness as three small traits, and the choice where
//! blocking work runs.
//!
//! The very same masters, agents and clients run as real processes ([`Seams::real`]) and, whole clusters in one
//! process, under a simulator that implements these traits on simulated time and a simulated network.
//! Monotonic time needs no trait: it is `tokio::time`, which a simulator pauses and advances.
//! This crate must never grow logic; file access has its own seam, the log store of `replicated-log`.

mod blocking;
mod real;

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub use blocking::Blocking;
pub use real::{OsEntropy, SystemClock, TokioNetwork};

/// A connected byte stream, TCP in production.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A connected byte stream of any kind.
pub type BoxStream = Box<dyn Stream>;

/// A bound listening socket.
pub trait Listener: Send + Debug + 'static {
    /// Waits for the next connection; yields the stream and the peer's address.
    ///
    /// Cancel safety: a dropped future loses no connection.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>>;

    /// The address really bound (the port is set where 0 was asked for).
    fn local_addr(&self) -> io::Result<SocketAddr>;
}

/// Opens and accepts connections.
pub trait Network: Send + Sync + Debug + 'static {
    /// Binds a listening socket.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>>;

    /// Connects to `address`, a `host:port` text; host names are resolved. Has no timeout of its own beyond the
    /// operating system's: callers bound it.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>>;
}

/// The wall clock. May jump; nothing that needs a duration may use it.
pub trait Clock: Send + Sync + Debug + 'static {
    /// Microseconds since 1970-01-01 UTC.
    fn now_micros(&self) -> u64;
}

/// The source of random bytes (ids, jitter).
pub trait Entropy: Send + Sync + Debug + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

/// Everything from outside, handed to each component at its start. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Seams {
    /// Connections.
    pub network: Arc<dyn Network>,
    /// Wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// Where work runs that takes long.
    pub blocking: Blocking,
}

impl Seams {
    /// The operating system's network, clock and randomness.
    pub fn real() -> Self {
        Seams {
            network: Arc::new(TokioNetwork),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(OsEntropy),
            blocking: Blocking::Threads,
        }
    }

    /// A random number below 2^64, for jitter.
    pub fn random_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.entropy.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// Sixteen random bytes in the layout of a version 4 UUID.
    pub fn random_uuid(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        bytes
    }
}
