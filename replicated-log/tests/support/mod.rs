//! A state machine and helpers for the tests of whole replicas.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test binary uses a part; tests may unwrap"
)]

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use replicated_log::{
    Config, LogPosition, MemoryStore, NodeId, ReadError, ReplicatedLog, StateMachine, Status, Timers,
};
use seams::Seams;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Slow enough for a machine that runs many tests at once; a broken connection still replaces a leader at once.
pub(crate) const CALM: Timers = Timers {
    heartbeat: Duration::from_millis(50),
    election_min: Duration::from_millis(400),
    election_max: Duration::from_millis(800),
};

/// What a replica has applied, in order; shared with the test.
pub(crate) type Journal = Arc<Mutex<Vec<(LogPosition, Vec<u8>)>>>;

/// Remembers every command. The outcome of a command is its number.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    pub(crate) journal: Journal,
}

impl Recorder {
    pub(crate) fn commands(&self) -> Vec<String> {
        let journal = self.journal.lock().unwrap();
        journal
            .iter()
            .map(|(_, command)| String::from_utf8_lossy(command).into_owned())
            .collect()
    }
}

impl StateMachine for Recorder {
    type Outcome = usize;
    type View = Arc<Vec<(LogPosition, Vec<u8>)>>;

    fn apply(&mut self, position: LogPosition, command: &[u8]) -> usize {
        let mut journal = self.journal.lock().unwrap();
        journal.push((position, command.to_vec()));
        journal.len() - 1
    }

    fn applied(&mut self, _upto: LogPosition) {}

    fn view(&self) -> Self::View {
        Arc::new(self.journal.lock().unwrap().clone())
    }

    fn write_snapshot(view: &Self::View, out: &mut dyn io::Write) -> io::Result<()> {
        for (position, command) in view.iter() {
            out.write_all(&position.term.to_le_bytes())?;
            out.write_all(&position.index.to_le_bytes())?;
            out.write_all(&(command.len() as u64).to_le_bytes())?;
            out.write_all(command)?;
        }
        Ok(())
    }

    fn read_snapshot(input: &mut dyn io::Read) -> io::Result<Self::View> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        let mut rest = bytes.as_slice();
        let number = |rest: &mut &[u8]| {
            let (front, back) = rest.split_at(8);
            *rest = back;
            u64::from_le_bytes(front.try_into().unwrap())
        };
        let mut view = Vec::new();
        while !rest.is_empty() {
            let position = LogPosition {
                term: number(&mut rest),
                index: number(&mut rest),
            };
            let length = number(&mut rest) as usize;
            view.push((position, rest[..length].to_vec()));
            rest = &rest[length..];
        }
        Ok(Arc::new(view))
    }

    fn install(&mut self, _upto: LogPosition, view: Self::View) {
        *self.journal.lock().unwrap() = view.to_vec();
    }
}

/// A port that no other test gets, of this process or another.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], test_ports::free_port()))
}

/// Waits until the status satisfies `condition`; fails the test with the last status when it does not in time.
pub(crate) async fn wait_for(
    log: &ReplicatedLog<Recorder>,
    what: &str,
    condition: impl FnMut(&Status) -> bool,
) -> Status {
    let mut status = log.status();
    if let Ok(Ok(status)) = tokio::time::timeout(PATIENCE, status.wait_for(condition)).await {
        return status.clone();
    }
    panic!(
        "waited in vain until {what}; the status is {:#?}",
        log.status().borrow().clone()
    );
}

/// One replica of a test cluster: its configuration outlives its runs.
pub(crate) struct Replica {
    pub(crate) config: Config,
    pub(crate) machine: Recorder,
    pub(crate) log: Option<ReplicatedLog<Recorder>>,
}

impl Replica {
    pub(crate) fn new(config: Config) -> Self {
        Replica {
            config,
            machine: Recorder::default(),
            log: None,
        }
    }

    pub(crate) fn log(&self) -> &ReplicatedLog<Recorder> {
        self.log.as_ref().unwrap()
    }

    /// Starts with an empty state machine.
    pub(crate) async fn start(&mut self) -> &ReplicatedLog<Recorder> {
        self.machine = Recorder::default();
        let log = ReplicatedLog::start(self.config.clone(), Seams::real(), self.machine.clone())
            .await
            .unwrap();
        self.log.insert(log)
    }

    /// Stops as a killed process does.
    pub(crate) async fn kill(&mut self) {
        self.log.take().unwrap().shutdown(false).await;
    }
}

