//! Hollow agents: they speak the agent protocol and hold tasks that do nothing.
//!
//! A [`Fleet`] is cut into shards, each with one port of its own and up to [`FleetConfig::agents_per_port`] agents, told
//! apart by their actor ids `slave(1)`, `slave(2)` …; a shard is one loop over a mailbox. What one agent does is in
//! `agent.rs`, without I/O; `shard.rs` does the sending. `control.rs` kills, restarts and pauses them, `observe.rs` writes
//! down what they see.
//!
//! A launched task is STARTING, then RUNNING, and FINISHED after a set time or on demand; updates are sent one at a time
//! per task, repeated until acknowledged. A launch that arrives twice is one task. Agents follow the leading master and
//! reregister with all they hold.

mod agent;
mod control;
mod counts;
mod life;
mod observe;
mod operations;
mod shard;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use client::{Encoding, LeaderFinder, MasterList, Operator};
use libprocess::Upid;
use proto::v1::Resource;
use seams::Seams;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::info;

use self::control::{Common, Host};
pub use self::counts::{Counts, Snapshot};
use self::shard::Mail;
use crate::history::Recorder;

/// Messages that wait for one shard; a sender then waits, which slows its connection.
const MAILBOX_MAX: usize = 10_000;
/// Ends of links that wait for one shard.
const EXITED_MAX: usize = 64;
/// Suspicions that wait to be looked into; one of each shard about the same leader is worth no more than the first.
const SUSPICIONS_MAX: usize = 64;
/// Pause after a leader did not say who it is.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// Longest time to ask a leader for its pid.
const GET_MASTER_LIMIT: Duration = Duration::from_secs(2);

/// What a fleet is.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Members of the cluster.
    pub masters: MasterList,
    /// Address the fleet listens at and tells the master; the ports are free ones.
    pub ip: Ipv4Addr,
    /// Number of agents.
    pub agents: usize,
    /// Agents that share a port, an outbound connection and a loop; at least 1. More ports spread the load, and keep
    /// what waits for one connection small when everybody reregisters.
    pub agents_per_port: usize,
    /// Resources of each agent.
    pub resources: Vec<Resource>,
    /// Beginning of the host names, which are `<prefix>-<number>`.
    pub hostname_prefix: String,
    /// Time from RUNNING to FINISHED; `None`: tasks run until they are told otherwise.
    pub task_duration: Option<Duration>,
    /// Whether tasks send TASK_STARTING before TASK_RUNNING, as command tasks do.
    pub starting_updates: bool,
    /// Registrations are spread over this time, as real agents spread theirs (1 s). Zero: all at once.
    pub registration_spread: Duration,
    /// Address the ports are bound to, where that is not `ip`.
    pub listen_ip: Option<Ipv4Addr>,
    /// Whether a task lives as its command says (`sleep 2`, `exit 1`, `sleep 2; exit 1`) instead of `task_duration`.
    pub heeds_commands: bool,
    /// Whether an agent that the master shuts down is started again, under a new id and without tasks.
    pub rises_again: bool,
    /// Takes what the agents see and report; nothing is written down without it. The agents' names are their host names.
    pub observer: Option<Recorder>,
}

impl FleetConfig {
    /// `agents` agents at 127.0.0.1 with these resources each, the rest by default.
    pub fn new(masters: MasterList, agents: usize, resources: Vec<Resource>) -> Self {
        FleetConfig {
            masters,
            ip: Ipv4Addr::LOCALHOST,
            agents,
            agents_per_port: 1000,
            resources,
            hostname_prefix: "hollow".to_owned(),
            task_duration: None,
            starting_updates: true,
            registration_spread: Duration::ZERO,
            listen_ip: None,
            heeds_commands: false,
            rises_again: false,
            observer: None,
        }
    }
}

/// The master the fleet follows.
#[derive(Clone, Debug)]
struct Leader {
    pid: Upid,
    /// As it was found, `host:port`.
    address: String,
}

/// A running fleet. Dropping it closes every connection at once, as if all hosts had died.
#[derive(Debug)]
pub struct Fleet {
    common: Common,
    hosts: Vec<Mutex<Host>>,
    follower: JoinHandle<()>,
}

impl Fleet {
    /// Starts to listen and to register.
    ///
    /// # Errors
    /// Those of binding a port.
    pub async fn start(config: FleetConfig, seams: Seams) -> io::Result<Fleet> {
        let (suspicion, suspicions) = mpsc::channel(SUSPICIONS_MAX);
        let (leader_sender, leader) = watch::channel(None);
        let masters = config.masters.clone();
        let common = Common {
            config,
            seams: seams.clone(),
            counts: Arc::default(),
            suspicion: suspicion.clone(),
            leader,
        };
        let mut hosts = Vec::new();
        let mut first = 0;
        while first < common.config.agents {
            let count = common.config.agents_per_port.max(1).min(common.config.agents - first);
            let mut host = Host::new(first..first + count);
            host.start(&common).await?;
            hosts.push(Mutex::new(host));
            first += count;
        }
        let follower = tokio::spawn(follow_leader(masters, seams, suspicion, suspicions, leader_sender));
        Ok(Fleet {
            common,
            hosts,
            follower,
        })
    }

    /// What happens, counted over the whole fleet.
    pub fn counts(&self) -> &Arc<Counts> {
        &self.common.counts
    }

    /// Lets every running task finish; returns when all agents were told.
    pub async fn finish_all_tasks(&self) {
        for host in &self.hosts {
            host.lock().await.mail(Mail::FinishAll).await;
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.follower.abort();
        for host in &mut self.hosts {
            host.get_mut().abort();
        }
    }
}

/// Publishes the pid of the leading master; anew also when the same master leads again after it was suspected.
async fn follow_leader(
    masters: MasterList,
    seams: Seams,
    suspicion: mpsc::Sender<String>,
    mut suspicions: mpsc::Receiver<String>,
    leader: watch::Sender<Option<Leader>>,
) {
    let finder = LeaderFinder::new(&masters, seams.clone());
    let mut changes = finder.changes();
    loop {
        let address = changes.next(&mut suspicions).await;
        match pid_of(&address, &seams).await {
            Some(pid) => {
                info!(%pid, "following the leading master");
                leader.send_replace(Some(Leader { pid, address }));
            }
            None => {
                sleep(RETRY_PAUSE).await;
                if suspicion.try_send(address).is_err() {
                    info!("others have the same suspicion");
                }
            }
        }
    }
}

/// The pid a master gives itself; most often it is `master@` its address.
async fn pid_of(address: &str, seams: &Seams) -> Option<Upid> {
    if let Ok(address) = address.parse::<SocketAddrV4>() {
        return Some(Upid::new("master", address));
    }
    let masters: MasterList = address.parse().ok()?;
    let operator = Operator::new(&masters, Encoding::Protobuf, seams.clone()).with_limit(GET_MASTER_LIMIT);
    Upid::parse(&operator.get_master().await.ok()?.pid?)
}
