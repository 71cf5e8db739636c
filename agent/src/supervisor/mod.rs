//! The process that owns one task process, so that the task survives the agent.
//!
//! Started by the agent as `<binary> agent-executor <process directory>` in a session of its own. It reads its work
//! order, starts the process, writes every change of its state to a file and pokes the agent through a named pipe. It
//! takes kill orders from another named pipe and escalates from SIGTERM to SIGKILL by itself, so that a kill survives
//! the agent as well. Must never speak to the network, and never decide what a state means for a task: that is the
//! agent's business. Start reading at [`executor_main`].

pub(crate) mod cgroup;
mod fetch;
mod run;
pub(crate) mod spec;
mod user;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::store::atomic;
use spec::{FILE_VERSION, ProcessSpec, ProcessStatus, names};

/// Name of the hidden subcommand that runs [`executor_main`].
pub const SUBCOMMAND: &str = "agent-executor";

/// Times a notification is offered to an agent whose pipe is full before the supervisor leaves it to the agent's sweep.
const NOTIFY_ATTEMPTS: u32 = 200;

/// Pause between two offers of a notification.
const NOTIFY_PAUSE: std::time::Duration = std::time::Duration::from_millis(10);

/// Runs one supervisor to its end; `arguments` are those after the subcommand: the process directory.
///
/// The exit code says only whether the supervisor itself did its work; how the process ended is in its status file.
pub fn executor_main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Some(directory) = arguments.into_iter().next().map(PathBuf::from) else {
        eprintln!("{SUBCOMMAND}: expected the path of a process directory; this command is started by the agent");
        return ExitCode::from(2);
    };
    match supervise(&directory) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{SUBCOMMAND}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn supervise(directory: &Path) -> Result<(), String> {
    // Out of the agent's session and process group: a signal to those must not reach the task. Fails only when this
    // process leads a group already, which is as good.
    if let Err(error) = nix::unistd::setsid() {
        eprintln!("setsid: {error}");
    }
    let lock_path = directory.join(names::LOCK);
    let lock = File::create(&lock_path).map_err(|error| format!("cannot create {}: {error}", lock_path.display()))?;
    if lock.try_lock().is_err() {
        return Err(format!(
            "{} is locked: another supervisor owns this process",
            lock_path.display()
        ));
    }
    let spec_path = directory.join(names::SPEC);
    let text = std::fs::read(&spec_path).map_err(|error| format!("cannot read {}: {error}", spec_path.display()))?;
    let spec: ProcessSpec =
        serde_json::from_slice(&text).map_err(|error| format!("cannot decode {}: {error}", spec_path.display()))?;
    if spec.version != FILE_VERSION {
        return Err(format!(
            "{} has version {}, expected {FILE_VERSION}",
            spec_path.display(),
            spec.version
        ));
    }
    if ProcessStatus::read(directory)?.is_some() {
        return Err(format!("{} was started before", directory.display()));
    }
    let reporter = Reporter {
        directory: directory.to_path_buf(),
        spec: &spec,
    };
    match run::run(&spec, directory, &reporter) {
        Ok(()) => Ok(()),
        Err(failure) => reporter.report(&ProcessStatus::failed(failure)),
    }
}

/// Writes the state of the process where the agent finds it, and pokes the agent.
struct Reporter<'a> {
    directory: PathBuf,
    spec: &'a ProcessSpec,
}

impl Reporter<'_> {
    /// Makes `status` durable, then tells the agent, if one listens.
    fn report(&self, status: &ProcessStatus) -> Result<(), String> {
        let text = serde_json::to_vec(status).map_err(|error| format!("cannot encode the status: {error}"))?;
        let path = self.directory.join(names::STATUS);
        atomic::write(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        self.poke();
        Ok(())
    }

    /// An agent that is not there reads the status file when it starts; one whose pipe stays full finds it in its sweep.
    fn poke(&self) {
        use std::os::unix::fs::OpenOptionsExt;
        let line = format!("{}\n", self.spec.container_id);
        for _ in 0..NOTIFY_ATTEMPTS {
            let pipe = std::fs::OpenOptions::new()
                .write(true)
                .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
                .open(&self.spec.notify);
            let Ok(mut pipe) = pipe else { return };
            match pipe.write(line.as_bytes()) {
                Ok(_) => return,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::sleep(NOTIFY_PAUSE),
                Err(error) => {
                    eprintln!("cannot notify the agent: {error}");
                    return;
                }
            }
        }
    }
}
