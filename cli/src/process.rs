//! Looking at processes of this host through `/proc`, and tying the life of a child to its parent's.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Environment variable by which `mesoraft local` tells its descendants its process id.
pub(crate) const LOCAL_PID_VARIABLE: &str = "MESORAFT_LOCAL_PID";
/// How often a task's executor looks whether its `mesoraft local` still lives.
const PARENT_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Facts of one process from `/proc/<pid>/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// The process id.
    pub(crate) pid: i32,
    /// `R`, `S`, `T`, `Z` …
    pub(crate) state: char,
    /// The parent's process id.
    pub(crate) parent: i32,
    /// Start, in clock ticks since boot: tells a process from a later one with the same id.
    pub(crate) started: u64,
}

impl ProcessStat {
    /// Whether it runs, i.e. is neither gone nor a zombie.
    pub(crate) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X')
    }
}

/// Reads one process; `None` when there is none.
pub(crate) fn stat(pid: i32) -> Option<ProcessStat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(text: &str) -> Option<ProcessStat> {
    let pid = text.split_whitespace().next()?.parse().ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let rest: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    Some(ProcessStat {
        pid,
        state: rest.first()?.chars().next()?,
        parent: rest.get(1)?.parse().ok()?,
        started: rest.get(19)?.parse().ok()?,
    })
}

/// The command line of a process, its arguments separated by blanks; empty when it is gone.
pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').replace('\0', " ")
}

/// Every process of the host.
pub(crate) fn all() -> Vec<ProcessStat> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(stat).collect()
}

/// All descendants of `root`, zombies included, `root` itself not.
pub(crate) fn descendants(root: i32) -> Vec<ProcessStat> {
    let mut children: BTreeMap<i32, Vec<ProcessStat>> = BTreeMap::new();
    for process in all() {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([root]);
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if seen.insert(child.pid) {
                found.push(*child);
                open.push(child.pid);
            }
        }
    }
    found
}

/// Sends a signal; a process that is already gone is no error.
pub(crate) fn send(pid: i32, signal: Signal) -> anyhow::Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(anyhow::anyhow!("cannot send {signal} to process {pid}: {error}")),
    }
}

/// Called by masters and agents at their start: when `mesoraft local` started this process, it dies with it.
pub(crate) fn die_with_local() -> anyhow::Result<()> {
    let Some(local) = local_pid() else { return Ok(()) };
    if nix::unistd::getppid().as_raw() == local {
        nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    }
    // It may have died before the line above.
    if stat(local).is_none_or(|process| !process.is_alive()) {
        anyhow::bail!("'mesoraft local', process {local}, is gone");
    }
    Ok(())
}

/// Called by executors: when a `mesoraft local` started their agent and is gone, they and all they run are killed.
/// (They are not its children, and they have to outlive their agent; so they look from time to time.)
pub(crate) fn watch_local_from_executor() {
    // Agents start executors with an empty environment; but an executor's parent is its agent, at this moment still.
    let Some(local) = local_pid_of(nix::unistd::getppid().as_raw()) else {
        return;
    };
    let Some(started) = stat(local).map(|process| process.started) else {
        return;
    };
    std::thread::spawn(move || {
        while stat(local).is_some_and(|process| process.started == started && process.is_alive()) {
            std::thread::sleep(PARENT_CHECK_INTERVAL);
        }
        let own = nix::unistd::getpid().as_raw();
        for process in descendants(own) {
            if let Err(error) = send(process.pid, Signal::SIGKILL) {
                crate::output::complain(&format!("mesoraft: {error:#}"));
            }
        }
        std::process::exit(1);
    });
}

/// The variable in the environment another process was started with.
fn local_pid_of(pid: i32) -> Option<i32> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let prefix = format!("{LOCAL_PID_VARIABLE}=");
    let variables = environment
        .split(|byte| *byte == 0)
        .filter_map(|variable| std::str::from_utf8(variable).ok());
    variables
        .filter_map(|variable| variable.strip_prefix(&prefix))
        .next()?
        .parse()
        .ok()
}

fn local_pid() -> Option<i32> {
    std::env::var(LOCAL_PID_VARIABLE).ok()?.parse().ok()
}

/// The process that listens on a TCP port of this host, as far as this user may see it: id and command line.
pub(crate) fn listener_of(port: u16) -> Option<(i32, String)> {
    let inodes: BTreeSet<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| listening_inodes(table, port))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    all()
        .into_iter()
        .find(|process| holds_socket(process.pid, &inodes))
        .map(|process| (process.pid, command_line(process.pid)))
}

fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let suffix = format!(":{port:04X}");
    let text = fs::read_to_string(table).unwrap_or_default();
    text.lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let listens = fields.get(1)?.ends_with(&suffix) && *fields.get(3)? == LISTEN;
            listens.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
        })
        .collect()
}

fn holds_socket(pid: i32, inodes: &BTreeSet<String>) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.to_str().is_some_and(|target| inodes.contains(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_although_the_name_holds_blanks_and_parentheses() {
        let line = "42 (a b) c) S 7 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2";
        let expected = ProcessStat {
            pid: 42,
            state: 'S',
            parent: 7,
            started: 987_654,
        };
        assert_eq!(parse_stat(line), Some(expected));
        assert_eq!(parse_stat("nonsense"), None);
    }

    #[test]
    fn a_child_is_found_among_the_descendants_with_its_command_line() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let own = nix::unistd::getpid().as_raw();
        let found = descendants(own).into_iter().find(|process| process.pid == pid).unwrap();
        assert!(found.is_alive());
        send(pid, Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert_eq!(stat(pid).filter(|process| process.started == found.started), None);
        send(pid, Signal::SIGKILL).unwrap();
    }

    #[test]
    fn the_process_that_listens_on_a_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (pid, _) = listener_of(port).unwrap();
        assert_eq!(pid, nix::unistd::getpid().as_raw());
    }
}
