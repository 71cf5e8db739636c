//! The life of one process: prepare the sandbox, start, wait, kill on order or when its time is up, clean up.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::Reporter;
use super::cgroup::Cgroup;
use super::spec::{Exit, Phase, ProcessSpec, ProcessStatus, names};
use super::user::{self, Identity};

/// Rounds of killing what a task left behind; each round kills what the one before brought to light.
const SWEEP_ROUNDS: u32 = 1_000;

/// Pause between two such rounds.
const SWEEP_PAUSE: Duration = Duration::from_millis(2);

/// Orders that may wait while the sandbox is prepared; the agent's pipe holds the rest.
const EVENTS_MAX: usize = 64;

/// What wakes the supervisor.
enum Event {
    /// The agent wants the process to end within this time.
    Kill(Duration),
    /// The process ended (it is not reaped yet).
    Ended,
}

/// Runs the process of `spec` to its end.
///
/// Errors: the process could not be started; a sentence for the task's status.
pub(super) fn run(spec: &ProcessSpec, directory: &Path, reporter: &Reporter<'_>) -> Result<(), String> {
    let (events, inbox) = mpsc::sync_channel(EVENTS_MAX);
    listen_for_orders(&directory.join(names::CONTROL), events.clone())?;
    // After the pipe is open: an order given before is in the file, one given later comes through the pipe.
    if let Ok(text) = std::fs::read_to_string(directory.join(names::KILL))
        && let Ok(grace) = text.trim().parse()
    {
        events.send(Event::Kill(Duration::from_millis(grace))).ok();
    }
    let identity = match &spec.user {
        Some(user) => user::switch_to(user)?,
        None => None,
    };
    prepare_sandbox(spec, identity.as_ref())?;
    // What the task leaves behind when it ends becomes a child of this process instead of vanishing to init.
    nix::sys::prctl::set_child_subreaper(true).map_err(|error| format!("cannot adopt orphans: {error}"))?;
    let cgroup = match &spec.cgroup {
        Some(limits) => Some(Cgroup::create(limits).map_err(|error| format!("cannot set limits: {error}"))?),
        None => None,
    };
    if matches!(inbox.try_recv(), Ok(Event::Kill(_))) {
        let killed = ProcessStatus {
            killed: true,
            exit: Some(Exit::Signal(Signal::SIGTERM as i32)),
            ..not_started()
        };
        return reporter.report(&killed);
    }
    let child = start(spec, identity.as_ref(), cgroup.as_ref())?;
    let pid = i32::try_from(child.id()).map_err(|_| format!("process id {} is out of range", child.id()))?;
    reporter.report(&ProcessStatus::running(pid))?;
    let mut status = supervise(spec, pid, child, &inbox, events)?;
    clean_up(pid, cgroup.as_ref());
    if let Some(cgroup) = &cgroup {
        status.memory_limit_reached = cgroup.memory_limit_reached();
        if let Err(error) = cgroup.remove() {
            eprintln!("cannot remove the cgroup: {error}");
        }
    }
    reporter.report(&status)
}

fn not_started() -> ProcessStatus {
    ProcessStatus {
        phase: Phase::Exited,
        pid: None,
        ..ProcessStatus::running(0)
    }
}

/// Reads orders from the control pipe on a thread of its own.
fn listen_for_orders(path: &Path, events: SyncSender<Event>) -> Result<(), String> {
    // Opened for writing too, so that the pipe never reports its end when an agent closes its side.
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(|error| format!("cannot open {}: {error}", path.display()))?;
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            let grace = line.strip_prefix("kill ").and_then(|text| text.trim().parse().ok());
            let Some(grace) = grace else {
                eprintln!("unknown order {line:?}");
                continue;
            };
            if events.send(Event::Kill(Duration::from_millis(grace))).is_err() {
                return;
            }
        }
    });
    Ok(())
}

fn prepare_sandbox(spec: &ProcessSpec, identity: Option<&Identity>) -> Result<(), String> {
    let sandbox = &spec.sandbox;
    if let Some(identity) = identity {
        std::os::unix::fs::chown(sandbox, Some(identity.uid), Some(identity.gid))
            .map_err(|error| format!("cannot give {} to uid {}: {error}", sandbox.display(), identity.uid))?;
    }
    for name in ["stdout", "stderr"] {
        let path = sandbox.join(name);
        open_log(&path)?;
        if let Some(identity) = identity {
            std::os::unix::fs::lchown(&path, Some(identity.uid), Some(identity.gid))
                .map_err(|error| format!("cannot give {} to uid {}: {error}", path.display(), identity.uid))?;
        }
    }
    for (name, target) in &spec.links {
        if let Some(identity) = identity {
            std::os::unix::fs::chown(target, Some(identity.uid), Some(identity.gid))
                .map_err(|error| format!("cannot give {} to uid {}: {error}", target.display(), identity.uid))?;
        }
        std::os::unix::fs::symlink(target, sandbox.join(name))
            .map_err(|error| format!("cannot link '{name}' to {}: {error}", target.display()))?;
    }
    for item in &spec.fetch {
        super::fetch::fetch(item, sandbox, identity)?;
    }
    Ok(())
}

fn open_log(path: &Path) -> Result<File, String> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|error| format!("cannot open {}: {error}", path.display()))
}

