//! Runs the processes of a local cluster: starts them, tells of their deaths, restarts them, stops them.
//!
//! Every process is the leader of a group of its own, so that Ctrl-C reaches only us; and dies with us
//! ([`crate::process::die_with_local`]). What agents start is not in those groups, but becomes our child when its
//! agent dies (we are its "subreaper"), so that at the end nothing is left.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::plan::{Kind, Member, Plan};
use crate::process::{self, LOCAL_PID_VARIABLE};

/// First and longest pause before a dead process is started again.
const RESTART_PAUSE_MIN: Duration = Duration::from_millis(500);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A process that lived so long failed for a new reason: the pauses start short again.
const GOOD_LIFE: Duration = Duration::from_secs(20);
/// How long a process may take to stop before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);
/// How long killed descendants may take to disappear.
const REAP_TIMEOUT: Duration = Duration::from_secs(5);
/// How often orphans are reaped.
const REAP_INTERVAL: Duration = Duration::from_millis(500);
/// Events kept for a slow reader.
const EVENTS_MAX: usize = 256;

/// What happens to a process.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Started {
        name: String,
        pid: i32,
    },
    Died {
        name: String,
        how: String,
        /// The last line of its output, when it ended by itself.
        last_words: Option<String>,
    },
    /// It will be started again after `pause`.
    Restarting {
        name: String,
        pause: Duration,
    },
    /// It could not even be started.
    Failed {
        name: String,
        error: String,
    },
}

/// The running processes.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pids: Arc<Mutex<BTreeMap<String, i32>>>,
    agents: JoinSet<()>,
    masters: JoinSet<()>,
    stop_agents: watch::Sender<bool>,
    stop_masters: watch::Sender<bool>,
}

/// How one member is kept running.
struct Keeper {
    member: Member,
    restart: bool,
    pids: Arc<Mutex<BTreeMap<String, i32>>>,
    events: mpsc::Sender<Event>,
    stop: watch::Receiver<bool>,
}

impl Supervisor {
    /// Starts every member of the plan. With `restart`, a member that dies is started again.
    pub(crate) fn start(plan: &Plan, restart: bool) -> anyhow::Result<(Supervisor, mpsc::Receiver<Event>)> {
        nix::sys::prctl::set_child_subreaper(true).context("cannot adopt the processes of dead agents")?;
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let mut supervisor = Supervisor {
            pids: Arc::default(),
            agents: JoinSet::new(),
            masters: JoinSet::new(),
            stop_agents: watch::Sender::new(false),
            stop_masters: watch::Sender::new(false),
        };
        for member in &plan.members {
            let (tasks, stop) = match member.kind {
                Kind::Master => (&mut supervisor.masters, supervisor.stop_masters.subscribe()),
                Kind::Agent => (&mut supervisor.agents, supervisor.stop_agents.subscribe()),
            };
            let keeper = Keeper {
                member: member.clone(),
                restart,
                pids: Arc::clone(&supervisor.pids),
                events: events.clone(),
                stop,
            };
            tasks.spawn(keeper.run());
        }
        tokio::spawn(reap_orphans(Arc::clone(&supervisor.pids), events));
        Ok((supervisor, receiver))
    }

    /// The process id of a member while it runs.
    pub(crate) fn pid(&self, name: &str) -> Option<i32> {
        lock(&self.pids).get(name).copied()
    }

    /// Stops agents, what they ran, and then masters. Returns the ids of processes that could not be ended.
    pub(crate) async fn stop(mut self) -> Vec<i32> {
        self.stop_agents.send_replace(true);
        while self.agents.join_next().await.is_some() {}
        let masters: BTreeSet<i32> = lock(&self.pids).values().copied().collect();
        let mut left = kill_descendants(&masters).await;
        self.stop_masters.send_replace(true);
        while self.masters.join_next().await.is_some() {}
        left.extend(kill_descendants(&BTreeSet::new()).await);
        left
    }
}

