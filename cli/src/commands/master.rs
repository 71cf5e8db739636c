//! `mesoraft master`: one master replica. Its flags are the fields of [`master_server::Config`].

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use master_server::{Config, Master};
use seams::Seams;
use tracing::info;

use crate::duration::MesosDuration;
use crate::logging::LogFlags;
use crate::output;
use crate::shutdown::StopSignals;

/// Threads of the replicated log: one for the core and what it applies, one for the network.
const LOG_THREADS: usize = 2;

/// Flags of a master. Flags that Mesos has too keep their names; every flag is also read from the environment
/// variable MESOS_NAME in capitals.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Raft node id of this replica, at least 1 and unique in the cluster
    #[arg(long = "node_id", env = "MESOS_NODE_ID", value_name = "N", default_value_t = 1)]
    node_id: u64,

    /// Address to listen on
    #[arg(long = "ip", env = "MESOS_IP", value_name = "IP", default_value = "127.0.0.1")]
    ip: Ipv4Addr,

    /// Port of the HTTP APIs and of libprocess messages
    #[arg(long = "port", env = "MESOS_PORT", value_name = "PORT", default_value_t = 5050)]
    port: u16,

    /// Address told to agents and frameworks, when it is not the one listened on
    #[arg(long = "advertise_ip", env = "MESOS_ADVERTISE_IP", value_name = "IP")]
    advertise_ip: Option<Ipv4Addr>,

    /// Port told to agents and frameworks, when it is not the one listened on
    #[arg(long = "advertise_port", env = "MESOS_ADVERTISE_PORT", value_name = "PORT")]
    advertise_port: Option<u16>,

    /// Name in redirects and user interfaces [default: the advertised address]
    #[arg(long = "hostname", env = "MESOS_HOSTNAME", value_name = "NAME")]
    hostname: Option<String>,

    /// Port of the Raft peers
    #[arg(
        long = "raft_port",
        env = "MESOS_RAFT_PORT",
        value_name = "PORT",
        default_value_t = 5150
    )]
    raft_port: u16,

    /// Directory of the replicated log
    #[arg(long = "work_dir", env = "MESOS_WORK_DIR", value_name = "DIR")]
    work_dir: PathBuf,

    /// Name of the cluster, for people; members of another cluster are refused
    #[arg(
        long = "cluster",
        env = "MESOS_CLUSTER",
        value_name = "NAME",
        default_value = "mesoraft"
    )]
    cluster: String,

    /// All members with their Raft addresses: 1=host1:5150,2=host2:5150,3=host3:5150
    #[arg(
        long = "initial_cluster",
        env = "MESOS_INITIAL_CLUSTER",
        value_name = "MEMBERS",
        default_value = "",
        hide_default_value = true
    )]
    initial_cluster: String,

    /// Raft address of any member, to join a running cluster instead of --initial_cluster
    #[arg(long = "join", env = "MESOS_JOIN", value_name = "HOST:PORT")]
    join: Option<String>,

    #[command(flatten)]
    fleet: FleetFlags,

    #[command(flatten)]
    raft: RaftFlags,

    #[command(flatten)]
    log: LogFlags,
}

