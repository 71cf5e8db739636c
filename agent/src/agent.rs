//! Starting an agent: check the settings, recover what a former one left, open the port, run the loop.

use std::fs::File;
use std::future::Future;
use std::net::{SocketAddr, SocketAddrV4};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use client::MasterList;
use libprocess::{Limits, Links, Server, Upid};
use proto::v1::AgentInfo;
use seams::Seams;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::ACTOR_ID;
use crate::actor::{Actor, Inbox};
use crate::book::Book;
use crate::config::{Config, ConfigError};
use crate::detector;
use crate::http::Port;
use crate::processes::Listener;
use crate::store::{Layout, Recovered, StoreError, atomic, create_directories, recover};

/// Inputs that may wait for the loop; a peer whose message finds no place waits with it.
const INPUTS_MAX: usize = 4_096;

/// Leaders, ends of links and suspicions that may wait; each of them supersedes the one before.
const SIGNALS_MAX: usize = 64;

/// Changes of processes that may wait; supervisors wait with theirs.
const CHANGES_MAX: usize = 4_096;

/// How long requests in progress may take when the agent stops.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Why an agent cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A setting cannot be used.
    #[error("unusable setting")]
    Config(#[source] ConfigError),
    /// The work directory failed: the agent may not say what it cannot keep.
    #[error("the work directory failed")]
    Store(#[from] StoreError),
    /// The port cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was to be bound.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The settings no longer fit what was registered.
    #[error(
        "--{setting} changed from {former} to {present} since this agent was registered; restore it, or remove {path} to register as a new agent"
    )]
    Incompatible {
        /// Which setting.
        setting: &'static str,
        /// As registered.
        former: String,
        /// As given now.
        present: String,
        /// The record that remembers it.
        path: String,
    },
    /// The leading master knows this agent under another id; going on would mix two agents up.
    #[error("the master gave the id {given} to agent {own}")]
    ForeignId {
        /// This agent's id.
        own: String,
        /// The id given.
        given: String,
    },
}

/// A started agent.
#[derive(Debug)]
pub struct Agent {
    actor: Actor,
    inbox: Inbox,
    server: Server,
    detector: JoinHandle<()>,
    pid: Upid,
    listener: Listener,
    lock: File,
}

impl Agent {
    /// Recovers what a former agent of this work directory left and opens the port. Nothing is said to a master before
    /// [`Agent::run_until`]. Must be called within a Tokio runtime.
    ///
    /// Errors: an unusable setting or work directory, a busy port, or settings that no longer fit what was registered.
    pub async fn start(config: Config, seams: Seams) -> Result<Agent, AgentError> {
        config.validate().map_err(AgentError::Config)?;
        let config = Arc::new(config);
        let layout = Layout::new(config.work_dir.clone());
        create_directories(&layout.meta())?;
        let lock = lock(&layout)?;
        let mut recovered = recover(&layout)?;
        let boot_id = current_boot_id(&config.boot_id_file);
        let rebooted = recovered.boot_id.as_ref().is_some_and(|former| *former != boot_id);

        let (inputs_sender, inputs) = mpsc::channel(INPUTS_MAX);
        let address = SocketAddr::from((config.ip, config.port));
        let port = Arc::new(Port::new(layout.clone(), inputs_sender));
        let server = Server::start(seams.clone(), address, Limits::default(), port)
            .await
            .map_err(|source| AgentError::Listen { address, source })?;
        let own = SocketAddrV4::new(config.advertised_ip(), server.local_addr().port());
        let pid = Upid::new(ACTOR_ID, own);
        let info = agent_info(&config, own)?;
        if let Some(change) = recovered
            .agent
            .as_ref()
            .and_then(|agent| incompatible(agent.info.as_ref()?, &info, &layout))
        {
            if !rebooted {
                return Err(change);
            }
            tracing::warn!("{change}; the host was restarted, so this agent registers as a new one");
            forget(&layout)?;
            recovered = Recovered::default();
        }
        atomic::write(&layout.boot_id(), boot_id.as_bytes()).map_err(StoreError::io("write", &layout.boot_id()))?;

        let cgroup_root = cgroup_root(&config, own.port());
        let mut book = Book::new(
            config.clone(),
            layout.clone(),
            seams.clone(),
            pid.to_string(),
            info,
            cgroup_root,
        );
        book.restore(recovered);
        let (exited_sender, exited) = mpsc::channel(SIGNALS_MAX);
        let (changed, changes) = mpsc::channel(CHANGES_MAX);
        let (leader_sender, leaders) = mpsc::channel(SIGNALS_MAX);
        let (suspicion, suspicions) = mpsc::channel(SIGNALS_MAX);
        let listener = Listener::start(layout.notify(), changed.clone())?;
        let links = Links::new(seams.clone(), own, exited_sender);
        let masters: MasterList = config
            .masters
            .join(",")
            .parse()
            .map_err(|error| AgentError::Config(ConfigError(format!("--master: {error}"))))?;
        let mut actor = Actor::new(config, seams.clone(), book, links, suspicion.clone(), changed);
        actor.recover_processes(rebooted)?;
        let detector = tokio::spawn(detector::follow(masters, seams, suspicions, suspicion, leader_sender));
        let inbox = Inbox {
            inputs,
            leaders,
            exited,
            changes,
        };
        Ok(Agent {
            actor,
            inbox,
            server,
            detector,
            pid,
            listener,
            lock,
        })
    }