fn start(spec: &ProcessSpec, identity: Option<&Identity>, cgroup: Option<&Cgroup>) -> Result<Child, String> {
    let mut command = command(spec)?;
    command
        .current_dir(&spec.sandbox)
        .env_clear()
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(open_log(&spec.sandbox.join("stdout"))?)
        .stderr(open_log(&spec.sandbox.join("stderr"))?)
        .process_group(0);
    if let Some(identity) = identity {
        command.uid(identity.uid).gid(identity.gid);
    }
    if let Some(cgroup) = cgroup {
        cgroup
            .enter()
            .map_err(|error| format!("cannot enter the cgroup: {error}"))?;
    }
    let started = command.spawn();
    if let Some(cgroup) = cgroup
        && let Err(error) = cgroup.leave()
    {
        eprintln!("cannot leave the cgroup: {error}");
    }
    started.map_err(|error| format!("Failed to start {:?}: {error}", command.get_program()))
}

fn command(spec: &ProcessSpec) -> Result<Command, String> {
    let value = spec.value.as_deref();
    if spec.shell {
        let text = value.ok_or("Shell command is not specified")?;
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(text);
        return Ok(command);
    }
    let program = value.ok_or("Executable is not specified")?;
    let mut command = Command::new(program);
    if let Some((name, rest)) = spec.arguments.split_first() {
        command.arg0(name).args(rest);
    }
    Ok(command)
}

/// Waits for the end of the process, and brings it about when that is ordered.
fn supervise(
    spec: &ProcessSpec,
    pid: i32,
    mut child: Child,
    inbox: &Receiver<Event>,
    events: SyncSender<Event>,
) -> Result<ProcessStatus, String> {
    let process = Pid::from_raw(pid);
    std::thread::spawn(move || {
        // Without reaping: the process id must stay ours until the group has been killed.
        while let Err(nix::errno::Errno::EINTR) = waitid(Id::Pid(process), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)
        {
        }
        // The receiver outlives this thread except when the supervisor is on its way out already.
        events.send(Event::Ended).ok();
    });
    let mut status = ProcessStatus::running(pid);
    let mut time_up = spec
        .max_completion_ms
        .map(|limit| Instant::now() + Duration::from_millis(limit));
    let mut kill_at: Option<Instant> = None;
    loop {
        let wake = [time_up, kill_at].into_iter().flatten().min();
        let event = match wake {
            Some(at) => inbox.recv_timeout(at.saturating_duration_since(Instant::now())),
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let now = Instant::now();
        match event {
            Ok(Event::Ended) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Event::Kill(grace)) => {
                status.killed = true;
                terminate(process);
                kill_at = Some(kill_at.map_or(now + grace, |at| at.min(now + grace)));
            }
            Err(RecvTimeoutError::Timeout) => {
                if time_up.is_some_and(|at| at <= now) {
                    time_up = None;
                    status.completion_time_reached = !status.killed;
                    terminate(process);
                    kill_at.get_or_insert(now + Duration::from_millis(spec.kill_grace_ms));
                }
                if kill_at.is_some_and(|at| at <= now) {
                    kill_at = None;
                    kill_hard(process);
                }
            }
        }
    }
    kill_group(process);
    let exit = child
        .wait()
        .map_err(|error| format!("cannot wait for process {pid}: {error}"))?;
    status.phase = Phase::Exited;
    status.exit = Some(match (exit.code(), exit.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, Some(signal)) => Exit::Signal(signal),
        (None, None) => Exit::Code(exit.into_raw()),
    });
    Ok(status)
}

/// Asks the whole group to end.
fn terminate(group: Pid) {
    // ESRCH: it has just ended, which its own event reports.
    if let Err(error) = killpg(group, Signal::SIGTERM)
        && error != nix::errno::Errno::ESRCH
    {
        eprintln!("SIGTERM to group {group}: {error}");
    }
}

fn kill_hard(group: Pid) {
    kill_group(group);
    // A process that changed its group is still this child.
    if let Err(error) = kill(group, Signal::SIGKILL)
        && error != nix::errno::Errno::ESRCH
    {
        eprintln!("SIGKILL to {group}: {error}");
    }
}

fn kill_group(group: Pid) {
    if let Err(error) = killpg(group, Signal::SIGKILL)
        && error != nix::errno::Errno::ESRCH
    {
        eprintln!("SIGKILL to group {group}: {error}");
    }
}

/// Kills whatever the process started and left behind: its cgroup, or every orphan that came to this process.
fn clean_up(pid: i32, cgroup: Option<&Cgroup>) {
    if let Some(cgroup) = cgroup
        && let Err(error) = cgroup.kill()
    {
        eprintln!("cannot kill the cgroup of process {pid}: {error}");
    }
    for _ in 0..SWEEP_ROUNDS {
        let orphans = children();
        for orphan in &orphans {
            kill_hard(Pid::from_raw(*orphan));
        }
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) => break,
                Ok(_) => {}
                // No children are left.
                Err(_) => return,
            }
        }
        std::thread::sleep(SWEEP_PAUSE);
    }
    eprintln!("process {pid} left children that cannot be killed");
}

/// Direct children of this process, from `/proc`.
fn children() -> Vec<i32> {
    let own = std::process::id().to_string();
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // The command in parentheses may contain anything; the fields start behind its end.
            let fields = &stat[stat.rfind(')')? + 1..];
            (fields.split_whitespace().nth(1)? == own).then_some(pid)
        })
        .collect()
}
