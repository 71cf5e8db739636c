//! Addresses, directories and command lines. Decides, starts nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::run::config::Config;

/// Places for masters beyond those of the beginning, for members that are added.
pub(crate) const SPARE_PLACES: usize = 2;
/// The name of every cluster under test, told to its members.
const CLUSTER: &str = "chaos";
/// Patience with a silent leader, above that of masters on machines of their own: here all of them share one processor
/// and one disk with everything else.
const RAFT_TIMERS: [&str; 3] = [
    "--raft_heartbeat=50ms",
    "--raft_election_min=200ms",
    "--raft_election_max=400ms",
];
/// So few that every run sees many snapshots, purges and, behind them, installations.
const SNAPSHOTS: [&str; 2] = ["--snapshot_every=100", "--entries_kept=20"];
/// An agent that is gone is noticed after five seconds instead of 75.
const PINGS: [&str; 2] = ["--agent_ping_timeout=1secs", "--max_agent_ping_timeouts=5"];
/// What each agent offers; tasks of real agents only sleep.
const AGENT_RESOURCES: &str = "cpus:8;mem:8192;disk:10000";

/// Where one master is, whatever its node id.
#[derive(Clone, Debug)]
pub(crate) struct MasterAddress {
    /// As the others know them: proxies.
    pub(crate) http: SocketAddr,
    pub(crate) raft: SocketAddr,
    /// Where the process itself listens.
    pub(crate) ip: Ipv4Addr,
}

impl MasterAddress {
    /// Chooses free ports.
    ///
    /// # Panics
    /// When there is none left; to be called where that is caught.
    pub(super) fn reserve(place: usize) -> Self {
        MasterAddress {
            http: (Ipv4Addr::LOCALHOST, test_ports::free_port()).into(),
            raft: (Ipv4Addr::LOCALHOST, test_ports::free_port()).into(),
            ip: inner(1, place),
        }
    }

    pub(crate) fn inner_http(&self) -> SocketAddr {
        (self.ip, self.http.port()).into()
    }

    pub(crate) fn inner_raft(&self) -> SocketAddr {
        (self.ip, self.raft.port()).into()
    }
}

/// An address of the loopback device behind the proxies.
pub(super) fn inner(network: u8, place: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, network, u8::try_from(place + 1).unwrap_or(u8::MAX))
}

/// How a master comes to its cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry<'a> {
    /// With these members, by node id from 1.
    Founding(&'a [MasterAddress]),
    /// By asking the member at this address.
    Joining(SocketAddr),
}

pub(super) fn master_arguments(
    config: &Config,
    address: &MasterAddress,
    node_id: u64,
    data: &Path,
    entry: Entry<'_>,
) -> Vec<String> {
    let mut arguments = vec![
        "master".to_owned(),
        format!("--node_id={node_id}"),
        format!("--ip={}", address.ip),
        format!("--advertise_ip={}", address.http.ip()),
        format!("--port={}", address.http.port()),
        format!("--raft_port={}", address.raft.port()),
        format!("--work_dir={}", data.display()),
        format!("--cluster={CLUSTER}"),
    ];
    arguments.push(match entry {
        Entry::Joining(member) => format!("--join={member}"),
        Entry::Founding(members) => {
            let members = members
                .iter()
                .zip(1..)
                .map(|(member, id)| format!("{id}={}", member.raft));
            format!("--initial_cluster={}", members.collect::<Vec<_>>().join(","))
        }
    });
    let defaults = RAFT_TIMERS.iter().chain(&SNAPSHOTS).chain(&PINGS);
    let is_given = |flag: &str| {
        let name = flag.split('=').next().unwrap_or(flag);
        config
            .master_flags
            .iter()
            .any(|given| given.split('=').next() == Some(name))
    };
    arguments.extend(defaults.filter(|flag| !is_given(flag)).map(|flag| (*flag).to_owned()));
    arguments.extend(config.master_flags.iter().cloned());
    arguments
}

/// Where one real agent is.
#[derive(Clone, Debug)]
pub(super) struct AgentAddress {
    pub(super) outward: SocketAddr,
    pub(super) ip: Ipv4Addr,
    pub(super) data: PathBuf,
}

impl AgentAddress {
    /// As [`MasterAddress::reserve`].
    pub(super) fn reserve(place: usize, directory: &Path) -> Self {
        AgentAddress {
            outward: (Ipv4Addr::LOCALHOST, test_ports::free_port()).into(),
            ip: inner(2, place),
            data: directory.join(format!("agent-{}", place + 1)),
        }
    }

    pub(super) fn arguments(&self, masters: &str) -> Vec<String> {
        vec![
            "agent".to_owned(),
            format!("--master={masters}"),
            format!("--ip={}", self.ip),
            format!("--advertise_ip={}", self.outward.ip()),
            format!("--port={}", self.outward.port()),
            format!("--work_dir={}", self.data.display()),
            format!("--resources={AGENT_RESOURCES}"),
            "--registration_backoff_factor=100ms".to_owned(),
        ]
    }
}