    /// The agent's own address, e.g. `slave(1)@10.0.0.7:5051`.
    pub fn pid(&self) -> &Upid {
        &self.pid
    }

    /// Runs until `shutdown` resolves; tasks go on running and are found again by the next agent of this work directory.
    /// Also ends, with its tasks killed, when the master tells the agent to shut down.
    ///
    /// Errors: the work directory failed, or the master says something this agent cannot go on with.
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
        // The lock and the pipe's listener end with this function.
        let Agent {
            actor,
            inbox,
            server,
            detector,
            listener: _listener,
            lock: _lock,
            ..
        } = self;
        let result = actor.run(inbox, shutdown).await;
        detector.abort();
        server.stop(STOP_GRACE).await;
        result
    }
}

fn lock(layout: &Layout) -> Result<File, StoreError> {
    let path = layout.lock();
    let file = File::create(&path).map_err(StoreError::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
        Err(std::fs::TryLockError::Error(error)) => Err(StoreError::io("lock", &path)(error)),
    }
}

/// Forgets the former agent of this work directory: none of its processes live, and its master gives its tasks up when
/// the new agent registers. Sandboxes stay.
fn forget(layout: &Layout) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(layout.frameworks()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove", &layout.frameworks())(error));
        }
        _ => {}
    }
    std::fs::remove_file(layout.agent()).map_err(StoreError::io("remove", &layout.agent()))?;
    atomic::sync_directory(&layout.meta()).map_err(StoreError::io("sync", &layout.meta()))
}

/// The kernel's id of this boot; empty where the kernel has none, which then never changes.
fn current_boot_id(file: &Path) -> String {
    std::fs::read_to_string(file)
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

fn agent_info(config: &Config, own: SocketAddrV4) -> Result<AgentInfo, AgentError> {
    let unusable = |text: String| AgentError::Config(ConfigError(text));
    let resources = crate::resources::parse(&config.resources).map_err(unusable)?;
    let attributes = crate::resources::parse_attributes(&config.attributes).map_err(unusable)?;
    Ok(AgentInfo {
        hostname: config.hostname.clone().unwrap_or_else(|| own.ip().to_string()),
        resources: crate::resources::with_host_defaults(resources, &config.work_dir),
        attributes,
        id: None,
        port: Some(i32::from(own.port())),
        domain: None,
        checkpoint: Some(true),
    })
}

/// What of the settings no longer fits the registered agent; a changed port is fine.
fn incompatible(former: &AgentInfo, present: &AgentInfo, layout: &Layout) -> Option<AgentError> {
    former.id.as_ref()?;
    let change = |setting, former: String, present: String| AgentError::Incompatible {
        setting,
        former,
        present,
        path: layout.agent().display().to_string(),
    };
    let text = |resources: &[proto::v1::Resource]| {
        let parts: Vec<String> = resources
            .iter()
            .map(|resource| String::from_utf8_lossy(&proto::json::to_vec(resource)).into_owned())
            .collect();
        parts.join(" ")
    };
    if former.hostname != present.hostname {
        return Some(change("hostname", former.hostname.clone(), present.hostname.clone()));
    }
    if former.resources != present.resources {
        return Some(change("resources", text(&former.resources), text(&present.resources)));
    }
    if former.attributes != present.attributes {
        return Some(change(
            "attributes",
            format!("{:?}", former.attributes),
            format!("{:?}", present.attributes),
        ));
    }
    None
}

fn cgroup_root(config: &Config, port: u16) -> Option<std::path::PathBuf> {
    match crate::supervisor::cgroup::prepare(&config.cgroups_hierarchy, &port.to_string()) {
        Ok(root) => {
            tracing::info!(path = %root.display(), "tasks are limited by cgroups");
            Some(root)
        }
        Err(reason) => {
            tracing::info!(
                reason,
                "tasks run without cgroups: no limits on their memory, kills go to process groups"
            );
            None
        }
    }
}
