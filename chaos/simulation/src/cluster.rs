//! The simulated machines with their masters: starting, killing and watching them.
//!
//! Must never decide when; that is for the faults.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use client::MasterList;
use master_server::{Config, Master};
use replicated_log::MemoryStore;
use seams::Seams;
use tokio::sync::Notify;

use crate::network::{Net, WallClock, seams};
use crate::plan::Plan;
use crate::random::Random;

/// HTTP APIs and libprocess messages.
pub(crate) const HTTP_PORT: u16 = 5050;
/// Peers and administration.
pub(crate) const RAFT_PORT: u16 = 5150;

/// How a master ended that nobody killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It did not start.
    Refused(String),
    /// It declared itself broken.
    Failed(String),
    /// It was stopped in order.
    Stopped,
}

/// What is known of one machine from outside.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Name in turmoil.
    pub(crate) name: String,
    /// Its address.
    pub(crate) address: Ipv4Addr,
    /// Node id of its master.
    pub(crate) node: u64,
    /// Its disk.
    pub(crate) store: MemoryStore,
    /// Its wall clock.
    pub(crate) clock: Arc<WallClock>,
    /// Counts starts of its master.
    pub(crate) start: u64,
    /// Counts wipes of its disk.
    pub(crate) disk: u64,
    /// Whether a master is to run here.
    pub(crate) up: bool,
    /// Whether its master is, or is to be, a member of the cluster.
    pub(crate) is_member: bool,
    /// Why its disk may be to blame if its master fails; empty for no reason.
    pub(crate) disk_fault: String,
    /// How its master ended, if it did by itself.
    pub(crate) ended: Option<Ended>,
    /// The master while it runs.
    pub(crate) master: Option<Arc<Master>>,
    stop: Arc<Notify>,
    config: Config,
    seams: Seams,
}

/// A machine, shared with the software that runs on it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Machine>>);

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All machines that may run a master, by number in the network.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) machines: Vec<Shared>,
}

/// A number of milliseconds.
pub(crate) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn config(plan: &Plan) -> Config {
    Config {
        cluster: "simulated".to_owned(),
        port: HTTP_PORT,
        raft_port: RAFT_PORT,
        agent_ping_timeout: millis(1_000),
        max_agent_ping_timeouts: 3,
        agent_reregister_timeout: millis(8_000),
        allocation_interval: millis(250),
        heartbeat_interval: millis(2_000),
        follower_wait: millis(1_000),
        propose_timeout: millis(3_000),
        raft_heartbeat: millis(plan.timers.heartbeat),
        raft_election_min: millis(plan.timers.election_min),
        raft_election_max: millis(plan.timers.election_max),
        snapshot_every: plan.snapshot_every,
        entries_kept: plan.entries_kept,
        ..Config::default()
    }
}

impl Cluster {
    /// Machines at the first addresses of the network; the first `plan.masters` are members.
    pub(crate) fn new(plan: &Plan, addresses: &[IpAddr], names: &[String], net: &Net) -> Result<Cluster> {
        let mut machines = Vec::new();
        for (host, (address, name)) in addresses.iter().zip(names).enumerate() {
            let IpAddr::V4(address) = *address else {
                bail!("{name} has the address {address}: expected IPv4")
            };
            let node = host as u64 + 1;
            let store = MemoryStore::with_seed(Random::of(plan.seed, &format!("disk/{name}")).next());
            store.set_latency(Duration::ZERO..=Duration::from_micros(plan.sync_max));
            let clock = Arc::new(WallClock::default());
            let random = Random::of(plan.seed, &format!("host/{name}"));
            machines.push(Shared(Arc::new(Mutex::new(Machine {
                name: name.clone(),
                address,
                node,
                store: store.clone(),
                seams: seams(net, host, &clock, random),
                clock,
                start: 0,
                disk: 0,
                up: false,
                is_member: false,
                disk_fault: String::new(),
                ended: None,
                master: None,
                stop: Arc::new(Notify::new()),
                config: Config {
                    node_id: node,
                    ip: address,
                    memory_store: Some(store),
                    ..config(plan)
                },
            }))));
        }
        let cluster = Cluster { machines };
        let members: BTreeMap<u64, String> = cluster.machines[..plan.masters]
            .iter()
            .map(|machine| machine.lock().raft_address())
            .collect();
        for machine in &cluster.machines[..plan.masters] {
            machine.lock().config.initial_cluster = members.clone();
        }
        Ok(cluster)
    }

    /// All machines, as clients are told of them.
    pub(crate) fn master_list(&self) -> Result<MasterList> {
        let addresses: Vec<String> = self
            .machines
            .iter()
            .map(|machine| machine.lock().http_address())
            .collect();
        Ok(addresses.join(",").parse()?)
    }

    /// What runs on a machine: its master, if one is to run. Never ends by itself; the simulator ends it.
    pub(crate) async fn software(shared: Shared) -> turmoil::Result {
        let (config, seams, stop) = {
            let machine = shared.lock();
            if !machine.up {
                drop(machine);
                return std::future::pending().await;
            }
            (machine.config.clone(), machine.seams.clone(), machine.stop.clone())
        };
        let ended = match Master::start(config, seams).await {
            Err(error) => Ended::Refused(format!("{:#}", anyhow::Error::new(error))),
            Ok(master) => {
                let master = Arc::new(master);
                shared.lock().master = Some(master.clone());
                let failed = tokio::select! {
                    biased;
                    reason = master.failed() => Some(reason),
                    () = stop.notified() => None,
                };
                match failed {
                    Some(reason) => Ended::Failed(reason),
                    None => {
                        shared.lock().master = None;
                        alone(master).await.shutdown(true).await;
                        Ended::Stopped
                    }
                }
            }
        };
        shared.lock().ended = Some(ended);
        std::future::pending().await
    }
}

/// Waits until nobody else looks at a master.
async fn alone(mut master: Arc<Master>) -> Master {
    loop {
        match Arc::try_unwrap(master) {
            Ok(master) => return master,
            Err(shared) => master = shared,
        }
        tokio::time::sleep(millis(1)).await;
    }
}

impl Machine {
    /// Whether it starts as one that joins.
    pub(crate) fn is_joining(&self) -> bool {
        self.config.join.is_some()
    }

    /// Node id and Raft address.
    pub(crate) fn raft_address(&self) -> (u64, String) {
        (self.node, format!("{}:{RAFT_PORT}", self.address))
    }

    /// HTTP address.
    pub(crate) fn http_address(&self) -> String {
        format!("{}:{HTTP_PORT}", self.address)
    }

    /// Before its master is started.
    pub(crate) fn prepare(&mut self) {
        self.up = true;
        self.start += 1;
        self.ended = None;
        self.master = None;
        self.stop = Arc::new(Notify::new());
    }

    /// After its master was killed.
    pub(crate) fn down(&mut self) {
        self.up = false;
        self.ended = None;
        self.master = None;
    }

    /// Asks its master to stop.
    pub(crate) fn ask_to_stop(&self) {
        self.stop.notify_one();
    }

    /// The next start is that of a new member with this id, which `member` (a Raft address) takes in.
    pub(crate) fn become_new_member(&mut self, node: u64, member: String) {
        self.node = node;
        self.disk += 1;
        self.disk_fault.clear();
        self.store.wipe();
        self.config.node_id = node;
        self.config.initial_cluster = BTreeMap::new();
        self.config.join = Some(member);
    }
}
