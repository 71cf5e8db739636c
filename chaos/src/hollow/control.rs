//! Hosts of hollow agents that die, come back, stand still: what fault injectors do to a fleet.
//!
//! A host is one port of the fleet with all agents behind it ([`FleetConfig::agents_per_port`]; 1 makes every agent a
//! host of its own). Its death closes its port and its connections at once; messages that it had not looked at are lost.

use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use libprocess::{Limits, Links, Server};
use seams::Seams;
use tokio::sync::{Mutex, MutexGuard, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::counts::Counts;
use super::shard::{Control, Mail, Memory, Shard, ShardService};
use super::{EXITED_MAX, Fleet, FleetConfig, Leader, MAILBOX_MAX};

/// Commands that wait for one host; they are rare.
const CONTROLS_MAX: usize = 16;
/// How often a host that comes back tries to bind its port, which its predecessor may not have left yet.
const BIND_TRIES: u32 = 50;
/// Between two tries.
const BIND_PAUSE: Duration = Duration::from_millis(100);

/// What all hosts of a fleet have in common.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) config: FleetConfig,
    pub(super) seams: Seams,
    pub(super) counts: Arc<Counts>,
    pub(super) suspicion: mpsc::Sender<String>,
    pub(super) leader: watch::Receiver<Option<Leader>>,
}

/// One host.
#[derive(Debug)]
pub(super) struct Host {
    /// Numbers of its agents in the fleet, from 0.
    numbers: Range<usize>,
    /// Its port, once known; it keeps it.
    port: u16,
    state: State,
}

#[derive(Debug)]
enum State {
    Up(Running),
    /// Dead; what its agents had checkpointed. `None` also while it is being started.
    Down(Option<Memory>),
}

#[derive(Debug)]
struct Running {
    mailbox: mpsc::Sender<Mail>,
    controls: mpsc::Sender<Control>,
    /// Kept for its drop: closes the port.
    _server: Server,
    shard_loop: JoinHandle<Option<Memory>>,
}

impl Host {
    pub(super) fn new(numbers: Range<usize>) -> Self {
        Host {
            numbers,
            port: 0,
            state: State::Down(None),
        }
    }

    /// Starts to listen and to register, with what it remembers; without that its agents are new ones.
    pub(super) async fn start(&mut self, common: &Common) -> io::Result<()> {
        let State::Down(memory) = &mut self.state else {
            return Ok(());
        };
        let config = &common.config;
        let (mailbox, mails) = mpsc::channel(MAILBOX_MAX);
        let (controls, commands) = mpsc::channel(CONTROLS_MAX);
        let service = Arc::new(ShardService::new(self.numbers.len(), mailbox.clone()));
        let listen = SocketAddr::from((config.listen_ip.unwrap_or(config.ip), self.port));
        let server = bind(common, listen, &service).await?;
        self.port = server.local_addr().port();
        let address = SocketAddrV4::new(config.ip, self.port);
        let memory = memory
            .take()
            .unwrap_or_else(|| Memory::fresh(config, self.numbers.clone(), address, &common.seams));
        let (exited_sender, exited) = mpsc::channel(EXITED_MAX);
        let links = Links::new(common.seams.clone(), address, exited_sender);
        let shard = Shard::new(
            config,
            memory,
            common.seams.clone(),
            Arc::clone(&common.counts),
            common.suspicion.clone(),
            links,
        );
        let mut leader = common.leader.clone();
        // A host that comes back has to learn who leads although nothing has changed.
        leader.mark_changed();
        self.state = State::Up(Running {
            mailbox,
            controls,
            _server: server,
            shard_loop: tokio::spawn(shard.run(mails, exited, leader, commands)),
        });
        Ok(())
    }

    async fn stop(&mut self, how: Control) {
        if let State::Up(running) = &mut self.state {
            // Fails only for a loop that has ended by itself, with the fleet.
            let memory = match running.controls.send(how).await {
                Ok(()) => (&mut running.shard_loop).await.ok().flatten(),
                Err(_) => None,
            };
            self.state = State::Down(memory);
        }
    }

    async fn command(&self, command: Control) {
        if let State::Up(running) = &self.state
            && running.controls.send(command).await.is_err()
        {
            tracing::warn!("a host of the fleet has ended");
        }
    }

    pub(super) async fn mail(&self, mail: Mail) {
        if let State::Up(running) = &self.state
            && running.mailbox.send(mail).await.is_err()
        {
            tracing::warn!("a host of the fleet has ended");
        }
    }

    pub(super) fn abort(&mut self) {
        if let State::Up(running) = &self.state {
            running.shard_loop.abort();
        }
    }
}

async fn bind(common: &Common, listen: SocketAddr, service: &Arc<ShardService>) -> io::Result<Server> {
    let mut tries = 0;
    loop {
        let service = Arc::clone(service);
        let started = Server::start(common.seams.clone(), listen, Limits::default(), service).await;
        tries += 1;
        match started {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && listen.port() != 0 && tries < BIND_TRIES => {
                sleep(BIND_PAUSE).await;
            }
            started => return started,
        }
    }
}

impl Fleet {
    /// Number of hosts; those below are numbered from 0.
    pub fn hosts(&self) -> usize {
        self.hosts.len()
    }

    async fn host(&self, host: usize) -> io::Result<MutexGuard<'_, Host>> {
        let found: Option<&Mutex<Host>> = self.hosts.get(host);
        let missing = || io::Error::other(format!("there is no host {host}: the fleet has {}", self.hosts.len()));
        Ok(found.ok_or_else(missing)?.lock().await)
    }

    /// The agents' processes on a host die. Their tasks run on, and their checkpoints stay. Nothing if it is dead.
    ///
    /// # Errors
    /// There is no such host.
    pub async fn kill(&self, host: usize) -> io::Result<()> {
        self.host(host).await?.stop(Control::Die).await;
        Ok(())
    }

    /// Starts a dead host again: its agents come back with their ids and tasks. Nothing if it is up.
    ///
    /// # Errors
    /// There is no such host, or its port is taken.
    pub async fn restart(&self, host: usize) -> io::Result<()> {
        self.host(host).await?.start(&self.common).await
    }

    /// The host loses power and comes back: its tasks are gone, its agents register as new ones.
    ///
    /// # Errors
    /// There is no such host, or its port is taken.
    pub async fn reboot(&self, host: usize) -> io::Result<()> {
        self.begin_anew(host, Control::Die, "its host was rebooted").await
    }

    /// The host's agents take leave of the master, their tasks end with them, and new ones come in their place.
    ///
    /// # Errors
    /// There is no such host, or its port is taken.
    pub async fn replace(&self, host: usize) -> io::Result<()> {
        self.begin_anew(host, Control::Leave, "it took leave").await
    }

    async fn begin_anew(&self, host: usize, how: Control, reason: &str) -> io::Result<()> {
        let mut host = self.host(host).await?;
        host.stop(how).await;
        if let State::Down(Some(memory)) = &mut host.state {
            memory.lose(&self.common, reason);
        }
        host.start(&self.common).await
    }

    /// A host stands still: it keeps its connections and does nothing. Nothing if it is dead.
    ///
    /// # Errors
    /// There is no such host.
    pub async fn pause(&self, host: usize) -> io::Result<()> {
        self.host(host).await?.command(Control::Pause).await;
        Ok(())
    }

    /// A host that stands still goes on.
    ///
    /// # Errors
    /// There is no such host.
    pub async fn resume(&self, host: usize) -> io::Result<()> {
        self.host(host).await?.command(Control::Resume).await;
        Ok(())
    }
}