/// Flags about agents and frameworks.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Agents and frameworks")]
struct FleetFlags {
    /// Time between two pings of an agent
    #[arg(
        long = "agent_ping_timeout",
        env = "MESOS_AGENT_PING_TIMEOUT",
        value_name = "DURATION",
        default_value = "15secs"
    )]
    agent_ping_timeout: MesosDuration,

    /// Unanswered pings in a row after which an agent is unreachable
    #[arg(
        long = "max_agent_ping_timeouts",
        env = "MESOS_MAX_AGENT_PING_TIMEOUTS",
        value_name = "N",
        default_value_t = 5
    )]
    max_agent_ping_timeouts: u32,

    /// How long a disconnected agent, or one not yet back after a failover, may stay away
    #[arg(
        long = "agent_reregister_timeout",
        env = "MESOS_AGENT_REREGISTER_TIMEOUT",
        value_name = "DURATION",
        default_value = "10mins"
    )]
    agent_reregister_timeout: MesosDuration,

    /// Time between two allocation runs over all agents
    #[arg(
        long = "allocation_interval",
        env = "MESOS_ALLOCATION_INTERVAL",
        value_name = "DURATION",
        default_value = "1secs"
    )]
    allocation_interval: MesosDuration,

    /// Time after which an unanswered offer is rescinded [default: never]
    #[arg(long = "offer_timeout", env = "MESOS_OFFER_TIMEOUT", value_name = "DURATION")]
    offer_timeout: Option<MesosDuration>,

    /// Time between two heartbeats on an event stream
    #[arg(
        long = "heartbeat_interval",
        env = "MESOS_HEARTBEAT_INTERVAL",
        value_name = "DURATION",
        default_value = "15secs"
    )]
    heartbeat_interval: MesosDuration,

    /// Whether frameworks may run tasks as root
    #[arg(long = "root_submissions", env = "MESOS_ROOT_SUBMISSIONS", value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    root_submissions: bool,

    /// The only roles that frameworks may have, separated by commas [default: any]
    #[arg(long = "roles", env = "MESOS_ROLES", value_name = "ROLES", value_delimiter = ',')]
    roles: Option<Vec<String>>,

    /// Event streams of operators open at once; a further one closes the oldest
    #[arg(
        long = "max_operator_event_stream_subscribers",
        env = "MESOS_MAX_OPERATOR_EVENT_STREAM_SUBSCRIBERS",
        value_name = "N",
        default_value_t = 1_000
    )]
    max_operator_event_stream_subscribers: usize,

    /// Largest request body accepted
    #[arg(long = "max_body_bytes", env = "MESOS_MAX_BODY_BYTES", value_name = "BYTES", default_value_t = 256 << 20)]
    max_body_bytes: usize,
}

/// Flags about the replicated log.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Raft")]
struct RaftFlags {
    /// Interval of the leader's heartbeats
    #[arg(
        long = "raft_heartbeat",
        env = "MESOS_RAFT_HEARTBEAT",
        value_name = "DURATION",
        default_value = "15ms"
    )]
    raft_heartbeat: MesosDuration,

    /// Shortest silence of the leader after which a replica campaigns
    #[arg(
        long = "raft_election_min",
        env = "MESOS_RAFT_ELECTION_MIN",
        value_name = "DURATION",
        default_value = "50ms"
    )]
    raft_election_min: MesosDuration,

    /// Longest silence of the leader after which a replica campaigns
    #[arg(
        long = "raft_election_max",
        env = "MESOS_RAFT_ELECTION_MAX",
        value_name = "DURATION",
        default_value = "100ms"
    )]
    raft_election_max: MesosDuration,

    /// Applied log entries between two snapshots
    #[arg(
        long = "snapshot_every",
        env = "MESOS_SNAPSHOT_EVERY",
        value_name = "ENTRIES",
        default_value_t = 50_000
    )]
    snapshot_every: u64,

    /// Applied log entries kept behind a snapshot, for followers that lag a little
    #[arg(
        long = "entries_kept",
        env = "MESOS_ENTRIES_KEPT",
        value_name = "ENTRIES",
        default_value_t = 10_000
    )]
    entries_kept: u64,

    /// How long a call is held while no leader is known, before it is answered 503
    #[arg(
        long = "follower_wait",
        env = "MESOS_FOLLOWER_WAIT",
        value_name = "DURATION",
        default_value = "5secs"
    )]
    follower_wait: MesosDuration,

    /// How long a call waits for its commit; after it the outcome is unknown
    #[arg(
        long = "propose_timeout",
        env = "MESOS_PROPOSE_TIMEOUT",
        value_name = "DURATION",
        default_value = "10secs"
    )]
    propose_timeout: MesosDuration,
}

/// Runs the replica until SIGTERM or SIGINT (it hands leadership over and exits with 0) or a fatal error.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let log_runtime = log_runtime()?;
    let log_threads = log_runtime.handle().clone();
    let code = super::run_member(&args.log.clone(), || {
        let mut config = args.into_config()?;
        config.validate()?;
        config.log_runtime = Some(log_threads);
        Ok(serve(config))
    });
    log_runtime.shutdown_background();
    code
}

