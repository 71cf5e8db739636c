//! The server: accepts connections on one port and runs a [`Service`] behind them.
//!
//! Start reading at `connection.rs`. Must never close an idle connection except when stopping, and must never drop a
//! request that was read: see there.

mod connection;
mod control;
mod stream;
mod transport;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use seams::{BoxStream, Listener, Seams};
use tokio::sync::oneshot;
use tokio::task::{Id, JoinHandle, JoinSet};
use tracing::{debug, info, warn};

use self::connection::Connection;
use self::control::Control;
use crate::limits::Limits;
use crate::service::Service;

/// Pause after a failed accept, e.g. for want of file descriptors, so as not to spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// A listening port. Dropping it closes the port and every connection at once, as a crash would.
#[derive(Debug)]
pub struct Server {
    local_address: SocketAddr,
    stop: Option<oneshot::Sender<Duration>>,
    accept_loop: Option<JoinHandle<()>>,
}

impl Server {
    /// Binds `listen` (port 0: a free one) and serves `service`.
    ///
    /// Errors: those of binding, e.g. that the address is in use.
    pub async fn start(
        seams: Seams,
        listen: SocketAddr,
        limits: Limits,
        service: Arc<dyn Service>,
    ) -> io::Result<Server> {
        let listener = seams.network.listen(listen).await?;
        let local_address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let acceptor = Acceptor {
            seams,
            limits,
            service,
            connections: JoinSet::new(),
            controls: HashMap::new(),
            accepted: 0,
            is_full: false,
        };
        let accept_loop = Some(tokio::spawn(acceptor.run(listener, stopped)));
        Ok(Server {
            local_address,
            stop: Some(stop),
            accept_loop,
        })
    }

    /// The address really bound.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_address
    }

    /// Closes the port and idle connections, ends streams with their final chunk after what is already queued, and
    /// waits for requests in progress; what is not done after `grace` is cut off.
    pub async fn stop(mut self, grace: Duration) {
        let is_running = self.stop.take().is_some_and(|stop| stop.send(grace).is_ok());
        if let (true, Some(accept_loop)) = (is_running, self.accept_loop.as_mut())
            && let Err(error) = accept_loop.await
        {
            warn!(%error, "the accept loop ended badly");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(accept_loop) = &self.accept_loop {
            accept_loop.abort();
        }
    }
}

struct Acceptor {
    seams: Seams,
    limits: Limits,
    service: Arc<dyn Service>,
    connections: JoinSet<()>,
    /// With the number of each connection, in the order in which they were accepted.
    controls: HashMap<Id, (u64, Arc<Control>)>,
    accepted: u64,
    /// Whether the last connection was refused; said once in the log.
    is_full: bool,
}

impl Acceptor {
    async fn run(mut self, mut listener: Box<dyn Listener>, mut stopped: oneshot::Receiver<Duration>) {
        let grace = loop {
            tokio::select! {
                biased;
                grace = &mut stopped => break grace.unwrap_or_default(),
                Some(ended) = self.connections.join_next_with_id(), if !self.connections.is_empty() => self.forget(ended),
                accepted = listener.accept() => match accepted {
                    Ok((stream, peer)) => self.accept(stream, peer),
                    Err(error) => {
                        warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(ACCEPT_RETRY).await;
                    }
                },
            }
        };
        drop(listener);
        let mut controls: Vec<_> = self.controls.values().collect();
        controls.sort_unstable_by_key(|(number, _)| *number);
        for (_, control) in controls {
            control.stop();
        }
        let ends = async { while self.connections.join_next().await.is_some() {} };
        if tokio::time::timeout(grace, ends).await.is_err() {
            info!(
                connections = self.connections.len(),
                "cutting connections off that did not end in time"
            );
        }
    }

    fn accept(&mut self, stream: BoxStream, peer: SocketAddr) {
        if self.connections.len() >= self.limits.max_connections {
            if !std::mem::replace(&mut self.is_full, true) {
                warn!(%peer, limit = self.limits.max_connections, "closing new connections: too many are open");
            }
            return;
        }
        self.is_full = false;
        let control = Arc::new(Control::default());
        let connection = Connection::new(
            stream,
            peer,
            self.limits,
            &self.seams,
            self.service.clone(),
            control.clone(),
        );
        let task = self.connections.spawn(connection.run());
        self.accepted += 1;
        self.controls.insert(task.id(), (self.accepted, control));
    }

    fn forget(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    warn!(%error, "a request handler panicked; its connection is closed");
                } else {
                    debug!(%error, "a connection was cut off");
                }
                error.id()
            }
        };
        self.controls.remove(&id);
    }
}
