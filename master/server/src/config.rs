//! Every setting of one master, validated once at start.
//!
//! Field names are Mesos's flag names where Mesos has the flag; the command line adds nothing of its own.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use replicated_log::MemoryStore;
use thiserror::Error;

/// Settings of one master replica. [`Config::default`] holds every default; [`Config::validate`] names what is wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// `--node_id`: this replica's Raft node id, at least 1.
    pub node_id: u64,
    /// `--ip`: the address the HTTP and Raft ports are bound to.
    pub ip: Ipv4Addr,
    /// `--port`: HTTP APIs and libprocess messages; 0 picks a free one (tests).
    pub port: u16,
    /// `--advertise_ip`: the address agents and frameworks are told; the bound one by default.
    pub advertise_ip: Option<Ipv4Addr>,
    /// `--advertise_port`: the port agents and frameworks are told; the bound one by default.
    pub advertise_port: Option<u16>,
    /// `--hostname`: the name in redirects and user interfaces; the advertised address by default.
    pub hostname: Option<String>,
    /// `--raft_port`: tonic, peers and cluster administration.
    pub raft_port: u16,
    /// `--work_dir`: holds the replicated log; `None` keeps the log in memory (simulation only).
    pub work_dir: Option<PathBuf>,
    /// With `work_dir: None`, what stands in for the disk: a master started again with the same one finds its log.
    pub memory_store: Option<MemoryStore>,
    /// `--cluster`: a name for people; also guards a data directory against another cluster's members.
    pub cluster: String,
    /// `--initial_cluster`: Raft node id to `host:port` of its Raft port, this replica included.
    pub initial_cluster: BTreeMap<u64, String>,
    /// `--join`: `host:port` of a member's Raft port, instead of `initial_cluster`.
    pub join: Option<String>,
    /// `--agent_ping_timeout`: time between two pings of an agent (15 s).
    pub agent_ping_timeout: Duration,
    /// `--max_agent_ping_timeouts`: unanswered pings in a row before an agent is unreachable (5).
    pub max_agent_ping_timeouts: u32,
    /// `--agent_reregister_timeout`: how long a disconnected or recovered agent may stay away (10 min).
    pub agent_reregister_timeout: Duration,
    /// `--allocation_interval`: time between two allocation runs over all agents (1 s).
    pub allocation_interval: Duration,
    /// `--offer_timeout`: an offer is rescinded after this long; never by default.
    pub offer_timeout: Option<Duration>,
    /// `--heartbeat_interval`: time between two HEARTBEAT events on an event stream (15 s).
    pub heartbeat_interval: Duration,
    /// `--follower_wait`: how long a call is held while no leader is known, before it is answered 503 (5 s).
    pub follower_wait: Duration,
    /// `--propose_timeout`: how long a call waits for its command to be committed; after it the outcome is unknown (10 s).
    pub propose_timeout: Duration,
    /// `--root_submissions`: whether frameworks may run as root (true).
    pub root_submissions: bool,
    /// `--roles`: the only role names allowed; all by default.
    pub roles: Option<Vec<String>>,
    /// `--max_operator_event_stream_subscribers`: event streams of operators open at once; a further one closes the oldest
    /// (1,000).
    pub max_operator_event_stream_subscribers: usize,
    /// `--raft_heartbeat`: Raft heartbeat interval (15 ms).
    pub raft_heartbeat: Duration,
    /// `--raft_election_min`: lower bound of the election timeout draw (50 ms).
    pub raft_election_min: Duration,
    /// `--raft_election_max`: upper bound of the draw and length of the leader's lease (100 ms).
    pub raft_election_max: Duration,
    /// `--snapshot_every`: applied entries between two snapshots (50,000).
    pub snapshot_every: u64,
    /// Applied entries kept behind a snapshot for followers that lag a little (10,000).
    pub entries_kept: u64,
    /// `--max_body_bytes`: largest request body accepted, in bytes (256 MiB); Mesos has no limit but memory.
    pub max_body_bytes: usize,
    /// The runtime of the replicated log; `None` is the caller's. One of its own keeps elections calm while the
    /// threads of the master are busy with large answers.
    pub log_runtime: Option<tokio::runtime::Handle>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            node_id: 1,
            ip: Ipv4Addr::LOCALHOST,
            port: 5050,
            advertise_ip: None,
            advertise_port: None,
            hostname: None,
            raft_port: 5150,
            work_dir: None,
            memory_store: None,
            cluster: "mesoraft".to_owned(),
            initial_cluster: BTreeMap::new(),
            join: None,
            agent_ping_timeout: Duration::from_secs(15),
            max_agent_ping_timeouts: 5,
            agent_reregister_timeout: Duration::from_secs(600),
            allocation_interval: Duration::from_secs(1),
            offer_timeout: None,
            heartbeat_interval: Duration::from_secs(15),
            follower_wait: Duration::from_secs(5),
            propose_timeout: Duration::from_secs(10),
            root_submissions: true,
            roles: None,
            max_operator_event_stream_subscribers: 1_000,
            raft_heartbeat: Duration::from_millis(15),
            raft_election_min: Duration::from_millis(50),
            raft_election_max: Duration::from_millis(100),
            snapshot_every: 50_000,
            entries_kept: 10_000,
            max_body_bytes: 256 << 20,
            log_runtime: None,
        }
    }
}

