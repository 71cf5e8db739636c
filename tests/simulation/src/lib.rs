//! The seams of a simulated host: turmoil's network, its simulated time as wall clock, and randomness from a seed;
//! no threads.
//! For tests that run whole clusters in one process. Must never know what runs on the hosts.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::BoxFuture;
use seams::{Blocking, BoxStream, Clock, Entropy, Listener, Network, Seams};
use turmoil::net::{TcpListener, TcpStream};

/// Simulated time begins here: 2026-01-01, in microseconds.
const EPOCH_MICROS: u64 = 1_767_225_600_000_000;

/// Seams for one host, or for several that share their randomness.
pub fn seams(seed: u64) -> Seams {
    Seams {
        network: Arc::new(SimulatedNetwork),
        clock: Arc::new(SimulatedClock),
        entropy: Arc::new(SeededEntropy(Mutex::new(seed))),
        blocking: Blocking::Inline,
    }
}

#[derive(Debug)]
struct SimulatedNetwork;

impl Network for SimulatedNetwork {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            // A simulated host has one address, and listens at it when asked to listen at all of them.
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await?;
            let port = listener.local_addr()?.port();
            let address = SocketAddr::new(address.ip(), port);
            Ok(Box::new(SimulatedListener { listener, address }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address).await?) as BoxStream) })
    }
}

struct SimulatedListener {
    listener: TcpListener,
    address: SocketAddr,
}

impl std::fmt::Debug for SimulatedListener {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SimulatedListener")
    }
}

impl Listener for SimulatedListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            let (stream, peer) = self.listener.accept().await?;
            Ok((Box::new(stream) as BoxStream, peer))
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

#[derive(Debug)]
struct SimulatedClock;

impl Clock for SimulatedClock {
    fn now_micros(&self) -> u64 {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        EPOCH_MICROS + u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX - EPOCH_MICROS)
    }
}

/// splitmix64 (Steele, Lea, Flood 2014): good enough for ids and jitter, and the same for the same seed.
#[derive(Debug)]
struct SeededEntropy(Mutex<u64>);

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for chunk in bytes.chunks_mut(8) {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = *state;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
    }
}
