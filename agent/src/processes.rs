//! The agent's side of its supervisors: start, order to kill, hear of changes, find out who lives.
//!
//! A supervisor takes orders through its pipe, and whether it lives is told by a lock. Must never kill by process id,
//! except a process that lost its supervisor and is certainly the same one.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, killpg};
use nix::sys::stat::Mode;
use nix::unistd::Pid;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::book::StartProcess;
use crate::store::{StoreError, atomic, create_directories};
use crate::supervisor::spec::{ProcessStatus, names, start_ticks};

/// A process may have a new status.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Its name.
    pub(crate) process: String,
    /// Its supervisor has ended: no further status follows.
    pub(crate) has_ended: bool,
}

/// Starts a supervisor, which is reaped when it ends; that is told to `changed`.
///
/// Errors: a sentence for the task's status; nothing was started.
pub(crate) fn start(order: &StartProcess, program: &[OsString], changed: &mpsc::Sender<Change>) -> Result<(), String> {
    let StartProcess { directory, spec } = order;
    create_directories(directory).map_err(chain)?;
    create_directories(&spec.sandbox).map_err(chain)?;
    for (_, target) in &spec.links {
        create_directories(target).map_err(chain)?;
    }
    let text = serde_json::to_vec(spec).map_err(|error| format!("cannot encode the work order: {error}"))?;
    let path = directory.join(names::SPEC);
    atomic::write(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    make_pipe(&directory.join(names::CONTROL)).map_err(chain)?;
    let log = directory.join(names::LOG);
    let log = File::create(&log).map_err(|error| format!("cannot create {}: {error}", log.display()))?;
    let (name, arguments) = program.split_first().ok_or("the supervisor's program is not given")?;
    let mut child = Command::new(name)
        .args(arguments)
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start a supervisor: {error}"))?;
    let changed = changed.clone();
    let process = spec.container_id.clone();
    tokio::spawn(async move {
        if let Err(error) = child.wait().await {
            tracing::warn!(process, %error, "cannot wait for a supervisor");
        }
        // Closed only when the agent stops; the next one finds the status file.
        changed
            .send(Change {
                process,
                has_ended: true,
            })
            .await
            .ok();
    });
    Ok(())
}

/// Removes a volume's directory. It has left its place when this returns; what was in it goes in the background.
pub(crate) fn remove_volume(path: &Path, aside: PathBuf) {
    match std::fs::rename(path, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "cannot remove a volume");
            return;
        }
    }
    tokio::task::spawn_blocking(move || {
        if let Err(error) = std::fs::remove_dir_all(&aside) {
            tracing::warn!(%error, path = %aside.display(), "cannot remove what was in a volume");
        }
    });
}

fn chain(error: StoreError) -> String {
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Orders a supervisor to end its process. A supervisor that is gone needs no order; one that is not yet there finds it
/// in a file.
pub(crate) fn kill(directory: &Path, grace_ms: u64) {
    let file = directory.join(names::KILL);
    if let Err(error) = atomic::write(&file, grace_ms.to_string().as_bytes()) {
        tracing::warn!(%error, path = %file.display(), "could not write a kill order");
    }
    let path = directory.join(names::CONTROL);
    let pipe = OpenOptions::new()
        .write(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(&path);
    if let Err(error) = pipe.and_then(|mut pipe| pipe.write_all(format!("kill {grace_ms}\n").as_bytes())) {
        tracing::debug!(%error, path = %path.display(), "no supervisor listens for a kill order");
    }
}

/// Kills a process and its group that lost their supervisor; nothing happens when the process id is another's by now.
pub(crate) fn kill_orphan(status: &ProcessStatus) {
    let (Some(pid), Some(ticks)) = (status.pid, status.start_ticks) else {
        return;
    };
    if start_ticks(pid) != Some(ticks) {
        return;
    }
    if let Err(error) = killpg(Pid::from_raw(pid), Signal::SIGKILL) {
        tracing::warn!(pid, %error, "cannot kill a process that lost its supervisor");
    }
}

/// Whether a supervisor owns the process directory.
pub(crate) fn is_supervised(directory: &Path) -> bool {
    let Ok(lock) = File::open(directory.join(names::LOCK)) else {
        return false;
    };
    matches!(lock.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

/// Creates a named pipe unless it exists.
pub(crate) fn make_pipe(path: &Path) -> Result<(), StoreError> {
    match nix::unistd::mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(()),
        Err(error) => Err(StoreError::io("create", path)(error.into())),
    }
}

/// Listens on the agent's pipe and passes the names of changed processes on.
#[derive(Debug)]
pub(crate) struct Listener {
    path: PathBuf,
}

impl Listener {
    /// Starts the listening thread.
    pub(crate) fn start(path: PathBuf, changed: mpsc::Sender<Change>) -> Result<Self, StoreError> {
        make_pipe(&path)?;
        // Open for writing too: the pipe never reports its end when a supervisor closes its side.
        let pipe = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines() {
                let Ok(line) = line else { return };
                let is_end = line.is_empty();
                if is_end
                    || changed
                        .blocking_send(Change {
                            process: line,
                            has_ended: false,
                        })
                        .is_err()
                {
                    return;
                }
            }
        });
        Ok(Listener { path })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let pipe = OpenOptions::new()
            .write(true)
            .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
            .open(&self.path);
        // An empty line ends the thread; if it is gone already, nobody reads.
        if let Err(error) = pipe.and_then(|mut pipe| pipe.write_all(b"\n")) {
            tracing::debug!(%error, "the listening thread is gone already");
        }
    }
}
