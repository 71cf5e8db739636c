//! Idle connections, bounded in number.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::connection::ClientConnection;

/// Most idle connections to one address.
const IDLE_PER_ADDRESS_MAX: usize = 8;

/// Most idle connections in all; beyond, connections are closed after use.
const IDLE_MAX: usize = 512;

#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    by_address: BTreeMap<String, Vec<ClientConnection>>,
    count: usize,
}

impl Pool {
    /// An idle connection that the peer has not closed; the one used last, for it is the likeliest to be open.
    pub(super) fn take(&self, address: &str) -> Option<ClientConnection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = &mut *idle;
        let connections = idle.by_address.get_mut(address)?;
        while let Some(mut connection) = connections.pop() {
            idle.count -= 1;
            if connection.is_usable() {
                return Some(connection);
            }
        }
        idle.by_address.remove(address);
        None
    }

    /// Keeps a connection whose answer was read to its end.
    pub(super) fn put(&self, mut connection: ClientConnection) {
        if !connection.is_usable() {
            return;
        }
        // An idle connection holds no buffer.
        connection.input = bytes::BytesMut::new();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.count >= IDLE_MAX {
            idle.sweep();
        }
        if idle.count >= IDLE_MAX {
            return;
        }
        let connections = idle.by_address.entry(connection.address.clone()).or_default();
        if connections.len() < IDLE_PER_ADDRESS_MAX {
            connections.push(connection);
            idle.count += 1;
        }
    }
}

impl Idle {
    /// Closes what the peers have closed.
    fn sweep(&mut self) {
        for connections in self.by_address.values_mut() {
            connections.retain_mut(ClientConnection::is_usable);
        }
        self.by_address.retain(|_, connections| !connections.is_empty());
        self.count = self.by_address.values().map(Vec::len).sum();
    }
}
