//! The network of those who live in this process: hollow agents and workloads. Their connections say whose they are, and
//! their listeners are reached through proxies.

use std::fmt::{Debug, Formatter};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use seams::{BoxStream, Listener, Network, TokioNetwork};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use super::Host;
use super::proxy::Proxy;
use super::switchboard::Switchboard;

/// Behind their proxies the listeners of this process are here.
const INNER: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 1);

/// A network on behalf of one host.
#[derive(Clone)]
pub(crate) struct HostNetwork {
    switchboard: Arc<Switchboard>,
    host: Host,
}

impl HostNetwork {
    pub(crate) fn new(switchboard: Arc<Switchboard>, host: Host) -> Self {
        HostNetwork { switchboard, host }
    }
}

impl Debug for HostNetwork {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "HostNetwork({})", self.host)
    }
}

impl Network for HostNetwork {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let inner = TokioNetwork.listen((INNER, 0).into()).await?;
            let outer = TcpListener::bind(address).await?;
            let outward = outer.local_addr()?;
            let proxy = Proxy::new(Arc::clone(&self.switchboard), self.host, outward, inner.local_addr()?);
            proxy.accept_from(outer);
            Ok(Box::new(Proxied { inner, proxy }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let target = lookup_host(address).await?.find(SocketAddr::is_ipv4);
            let target = target.ok_or_else(|| io::Error::other(format!("'{address}' has no IPv4 address")))?;
            let socket = TcpSocket::new_v4()?;
            // The port is known, and announced, before the connection can arrive.
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            let port = socket.local_addr()?.port();
            self.switchboard.identities.announce(port, self.host);
            let connected = socket.connect(target).await;
            let stream = connected.inspect_err(|_| self.switchboard.identities.withdraw(port))?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

struct Proxied {
    inner: Box<dyn Listener>,
    proxy: Proxy,
}

impl Debug for Proxied {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Proxied({})", self.proxy.outward())
    }
}

impl Listener for Proxied {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, SocketAddr)>> {
        self.inner.accept()
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.proxy.outward())
    }
}
