//! What came of a command. A refused command is an outcome too, the same on every replica.

use std::sync::Arc;

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::Task;

/// Everything that follows from one applied command.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// For the caller.
    pub outcome: Outcome,
    /// For the leader, in this order; followers drop them.
    pub effects: Vec<Effect>,
    /// For operators, in this order.
    pub events: Vec<Event>,
}

/// The answer to the caller, by command.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// AnnounceLeader.
    LeaderAnnounced {
        /// Id of the cluster, which this command may have named.
        cluster_id: Arc<str>,
    },
    /// SubscribeFramework.
    FrameworkSubscribed {
        /// Its id, minted here when it brought none.
        framework_id: FrameworkId,
        /// It was not known before (or only from an agent's report: then `false`).
        is_new: bool,
        /// Its info differs from before.
        info_changed: bool,
    },
    /// UpdateFramework.
    FrameworkUpdated {
        /// Which one.
        framework_id: FrameworkId,
        /// Its info differs from before.
        info_changed: bool,
    },
    /// RemoveFramework.
    FrameworkRemoved {
        /// Which one.
        framework_id: FrameworkId,
        /// The tasks it still had, now recorded as killed.
        tasks: Vec<Arc<Task>>,
    },
    /// AdmitAgent.
    AgentAdmitted {
        /// Its new id.
        agent_id: AgentId,
    },
    /// ReregisterAgent.
    AgentReregistered {
        /// Which one.
        agent_id: AgentId,
    },
    /// MarkAgentUnreachable.
    AgentUnreachable {
        /// Which one.
        agent_id: AgentId,
        /// Its tasks that had not ended, as they are recorded now.
        tasks: Vec<Arc<Task>>,
    },
    /// RemoveAgent.
    AgentRemoved {
        /// Which one.
        agent_id: AgentId,
    },
    /// MarkAgentGone.
    AgentGone {
        /// Which one.
        agent_id: AgentId,
    },
    /// UpdateAgent.
    AgentUpdated {
        /// Which one.
        agent_id: AgentId,
        /// Its total resources differ from before.
        total_changed: bool,
    },
    /// LaunchTasks.
    TasksLaunched {
        /// Now staging; each carries its launch payload.
        launched: Vec<Arc<Task>>,
        /// Not launched; their updates are among the effects.
        refused: Vec<RefusedTask>,
        /// Executors that are started with them: their resources are in use too.
        executors: Vec<ExecutorId>,
    },
    /// UpdateTaskStatus.
    TaskStatusUpdated {
        /// What the update changed.
        change: StatusChange,
    },
    /// LoseTasks.
    TasksLost {
        /// The ended tasks, as they are recorded now.
        tasks: Vec<Arc<Task>>,
    },
    /// AcknowledgeStatus.
    StatusAcknowledged {
        /// The acknowledged update was the terminal one: the task is completed.
        completed: bool,
    },
    /// KillTask.
    KillRecorded,
    /// RemoveExecutor.
    ExecutorRemoved,
    /// UpdateQuota, SetQuota, RemoveQuota.
    QuotaUpdated {
        /// Whose quotas may differ from before.
        roles: Vec<Arc<str>>,
    },
    /// UpdateWeights.
    WeightsUpdated {
        /// Whose weights may differ from before.
        roles: Vec<Arc<str>>,
    },
    /// ApplyOperation.
    OperationApplied {
        /// Whose total has changed.
        agent_id: AgentId,
    },
    /// UpdateOperationStatus, AcknowledgeOperationStatus.
    OperationStatusRecorded,
    /// Nothing was changed.
    Rejected(Rejection),
}

/// What a status update changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusChange {
    /// The task's record changed.
    Recorded,
    /// An update the record already holds, or one that cannot change an ended task; relayed to the framework.
    Repeated,
    /// Task not known here; relayed to the framework, stored nowhere.
    UnknownTask,
    /// The framework had acknowledged this update: the agent is told so again.
    AlreadyAcknowledged,
}

/// A task that was not launched.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedTask {
    /// Which one.
    pub task_id: TaskId,
    /// State told to the framework.
    pub state: TaskState,
    /// Reason told to the framework.
    pub reason: Reason,
    /// Text told to the framework.
    pub message: String,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// A later leader was announced already.
    #[error("term {term} is not above the announced term {announced}")]
    StaleTerm {
        /// Term of the command.
        term: u64,
        /// Term in the registry.
        announced: u64,
    },
    /// The framework was removed; the text is the one its scheduler gets.
    #[error("Framework has been removed")]
    FrameworkRemoved,
    /// The principal differs; the text is the one its scheduler gets.
    #[error("Changing framework's principal is not allowed.")]
    PrincipalChanged,
    /// No such framework.
    #[error("framework {0} is unknown")]
    UnknownFramework(FrameworkId),
    /// No such admitted agent.
    #[error("agent {0} is not admitted")]
    AgentNotAdmitted(AgentId),
    /// The operator said that this agent never comes back; the text is the one the agent gets.
    #[error("Agent has been marked gone")]
    AgentGone,
    /// No such task.
    #[error("task {1} of framework {0} is unknown")]
    UnknownTask(FrameworkId, TaskId),
    /// No such executor.
    #[error("executor {1} of framework {0} is unknown")]
    UnknownExecutor(FrameworkId, ExecutorId),
    /// A quota that makes no sense; the text is the one the operator gets.
    #[error("{0}")]
    InvalidQuota(String),
    /// Only top-level roles have quotas; the text is the one the operator gets.
    #[error("Updating quota on nested role '{0}' is not supported yet")]
    NestedQuota(Arc<str>),
    /// More is guaranteed than there is.
    #[error(
        "total quota guarantees '{guarantees}' exceed cluster capacity '{capacity}' (use 'force' flag to bypass this \
         check)"
    )]
    QuotaOvercommits {
        /// Of all roles.
        guarantees: String,
        /// Of all agents.
        capacity: String,
    },
    /// The role has more than it would be limited to.
    #[error(
        "Role '{role}' is already consuming '{consumed}'; this is higher than the requested limits '{limits}' (use \
         'force' flag to bypass this check)"
    )]
    QuotaBelowConsumption {
        /// Which one.
        role: Arc<str>,
        /// What it consumes.
        consumed: String,
        /// What it would be limited to.
        limits: String,
    },
    /// The role has a quota; the text is the one the operator gets.
    #[error("Cannot set quota for role '{0}' which already has quota")]
    QuotaExists(Arc<str>),
    /// The role has no quota; the text is the one the operator gets.
    #[error("Role '{0}' has no quota set")]
    NoQuota(Arc<str>),
    /// A weight that makes no sense; the text is the one the operator gets after what was asked.
    #[error("Failed to validate update weights request JSON{0}")]
    InvalidWeight(String),
    /// The agent's free resources do not allow the operation; the text is the one the caller gets.
    #[error("{0}")]
    OperationRefused(String),
    /// A message inside the command cannot be decoded or lacks what it needs.
    #[error("{what} of the command is malformed: {why}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl From<Outcome> for Applied {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            effects: Vec::new(),
            events: Vec::new(),
        }
    }
}

impl From<Rejection> for Applied {
    fn from(rejection: Rejection) -> Self {
        Outcome::Rejected(rejection).into()
    }
}
