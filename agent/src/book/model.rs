//! The nouns of the book: framework, executor, task, and what is to be done about them.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use bytes::Bytes;
use proto::v1::executor::Event;
use proto::v1::framework_info::capability::Type as FrameworkCapability;
use proto::v1::task_status::Reason;
use proto::v1::{ExecutorInfo, FrameworkInfo, Task, TaskInfo, TaskState};
use tokio::time::Instant;

use super::stream::UpdateStream;
use crate::supervisor::spec::ProcessSpec;

/// Who runs the tasks of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutorKind {
    /// The agent itself, for one command task; masters never hear of this executor.
    Command = 0,
    /// The agent itself, for task groups.
    Default = 1,
    /// A process of the framework's, over the executor API.
    Custom = 2,
}

impl ExecutorKind {
    /// The kind with this number; unknown numbers are custom executors, whose tasks nobody here touches.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            0 => ExecutorKind::Command,
            1 => ExecutorKind::Default,
            _ => ExecutorKind::Custom,
        }
    }
}

/// How far an executor has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExecutorState {
    /// A custom executor that has not subscribed; its tasks are queued.
    Registering,
    /// It takes tasks.
    Running,
    /// It was told to end.
    Terminating,
    /// It ended; some of its tasks' updates are not acknowledged.
    Terminated,
}

/// Why a task is being killed, as far as its state shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillCause {
    /// Its framework asked, or a member of its group ended.
    Asked = 0,
    /// The agent is being drained.
    Drain = 1,
    /// The agent is being drained for good.
    DrainGone = 2,
}

impl KillCause {
    /// The cause with this number.
    pub(crate) fn from_number(number: u32) -> Self {
        match number {
            1 => KillCause::Drain,
            2 => KillCause::DrainGone,
            _ => KillCause::Asked,
        }
    }
}

/// One task on this agent, from its launch to the acknowledgement of its end.
#[derive(Debug)]
pub(crate) struct TaskEntry {
    /// As launched.
    pub(crate) info: TaskInfo,
    /// As reported to masters; its `state` is the newest.
    pub(crate) task: Task,
    /// What the framework has not acknowledged.
    pub(crate) stream: UpdateStream,
    /// Process id of the running process, when it is the agent's own.
    pub(crate) pid: Option<i32>,
    /// Name of the process that runs it, when it has one of its own.
    pub(crate) process: Option<String>,
    /// Number of its task group within the executor.
    pub(crate) group: Option<u32>,
    /// A kill was asked for, with this much grace in milliseconds.
    pub(crate) kill: Option<(u64, KillCause)>,
    /// Its terminal update was acknowledged.
    pub(crate) completed: bool,
    /// Handed to its executor (always, for built-in executors).
    pub(crate) delivered: bool,
}

impl TaskEntry {
    /// Whether its newest state is one that does not change any more.
    pub(crate) fn is_terminal(&self) -> bool {
        is_terminal(self.task.state)
    }
}

/// One run of an executor.
#[derive(Debug)]
pub(crate) struct Executor {
    /// As launched, or as generated for a command task.
    pub(crate) info: ExecutorInfo,
    /// Who runs its tasks.
    pub(crate) kind: ExecutorKind,
    /// Unique per run.
    pub(crate) container_id: String,
    /// Agent id it was launched under.
    pub(crate) agent_id: String,
    /// How far it has come.
    pub(crate) state: ExecutorState,
    /// Its tasks by id, completed ones included.
    pub(crate) tasks: BTreeMap<String, TaskEntry>,
    /// A custom executor's stream is open.
    pub(crate) is_subscribed: bool,
    /// Process id of a custom executor.
    pub(crate) pid: Option<i32>,
    /// How it ended, as `waitpid` says it.
    pub(crate) exit_status: Option<i32>,
    /// Number for the next task group.
    pub(crate) next_group: u32,
    /// Microseconds since 1970 when everything was over and acknowledged.
    pub(crate) completed_micros: Option<u64>,
}

impl Executor {
    /// Its id, chosen by the framework.
    pub(crate) fn id(&self) -> &str {
        &self.info.executor_id.value
    }

    /// Whether every task reached its end.
    pub(crate) fn all_terminal(&self) -> bool {
        self.tasks.values().all(TaskEntry::is_terminal)
    }

    /// Whether every task reached its end and the framework knows.
    pub(crate) fn all_completed(&self) -> bool {
        self.tasks.values().all(|task| task.completed)
    }
}

