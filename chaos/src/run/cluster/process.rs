//! One process: started, signalled and ended by its id. It never outlives this one, and its output outlives it.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Only the end of a log is looked at for last words.
const TAIL_BYTES: usize = 4096;
/// Limit of waiting for a process that was sent SIGKILL: only a disk that does not answer can hold it up.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// How a process is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// For messages.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// Output is appended here.
    pub(crate) log: PathBuf,
}

/// A process that was started and has not been seen to end.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    log: PathBuf,
    child: Child,
    pid: i32,
}

impl Launch {
    /// Starts it.
    pub(crate) fn spawn(&self) -> Result<Process> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let mut command = command(&self.program);
        command
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("cannot share the log file")?)
            .stderr(log)
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot start {}: {}", self.name, self.program.display()))?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
        Ok(Process {
            name: self.name.clone(),
            log: self.log.clone(),
            child,
            pid: pid.with_context(|| format!("{} ended while it was started", self.name))?,
        })
    }
}

/// A command of the program under test, without the flags that the environment may hold for another cluster.
pub(crate) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("MESOS_")) {
            command.env_remove(name);
        }
    }
    command.kill_on_drop(true);
    command
}

impl Process {
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends a signal; fails when the process has ended.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.pid), signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// `kill -9`, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.child
            .start_kill()
            .with_context(|| format!("cannot kill {}", self.name))?;
        match timeout(KILL_LIMIT, self.child.wait()).await {
            Ok(ended) => ended
                .map(drop)
                .with_context(|| format!("cannot wait for {}", self.name)),
            Err(_) => bail!("{} (process {}) does not die", self.name, self.pid),
        }
    }

    /// SIGTERM, and waits for at most `limit`; then SIGKILL. Whether it ended by itself, with success.
    pub(crate) async fn terminate(mut self, limit: Duration) -> Result<bool> {
        self.signal(Signal::SIGTERM)?;
        match timeout(limit, self.child.wait()).await {
            Ok(ended) => Ok(ended
                .with_context(|| format!("cannot wait for {}", self.name))?
                .success()),
            Err(_) => self.kill().await.map(|()| false),
        }
    }

    /// Waits for its end for at most `limit`.
    pub(crate) async fn ended_within(&mut self, limit: Duration) -> Option<ExitStatus> {
        timeout(limit, self.child.wait()).await.ok()?.ok()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last line of its output that is not blank.
    pub(crate) fn last_words(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        let tail = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let text = String::from_utf8_lossy(tail);
        let mut lines = text.lines().rev().map(str::trim);
        lines.find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}
