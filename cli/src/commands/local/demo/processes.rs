//! The processes of the demonstration's long tasks, found in their sandboxes and looked at in `/proc`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::commands::local::plan::Member;
use crate::process::{self, ProcessStat};

/// What a long task does: it notes its process id in its sandbox (one line per start) and sleeps.
pub(super) const COMMAND: &str = "echo $$ >> starts; exec sleep 1000000";
/// How the process then calls itself.
const COMMAND_LINE: &str = "sleep 1000000";
/// The file the command writes.
const STARTS_FILE: &str = "starts";
/// Directories deeper than this below an agent's own hold no sandbox.
const DEPTH_MAX: usize = 12;

/// A long task and its process, as first found.
#[derive(Clone, Debug)]
pub(super) struct LongTask {
    id: String,
    agent: String,
    starts: PathBuf,
    process: ProcessStat,
}

impl LongTask {
    /// Finds the process of the task `task_id` below the directory of its agent.
    pub(super) fn find(id: &str, task_id: &str, agent: &Member) -> anyhow::Result<Self> {
        let starts = find_starts(&agent.data, task_id, DEPTH_MAX)
            .with_context(|| format!("no sandbox of {id} below {}", agent.data.display()))?;
        let pid = only_start(id, &starts)?;
        let process = process::stat(pid).with_context(|| format!("process {pid} of {id} is gone"))?;
        let task = LongTask {
            id: id.to_owned(),
            agent: agent.name.clone(),
            starts,
            process,
        };
        task.check()?;
        Ok(task)
    }

    /// A row for the table: task, agent, pid.
    pub(super) fn row(&self) -> Vec<String> {
        vec![self.id.clone(), self.agent.clone(), self.process.pid.to_string()]
    }

    /// Checks that the task was started once and still is that very process.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let pid = only_start(&self.id, &self.starts)?;
        if pid != self.process.pid {
            bail!("{}: process {} became {pid}", self.id, self.process.pid);
        }
        let now = process::stat(pid).filter(ProcessStat::is_alive);
        let now = now.with_context(|| format!("{}: process {pid} is dead", self.id))?;
        if now.started != self.process.started {
            bail!("{}: process id {pid} belongs to another process now", self.id);
        }
        let command_line = process::command_line(pid);
        if command_line != COMMAND_LINE {
            bail!(
                "{}: process {pid} is '{command_line}' instead of '{COMMAND_LINE}'",
                self.id
            );
        }
        Ok(())
    }
}

/// The process id of the only start noted.
fn only_start(id: &str, starts: &Path) -> anyhow::Result<i32> {
    let text = fs::read_to_string(starts).with_context(|| format!("{id}: cannot read {}", starts.display()))?;
    let lines: Vec<&str> = text.lines().collect();
    match lines.as_slice() {
        [pid] => pid
            .trim()
            .parse()
            .with_context(|| format!("{id}: '{pid}' is no process id")),
        [] => bail!("{id} has not started yet"),
        many => bail!("{id} was started {} times: {many:?}", many.len()),
    }
}

/// Looks below `folder` for the file of a task: a directory called like the task, and the file somewhere below it.
fn find_starts(folder: &Path, task_id: &str, depth: usize) -> Option<PathBuf> {
    for entry in fs::read_dir(folder).ok()?.flatten() {
        // Links (`latest`) lead to what is found anyway.
        if !entry.file_type().ok()?.is_dir() || depth == 0 {
            continue;
        }
        let path = entry.path();
        let found = if entry.file_name() == task_id {
            find_file(&path, depth)
        } else {
            find_starts(&path, task_id, depth - 1)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn find_file(folder: &Path, depth: usize) -> Option<PathBuf> {
    let file = folder.join(STARTS_FILE);
    if file.is_file() {
        return Some(file);
    }
    let entries = fs::read_dir(folder).ok()?.flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    depth
        .checked_sub(1)
        .and_then(|depth| folders.into_iter().find_map(|entry| find_file(&entry.path(), depth)))
}