/// A framework with something on this agent.
#[derive(Debug)]
pub(crate) struct Framework {
    /// As the master sent it last.
    pub(crate) info: FrameworkInfo,
    /// Where a framework of the old API lives.
    pub(crate) pid: Option<String>,
    /// The master ended it.
    pub(crate) is_shut_down: bool,
    /// Runs that are not over, by executor id.
    pub(crate) executors: BTreeMap<String, Executor>,
    /// Runs that are over, oldest first.
    pub(crate) completed: VecDeque<Executor>,
}

impl Framework {
    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default()
    }

    /// Whether it announced a capability.
    pub(crate) fn has(&self, capability: FrameworkCapability) -> bool {
        has_capability(&self.info, capability)
    }
}

/// Whether `info` announces `capability`.
pub(crate) fn has_capability(info: &FrameworkInfo, capability: FrameworkCapability) -> bool {
    info.capabilities
        .iter()
        .any(|have| have.r#type == Some(capability as i32))
}

/// Whether a task in this state has reached its end.
pub(crate) fn is_terminal(state: i32) -> bool {
    TaskState::try_from(state).is_ok_and(TaskState::is_terminal)
}

/// State, reason and text of a status the agent makes itself.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    /// The new state.
    pub(crate) state: TaskState,
    /// Why.
    pub(crate) reason: Option<Reason>,
    /// In words.
    pub(crate) message: Option<String>,
    /// From the built-in executor (`SOURCE_EXECUTOR`) or from the agent.
    pub(crate) by_executor: bool,
}

impl Verdict {
    /// A state reported by a built-in executor.
    pub(crate) fn executor(state: TaskState, message: Option<String>) -> Self {
        Verdict {
            state,
            reason: None,
            message,
            by_executor: true,
        }
    }

    /// A state decided by the agent.
    pub(crate) fn agent(state: TaskState, reason: Reason, message: impl Into<String>) -> Self {
        Verdict {
            state,
            reason: Some(reason),
            message: Some(message.into()),
            by_executor: false,
        }
    }
}

/// A process to start.
#[derive(Debug)]
pub(crate) struct StartProcess {
    /// Its supervisor's directory.
    pub(crate) directory: PathBuf,
    /// The work order.
    pub(crate) spec: ProcessSpec,
}

/// What is to be done once the changes are on disk, in order.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Send a message to the leading master, if one is known.
    ToMaster {
        /// Full protobuf name.
        name: &'static str,
        /// Encoded message.
        body: Bytes,
    },
    /// Send a message to another actor.
    ToActor {
        /// Its address.
        to: String,
        /// Full protobuf name.
        name: &'static str,
        /// Encoded message.
        body: Bytes,
    },
    /// Start a process under a supervisor of its own.
    Start(Box<StartProcess>),
    /// Order a supervisor to end its process.
    Kill {
        /// The supervisor's directory.
        directory: PathBuf,
        /// Milliseconds between SIGTERM and SIGKILL.
        grace_ms: u64,
    },
    /// Send an event to a subscribed executor.
    ToExecutor {
        /// Container id of the run.
        container_id: String,
        /// The event.
        event: Box<Event>,
    },
    /// Close an executor's stream.
    CloseExecutor {
        /// Container id of the run.
        container_id: String,
    },
    /// Create the directory of a persistent volume.
    CreateVolume {
        /// Its path.
        path: PathBuf,
    },
    /// Remove the directory of a volume that was destroyed, with everything in it.
    RemoveVolume {
        /// Its path.
        path: PathBuf,
        /// Where it is moved first, so that a new volume of the same name is empty.
        aside: PathBuf,
    },
    /// Remove the directory of a sandbox nobody needs any more.
    RemoveSandbox {
        /// Its path.
        path: PathBuf,
    },
}

/// What the book wants to be woken for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The oldest update of a task may be due: framework, task.
    Retry(String, String),
    /// Masters may not have acknowledged what came of operations.
    Operations,
    /// A custom executor may have failed to subscribe in time: framework, container.
    Registration(String, String),
    /// A custom executor may have failed to end in time: framework, container.
    Shutdown(String, String),
}

/// Updates about tasks that never were on this agent, until acknowledged.
#[derive(Debug)]
pub(crate) struct LooseStream {
    /// Unacknowledged updates.
    pub(crate) stream: UpdateStream,
    /// When it was made, for dropping the oldest when there are too many.
    pub(crate) since: Instant,
}
