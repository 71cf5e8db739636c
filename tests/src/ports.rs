//! Free ports of the loopback device.
//!
//! A master must come back on its own port after it was killed, so ports are taken from below the range from which the
//! system picks ports for outgoing connections: nothing else takes one between two starts.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

/// Lowest port handed out.
const FIRST: u16 = 12_000;
/// One above the highest; tasks' ports (31000-32000) and outgoing connections (32768 and up) lie above.
const END: u16 = 30_000;
/// Test programs that run one after the other start at different places, so that they do not meet sockets of the one
/// before that are still closing.
const STRIDE: u16 = 200;

/// Ports handed out so far by this process.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on and that this process has not handed out yet.
///
/// # Panics
/// When every port of the range is taken.
pub fn free_port() -> u16 {
    let places = (END - FIRST) / STRIDE;
    let place = u16::try_from(std::process::id() % u32::from(places)).unwrap_or(0);
    for _ in FIRST..END {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (place * STRIDE + given) % (END - FIRST);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("every port from {FIRST} to {END} is taken")
}
