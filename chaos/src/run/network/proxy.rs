//! A proxy in front of one port of one process.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::Host;
use super::pump::{Way, pump};
use super::switchboard::Switchboard;

/// Connections that wait to be taken; a restarted master is met by its whole fleet at once.
const BACKLOG: u32 = 4096;
/// Tries to take a port back that an earlier listener has just left, and the pause between them.
const BIND_TRIES: u32 = 100;
const BIND_PAUSE: Duration = Duration::from_millis(20);

/// Listens at one address while it is open, and passes everything on to another. Connections outlive its closing: they
/// end when one of their ends does.
pub(crate) struct Proxy {
    switchboard: Arc<Switchboard>,
    /// Whose port it is.
    host: Host,
    outward: SocketAddr,
    upstream: SocketAddr,
    accepting: Mutex<Option<AbortHandle>>,
}

impl Proxy {
    pub(crate) fn new(switchboard: Arc<Switchboard>, host: Host, outward: SocketAddr, upstream: SocketAddr) -> Self {
        Proxy {
            switchboard,
            host,
            outward,
            upstream,
            accepting: Mutex::new(None),
        }
    }

    /// Where the others connect to.
    pub(crate) fn outward(&self) -> SocketAddr {
        self.outward
    }

    /// Begins to listen, unless it does already.
    ///
    /// # Errors
    /// The port cannot be had.
    pub(crate) async fn open(&self) -> io::Result<()> {
        if self.is_open() {
            return Ok(());
        }
        let listener = bind(self.outward).await?;
        self.accept_from(listener);
        Ok(())
    }

    /// Begins with a listener that is there.
    pub(super) fn accept_from(&self, listener: TcpListener) {
        let accepting = accept(
            Arc::clone(&self.switchboard),
            listener,
            self.host,
            self.outward,
            self.upstream,
        );
        *self.accepting() = Some(tokio::spawn(accepting).abort_handle());
    }

    /// Stops to listen: whoever connects is refused, as by a host on which nobody listens.
    pub(crate) fn close(&self) {
        if let Some(accepting) = self.accepting().take() {
            accepting.abort();
        }
    }

    fn is_open(&self) -> bool {
        self.accepting().is_some()
    }

    fn accepting(&self) -> std::sync::MutexGuard<'_, Option<AbortHandle>> {
        self.accepting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
    }
}

async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < BIND_TRIES => {
                tries += 1;
                sleep(BIND_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

async fn accept(
    switchboard: Arc<Switchboard>,
    listener: TcpListener,
    host: Host,
    local: SocketAddr,
    upstream: SocketAddr,
) {
    loop {
        match listener.accept().await {
            Ok((inbound, peer)) => {
                let from = switchboard.identities.who(peer, local);
                tokio::spawn(connection(Arc::clone(&switchboard), inbound, from, host, upstream));
            }
            // The connection is gone already, or descriptors are short: neither ends the proxy.
            Err(error) => {
                tracing::debug!(%error, %host, "a connection could not be taken");
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

/// Carries one connection to its end.
async fn connection(switchboard: Arc<Switchboard>, inbound: TcpStream, from: Host, to: Host, upstream: SocketAddr) {
    let (id, cut) = switchboard.connected(from, to);
    let carried = async {
        // The other host does not hear of a connection while nothing reaches it.
        switchboard.passable(from, to).await;
        let outbound = TcpStream::connect(upstream).await?;
        inbound.set_nodelay(true)?;
        outbound.set_nodelay(true)?;
        io::Result::Ok(outbound)
    };
    let outbound = tokio::select! {
        outbound = carried => outbound,
        () = cut.notified() => Err(io::ErrorKind::ConnectionReset.into()),
    };
    let outbound = match outbound {
        Ok(outbound) => outbound,
        Err(error) => {
            tracing::trace!(%error, %from, %to, "no connection");
            reset_on_close(&inbound);
            return switchboard.disconnected(id);
        }
    };
    let record_for = switchboard.records(from, to).then_some(upstream);
    let way = |from, to, record_for| Way {
        switchboard: Arc::clone(&switchboard),
        from,
        to,
        connection: id,
        record_for,
    };
    let (there, back) = (way(from, to, record_for), way(to, from, None));
    let (in_reader, mut in_writer) = inbound.into_split();
    let (out_reader, mut out_writer) = outbound.into_split();
    let ended = tokio::select! {
        ended = async { tokio::try_join!(
            pump(there, in_reader, &mut out_writer),
            pump(back, out_reader, &mut in_writer),
        ) } => ended.map(drop),
        () = cut.notified() => Err(io::ErrorKind::ConnectionReset.into()),
    };
    if ended.is_err() {
        for writer in [in_writer, out_writer] {
            reset_on_close(writer.as_ref());
            // Dropped otherwise, it would send an end in order before the reset.
            writer.forget();
        }
    }
    switchboard.disconnected(id);
}

/// Makes the coming close a reset. Fails for a socket that its peer has closed, which needs none.
fn reset_on_close(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::trace!(%error, "no reset");
    }
}
