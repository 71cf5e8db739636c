//! What the leader has to do after a command was applied. Data only; followers drop it.
//!
//! Each effect is idempotent at its receiver or carries an id the receiver deduplicates by, and all of them can be derived
//! from the registry again: a leader that dies before it acted loses nothing.

use std::sync::Arc;

use proto::internal::StatusUpdate;
use proto::v1::{ExecutorInfo, KillPolicy, OperationStatus};

use crate::command::UuidBytes;
use crate::encoded::Encoded;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::{Operation, Task};
use crate::resources::Resources;

/// One thing to do.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Effect {
    /// RunTaskMessage or RunTaskGroupMessage.
    SendTasks(SendTasks),
    /// KillTaskMessage.
    SendKill(SendKill),
    /// UPDATE to a connected framework. `uuid` is `None` for updates the master made: nobody acknowledges those.
    ForwardStatus {
        framework_id: FrameworkId,
        update: Box<StatusUpdate>,
    },
    /// StatusUpdateAcknowledgementMessage.
    AcknowledgeToAgent {
        agent_id: AgentId,
        framework_id: FrameworkId,
        task_id: TaskId,
        uuid: UuidBytes,
    },
    /// UpdateFrameworkMessage to every connected agent.
    BroadcastFrameworkUpdate { framework_id: FrameworkId },
    /// ShutdownFrameworkMessage to every connected agent; its stream ends.
    BroadcastFrameworkShutdown { framework_id: FrameworkId },
    /// ShutdownMessage to an agent.
    ShutdownAgent { agent_id: AgentId, message: String },
    /// The agent is no longer admitted: FAILURE{agent_id} to every connected framework, its offers and connection end.
    AgentLost { agent_id: AgentId },
    /// FAILURE{agent_id, executor_id, status} to the framework.
    ExecutorExited {
        framework_id: FrameworkId,
        agent_id: AgentId,
        executor_id: ExecutorId,
        status: i32,
    },
    /// These resources of an admitted agent are free again (for the allocator). Resources carry their allocation role.
    RecoverResources {
        framework_id: FrameworkId,
        agent_id: AgentId,
        resources: Resources,
    },
    /// The agent's total or used resources changed other than by a launch or recovery (for the allocator).
    AgentTotalChanged { agent_id: AgentId },
    /// ApplyOperationMessage. The agent may get it twice.
    SendOperation { operation: Arc<Operation> },
    /// CheckpointResourcesMessage with the whole list as it is now, to an agent that does not understand operations, or
    /// that could not carry one out.
    CheckpointResources { agent_id: AgentId },
    /// UPDATE_OPERATION_STATUS to a connected framework. Without `uuid` nobody acknowledges it.
    ForwardOperationStatus {
        framework_id: FrameworkId,
        status: Box<OperationStatus>,
    },
    /// AcknowledgeOperationStatusMessage.
    AcknowledgeOperation {
        agent_id: AgentId,
        status_uuid: UuidBytes,
        operation_uuid: UuidBytes,
    },
}

/// Tasks for an agent: one task, or one whole group.
#[derive(Clone, Debug, PartialEq)]
pub struct SendTasks {
    /// To whom.
    pub agent_id: AgentId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// Exactly one without `group`, else all tasks of the group. Each has its `launch` payload.
    pub tasks: Vec<Arc<Task>>,
    /// The group's executor: send RunTaskGroupMessage.
    pub group: Option<Encoded<ExecutorInfo>>,
    /// The books say that the executor does not run there yet. Always true for a command task.
    pub launch_executor: bool,
}

/// A kill for an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendKill {
    /// To whom.
    pub agent_id: AgentId,
    /// Whose task.
    pub framework_id: FrameworkId,
    /// Which task.
    pub task_id: TaskId,
    /// How.
    pub kill_policy: Option<Encoded<KillPolicy>>,
}
