//! Full names of the libprocess messages an agent sends and understands.

/// Agent to master: first registration.
pub(crate) const REGISTER: &str = "mesos.internal.RegisterSlaveMessage";
/// Agent to master: registration of an agent with an id.
pub(crate) const REREGISTER: &str = "mesos.internal.ReregisterSlaveMessage";
/// Agent to master: totals, operations.
pub(crate) const UPDATE_AGENT: &str = "mesos.internal.UpdateSlaveMessage";
/// Agent to master: a status update.
pub(crate) const STATUS_UPDATE: &str = "mesos.internal.StatusUpdateMessage";
/// Agent to master: an executor is over.
pub(crate) const EXITED_EXECUTOR: &str = "mesos.internal.ExitedExecutorMessage";
/// Agent to master or driver: a message of an executor to its framework.
pub(crate) const EXECUTOR_TO_FRAMEWORK: &str = "mesos.internal.ExecutorToFrameworkMessage";
/// Agent to master: what came of an operation.
pub(crate) const OPERATION_STATUS: &str = "mesos.internal.UpdateOperationStatusMessage";
/// Agent to pinger.
pub(crate) const PONG: &str = "mesos.internal.PongSlaveMessage";

/// Messages of masters.
pub(crate) mod from_master {
    /// The agent's first registration succeeded.
    pub(crate) const REGISTERED: &str = "mesos.internal.SlaveRegisteredMessage";
    /// The agent's reregistration succeeded.
    pub(crate) const REREGISTERED: &str = "mesos.internal.SlaveReregisteredMessage";
    /// Is the agent there?
    pub(crate) const PING: &str = "mesos.internal.PingSlaveMessage";
    /// Launch one task.
    pub(crate) const RUN_TASK: &str = "mesos.internal.RunTaskMessage";
    /// Launch a task group.
    pub(crate) const RUN_TASK_GROUP: &str = "mesos.internal.RunTaskGroupMessage";
    /// Kill a task.
    pub(crate) const KILL_TASK: &str = "mesos.internal.KillTaskMessage";
    /// A framework has received an update.
    pub(crate) const ACKNOWLEDGE: &str = "mesos.internal.StatusUpdateAcknowledgementMessage";
    /// A framework is over.
    pub(crate) const SHUTDOWN_FRAMEWORK: &str = "mesos.internal.ShutdownFrameworkMessage";
    /// End an executor.
    pub(crate) const SHUTDOWN_EXECUTOR: &str = "mesos.internal.ShutdownExecutorMessage";
    /// End the agent.
    pub(crate) const SHUTDOWN: &str = "mesos.internal.ShutdownMessage";
    /// A framework changed or came back.
    pub(crate) const UPDATE_FRAMEWORK: &str = "mesos.internal.UpdateFrameworkMessage";
    /// A message of a framework to its executor.
    pub(crate) const FRAMEWORK_TO_EXECUTOR: &str = "mesos.internal.FrameworkToExecutorMessage";
    /// The whole list of reservations and volumes.
    pub(crate) const CHECKPOINT_RESOURCES: &str = "mesos.internal.CheckpointResourcesMessage";
    /// Reserve, unreserve, create or destroy volumes.
    pub(crate) const APPLY_OPERATION: &str = "mesos.internal.ApplyOperationMessage";
    /// It is known what came of an operation.
    pub(crate) const ACKNOWLEDGE_OPERATION: &str = "mesos.internal.AcknowledgeOperationStatusMessage";
    /// Drain the agent.
    pub(crate) const DRAIN: &str = "mesos.internal.DrainSlaveMessage";
}
