//! A bound socket: turmoil's, which is accepted from only while its host does not stand still.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::future::BoxFuture;
use seams::{BoxStream, Listener};
use turmoil::net::{TcpListener, TcpStream};

use super::stream::Wire;
use super::{HostId, Net};

/// Pause between two looks at a gate by who waits for a connection.
pub(super) const LOOK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Gated {
    inner: Bound,
    net: Net,
    me: HostId,
    address: SocketAddr,
    /// Accepted while the host stood still; kept when who accepts is dropped.
    accepted: Option<(TcpStream, SocketAddr)>,
}

struct Bound(TcpListener);

impl std::fmt::Debug for Bound {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("TcpListener")
    }
}

impl Gated {
    /// turmoil binds to every address of a host; the address asked for is the one told.
    pub(super) async fn bind(net: Net, me: HostId, address: SocketAddr) -> io::Result<Gated> {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
        let inner = TcpListener::bind(any).await?;
        let port = inner.local_addr()?.port();
        Ok(Gated {
            inner: Bound(inner),
            net,
            me,
            address: SocketAddr::new(address.ip(), port),
            accepted: None,
        })
    }
}

impl Listener for Gated {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        Box::pin(async move {
            if self.accepted.is_none() {
                self.accepted = Some(self.inner.0.accept().await?);
            }
            while self.net.state().hosts[self.me].frozen {
                tokio::time::sleep(LOOK).await;
            }
            match self.accepted.take() {
                Some((stream, peer)) => {
                    let wire = Wire::new(stream, self.net.clone(), self.me, peer, false)?;
                    Ok((Box::new(wire) as BoxStream, peer))
                }
                None => Err(io::Error::other("an accepted connection was taken twice")),
            }
        })
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