impl Keeper {
    async fn run(mut self) {
        let mut pause = RESTART_PAUSE_MIN;
        while !*self.stop.borrow() {
            let started = Instant::now();
            match self.spawn() {
                Ok(child) => {
                    if self.watch(child).await {
                        return;
                    }
                }
                Err(error) => {
                    let name = self.member.name.clone();
                    self.tell(Event::Failed {
                        name,
                        error: format!("{error:#}"),
                    })
                    .await;
                }
            }
            if !self.restart {
                break;
            }
            pause = if started.elapsed() >= GOOD_LIFE {
                RESTART_PAUSE_MIN
            } else {
                pause
            };
            self.tell(Event::Restarting {
                name: self.member.name.clone(),
                pause,
            })
            .await;
            tokio::select! {
                () = sleep(pause) => {}
                () = asked_to_stop(&mut self.stop) => return,
            }
            pause = (pause * 2).min(RESTART_PAUSE_MAX);
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = &self.member.log;
        std::fs::create_dir_all(&self.member.data)
            .with_context(|| format!("cannot create {}", self.member.data.display()))?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut command = Command::new(program);
        command
            .args(&self.member.args)
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share the log file")?)
            .stderr(output)
            .env(LOCAL_PID_VARIABLE, std::process::id().to_string())
            .process_group(0)
            .kill_on_drop(true);
        // Flags meant for another cluster must not reach this one.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("MESOS_")) {
                command.env_remove(name);
            }
        }
        command
            .spawn()
            .with_context(|| format!("cannot start {}", self.member.name))
    }

    /// Waits for the end of the process; `true` when it was stopped on purpose.
    async fn watch(&mut self, mut child: Child) -> bool {
        let name = self.member.name.clone();
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        lock(&self.pids).insert(name.clone(), pid);
        self.tell(Event::Started {
            name: name.clone(),
            pid,
        })
        .await;
        let ended = tokio::select! {
            status = child.wait() => Some(status),
            () = asked_to_stop(&mut self.stop) => None,
        };
        let stopped = ended.is_none();
        match ended {
            Some(status) => {
                let died_by_itself = status.as_ref().is_ok_and(|status| status.code().is_some());
                let last_words = if died_by_itself {
                    last_line(&self.member.log)
                } else {
                    None
                };
                let how = status.map_or_else(|error| error.to_string(), describe);
                self.tell(Event::Died {
                    name: name.clone(),
                    how,
                    last_words,
                })
                .await;
            }
            None => stop_child(&mut child, pid).await,
        }
        lock(&self.pids).remove(&name);
        stopped
    }

    /// Nobody listening is no reason to stop keeping.
    async fn tell(&self, event: Event) {
        drop(self.events.send(event).await);
    }
}

/// Waits until the supervisor stops this member; also when there is no supervisor any more.
async fn asked_to_stop(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn stop_child(child: &mut Child, pid: i32) {
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // A paused process acts on SIGTERM only when it goes on.
        for signal in [signal, Signal::SIGCONT] {
            if let Err(error) = process::send(pid, signal) {
                crate::output::complain(&format!("mesoraft local: {error:#}"));
            }
        }
        if timeout(STOP_TIMEOUT, child.wait()).await.is_ok() {
            return;
        }
    }
}

/// Kills every descendant but those in `spared`; returns those still there at the end.
async fn kill_descendants(spared: &BTreeSet<i32>) -> Vec<i32> {
    let own = nix::unistd::getpid();
    let deadline = Instant::now() + REAP_TIMEOUT;
    loop {
        let left: Vec<i32> = process::descendants(own.as_raw())
            .iter()
            .map(|process| process.pid)
            .filter(|pid| !spared.contains(pid))
            .collect();
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        for &pid in &left {
            if let Err(error) = process::send(pid, Signal::SIGKILL) {
                crate::output::complain(&format!("mesoraft local: {error:#}"));
            }
            reap(pid);
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Reaps dead children that are not members: what agents left behind. Ends with the last keeper.
async fn reap_orphans(pids: Arc<Mutex<BTreeMap<String, i32>>>, events: mpsc::Sender<Event>) {
    let own = nix::unistd::getpid().as_raw();
    // Members are waited for by their keepers; a member just started is spared because only zombies seen twice count.
    let mut seen_before = BTreeSet::new();
    while !events.is_closed() {
        sleep(REAP_INTERVAL).await;
        let members: BTreeSet<i32> = lock(&pids).values().copied().collect();
        let zombies: BTreeSet<i32> = process::all()
            .iter()
            .filter(|process| process.parent == own && process.state == 'Z' && !members.contains(&process.pid))
            .map(|process| process.pid)
            .collect();
        for &pid in zombies.intersection(&seen_before) {
            reap(pid);
        }
        seen_before = zombies;
    }
}

/// Fails where `pid` is no child, or reaped already: both mean that there is nothing to do.
fn reap(pid: i32) {
    if let Ok(status) = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        tracing::debug!(?status, "reaped");
    }
}

fn lock(pids: &Mutex<BTreeMap<String, i32>>) -> std::sync::MutexGuard<'_, BTreeMap<String, i32>> {
    pids.lock().unwrap_or_else(PoisonError::into_inner)
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => match Signal::try_from(signal) {
            Ok(signal) => format!("was killed by {signal}"),
            Err(_) => format!("was killed by signal {signal}"),
        },
        (None, None) => status.to_string(),
    }
}

/// The last line of a file that is not blank; only its last 4 KiB are looked at.
fn last_line(path: &std::path::Path) -> Option<String> {
    const TAIL_BYTES: usize = 4096;
    let bytes = std::fs::read(path).ok()?;
    let tail = bytes.get(bytes.len().saturating_sub(TAIL_BYTES)..)?;
    let text = String::from_utf8_lossy(tail);
    text.lines()
        .rev()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(str::to_owned)
}
