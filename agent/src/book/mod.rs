//! What the agent knows of its frameworks, executors and tasks, and what follows from each event.
//!
//! The rules of the agent without its edges: every event is a method that changes the book, notes which records must
//! reach the disk ([`Book::changes`]) and which effects follow once they have ([`Book::take_effects`]). Must never
//! touch sockets, files or processes itself. Start reading at `launch.rs`.

mod denied;
mod executor_calls;
mod garbage;
mod kill;
mod launch;
mod model;
mod operations;
mod process;
mod process_spec;
mod records;
mod report;
mod restore;
pub(crate) mod stream;
mod updates;
pub(crate) mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use proto::v1::{AgentInfo, DrainConfig, Resource};
use seams::Seams;
use tokio::time::Instant;

use denied::Denied;
pub(crate) use executor_calls::Refusal;
use model::LooseStream;
pub(crate) use model::{
    Effect, Executor, ExecutorKind, ExecutorState, Framework, StartProcess, TaskEntry, Timer, is_terminal,
};

use crate::config::Config;
use crate::store::{Changes, Layout};

/// Which task a process runs, or which executor it is.
#[derive(Clone, Debug)]
struct ProcessOwner {
    framework: String,
    executor: String,
    task: Option<String>,
}

/// Everything the agent knows.
#[derive(Debug)]
pub(crate) struct Book {
    config: Arc<Config>,
    layout: Layout,
    seams: Seams,
    /// Own address as text, e.g. `slave(1)@10.0.0.7:5051`.
    pid: String,
    /// What was or will be registered; `id` is set once a master has given one.
    info: AgentInfo,
    /// Reservations and volumes made by operations.
    checkpointed_resources: Vec<Resource>,
    operations: operations::Operations,
    /// Changes with the resources; launches made for another version are refused.
    resource_version: Bytes,
    drain: Option<DrainConfig>,
    /// Whether a master has (re)registered this agent: only then are updates sent.
    is_connected: bool,
    frameworks: BTreeMap<String, Framework>,
    /// Executor id of every task that has an entry: (framework, task) to executor.
    task_index: HashMap<(String, String), String>,
    /// Tasks of executors that are over: (framework, task).
    completed_tasks: BTreeSet<(String, String)>,
    loose: BTreeMap<(String, String), LooseStream>,
    denied: Denied,
    processes: HashMap<String, ProcessOwner>,
    timers: BTreeSet<(Instant, Timer)>,
    changes: Changes,
    effects: Vec<Effect>,
    /// Directory for cgroups, when the host allows them.
    cgroup_root: Option<PathBuf>,
    /// Whether processes may run as other users: the agent is root and may switch.
    may_switch_user: bool,
}

impl Book {
    /// An empty book of an agent that announces `info` and listens as `pid`.
    pub(crate) fn new(
        config: Arc<Config>,
        layout: Layout,
        seams: Seams,
        pid: String,
        info: AgentInfo,
        cgroup_root: Option<PathBuf>,
    ) -> Self {
        let resource_version = Bytes::copy_from_slice(&seams.random_uuid());
        let may_switch_user = config.switch_user && nix::unistd::Uid::effective().is_root();
        Book {
            config,
            layout,
            seams,
            pid,
            info,
            checkpointed_resources: Vec::new(),
            operations: operations::Operations::default(),
            resource_version,
            drain: None,
            is_connected: false,
            frameworks: BTreeMap::new(),
            task_index: HashMap::new(),
            completed_tasks: BTreeSet::new(),
            loose: BTreeMap::new(),
            denied: Denied::default(),
            processes: HashMap::new(),
            timers: BTreeSet::new(),
            changes: Changes::default(),
            effects: Vec::new(),
            cgroup_root,
            may_switch_user,
        }
    }

    /// The id a master gave, if any.
    pub(crate) fn agent_id(&self) -> Option<&str> {
        self.info.id.as_ref().map(|id| id.value.as_str())
    }

    /// Changes that must be committed before [`Book::take_effects`] is acted upon.
    pub(crate) fn changes(&mut self) -> &mut Changes {
        &mut self.changes
    }

    /// What is to be done now that the changes are on disk, in order.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// When the book wants to be woken next.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Acts on every timer that is due.
    pub(crate) fn fire_timers(&mut self) {
        let now = Instant::now();
        while let Some((at, _)) = self.timers.first() {
            if *at > now {
                return;
            }
            let Some((_, timer)) = self.timers.pop_first() else {
                return;
            };
            match timer {
                Timer::Retry(framework, task) => self.retry(&framework, &task, now),
                Timer::Operations => self.operations_due(),
                Timer::Registration(framework, container) => self.registration_timed_out(&framework, &container),
                Timer::Shutdown(framework, container) => self.shutdown_timed_out(&framework, &container),
            }
        }
    }

    fn wake_at(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    fn tell_master(&mut self, name: &'static str, message: &impl prost::Message) {
        self.effects.push(Effect::ToMaster {
            name,
            body: message.encode_to_vec().into(),
        });
    }

    /// Seconds since 1970, as statuses carry them.
    fn timestamp(&self) -> f64 {
        // Microseconds of this century are far below 2^53: exact.
        self.seams.clock.now_micros() as f64 / 1e6
    }

    fn uuid(&self) -> Bytes {
        Bytes::copy_from_slice(&self.seams.random_uuid())
    }

    fn uuid_text(&self) -> String {
        uuid::Uuid::from_bytes(self.seams.random_uuid()).to_string()
    }

    /// Every process that is believed to run: (name, supervisor's directory).
    pub(crate) fn live_processes(&self) -> Vec<(String, PathBuf)> {
        self.processes
            .iter()
            .filter_map(|(process, owner)| Some((process.clone(), self.process_directory(process, owner)?)))
            .collect()
    }

    /// The supervisor's directory of a process that is believed to run.
    pub(crate) fn directory_of(&self, process: &str) -> Option<PathBuf> {
        self.process_directory(process, self.processes.get(process)?)
    }

    fn process_directory(&self, process: &str, owner: &ProcessOwner) -> Option<PathBuf> {
        let executor = self.frameworks.get(&owner.framework)?.executors.get(&owner.executor)?;
        Some(self.layout.process(&owner.framework, &executor.container_id, process))
    }

    fn executor_mut(&mut self, framework: &str, executor: &str) -> Option<&mut Executor> {
        self.frameworks.get_mut(framework)?.executors.get_mut(executor)
    }

    fn task_mut(&mut self, framework: &str, task: &str) -> Option<&mut TaskEntry> {
        let executor = self.task_index.get(&(framework.to_owned(), task.to_owned()))?;
        self.frameworks
            .get_mut(framework)?
            .executors
            .get_mut(executor)?
            .tasks
            .get_mut(task)
    }
}
