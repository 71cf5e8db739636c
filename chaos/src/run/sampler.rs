//! Watches every master from outside: what it says of itself, what the system says of its process, and what it counts.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{MissedTickBehavior, interval};

use super::arena::{Arena, RaftStatus};
use super::cluster::master::Master;
use crate::history::{Record, ReplicaSample};

/// How often each master is asked.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(200);
/// Every so many samples its counters are read too; what it counts after the last reading of its life is not known.
const COUNTERS_EVERY: u64 = 2;
/// Size of a page of memory; the same on every machine this runs on.
const PAGE_BYTES: u64 = 4096;

/// The counters of one life of one master, as last read.
type Lives = BTreeMap<(usize, u64), BTreeMap<String, u64>>;

/// Samples until it is dropped.
pub(crate) struct Sampler {
    arena: Arc<Arena>,
    lives: Mutex<Lives>,
}

impl Sampler {
    pub(crate) fn new(arena: Arc<Arena>) -> Self {
        Sampler {
            arena,
            lives: Mutex::default(),
        }
    }

    /// Samples for ever.
    pub(crate) async fn run(&self) {
        let ours = self.arena.cluster.masters.iter().map(|master| self.watch(master));
        let given = self.arena.given();
        let given = given.iter().map(|address| self.watch_given(address));
        tokio::join!(join_all(ours), join_all(given), std::future::pending::<()>());
    }

    async fn watch(&self, master: &Master) {
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut number = 0;
        loop {
            ticks.tick().await;
            if !master.is_member() || master.is_paused() {
                continue;
            }
            let (start, disk) = (master.starts(), master.disks());
            let Some(mut sample) = self.sample(master).await else {
                continue;
            };
            // A restart in between leaves open whose answer it is.
            if (start, disk) != (master.starts(), master.disks()) {
                continue;
            }
            (sample.start, sample.disk) = (start, disk);
            self.arena.recorder.record(Record::Replica(sample));
            number += 1;
            if number % COUNTERS_EVERY == 1 {
                self.read_counters(master, start).await;
            }
        }
    }

    /// Samples a master of a cluster that is given. Its restarts show in the time since its start.
    async fn watch_given(&self, address: &str) {
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut start, mut last_uptime) = (1, 0.0);
        loop {
            ticks.tick().await;
            let Some(metrics) = self.metrics(address).await else {
                continue;
            };
            let uptime = metrics.get("master/uptime_secs").copied().unwrap_or(0.0);
            if uptime < last_uptime {
                start += 1;
            }
            last_uptime = uptime;
            let Some(body) = self.arena.get_from(address, "/raft/status").await else {
                continue;
            };
            let Ok(status) = serde_json::from_slice::<RaftStatus>(&body) else {
                continue;
            };
            let sample = ReplicaSample {
                start,
                ..self.sample_of(status)
            };
            self.arena.recorder.record(Record::Replica(sample));
        }
    }

    async fn sample(&self, master: &Master) -> Option<ReplicaSample> {
        let status = self.arena.status(master).await?;
        let process = master.pid().await.map(Usage::of).unwrap_or_default();
        Some(ReplicaSample {
            resident_bytes: process.resident_bytes,
            descriptors: process.descriptors,
            ..self.sample_of(status)
        })
    }

    fn sample_of(&self, status: RaftStatus) -> ReplicaSample {
        ReplicaSample {
            at: self.arena.recorder.now(),
            node: status.node_id,
            term: status.term,
            role: status.role,
            leader: status.leader,
            last_log: status.last_log,
            committed: status.committed.map(|position| position.index),
            applied: status.applied.map(|position| position.index),
            snapshot: status.snapshot.map(|position| position.index),
            hash: Some(status.state_hash.hash),
            hash_index: Some(status.state_hash.applied_index),
            ..ReplicaSample::default()
        }
    }

    async fn metrics(&self, address: &str) -> Option<BTreeMap<String, f64>> {
        serde_json::from_slice(&self.arena.get_from(address, "/metrics/snapshot").await?).ok()
    }

    async fn read_counters(&self, master: &Master, start: u64) {
        let address = master.address.inner_http().to_string();
        let Some(metrics) = self.metrics(&address).await else {
            return;
        };
        if start == master.starts() {
            let mut lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
            lives.insert((master.place, start), covered(&metrics));
        }
    }

    /// What all lives counted together.
    pub(crate) fn coverage(&self) -> BTreeMap<String, u64> {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = BTreeMap::new();
        for (name, count) in lives.values().flatten() {
            *sum.entry(name.clone()).or_insert(0) += count;
        }
        sum
    }
}

/// Values of `/metrics/snapshot` beside the counters of what was reached.
const GAUGES: [&str; 11] = [
    "raft/applied_index",
    "raft/commit_index",
    "raft/disk_full",
    "raft/is_leader",
    "raft/last_log_index",
    "raft/leader_id",
    "raft/learners",
    "raft/node_id",
    "raft/snapshot_index",
    "raft/term",
    "raft/voters",
];
/// Counters of masters that say what was reached.
const REACHED: [&str; 7] = [
    "master/leaderships_begun",
    "master/leaderships_ended",
    "master/slaves_nudged",
    "master/slave_reregistrations",
    "master/slave_reregistrations_recovered",
    "master/launches_redelivered",
    "master/kills_redelivered",
];

/// The counters of what was reached, by the names that histories use: commands as `command/<kind>`, the others as they are.
fn covered(metrics: &BTreeMap<String, f64>) -> BTreeMap<String, u64> {
    let counted = metrics.iter().filter_map(|(name, count)| {
        let reached = match name.strip_prefix("master/commands_applied/") {
            Some(kind) => format!("command/{kind}"),
            None if REACHED.contains(&name.as_str()) => name.clone(),
            None if name.starts_with("raft/") && !GAUGES.contains(&name.as_str()) => name.clone(),
            None => return None,
        };
        // Counts stay far below 2^53.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Some((reached, count.max(0.0) as u64))
    });
    counted.collect()
}

/// What the system says of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    resident_bytes: Option<u64>,
    descriptors: Option<u64>,
}

impl Usage {
    fn of(pid: i32) -> Usage {
        let memory = fs::read_to_string(format!("/proc/{pid}/statm")).ok();
        let pages = memory.and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok();
        Usage {
            resident_bytes: pages.map(|pages| pages * PAGE_BYTES),
            descriptors: descriptors.map(|entries| entries.count() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counters_of_what_was_reached_are_coverage() {
        let metrics = [
            ("raft/term", 7.0),
            ("raft/elections_won", 2.0),
            ("master/commands_applied/kill_task", 3.0),
            ("master/tasks_running", 9.0),
        ];
        let metrics = metrics.map(|(name, count)| (name.to_owned(), count)).into();
        let expected = [("raft/elections_won", 2), ("command/kill_task", 3)];
        let expected = expected.map(|(name, count)| (name.to_owned(), count)).into();
        assert_eq!(covered(&metrics), expected);
    }

    #[test]
    fn this_process_uses_memory_and_descriptors() {
        let usage = Usage::of(i32::try_from(std::process::id()).unwrap());
        assert!(usage.resident_bytes.unwrap() > 1 << 20);
        assert!(usage.descriptors.unwrap() > 2);
    }
}
