//! openraft's own conformance suite, on every store.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use super::{LogStore, MemoryStore, NodeRecord, sled};
use crate::LogPosition;
use crate::snapshot::SnapshotStore;
use crate::state_machine::{Machine, StateMachine};
use crate::type_config::TypeConfig;
use crate::waiting::Waiting;

/// Keeps every command under its position.
#[derive(Debug, Default)]
struct Recorder(BTreeMap<LogPosition, Vec<u8>>);

impl StateMachine for Recorder {
    type Outcome = ();
    type View = Arc<BTreeMap<LogPosition, Vec<u8>>>;

    fn apply(&mut self, position: LogPosition, command: &[u8]) {
        self.0.insert(position, command.to_vec());
    }

    fn applied(&mut self, _upto: LogPosition) {}

    fn view(&self) -> Self::View {
        Arc::new(self.0.clone())
    }

    fn write_snapshot(view: &Self::View, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(&postcard::to_allocvec(&**view).map_err(io::Error::other)?)
    }

    fn read_snapshot(input: &mut dyn io::Read) -> io::Result<Self::View> {
        let mut bytes = Vec::new();
        input.read_to_end(&mut bytes)?;
        postcard::from_bytes(&bytes).map(Arc::new).map_err(io::Error::other)
    }

    fn install(&mut self, _upto: LogPosition, view: Self::View) {
        self.0 = (*view).clone();
    }
}

fn node() -> NodeRecord {
    NodeRecord {
        node_id: 1,
        cluster_name: "conformance".into(),
    }
}

fn machine(snapshots: SnapshotStore) -> Machine<Recorder> {
    let counters = crate::Counters::default();
    Machine::new(
        Recorder::default(),
        Arc::new(Waiting::new(0)),
        Arc::new(snapshots),
        counters,
    )
}

struct OnSled;

impl StoreBuilder<TypeConfig, LogStore, Machine<Recorder>, TempDir> for OnSled {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine<Recorder>), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().unwrap();
        let (disk, recovered) = sled::open(&directory.path().join("log"), &node()).unwrap();
        let snapshots = SnapshotStore::in_directory(&directory.path().join("snapshots")).unwrap();
        Ok((
            directory,
            LogStore::on_thread(recovered, disk).unwrap(),
            machine(snapshots),
        ))
    }
}

/// On a simulated disk, whose syncs take up to this long.
struct InMemory(Duration);

impl StoreBuilder<TypeConfig, LogStore, Machine<Recorder>, ()> for InMemory {
    async fn build(&self) -> Result<((), LogStore, Machine<Recorder>), StorageError<TypeConfig>> {
        let memory = MemoryStore::with_seed(1);
        memory.set_latency(Duration::ZERO..=self.0);
        let mount = memory.mount();
        let (disk, recovered) = mount.open_log(&node()).unwrap();
        let snapshots = SnapshotStore::in_memory(mount).unwrap();
        Ok(((), LogStore::in_task(recovered, disk), machine(snapshots)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sled_store_conforms() {
    Suite::test_all(OnSled).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_conforms() {
    Suite::test_all(InMemory(Duration::ZERO)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_memory_store_conforms_when_its_syncs_take_time() {
    Suite::test_all(InMemory(Duration::from_millis(20))).await.unwrap();
}