/// A setting that cannot be right.
#[derive(Debug, Error)]
#[error("--{flag}: {problem}")]
pub struct ConfigError {
    flag: &'static str,
    problem: String,
}

impl Config {
    /// Checks each setting and how they relate.
    ///
    /// Errors: the first flag that cannot be right, with its value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let fail = |flag, problem: String| Err(ConfigError { flag, problem });
        if self.node_id == 0 {
            return fail("node_id", "0 is not a node id; ids start at 1".to_owned());
        }
        if self.initial_cluster.is_empty() && self.join.is_none() {
            return fail(
                "initial_cluster",
                "name the members (1=host:5150,2=…), or give --join=host:5150".to_owned(),
            );
        }
        if !self.initial_cluster.is_empty() && !self.initial_cluster.contains_key(&self.node_id) {
            let members: Vec<String> = self.initial_cluster.keys().map(u64::to_string).collect();
            return fail(
                "initial_cluster",
                format!(
                    "node id {} is not among the members {}",
                    self.node_id,
                    members.join(", ")
                ),
            );
        }
        if !(Duration::from_millis(10)..=Duration::from_secs(900)).contains(&self.agent_ping_timeout) {
            return fail(
                "agent_ping_timeout",
                format!("{:?} is not within 10ms and 15mins", self.agent_ping_timeout),
            );
        }
        if self.max_agent_ping_timeouts == 0 {
            return fail(
                "max_agent_ping_timeouts",
                "0 would make every agent unreachable; at least 1".to_owned(),
            );
        }
        if self.allocation_interval.is_zero() {
            return fail("allocation_interval", "must be longer than 0".to_owned());
        }
        if self.max_operator_event_stream_subscribers == 0 {
            return fail(
                "max_operator_event_stream_subscribers",
                "0 would close every stream at once; at least 1".to_owned(),
            );
        }
        if self.heartbeat_interval.is_zero() {
            return fail("heartbeat_interval", "must be longer than 0".to_owned());
        }
        if self.raft_election_min <= self.raft_heartbeat || self.raft_election_max <= self.raft_election_min {
            return fail(
                "raft_election_min",
                format!(
                    "needs raft_heartbeat {:?} < raft_election_min {:?} < raft_election_max {:?}",
                    self.raft_heartbeat, self.raft_election_min, self.raft_election_max
                ),
            );
        }
        if self.advertise_ip.unwrap_or(self.ip).is_unspecified() {
            return fail(
                "advertise_ip",
                format!(
                    "--ip={} listens everywhere: name the address agents and frameworks can reach",
                    self.ip
                ),
            );
        }
        Ok(())
    }

    /// Time without an answered ping after which an agent is unreachable.
    pub fn total_ping_timeout(&self) -> Duration {
        self.agent_ping_timeout * self.max_agent_ping_timeouts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            initial_cluster: BTreeMap::from([(1, "127.0.0.1:5150".to_owned())]),
            ..Config::default()
        }
    }

    #[test]
    fn the_defaults_with_a_member_list_are_valid() {
        valid().validate().expect("valid");
    }

    #[test]
    fn each_wrong_setting_is_named_with_its_value() {
        let cases: [(&str, Config); 5] = [
            ("--node_id", Config { node_id: 0, ..valid() }),
            ("node id 7 is not among the members 1", Config { node_id: 7, ..valid() }),
            (
                "--max_agent_ping_timeouts",
                Config {
                    max_agent_ping_timeouts: 0,
                    ..valid()
                },
            ),
            (
                "--raft_election_min",
                Config {
                    raft_election_min: Duration::from_millis(5),
                    ..valid()
                },
            ),
            (
                "--ip=0.0.0.0 listens everywhere",
                Config {
                    ip: Ipv4Addr::UNSPECIFIED,
                    ..valid()
                },
            ),
        ];
        for (expected, config) in cases {
            let text = config.validate().expect_err(expected).to_string();
            assert!(text.contains(expected), "{text}");
        }
    }
}
