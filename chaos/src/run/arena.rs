//! Everything a fault may lay hands on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Encoding, MasterList, Operator};
use futures_util::future::join_all;
use seams::Seams;
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::cluster::Cluster;
use super::cluster::master::Master;
use super::config::Config;
use super::dice::Dice;
use super::disks::Disk;
use super::network::Switchboard;
use crate::history::Recorder;
use crate::workload::FrameworkKills;

/// Limit of one look at one master, which is on this machine.
const LOOK_LIMIT: Duration = Duration::from_millis(500);
/// Pause between two looks while something is awaited.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What a replica says about itself at `/raft/status`; what is not needed here is left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RaftStatus {
    pub(crate) node_id: u64,
    pub(crate) term: u64,
    pub(crate) role: String,
    pub(crate) leader: Option<u64>,
    pub(crate) last_log: Option<u64>,
    pub(crate) committed: Option<Position>,
    pub(crate) applied: Option<Position>,
    pub(crate) snapshot: Option<Position>,
    pub(crate) purged: Option<Position>,
    pub(crate) voters: std::collections::BTreeMap<u64, String>,
    pub(crate) state_hash: StateHash,
}

/// A position in the log.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Position {
    pub(crate) index: u64,
}

/// The hash of what is applied.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StateHash {
    pub(crate) applied_index: u64,
    pub(crate) hash: String,
}

/// The cluster, its network, the history and ways to look.
pub(crate) struct Arena {
    pub(crate) config: Arc<Config>,
    pub(crate) cluster: Cluster,
    pub(crate) switchboard: Arc<Switchboard>,
    /// The disk of each place.
    pub(crate) disks: Vec<Disk>,
    pub(crate) recorder: Recorder,
    pub(crate) framework_kills: FrameworkKills,
    /// Where clients find the masters.
    pub(crate) masters: MasterList,
    /// How many were picked to be killed.
    victims: AtomicU64,
    /// Asks masters themselves, past their proxies.
    direct: Operator,
}

impl Arena {
    pub(crate) fn new(
        config: Arc<Config>,
        cluster: Cluster,
        switchboard: Arc<Switchboard>,
        disks: Vec<Disk>,
        recorder: Recorder,
    ) -> anyhow::Result<Self> {
        let masters: MasterList = match &config.cluster {
            Some(given) => given.clone(),
            None => cluster.master_list().parse()?,
        };
        Ok(Arena {
            direct: Operator::new(&masters, Encoding::Json, Seams::real()).with_limit(LOOK_LIMIT),
            masters,
            config,
            cluster,
            switchboard,
            disks,
            recorder,
            framework_kills: FrameworkKills::default(),
            victims: AtomicU64::new(0),
        })
    }

    /// What a master answers past its proxy; `None` when it does not.
    pub(crate) async fn get(&self, master: &Master, path: &str) -> Option<bytes::Bytes> {
        self.get_from(&master.address.inner_http().to_string(), path).await
    }

    /// What is answered at an address, `host:port`; `None` when nothing is.
    pub(crate) async fn get_from(&self, address: &str, path: &str) -> Option<bytes::Bytes> {
        timeout(LOOK_LIMIT, self.direct.get_from(address, path))
            .await
            .ok()?
            .ok()
    }

    /// What a master says about itself.
    pub(crate) async fn status(&self, master: &Master) -> Option<RaftStatus> {
        serde_json::from_slice(&self.get(master, "/raft/status").await?).ok()
    }

    /// What every member that answers says about itself.
    pub(crate) async fn statuses(&self) -> Vec<(&Master, RaftStatus)> {
        let asked = self.cluster.members().map(|master| async move {
            let status = self.status(master).await?;
            Some((master, status))
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// The master that leads in the highest term, if any does.
    pub(crate) async fn leader(&self) -> Option<&Master> {
        let statuses = self.statuses().await;
        let leaders = statuses.into_iter().filter(|(_, status)| status.role == "leader");
        leaders.max_by_key(|(_, status)| status.term).map(|(master, _)| master)
    }

    /// A running member to kill: every second time the leader, if there is one.
    pub(crate) async fn pick_victim(&self, dice: &mut Dice) -> Option<(&Master, bool)> {
        let aims_at_leader = self.victims.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        self.pick(aims_at_leader, dice).await
    }

    /// A running member: half of the times the leader, if there is one. The flag says whether it leads.
    pub(crate) async fn pick_master(&self, dice: &mut Dice) -> Option<(&Master, bool)> {
        let aims_at_leader = dice.coin();
        self.pick(aims_at_leader, dice).await
    }

    async fn pick(&self, aims_at_leader: bool, dice: &mut Dice) -> Option<(&Master, bool)> {
        let leader = self.leader().await;
        if let (true, Some(leader)) = (aims_at_leader, leader) {
            return Some((leader, true));
        }
        let mut running = Vec::new();
        for master in self.cluster.members() {
            let leads = leader.is_some_and(|leader| leader.place == master.place);
            if !leads && master.is_running().await {
                running.push(master.place);
            }
        }
        let place = dice.pick(&running)?;
        self.cluster.masters.get(place).map(|master| (master, false))
    }

    /// The masters of a cluster that is given, `host:port`.
    pub(crate) fn given(&self) -> Vec<String> {
        let given = self.config.cluster.as_ref();
        given.map(|cluster| cluster.addresses().to_vec()).unwrap_or_default()
    }

    /// The leader of a cluster that is given, by what its masters say.
    pub(crate) async fn given_leader(&self) -> Option<String> {
        for master in self.given() {
            if let Some(leader) = self.direct.finder().ask(&master).await {
                return Some(leader);
            }
        }
        None
    }

    /// Waits for at most `limit` until `is_so` of what all members that answer say; whether it became so.
    pub(crate) async fn await_statuses(
        &self,
        limit: Duration,
        mut is_so: impl FnMut(&[(&Master, RaftStatus)]) -> bool,
    ) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if is_so(&self.statuses().await) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            sleep(LOOK_INTERVAL).await;
        }
    }

    /// Waits until the member at this place follows or leads; whether it came to that.
    pub(crate) async fn await_back(&self, place: usize, limit: Duration) -> bool {
        self.await_statuses(limit, |statuses| {
            let of_place = statuses.iter().find(|(master, _)| master.place == place);
            of_place.is_some_and(|(_, status)| status.leader.is_some())
        })
        .await
    }
}
