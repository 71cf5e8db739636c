//! What the agent and a supervisor tell each other through files: the work order, and the state of the process.
//!
//! Both are JSON with a `version`, written to a temporary name, synced and renamed. Must never refer to the agent's
//! memory: a supervisor outlives the agent that started it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Version of [`ProcessSpec`] and [`ProcessStatus`]; a file of another version is refused.
pub(crate) const FILE_VERSION: u32 = 1;

/// File names inside one process directory.
pub(crate) mod names {
    /// The work order, written by the agent before the supervisor starts.
    pub(crate) const SPEC: &str = "spec.json";
    /// The state of the process, written by the supervisor.
    pub(crate) const STATUS: &str = "status.json";
    /// Named pipe on which the supervisor takes orders, one per line: `kill <grace in milliseconds>`.
    pub(crate) const CONTROL: &str = "control";
    /// A kill order that also a supervisor finds that was not listening yet: milliseconds of grace.
    pub(crate) const KILL: &str = "kill";
    /// Locked by the supervisor as long as it lives.
    pub(crate) const LOCK: &str = "lock";
    /// What the supervisor itself has to say (its standard error).
    pub(crate) const LOG: &str = "supervisor.log";
}

/// One file to place into the sandbox before the process starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fetch {
    /// A `file://` URI or an absolute path; anything else is refused.
    pub(crate) uri: String,
    /// Make the copy executable (and do not unpack it).
    pub(crate) executable: bool,
    /// Unpack a known archive after copying.
    pub(crate) extract: bool,
    /// Name in the sandbox; the source's own name when absent.
    pub(crate) output_file: Option<String>,
}

/// Limits of one process and everything it starts; enforced where the host has cgroups v2.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CgroupSpec {
    /// Directory of the process's own group, created by the supervisor.
    pub(crate) path: PathBuf,
    /// `memory.max` in bytes.
    pub(crate) memory_bytes: Option<u64>,
    /// `cpu.weight`, 1 to 10,000.
    pub(crate) cpu_weight: Option<u64>,
    /// `pids.max`.
    pub(crate) pids_max: Option<u64>,
}

/// The work order of one supervisor: one process, its sandbox and its limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessSpec {
    /// [`FILE_VERSION`].
    pub(crate) version: u32,
    /// Unique name of the process, told to the agent with each notification.
    pub(crate) container_id: String,
    /// Run `value` with `/bin/sh -c`; otherwise `value` is the program and `arguments` its argv (`argv[0]` included).
    pub(crate) shell: bool,
    /// Shell text or program.
    pub(crate) value: Option<String>,
    /// argv of a program, `argv[0]` included.
    pub(crate) arguments: Vec<String>,
    /// The whole environment, in order; later entries win.
    pub(crate) environment: Vec<(String, String)>,
    /// Run as this user; as the agent's own when absent.
    pub(crate) user: Option<String>,
    /// Working directory; standard output and error go to `stdout` and `stderr` in it.
    pub(crate) sandbox: PathBuf,
    /// Files to copy first.
    pub(crate) fetch: Vec<Fetch>,
    /// Symbolic links to make in the sandbox: (name relative to it, absolute target).
    pub(crate) links: Vec<(String, PathBuf)>,
    /// Kill the process after this many milliseconds of running.
    pub(crate) max_completion_ms: Option<u64>,
    /// Milliseconds between SIGTERM and SIGKILL when the time is up.
    pub(crate) kill_grace_ms: u64,
    /// Limits, when the host has them.
    pub(crate) cgroup: Option<CgroupSpec>,
    /// Named pipe of the agent that takes the container id after each change.
    pub(crate) notify: PathBuf,
}

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// The process runs.
    Running,
    /// The process ended, or never started ([`ProcessStatus::failure`]).
    Exited,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// The status as `waitpid` encodes it, which is what Mesos reports for executors.
    pub(crate) fn wait_status(self) -> i32 {
        match self {
            Exit::Code(code) => code << 8,
            Exit::Signal(signal) => signal,
        }
    }
}

/// What a supervisor reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessStatus {
    /// [`FILE_VERSION`].
    pub(crate) version: u32,
    /// How far it has come.
    pub(crate) phase: Phase,
    /// Process id; absent when it never started.
    pub(crate) pid: Option<i32>,
    /// When it started, in the kernel's clock ticks since boot: tells it from a later process with the same id.
    pub(crate) start_ticks: Option<u64>,
    /// How it ended.
    pub(crate) exit: Option<Exit>,
    /// Why it never started.
    pub(crate) failure: Option<String>,
    /// A kill was asked for before it ended.
    pub(crate) killed: bool,
    /// It ran longer than allowed.
    pub(crate) completion_time_reached: bool,
    /// The kernel killed something in it for want of memory.
    pub(crate) memory_limit_reached: bool,
}

/// When a process started, in clock ticks since boot; `None` when there is no such process.
pub(crate) fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may contain anything; the fields start behind its end. Field 22 of proc(5).
    stat.get(stat.rfind(')')? + 1..)?
        .split_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

impl ProcessStatus {
    /// A process that runs as `pid`.
    pub(crate) fn running(pid: i32) -> Self {
        ProcessStatus {
            version: FILE_VERSION,
            phase: Phase::Running,
            pid: Some(pid),
            start_ticks: start_ticks(pid),
            exit: None,
            failure: None,
            killed: false,
            completion_time_reached: false,
            memory_limit_reached: false,
        }
    }

    /// A process that could not be started.
    pub(crate) fn failed(failure: String) -> Self {
        ProcessStatus {
            phase: Phase::Exited,
            pid: None,
            failure: Some(failure),
            ..ProcessStatus::running(0)
        }
    }

    /// Reads the status file of a process directory; `None` when there is none yet.
    ///
    /// Errors: an unreadable, undecodable or foreign file, as text.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, String> {
        let path = directory.join(names::STATUS);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        let status: ProcessStatus =
            serde_json::from_slice(&text).map_err(|error| format!("cannot decode {}: {error}", path.display()))?;
        if status.version != FILE_VERSION {
            return Err(format!(
                "{} has version {}, expected {FILE_VERSION}",
                path.display(),
                status.version
            ));
        }
        Ok(Some(status))
    }
}