/// The threads of the replicated log: its heartbeats and appends never queue behind the answers of the APIs.
fn log_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(LOG_THREADS)
        .thread_name("replicated-log")
        .enable_all()
        .build()
        .context("cannot start the runtime of the replicated log")
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    let mut stop = StopSignals::catch()?;
    let node_id = config.node_id;
    let master = Master::start(config, Seams::real())
        .await
        .context("cannot start the master")?;
    info!(node_id, address = %master.local_addr(), "master started");
    tokio::select! {
        signal = stop.next() => {
            info!(node_id, signal, "handing over and stopping");
            master.shutdown(true).await;
            Ok(ExitCode::SUCCESS)
        }
        failure = master.failed() => {
            output::complain(&format!("mesoraft master: the replicated log cannot go on: {failure}"));
            Ok(ExitCode::FAILURE)
        }
    }
}

impl Args {
    fn into_config(self) -> anyhow::Result<Config> {
        Ok(Config {
            node_id: self.node_id,
            ip: self.ip,
            port: self.port,
            advertise_ip: self.advertise_ip,
            advertise_port: self.advertise_port,
            hostname: self.hostname,
            raft_port: self.raft_port,
            work_dir: Some(self.work_dir),
            cluster: self.cluster,
            initial_cluster: parse_members(&self.initial_cluster)?,
            join: self.join,
            agent_ping_timeout: self.fleet.agent_ping_timeout.0,
            max_agent_ping_timeouts: self.fleet.max_agent_ping_timeouts,
            agent_reregister_timeout: self.fleet.agent_reregister_timeout.0,
            allocation_interval: self.fleet.allocation_interval.0,
            offer_timeout: self.fleet.offer_timeout.map(|timeout| timeout.0),
            heartbeat_interval: self.fleet.heartbeat_interval.0,
            follower_wait: self.raft.follower_wait.0,
            propose_timeout: self.raft.propose_timeout.0,
            root_submissions: self.fleet.root_submissions,
            roles: self.fleet.roles,
            max_operator_event_stream_subscribers: self.fleet.max_operator_event_stream_subscribers,
            raft_heartbeat: self.raft.raft_heartbeat.0,
            raft_election_min: self.raft.raft_election_min.0,
            raft_election_max: self.raft.raft_election_max.0,
            snapshot_every: self.raft.snapshot_every,
            entries_kept: self.raft.entries_kept,
            max_body_bytes: self.fleet.max_body_bytes,
            ..Config::default()
        })
    }
}

/// Reads `1=host:port,2=host:port`; an empty text is an empty cluster.
fn parse_members(text: &str) -> anyhow::Result<BTreeMap<u64, String>> {
    let mut members = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (id, address) = entry
            .split_once('=')
            .with_context(|| format!("--initial_cluster: member '{entry}' is not <node id>=<host>:<port>"))?;
        let id: u64 = id
            .trim()
            .parse()
            .with_context(|| format!("--initial_cluster: '{id}' in member '{entry}' is not a node id"))?;
        let address = address.trim();
        if !super::has_port(address) {
            bail!("--initial_cluster: '{address}' of member {id} is not <host>:<port>");
        }
        if let Some(other) = members.insert(id, address.to_owned()) {
            bail!("--initial_cluster: node id {id} is both '{other}' and '{address}'");
        }
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_with_their_node_ids() {
        let members = parse_members("1=a:5150, 2=b:5150,3=10.0.0.3:5151").unwrap();
        assert_eq!(members.len(), 3);
        assert_eq!(members[&3], "10.0.0.3:5151");
        assert!(parse_members("").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_member_is_named() {
        for (text, expected) in [
            ("a:5150", "member 'a:5150' is not <node id>=<host>:<port>"),
            ("x=a:5150", "'x' in member 'x=a:5150' is not a node id"),
            ("1=a", "'a' of member 1 is not <host>:<port>"),
            ("1=a:1,1=b:2", "node id 1 is both 'a:1' and 'b:2'"),
        ] {
            let error = format!("{:#}", parse_members(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
