//! What a local cluster consists of: ports, directories and command lines. Decides, starts nothing.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use seams::Seams;

use crate::process;

/// First port when `--port` is not given, and the distance to the next try when something else listens there.
const PORT_DEFAULT: u16 = 5050;
const PORT_STEP: u16 = 1000;
/// Tries before giving up.
const PORT_TRIES: u16 = 10;
/// Agents listen this far above the masters, Raft listens that far above them.
const AGENT_PORT_OFFSET: u16 = 50;
const RAFT_PORT_OFFSET: u16 = 100;
/// A Raft cluster of more members only gets slower.
const MASTERS_MAX: u16 = 7;
/// As many as fit between the agents' first port and Raft's.
const AGENTS_MAX: u16 = RAFT_PORT_OFFSET - AGENT_PORT_OFFSET;
/// What each agent offers; fixed, because all of them share this machine. Their port ranges do not overlap.
const AGENT_RESOURCES: &str = "cpus:4;mem:2048;disk:10000";
const TASK_PORTS_FIRST: u32 = 31_000;
const TASK_PORTS_EACH: u32 = 100;

/// Patience of the masters with a silent leader, above that of masters on machines of their own: here all of them share
/// one processor and one disk with everything else. A leader that dies is noticed by its closed connection all the same.
const RAFT_TIMERS: [&str; 3] = [
    "--raft_heartbeat=50ms",
    "--raft_election_min=200ms",
    "--raft_election_max=400ms",
];

/// What a process of the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Master,
    Agent,
}

/// One process of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// `master-1`, `agent-3` …
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
    /// Where it serves HTTP, `host:port`.
    pub(crate) address: String,
    /// Where its Raft port is, masters only.
    pub(crate) raft_address: Option<String>,
    /// Its own directory.
    pub(crate) data: PathBuf,
    /// Its output.
    pub(crate) log: PathBuf,
    /// Arguments of this binary.
    pub(crate) args: Vec<String>,
}

/// The whole cluster.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Masters, then agents.
    pub(crate) members: Vec<Member>,
    /// First port.
    pub(crate) port: u16,
    /// Why `port` is not the default although no port was asked for.
    pub(crate) port_note: Option<String>,
}

impl Plan {
    /// Chooses ports and lays out `masters` and `agents` below `work_dir`.
    ///
    /// # Errors
    /// Counts out of range; a port that was asked for is in use (by whom is said where this user may know).
    pub(crate) async fn new(masters: u16, agents: u16, port: Option<u16>, work_dir: &Path) -> anyhow::Result<Plan> {
        if masters == 0 || masters > MASTERS_MAX {
            bail!("--masters={masters}: expected 1 to {MASTERS_MAX} (3 or 5 tolerate failures)");
        }
        if agents > AGENTS_MAX {
            bail!("--agents={agents}: expected 0 to {AGENTS_MAX}");
        }
        let (port, port_note) = match port {
            Some(port) => {
                if let Some(busy) = first_busy_port(&ports(port, masters, agents)?).await {
                    bail!("--port={port}: {busy}");
                }
                (port, None)
            }
            None => free_ports(masters, agents).await?,
        };
        Ok(Plan {
            members: lay_out(masters, agents, port, work_dir),
            port,
            port_note,
        })
    }

    /// Members of one kind, in order.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.kind == kind)
    }

    /// The masters as `--master` takes them.
    pub(crate) fn master_list(&self) -> String {
        let addresses: Vec<&str> = self
            .of_kind(Kind::Master)
            .map(|member| member.address.as_str())
            .collect();
        addresses.join(",")
    }
}

/// Every member on its ports, below `work_dir`.
fn lay_out(masters: u16, agents: u16, port: u16, work_dir: &Path) -> Vec<Member> {
    let raft: Vec<String> = (0..masters)
        .map(|i| format!("127.0.0.1:{}", port + RAFT_PORT_OFFSET + i))
        .collect();
    let http: Vec<String> = (0..masters).map(|i| format!("127.0.0.1:{}", port + i)).collect();
    let masters = (0..masters).map(|i| master(i, port, &http, &raft, work_dir));
    masters
        .chain((0..agents).map(|i| agent(i, port, &http, work_dir)))
        .collect()
}

