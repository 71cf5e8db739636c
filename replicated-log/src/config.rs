//! The configuration of one replica, and the rules its values must keep.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::NodeId;
use crate::error::ConfigError;
use crate::log_store::MemoryStore;

/// How fast the replicas notice that the leader is silent.
///
/// A follower campaigns after `election_max` plus a fresh draw from `election_min..election_max` without contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Pause between two heartbeats of the leader. Default: 15 ms.
    pub heartbeat: Duration,
    /// Lower bound of the draw. Default: 50 ms.
    pub election_min: Duration,
    /// Upper bound of the draw, and for how long a leader takes writes without hearing from a quorum. Default: 100 ms.
    pub election_max: Duration,
}

impl Timers {
    /// For a LAN whose disks answer within some milliseconds.
    pub const LAN: Timers = Timers {
        heartbeat: Duration::from_millis(15),
        election_min: Duration::from_millis(50),
        election_max: Duration::from_millis(100),
    };

    /// For disks that stall often.
    pub const SLOW_DISKS: Timers = Timers {
        heartbeat: Duration::from_millis(30),
        election_min: Duration::from_millis(100),
        election_max: Duration::from_millis(200),
    };
}

impl Default for Timers {
    fn default() -> Self {
        Self::LAN
    }
}

/// The configuration of one replica.
#[derive(Clone, Debug)]
pub struct Config {
    /// This replica's id; must be a key of `initial_members` unless `join` is set.
    pub node_id: NodeId,
    /// The cluster's name. Replicas and data directories of another name are refused.
    pub cluster_name: String,
    /// Where log and snapshots are kept; `None` keeps them in memory, which is for tests and simulation only.
    pub data_dir: Option<PathBuf>,
    /// With `data_dir: None`, what stands in for the disk: a replica started again with the same store finds its log.
    pub memory_store: Option<MemoryStore>,
    /// Where peers connect to. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The `host:port` under which the others reach this replica.
    pub advertise: String,
    /// The members of a new cluster, id to `host:port`; the same on each. Not looked at once the cluster exists.
    pub initial_members: BTreeMap<NodeId, String>,
    /// `host:port` of any member of an existing cluster, which this replica joins. Excludes `initial_members`.
    pub join: Option<String>,
    /// Heartbeat and election timers.
    pub timers: Timers,
    /// Entries between two snapshots. Default: 50,000.
    pub snapshot_every: u64,
    /// Bytes of commands between two snapshots, whatever the number of entries. Default: 256 MiB. The log is also in
    /// memory, so this bounds both.
    pub snapshot_every_bytes: u64,
    /// Bytes of commands kept behind a snapshot, whatever the number of entries. Default: 64 MiB.
    pub bytes_kept: u64,
    /// Entries kept behind a snapshot for followers that lag a little. Default: 10,000.
    pub entries_kept: u64,
    /// For how long a proposal may be on its way before its proposer is told `Unknown`. Default: 5 s.
    pub propose_timeout: Duration,
    /// For how long a linearizable read may wait. Default: 5 s.
    pub read_timeout: Duration,
    /// Whether a broken connection to the leader starts an election at once. Default: true.
    pub takeover_on_disconnect: bool,
}

impl Config {
    /// A replica of a new or existing cluster with the default values.
    pub fn new(node_id: NodeId, cluster_name: impl Into<String>, listen: SocketAddr) -> Self {
        Config {
            node_id,
            cluster_name: cluster_name.into(),
            data_dir: None,
            memory_store: None,
            listen,
            advertise: listen.to_string(),
            initial_members: BTreeMap::new(),
            join: None,
            timers: Timers::default(),
            snapshot_every: 50_000,
            snapshot_every_bytes: 256 << 20,
            bytes_kept: 64 << 20,
            entries_kept: 10_000,
            propose_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
            takeover_on_disconnect: true,
        }
    }

    /// Checks each value and how they relate; the error names the value and why it is wrong.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let timers = &self.timers;
        if self.cluster_name.is_empty() {
            return Err(ConfigError("cluster_name is empty".into()));
        }
        if self.advertise.is_empty() {
            return Err(ConfigError("advertise is empty: the others need an address".into()));
        }
        if self.join.is_some() && !self.initial_members.is_empty() {
            return Err(ConfigError("join and initial_members exclude each other".into()));
        }
        if self.join.is_none() && !self.initial_members.contains_key(&self.node_id) {
            return Err(ConfigError(format!(
                "node_id {} is not among initial_members {:?}",
                self.node_id,
                self.initial_members.keys().collect::<Vec<_>>()
            )));
        }
        if timers.heartbeat < Duration::from_millis(1) {
            return Err(ConfigError(format!("heartbeat {:?} is below 1ms", timers.heartbeat)));
        }
        if timers.heartbeat >= timers.election_min {
            return Err(ConfigError(format!(
                "heartbeat {:?} is not below election_min {:?}",
                timers.heartbeat, timers.election_min
            )));
        }
        if timers.election_min >= timers.election_max {
            return Err(ConfigError(format!(
                "election_min {:?} is not below election_max {:?}",
                timers.election_min, timers.election_max
            )));
        }
        if self.snapshot_every == 0 || self.snapshot_every_bytes == 0 {
            return Err(ConfigError(
                "snapshot_every and snapshot_every_bytes must be above 0".into(),
            ));
        }
        if self.propose_timeout.is_zero() || self.read_timeout.is_zero() {
            return Err(ConfigError("propose_timeout and read_timeout must be above 0".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        let mut config = Config::new(1, "c", "127.0.0.1:1".parse().unwrap());
        config.initial_members = BTreeMap::from([(1, "127.0.0.1:1".to_owned())]);
        config
    }

    #[test]
    fn the_defaults_are_valid() {
        valid().validate().unwrap();
    }

    #[test]
    fn a_wrong_value_is_refused_by_name() {
        type Break = fn(&mut Config);
        let cases: [(Break, &str); 6] = [
            (|c| c.cluster_name.clear(), "cluster_name"),
            (|c| c.node_id = 9, "node_id 9"),
            (|c| c.join = Some("h:1".into()), "join and initial_members"),
            (|c| c.timers.election_min = c.timers.election_max, "election_min"),
            (|c| c.timers.heartbeat = c.timers.election_min, "heartbeat"),
            (|c| c.snapshot_every = 0, "snapshot_every"),
        ];
        for (break_it, name) in cases {
            let mut config = valid();
            break_it(&mut config);
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(name), "{error} does not name {name}");
        }
    }
}
