//! One process of a cluster: a master, an agent or a framework. It can be killed, paused, stopped in an orderly way
//! and started again with the same command line; its output goes to a log file that outlives it.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::processes;
use crate::wait::wait_for;

/// A process and how to start it again.
pub struct Node {
    name: String,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    paused: bool,
}

impl Node {
    /// A process that has not been started. `name` is for messages; its output is appended to `log`.
    pub fn new(name: impl Into<String>, program: impl Into<PathBuf>, arguments: Vec<String>, log: PathBuf) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments,
            environment: Vec::new(),
            log,
            child: None,
            paused: false,
        }
    }

    /// Adds a variable to the environment of the process.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.environment.push((key.to_owned(), value.into()));
        self
    }

    /// Name for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The log file.
    pub fn log(&self) -> &PathBuf {
        &self.log
    }

    /// What the log file holds so far.
    pub fn log_text(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Replaces the value of `--flag=…` on the command line, or adds it.
    pub fn set_flag(&mut self, flag: &str, value: &str) {
        let prefix = format!("--{flag}=");
        self.arguments.retain(|argument| !argument.starts_with(&prefix));
        self.arguments.push(format!("{prefix}{value}"));
    }

    /// Starts the process, which must not be running.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("{} is already running", self.name);
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("cannot open {}", self.log.display()))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}: {}", self.name, self.program.display()))?;
        self.child = Some(child);
        self.paused = false;
        Ok(())
    }

    /// The standard input of the running process.
    pub fn stdin(&mut self) -> Result<&mut ChildStdin> {
        let child = self
            .child
            .as_mut()
            .with_context(|| format!("{} is not running", self.name))?;
        child
            .stdin
            .as_mut()
            .with_context(|| format!("{} has no standard input", self.name))
    }

    /// The process id, if it was started and has not been seen to end.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether the process runs; a paused one does.
    pub fn is_running(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(Ok(Some(_)) | Err(_)) => {
                self.child = None;
                false
            }
            None => false,
        }
    }

    /// Whether the process was paused by [`Node::pause`] and not continued since.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// `kill -9`, and waits until the process is gone. Nothing happens if it is not running.
    pub fn kill9(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().with_context(|| format!("cannot kill {}", self.name))?;
            child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        }
        self.paused = false;
        Ok(())
    }

    /// `SIGSTOP`: the process keeps its sockets but does nothing.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        self.paused = true;
        Ok(())
    }

    /// `SIGCONT` after [`Node::pause`].
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::SIGCONT)?;
        self.paused = false;
        Ok(())
    }

    /// `SIGTERM`, and waits for the process to end by itself within `bound`.
    pub fn terminate(&mut self, bound: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait_for_exit(bound)
    }

    /// Waits for the process to end by itself within `bound`.
    pub fn wait_for_exit(&mut self, bound: Duration) -> Result<ExitStatus> {
        let name = self.name.clone();
        let child = self.child.as_mut().with_context(|| format!("{name} is not running"))?;
        let status = wait_for(&format!("{name} ends"), bound, || Ok(child.try_wait()?))?;
        self.child = None;
        Ok(status)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        processes::signal(pid, signal)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.kill9() {
            eprintln!("{error:#}");
        }
    }
}
