//! Reads everything back after a restart.

use std::fs;
use std::path::Path;

use super::record::{self, AgentRecord, ExecutorRecord, FrameworkRecord, TaskRecord};
use super::{Layout, StoreError, atomic};

/// One run of an executor as found on disk.
#[derive(Debug)]
pub(crate) struct RecoveredExecutor {
    /// Its record.
    pub(crate) record: ExecutorRecord,
    /// Its tasks.
    pub(crate) tasks: Vec<TaskRecord>,
}

/// A framework as found on disk.
#[derive(Debug)]
pub(crate) struct RecoveredFramework {
    /// Its record.
    pub(crate) record: FrameworkRecord,
    /// Its executors, completed ones included.
    pub(crate) executors: Vec<RecoveredExecutor>,
}

/// Everything found on disk.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    /// `None` on the first start in a work directory.
    pub(crate) agent: Option<AgentRecord>,
    /// Boot id of the former start.
    pub(crate) boot_id: Option<String>,
    /// Frameworks with records.
    pub(crate) frameworks: Vec<RecoveredFramework>,
}

/// Reads the store. A directory whose record was never completed (a crash during a launch, before anything was said
/// about it) is skipped; a damaged record is an error, because going on would forget a running task.
pub(crate) fn recover(layout: &Layout) -> Result<Recovered, StoreError> {
    let boot_id = match fs::read_to_string(layout.boot_id()) {
        Ok(text) => Some(text.trim().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(StoreError::io("read", &layout.boot_id())(error)),
    };
    let mut recovered = Recovered {
        agent: record::read(&layout.agent())?,
        boot_id,
        frameworks: Vec::new(),
    };
    for directory in subdirectories(&layout.frameworks())? {
        let Some(record) = record::read::<FrameworkRecord>(&directory.join("framework"))? else {
            continue;
        };
        let mut executors = Vec::new();
        for executor in subdirectories(&directory.join("executors"))? {
            let Some(record) = record::read::<ExecutorRecord>(&executor.join("executor"))? else {
                continue;
            };
            executors.push(RecoveredExecutor {
                record,
                tasks: tasks(&executor.join("tasks"))?,
            });
        }
        recovered.frameworks.push(RecoveredFramework { record, executors });
    }
    Ok(recovered)
}

fn tasks(directory: &Path) -> Result<Vec<TaskRecord>, StoreError> {
    let mut tasks = Vec::new();
    for path in entries(directory)? {
        // Left behind by a crash in the middle of a write; its content was never relied on.
        if path.to_string_lossy().ends_with(atomic::TEMPORARY) {
            continue;
        }
        tasks.extend(record::read::<TaskRecord>(&path)?);
    }
    Ok(tasks)
}

fn subdirectories(directory: &Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    Ok(entries(directory)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(directory: &Path) -> Result<Vec<std::path::PathBuf>, StoreError> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", directory)(error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(StoreError::io("list", directory))?.path());
    }
    paths.sort();
    Ok(paths)
}