fn master(index: u16, port: u16, http: &[String], raft: &[String], work_dir: &Path) -> Member {
    let node_id = index + 1;
    let name = format!("master-{node_id}");
    let data = work_dir.join(&name);
    let members: Vec<String> = raft
        .iter()
        .zip(1..)
        .map(|(address, id)| format!("{id}={address}"))
        .collect();
    let mut args = vec![
        "master".to_owned(),
        format!("--node_id={node_id}"),
        "--ip=127.0.0.1".to_owned(),
        format!("--port={}", port + index),
        format!("--raft_port={}", port + RAFT_PORT_OFFSET + index),
        format!("--work_dir={}", data.display()),
        "--cluster=local".to_owned(),
        format!("--initial_cluster={}", members.join(",")),
    ];
    args.extend(RAFT_TIMERS.map(str::to_owned));
    Member {
        address: http[usize::from(index)].clone(),
        raft_address: Some(raft[usize::from(index)].clone()),
        kind: Kind::Master,
        log: work_dir.join(format!("{name}.log")),
        name,
        data,
        args,
    }
}

fn agent(index: u16, port: u16, http: &[String], work_dir: &Path) -> Member {
    let name = format!("agent-{}", index + 1);
    let data = work_dir.join(&name);
    let port = port + AGENT_PORT_OFFSET + index;
    let first_task_port = TASK_PORTS_FIRST + u32::from(index) * TASK_PORTS_EACH;
    let last_task_port = first_task_port + TASK_PORTS_EACH - 1;
    let args = vec![
        "agent".to_owned(),
        format!("--master={}", http.join(",")),
        "--ip=127.0.0.1".to_owned(),
        format!("--port={port}"),
        format!("--work_dir={}", data.display()),
        format!("--resources={AGENT_RESOURCES};ports:[{first_task_port}-{last_task_port}]"),
    ];
    Member {
        address: format!("127.0.0.1:{port}"),
        raft_address: None,
        kind: Kind::Agent,
        log: work_dir.join(format!("{name}.log")),
        name,
        data,
        args,
    }
}

/// Every port of a cluster whose first port is `first`.
fn ports(first: u16, masters: u16, agents: u16) -> anyhow::Result<Vec<u16>> {
    first
        .checked_add(RAFT_PORT_OFFSET + MASTERS_MAX)
        .filter(|_| first > 0)
        .with_context(|| {
            format!(
                "--port={first}: expected 1 to {}",
                u16::MAX - RAFT_PORT_OFFSET - MASTERS_MAX
            )
        })?;
    let masters_and_raft = (0..masters).flat_map(|i| [first + i, first + RAFT_PORT_OFFSET + i]);
    Ok(masters_and_raft
        .chain((0..agents).map(|i| first + AGENT_PORT_OFFSET + i))
        .collect())
}

/// A sentence about the first port that cannot be listened on.
async fn first_busy_port(ports: &[u16]) -> Option<String> {
    let network = Seams::real().network;
    for &port in ports {
        if let Err(error) = network.listen(([127, 0, 0, 1], port).into()).await {
            let who = match process::listener_of(port) {
                Some((pid, command)) => format!("in use by process {pid} ({command})"),
                None => error.to_string(),
            };
            return Some(format!("port {port} is not free: {who}"));
        }
    }
    None
}

async fn free_ports(masters: u16, agents: u16) -> anyhow::Result<(u16, Option<String>)> {
    let mut note = None;
    for attempt in 0..PORT_TRIES {
        let first = PORT_DEFAULT + attempt * PORT_STEP;
        match first_busy_port(&ports(first, masters, agents)?).await {
            None => return Ok((first, note)),
            Some(busy) => {
                note.get_or_insert(busy);
            }
        }
    }
    bail!(
        "no free ports found: {}; choose some with --port",
        note.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masters_raft_and_agents_get_the_documented_ports() {
        let plan = Plan {
            members: lay_out(3, 2, 42_050, Path::new("/w")),
            port: 42_050,
            port_note: None,
        };
        let addresses: Vec<_> = plan.members.iter().map(|member| member.address.as_str()).collect();
        let expected = [
            "127.0.0.1:42050",
            "127.0.0.1:42051",
            "127.0.0.1:42052",
            "127.0.0.1:42100",
            "127.0.0.1:42101",
        ];
        assert_eq!(addresses, expected);
        assert_eq!(plan.members[2].raft_address.as_deref(), Some("127.0.0.1:42152"));
        assert_eq!(plan.master_list(), "127.0.0.1:42050,127.0.0.1:42051,127.0.0.1:42052");
        assert!(
            plan.members[4]
                .args
                .contains(&format!("--resources={AGENT_RESOURCES};ports:[31100-31199]"))
        );
    }

    #[tokio::test]
    async fn a_port_in_use_is_refused_with_its_user_or_avoided() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().min(60_000);
        if port == listener.local_addr().unwrap().port() {
            let error = Plan::new(1, 0, Some(port), Path::new("/w"))
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains(&format!("port {port} is not free: in use by process")),
                "{error}"
            );
        }
        assert!(Plan::new(8, 0, None, Path::new("/w")).await.is_err());
        assert!(Plan::new(1, 51, None, Path::new("/w")).await.is_err());
    }
}
