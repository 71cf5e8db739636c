//! Free ports of the loopback device for tests and benchmarks, also when several test programs run at once.
//!
//! A server must come back on its own port after it was killed, so a port that was handed out stays reserved until the
//! process that asked for it ends. Ports lie below the range from which the system picks ports for outgoing
//! connections, and are divided into blocks. A process owns a block by holding a lock on the block's file in the
//! folder for temporary files; the system lets go of the lock when the process ends, however it ends.
//!
//! Must never depend on another crate of the workspace: the tests of all of them may use it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// Lowest port handed out.
const FIRST: u16 = 12_000;
/// One above the highest; tasks' ports (31000-32000) and outgoing connections (32768 and up) lie above.
const END: u16 = 30_000;
/// Ports of one block: more than the 107 that the largest `mesoraft local` spreads its ports over.
const BLOCK: u16 = 120;
/// How many blocks there are, and so how many processes can have ports at once.
const BLOCKS: u16 = (END - FIRST) / BLOCK;

/// The blocks of this process.
static OWN: Mutex<Own> = Mutex::new(Own {
    left: 0..0,
    locks: Vec::new(),
});

struct Own {
    /// Ports of the newest block of single ports that have not been handed out.
    left: Range<u16>,
    /// The locked files; dropped with the process only.
    locks: Vec<File>,
}

impl Own {
    /// Takes a block that no process has.
    fn take_block(&mut self) -> Range<u16> {
        // Programs that run one after the other begin at different places, so that they do not meet sockets of the one
        // before that are still closing.
        let place = u16::try_from(std::process::id() % u32::from(BLOCKS)).unwrap_or(0);
        for number in 0..BLOCKS {
            let first = FIRST + (place + number) % BLOCKS * BLOCK;
            match lock(first) {
                Ok(Some(file)) => {
                    self.locks.push(file);
                    return first..first + BLOCK;
                }
                Ok(None) => {}
                Err(error) => panic!(
                    "cannot reserve the ports from {first}: {}: {error}",
                    path(first).display()
                ),
            }
        }
        panic!("every block of ports from {FIRST} to {END} is taken by a running test program")
    }
}

/// A port that nobody listens on and that no process gets, this one included, until this one ends.
///
/// # Panics
/// When every port of the range is taken, or the folder for temporary files cannot be written to.
pub fn free_port() -> u16 {
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let Some(port) = own.left.next() else {
            own.left = own.take_block();
            continue;
        };
        if is_free(port) {
            return port;
        }
    }
}

/// The first of `count` neighbouring ports, each as [`free_port`] gives it.
///
/// # Panics
/// As [`free_port`], and when `count` is more than a block has (120).
pub fn free_ports(count: u16) -> u16 {
    assert!(count <= BLOCK, "{count} neighbouring ports; a block has {BLOCK}");
    let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let block = own.take_block();
        if (block.start..block.start + count).all(is_free) {
            return block.start;
        }
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Locks the file of the block that begins with `first`; `None` when a process, maybe this one, has it.
fn lock(first: u16) -> io::Result<Option<File>> {
    let path = path(first);
    // Not to be opened for writing when it is there: it may be another user's.
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?,
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn path(first: u16) -> PathBuf {
    std::env::temp_dir().join(format!("mesoraft-test-ports-{first}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_handed_out_once_also_beyond_a_block() {
        let ports: Vec<u16> = (0..BLOCK + 1).map(|_| free_port()).collect();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| (FIRST..END).contains(port)));
    }

    #[test]
    fn a_block_that_is_owned_cannot_be_locked_again() {
        let first = free_ports(BLOCK);
        assert!(
            lock(first).unwrap().is_none(),
            "flock holds against this process as well"
        );
        assert!(!(first..first + BLOCK).contains(&free_port()));
    }
}
