//! Data directories of masters that hold a large registry as a snapshot and some commands after it.
//!
//! Written by the replicated log itself: replicas in this process whose state machine begins with the filled registry
//! found the cluster, write their snapshots, agree on further commands and stop. The masters then find their data.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use cluster_tests::cluster::Cluster;
use futures_util::{StreamExt, TryStreamExt, stream};
use master_core::{Command, Registry};
use replicated_log::{Config, LogPosition, ReplicatedLog, StateMachine, Status, Timers};
use seams::Seams;
use tokio::time::timeout;

/// Longest wait for the founding, a snapshot or the last of the commands.
const PATIENCE: Duration = Duration::from_secs(120);
/// Commands under way at once, which is how many share a log entry at most.
const UNDER_WAY: usize = 64;
/// Patient ones: nobody else is to be elected meanwhile, however busy the machine is.
const TIMERS: Timers = Timers {
    heartbeat: Duration::from_millis(100),
    election_min: Duration::from_millis(1000),
    election_max: Duration::from_millis(2000),
};

/// The registry as a state machine that nobody listens to.
struct Filled(Registry);

impl StateMachine for Filled {
    type Outcome = ();
    type View = Registry;

    fn apply(&mut self, position: LogPosition, command: &[u8]) {
        let position = master_core::Position {
            term: position.term,
            index: position.index,
        };
        let command = master_server::logged_command(command).map(Command::decode);
        let command = command
            .and_then(Result::ok)
            .expect("only commands encoded by this very program are proposed");
        drop(self.0.apply(position, &command));
    }

    fn applied(&mut self, _upto: LogPosition) {}

    fn view(&self) -> Registry {
        self.0.clone()
    }

    fn write_snapshot(view: &Registry, out: &mut dyn Write) -> io::Result<()> {
        view.write_to(out)
    }

    fn read_snapshot(input: &mut dyn Read) -> io::Result<Registry> {
        Registry::read_from(input).map_err(io::Error::other)
    }

    fn install(&mut self, _upto: LogPosition, view: Registry) {
        self.0 = view;
    }
}

/// Fills the data directories of a cluster that was laid out and not started; `tail` are the commands after the snapshot.
pub async fn fill(cluster: &Cluster, registry: &Registry, tail: Vec<Command>) -> Result<()> {
    let replicas = start(cluster, registry).await?;
    let result = fill_running(&replicas, tail).await;
    for replica in &replicas {
        replica.shutdown(false).await;
    }
    result
}

async fn start(cluster: &Cluster, registry: &Registry) -> Result<Vec<ReplicatedLog<Filled>>> {
    let count = cluster.masters.len();
    let members: BTreeMap<u64, String> = (0..count)
        .map(|index| (index as u64 + 1, format!("127.0.0.1:{}", cluster.raft_port(index))))
        .collect();
    let name = cluster.folder().file_name().and_then(|name| name.to_str());
    let name = name.context("the cluster's folder has no name")?;
    let mut replicas = Vec::new();
    for (id, address) in &members {
        let mut config = Config::new(*id, name, address.parse()?);
        let folder = cluster.master_folder(usize::try_from(*id)? - 1);
        std::fs::create_dir_all(&folder)?;
        config.data_dir = Some(folder.join("replicated_log"));
        config.initial_members = members.clone();
        config.timers = TIMERS;
        config.snapshot_every = u64::MAX;
        replicas.push(ReplicatedLog::start(config, Seams::real(), Filled(registry.clone())).await?);
    }
    Ok(replicas)
}

async fn fill_running(replicas: &[ReplicatedLog<Filled>], tail: Vec<Command>) -> Result<()> {
    for replica in replicas {
        reach(replica, "follow a leader", |status| {
            status.leader.is_some() && status.applied.is_some()
        })
        .await?;
        replica.snapshot().await?;
        reach(replica, "write its snapshot", |status| status.snapshot.is_some()).await?;
    }
    let leads = |replica: &&ReplicatedLog<Filled>| replica.status().borrow().is_leader();
    let leader = replicas.iter().find(leads).context("no replica leads")?;
    stream::iter(tail)
        .map(|command| leader.propose(master_server::log_entry(&command)))
        .buffered(UNDER_WAY)
        .try_for_each(|_| async { Ok(()) })
        .await?;
    let last = leader.status().borrow().last_log;
    for replica in replicas {
        reach(replica, "apply every command", |status| {
            status.applied.map(|applied| applied.index) >= last
        })
        .await?;
    }
    Ok(())
}

async fn reach(replica: &ReplicatedLog<Filled>, what: &str, is_reached: impl FnMut(&Status) -> bool) -> Result<()> {
    let mut status = replica.status();
    let reached = timeout(PATIENCE, status.wait_for(is_reached)).await;
    let reached = reached.map_err(|_| anyhow!("a replica did not {what} within {PATIENCE:?}"))?;
    reached
        .map(drop)
        .with_context(|| format!("a replica stopped and did not {what}"))
}
