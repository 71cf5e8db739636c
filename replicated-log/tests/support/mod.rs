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
use replicated_log::{Config, LogPosition, MemoryStore, NodeId, ReplicatedLog, StateMachine, Status};
use seams::Seams;

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

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

/// A port that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Waits until the status satisfies `condition`; fails the test with the last status when it does not in time.
pub(crate) async fn wait_for(
    log: &ReplicatedLog<Recorder>,
    what: &str,
    condition: impl FnMut(&Status) -> bool,
) -> Status {
    let mut status = log.status();
    match tokio::time::timeout(PATIENCE, status.wait_for(condition)).await {
        Ok(Ok(status)) => return status.clone(),
        Ok(Err(_)) | Err(_) => {}
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