/// Configurations of a new cluster, on disk below `directory` or in memory.
pub(crate) fn configs(count: u64, directory: Option<&Path>) -> Vec<Config> {
    let addresses: BTreeMap<NodeId, SocketAddr> = (1..=count).map(|id| (id, free_address())).collect();
    let members: BTreeMap<NodeId, String> = addresses
        .iter()
        .map(|(id, address)| (*id, address.to_string()))
        .collect();
    addresses
        .iter()
        .map(|(id, address)| {
            let mut config = Config::new(*id, "test", *address);
            config.initial_members.clone_from(&members);
            config.timers = CALM;
            match directory {
                Some(directory) => config.data_dir = Some(directory.join(id.to_string())),
                None => config.memory_store = Some(MemoryStore::new()),
            }
            config
        })
        .collect()
}

pub(crate) fn command(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

/// A linearizable read. On a busy machine an election may come in between: a refused read is asked again, as a client
/// would.
pub(crate) async fn read(log: &ReplicatedLog<Recorder>) -> LogPosition {
    let answered = async {
        loop {
            match log.read_barrier().await {
                Ok(position) => return position,
                Err(ReadError::NotLeader { .. } | ReadError::Unavailable { .. }) => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Err(error) => panic!("reading: {error}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, answered)
        .await
        .expect("a read is answered")
}

/// Several replicas in this process.
pub(crate) struct Cluster {
    pub(crate) replicas: Vec<Replica>,
}

impl Cluster {
    /// Founds a cluster of `count` replicas and waits until all of them know its members.
    pub(crate) async fn new(count: u64, directory: Option<&Path>) -> Self {
        Self::of(configs(count, directory)).await
    }

    pub(crate) async fn of(configs: Vec<Config>) -> Self {
        trace();
        let mut cluster = Cluster {
            replicas: configs.into_iter().map(Replica::new).collect(),
        };
        for replica in &mut cluster.replicas {
            replica.start().await;
        }
        cluster.leader().await;
        for replica in cluster.running() {
            wait_for(replica.log(), "it has the first entry", |status| {
                !status.voters.is_empty()
            })
            .await;
        }
        cluster
    }

    pub(crate) fn replica(&self, node_id: NodeId) -> &Replica {
        self.replicas
            .iter()
            .find(|replica| replica.config.node_id == node_id)
            .unwrap()
    }

    pub(crate) fn replica_mut(&mut self, node_id: NodeId) -> &mut Replica {
        self.replicas
            .iter_mut()
            .find(|replica| replica.config.node_id == node_id)
            .unwrap()
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = &Replica> {
        self.replicas.iter().filter(|replica| replica.log.is_some())
    }

    /// Waits until all running replicas agree on a running leader.
    pub(crate) async fn leader(&self) -> NodeId {
        let agreed = async {
            loop {
                let views: Vec<Status> = self
                    .running()
                    .map(|replica| replica.log().status().borrow().clone())
                    .collect();
                if let Some(leader) = views.first().and_then(|view| view.leader)
                    && views.iter().all(|view| view.leader == Some(leader))
                    && views.iter().any(|view| view.node_id == leader && view.is_leader())
                {
                    return leader;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, agreed).await {
            Ok(leader) => leader,
            Err(_) => panic!(
                "no leader; {:#?}",
                self.running()
                    .map(|replica| replica.log().status().borrow().clone())
                    .collect::<Vec<_>>()
            ),
        }
    }

    /// Proposes until it is applied somewhere, at whoever leads; fails on an unknown outcome.
    pub(crate) async fn propose(&self, text: &str) -> LogPosition {
        let proposed = async {
            loop {
                let leader = self.leader().await;
                match self.replica(leader).log().propose(command(text)).await {
                    Ok(applied) => return applied.position,
                    Err(error) if error.is_certainly_not_proposed() => {}
                    Err(error) => panic!("proposing {text}: {error}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, proposed).await.unwrap()
    }

    /// Waits until every running replica has applied the same commands as the leader, and returns them.
    pub(crate) async fn settled(&self) -> Vec<String> {
        let upto = read(self.replica(self.leader().await).log()).await;
        for replica in self.running() {
            wait_for(replica.log(), "it has applied all", |status| {
                status.applied >= Some(upto)
            })
            .await;
        }
        let commands: Vec<Vec<String>> = self.running().map(|replica| replica.machine.commands()).collect();
        assert!(
            commands.windows(2).all(|pair| pair[0] == pair[1]),
            "replicas differ: {commands:?}"
        );
        commands.into_iter().next().unwrap()
    }
}

/// Shows the log of a failing test, as RUST_LOG asks for.
pub(crate) fn trace() {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    // Another test of this binary may have done it.
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_test_writer()
            .try_init(),
    );
}
