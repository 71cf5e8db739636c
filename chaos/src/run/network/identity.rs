//! Who is at the other end of a connection to a proxy: the owner of the other end's port.
//!
//! Connections of this process are announced before they are made. Of any other process the system's tables tell which
//! one holds the socket; only the known processes of the cluster are looked at.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Host;

/// The processes of a run and the connections announced by this one.
#[derive(Debug, Default)]
pub(crate) struct Identities {
    processes: Mutex<BTreeMap<i32, Host>>,
    announced: Mutex<HashMap<u16, Host>>,
}

impl Identities {
    /// A process of the cluster was started.
    pub(crate) fn started(&self, pid: i32, host: Host) {
        lock(&self.processes).insert(pid, host);
    }

    /// It has ended.
    pub(crate) fn ended(&self, pid: i32) {
        lock(&self.processes).remove(&pid);
    }

    /// This process is about to connect to a proxy from a port of the loopback device, on behalf of `host`.
    pub(super) fn announce(&self, port: u16, host: Host) {
        lock(&self.announced).insert(port, host);
    }

    /// The connection was not made.
    pub(super) fn withdraw(&self, port: u16) {
        lock(&self.announced).remove(&port);
    }

    /// Whose end of the connection between `peer` and the proxy at `local` is. Whoever is not known is a client.
    pub(super) fn who(&self, peer: SocketAddr, local: SocketAddr) -> Host {
        if let Some(host) = lock(&self.announced).remove(&peer.port()) {
            return host;
        }
        let (SocketAddr::V4(peer), SocketAddr::V4(local)) = (peer, local) else {
            return Host::Clients;
        };
        let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let Some(inode) = inode_of(&table, peer, local) else {
            return Host::Clients;
        };
        let socket = format!("socket:[{inode}]");
        let processes = lock(&self.processes).clone();
        let holder = processes.into_iter().find(|(pid, _)| holds(*pid, &socket));
        holder.map_or(Host::Clients, |(_, host)| host)
    }
}

/// The inode of the socket with this local and remote end in a table as `/proc/net/tcp` has it.
fn inode_of(table: &str, local: SocketAddrV4, remote: SocketAddrV4) -> Option<u64> {
    let (local, remote) = (hexadecimal(local), hexadecimal(remote));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_it = fields.next()? == local && fields.next()? == remote;
        // Of the rest the inode is the seventh.
        is_it.then(|| fields.nth(6)?.parse().ok())?
    })
}

/// An address as the table has it: the bytes of the host in this machine's order.
fn hexadecimal(address: SocketAddrV4) -> String {
    let host = u32::from_ne_bytes(Ipv4Addr::octets(address.ip()));
    format!("{host:08X}:{:04X}", address.port())
}

fn holds(pid: i32, socket: &str) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let mut targets = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.any(|target| target.as_os_str() == socket)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_both_its_ends() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
             0: 0100007F:13BA 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 111 1 0\n   \
             1: 0100007F:C000 0100007F:13BA 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0\n";
        let at = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        assert_eq!(inode_of(table, at(0xC000), at(0x13BA)), Some(222));
        assert_eq!(inode_of(table, at(0xC001), at(0x13BA)), None);
    }

    #[test]
    fn the_process_that_holds_a_connection_is_known() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let stream = std::net::TcpStream::connect(local).unwrap();
        let peer = stream.local_addr().unwrap();
        let identities = Identities::default();
        assert_eq!(identities.who(peer, local), Host::Clients);
        let own = i32::try_from(std::process::id()).unwrap();
        identities.started(own, Host::Master(2));
        assert_eq!(identities.who(peer, local), Host::Master(2));
        identities.announce(peer.port(), Host::Hollow);
        assert_eq!(identities.who(peer, local), Host::Hollow);
    }
}
