//! Opening what a replica has on disk, and turning what is wrong with it into sentences for its operator.

use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::errors::Fatal;

use crate::config::Config;
use crate::error::StartError;
use crate::log_store::{LogStore, NodeRecord, OpenError, Recovered, sled};
use crate::snapshot::SnapshotStore;
use crate::type_config::TypeConfig;

/// The log below the data directory.
const LOG_DIRECTORY: &str = "log";
/// The snapshots below the data directory.
const SNAPSHOT_DIRECTORY: &str = "snapshots";
/// Stands for the data directory in texts, where there is none.
const IN_MEMORY: &str = "(memory)";

pub(super) struct Opened {
    pub(super) store: LogStore,
    pub(super) snapshots: Arc<SnapshotStore>,
}

pub(super) async fn open(config: &Config) -> Result<Opened, StartError> {
    let node = NodeRecord {
        node_id: config.node_id,
        cluster_name: config.cluster_name.clone(),
    };
    let Some(data_dir) = config.data_dir.clone() else {
        return open_memory(config, &node);
    };
    let opened = tokio::task::spawn_blocking(move || open_directory(&data_dir, &node)).await;
    opened.unwrap_or_else(|error| Err(StartError::Core(error.to_string())))
}

fn open_memory(config: &Config, node: &NodeRecord) -> Result<Opened, StartError> {
    let mount = config.memory_store.clone().unwrap_or_default().mount();
    let open = || -> Result<Opened, OpenError> {
        let (disk, recovered) = mount.open_log(node)?;
        let snapshots = SnapshotStore::in_memory(mount)?;
        check_snapshot(&recovered, &snapshots)?;
        Ok(Opened {
            store: LogStore::in_task(recovered, disk),
            snapshots: Arc::new(snapshots),
        })
    };
    open().map_err(|error| start_error(Path::new(IN_MEMORY), node, error))
}

fn open_directory(data_dir: &Path, node: &NodeRecord) -> Result<Opened, StartError> {
    let open = || -> Result<Opened, OpenError> {
        let log_directory = data_dir.join(LOG_DIRECTORY);
        let log_is_new = !log_directory.exists();
        let (disk, recovered) = sled::open(&log_directory, node)?;
        let snapshots = SnapshotStore::in_directory(&data_dir.join(SNAPSHOT_DIRECTORY))?;
        if log_is_new && snapshots.current().is_some() {
            return Err(OpenError::Damaged("there is a snapshot but no log".into()));
        }
        check_snapshot(&recovered, &snapshots)?;
        Ok(Opened {
            store: LogStore::on_thread(recovered, disk)?,
            snapshots: Arc::new(snapshots),
        })
    };
    open().map_err(|error| start_error(data_dir, node, error))
}

/// What was purged from the log must be in the snapshot.
fn check_snapshot(recovered: &Recovered, snapshots: &SnapshotStore) -> Result<(), OpenError> {
    let covered = snapshots.current().and_then(|(meta, _)| meta.last_log_id);
    if let Some(purged) = recovered.purged
        && covered.is_none_or(|covered| covered < purged)
    {
        let covered = covered.map_or("there is none".to_owned(), |covered| {
            format!("it ends at index {}", covered.index)
        });
        let reason = format!(
            "the log is purged up to index {} but the snapshot does not reach that far: {covered}",
            purged.index
        );
        return Err(OpenError::Damaged(reason));
    }
    Ok(())
}

/// The core reads the snapshot's content when it starts, and nothing else that is not in memory.
pub(super) fn core_error(config: &Config, error: &Fatal<TypeConfig>) -> StartError {
    match error {
        Fatal::StorageError(error) => StartError::Damaged {
            directory: data_directory(config),
            reason: error.to_string(),
            node_id: config.node_id,
        },
        error => StartError::Core(error.to_string()),
    }
}

/// For people.
fn data_directory(config: &Config) -> String {
    let directory = config.data_dir.as_deref().unwrap_or(Path::new(IN_MEMORY));
    directory.display().to_string()
}

fn start_error(directory: &Path, node: &NodeRecord, error: OpenError) -> StartError {
    let directory = directory.display().to_string();
    match error {
        OpenError::Foreign {
            what,
            found,
            configured,
        } => StartError::ForeignDirectory {
            directory,
            what,
            found,
            configured,
        },
        OpenError::Damaged(reason) => StartError::Damaged {
            directory,
            reason,
            node_id: node.node_id,
        },
        OpenError::Io(error) if error.kind() == io::ErrorKind::InvalidData => StartError::Damaged {
            directory,
            reason: error.to_string(),
            node_id: node.node_id,
        },
        OpenError::Io(source) => StartError::Storage { directory, source },
    }
}
