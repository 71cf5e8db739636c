//! A place where a master runs: its addresses and proxies stay, while processes, node ids and disks come and go.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::layout::MasterAddress;
use super::process::{Launch, Process};
use crate::run::network::{Host, Proxy, Switchboard};

/// How often it is looked whether a process listens.
const LISTEN_INTERVAL: Duration = Duration::from_millis(3);
/// A master that was told to stop hands over and goes; after this time it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// One place.
pub(crate) struct Master {
    pub(crate) place: usize,
    pub(crate) address: MasterAddress,
    /// The disk; everything a power cut or a wipe is about is below it.
    pub(crate) disk: PathBuf,
    switchboard: Arc<Switchboard>,
    proxies: Arc<[Proxy; 2]>,
    node_id: AtomicU64,
    starts: AtomicU64,
    disks: AtomicU64,
    /// Whether its end is nobody's plan.
    kept: AtomicBool,
    paused: AtomicBool,
    process: Mutex<Option<Process>>,
}

impl Master {
    pub(super) fn new(place: usize, address: MasterAddress, disk: PathBuf, switchboard: Arc<Switchboard>) -> Self {
        let proxy = |outward, upstream| Proxy::new(Arc::clone(&switchboard), Host::Master(place), outward, upstream);
        let proxies = Arc::new([
            proxy(address.http, address.inner_http()),
            proxy(address.raft, address.inner_raft()),
        ]);
        Master {
            place,
            address,
            disk,
            switchboard,
            proxies,
            node_id: AtomicU64::new(0),
            starts: AtomicU64::new(0),
            disks: AtomicU64::new(0),
            kept: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            process: Mutex::new(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        Host::Master(self.place).to_string()
    }

    /// The node id of the member at this place; 0 for none.
    pub(crate) fn node_id(&self) -> u64 {
        self.node_id.load(Ordering::Relaxed)
    }

    /// Another member is at this place from now on; 0 for none.
    pub(crate) fn set_node_id(&self, node_id: u64) {
        self.node_id.store(node_id, Ordering::Relaxed);
    }

    pub(crate) fn is_member(&self) -> bool {
        self.node_id() != 0
    }

    /// Counts the starts at this place.
    pub(crate) fn starts(&self) -> u64 {
        self.starts.load(Ordering::Relaxed)
    }

    /// Counts the disks that were emptied.
    pub(crate) fn disks(&self) -> u64 {
        self.disks.load(Ordering::Relaxed)
    }

    /// Below the disk, so that the directory's own name can be lost too.
    pub(crate) fn data(&self) -> PathBuf {
        self.disk.join("master")
    }

    pub(super) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// From now on its end belongs to a fault, or, with `true`, to nobody.
    pub(crate) fn keep(&self, kept: bool) {
        self.kept.store(kept, Ordering::Relaxed);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(crate) async fn pid(&self) -> Option<i32> {
        self.process.lock().await.as_ref().map(Process::pid)
    }

    pub(crate) async fn is_running(&self) -> bool {
        self.process
            .lock()
            .await
            .as_mut()
            .is_some_and(|process| process.ended().is_none())
    }

    /// Starts the process, which must not be running, and opens the proxies as soon as it listens.
    pub(crate) async fn start(&self, launch: &Launch) -> Result<()> {
        let mut process = self.process.lock().await;
        if process.is_some() {
            bail!("{} runs already", self.name());
        }
        let data = self.data();
        fs::create_dir_all(&data)
            .and_then(|()| self.sync_disk())
            .with_context(|| format!("cannot create {}", data.display()))?;
        let started = launch.spawn()?;
        self.switchboard
            .identities
            .started(started.pid(), Host::Master(self.place));
        let pid = started.pid();
        *process = Some(started);
        self.starts.fetch_add(1, Ordering::Relaxed);
        let upstreams = [self.address.inner_http(), self.address.inner_raft()];
        for (number, upstream) in upstreams.into_iter().enumerate() {
            let proxies = Arc::clone(&self.proxies);
            tokio::spawn(async move {
                let process = PathBuf::from(format!("/proc/{pid}/fd"));
                while TcpStream::connect(upstream).await.is_err() {
                    if fs::read_dir(&process).is_err() {
                        return;
                    }
                    sleep(LISTEN_INTERVAL).await;
                }
                if let Err(error) = proxies[number].open().await {
                    tracing::error!(%error, %upstream, "a proxy cannot listen");
                }
            });
        }
        Ok(())
    }

    /// `kill -9`; nothing happens when it does not run. Whoever connects afterwards is refused.
    pub(crate) async fn kill(&self) -> Result<()> {
        let process = self.process.lock().await.take();
        self.close();
        let Some(process) = process else { return Ok(()) };
        self.paused.store(false, Ordering::Relaxed);
        self.switchboard.identities.ended(process.pid());
        process.kill().await
    }

    /// SIGTERM and the wait for its end; an error when it did not end by itself with success.
    pub(crate) async fn stop(&self) -> Result<()> {
        let Some(process) = self.process.lock().await.take() else {
            return Ok(());
        };
        let pid = process.pid();
        let well = process.terminate(STOP_LIMIT).await;
        self.close();
        self.switchboard.identities.ended(pid);
        match well? {
            true => Ok(()),
            false => bail!("{} did not stop in order within {STOP_LIMIT:?} of SIGTERM", self.name()),
        }
    }

    /// SIGSTOP.
    pub(crate) async fn pause(&self) -> Result<()> {
        let process = self.process.lock().await;
        let process = process
            .as_ref()
            .with_context(|| format!("{} does not run", self.name()))?;
        process.signal(Signal::SIGSTOP)?;
        self.paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// SIGCONT; nothing happens when it does not run.
    pub(crate) async fn resume(&self) -> Result<()> {
        self.paused.store(false, Ordering::Relaxed);
        match self.process.lock().await.as_ref() {
            Some(process) => process.signal(Signal::SIGCONT),
            None => Ok(()),
        }
    }

    /// Takes the process away if it has ended: how, and its last words.
    pub(crate) async fn take_ended(&self) -> Option<(ExitStatus, String)> {
        let mut guard = self.process.lock().await;
        let status = guard.as_mut()?.ended()?;
        let process = guard.take()?;
        self.close();
        self.switchboard.identities.ended(process.pid());
        Some((status, process.last_words()))
    }

    /// Waits until the process ends by itself, for at most `limit`.
    pub(crate) async fn ended_within(&self, limit: Duration) -> Option<(ExitStatus, String)> {
        let mut guard = self.process.lock().await;
        let status = guard.as_mut()?.ended_within(limit).await?;
        let process = guard.take()?;
        self.close();
        self.switchboard.identities.ended(process.pid());
        Some((status, process.last_words()))
    }

    /// Removes everything on its disk; it must not run.
    pub(crate) fn wipe(&self) -> Result<()> {
        let data = self.data();
        self.disks.fetch_add(1, Ordering::Relaxed);
        match fs::remove_dir_all(&data) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            removed => removed,
        }
        .and_then(|()| self.sync_disk())
        .with_context(|| format!("cannot empty {}", data.display()))
    }

    /// Makes durable which directories there are: what this harness does to a disk must not be undone by a power cut.
    fn sync_disk(&self) -> std::io::Result<()> {
        fs::File::open(&self.disk)?.sync_all()
    }

    fn close(&self) {
        self.proxies.iter().for_each(Proxy::close);
    }
}
