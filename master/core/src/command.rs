//! What the replicated log carries: every change of the registry is one of these.
//!
//! The enum is append-only and its variants never change their fields, because old logs are replayed. A node that meets a
//! version or variant it does not know must stop (its caller decides how), since applying something else would let the
//! replicas drift apart.

use std::sync::Arc;

use bytes::Bytes;
use proto::internal::{CheckpointResourcesMessage, StatusUpdate, UpdateOperationStatusMessage};
use proto::v1::offer;
use proto::v1::task_status::Reason;
use proto::v1::{AgentInfo, ExecutorInfo, FrameworkInfo, KillPolicy, MasterInfo, Task, TaskInfo, TaskState};
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::{Quota, Weight};
use crate::timestamp::Timestamp;

/// First byte of an encoded command; changes only when the whole layout does.
const FORMAT_VERSION: u8 = 1;

/// A list of resources as bytes (the only wire message that is nothing but such a list).
pub type EncodedResources = Encoded<CheckpointResourcesMessage>;

/// 16 raw bytes of a UUID.
pub type UuidBytes = [u8; 16];

/// One change, with the time at which the leader proposed it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Leader's wall clock when it proposed. Used for every time the command records; never makes the registry's clock
    /// run backwards.
    pub proposed_at: Timestamp,
    /// What to change.
    pub kind: CommandKind,
}

/// Every kind of change. Append-only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum CommandKind {
    AnnounceLeader(AnnounceLeader),
    SubscribeFramework(SubscribeFramework),
    UpdateFramework(UpdateFramework),
    RemoveFramework(RemoveFramework),
    AdmitAgent(AdmitAgent),
    ReregisterAgent(ReregisterAgent),
    MarkAgentUnreachable(MarkAgentUnreachable),
    RemoveAgent(RemoveAgent),
    MarkAgentGone(MarkAgentGone),
    UpdateAgent(UpdateAgent),
    LaunchTasks(LaunchTasks),
    UpdateTaskStatus(UpdateTaskStatus),
    LoseTasks(LoseTasks),
    AcknowledgeStatus(AcknowledgeStatus),
    KillTask(KillTask),
    RemoveExecutor(RemoveExecutor),
    UpdateQuota(UpdateQuota),
    SetQuota(SetQuota),
    RemoveQuota(RemoveQuota),
    UpdateWeights(UpdateWeights),
    ApplyOperation(ApplyOperation),
    UpdateOperationStatus(UpdateOperationStatus),
    AcknowledgeOperationStatus(AcknowledgeOperationStatus),
}

/// The first command of a term: this node leads now. The very first one also names the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnnounceLeader {
    /// Raft node id.
    pub node_id: u64,
    /// Raft term that node won.
    pub term: u64,
    /// Its MasterInfo; `id` is fresh for each leadership.
    pub master: Encoded<MasterInfo>,
    /// Id for a cluster that has none yet (UUID text); otherwise ignored.
    pub cluster_id: String,
}

/// A framework subscribes or resubscribes (Mesos `SUBSCRIBE`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubscribeFramework {
    /// With `id` when the framework knows its own; an empty or missing id asks for a new one.
    pub info: Encoded<FrameworkInfo>,
}

/// A framework changes its info without resubscribing (Mesos `UPDATE_FRAMEWORK`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateFramework {
    /// With `id`.
    pub info: Encoded<FrameworkInfo>,
}

/// Why a framework is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameworkRemoval {
    /// `TEARDOWN`, by itself or by an operator.
    Teardown,
    /// It did not come back within its `failover_timeout`.
    FailoverTimeout,
}

/// A framework leaves for good: its tasks are killed and its id is refused from now on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveFramework {
    /// Which one.
    pub framework_id: FrameworkId,
    /// Why.
    pub reason: FrameworkRemoval,
}

/// What an agent says about itself each time it registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentFacts {
    /// AgentInfo (SlaveInfo); its `id` is ignored, the registry fills it in.
    pub info: Encoded<AgentInfo>,
    /// libprocess address `slave(1)@ip:port`.
    pub pid: Arc<str>,
    /// Version text, e.g. `1.11.0`.
    pub version: Arc<str>,
    /// `AgentInfo.Capability.Type` numbers, sorted and unique.
    pub capabilities: Vec<i32>,
    /// Dynamic reservations and persistent volumes the agent has checkpointed.
    pub checkpointed_resources: EncodedResources,
    /// Version of the agent's own resources; RunTask must repeat it.
    pub resource_version: Option<UuidBytes>,
    /// The agent starts a launch that arrives twice once: a launch may be sent again at any time.
    pub deduplicates_launches: bool,
}

/// An agent registers for the first time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdmitAgent {
    /// What it says about itself.
    pub facts: AgentFacts,
    /// The agent that was registered at the same pid; it is removed first and its tasks are lost.
    pub replaces: Option<AgentId>,
}

/// Where the leader's books had the agent when it came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReturnsFrom {
    /// Admitted: the report holds only differences.
    Admitted,
    /// Marked unreachable: the report holds all its tasks.
    Unreachable,
    /// Not known at all (removed, forgotten, of another cluster): the report holds all its tasks.
    Unknown,
}

/// An agent registers again. From an admitted agent only what differs from the registry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReregisterAgent {
    /// Which one.
    pub agent_id: AgentId,
    /// Where it comes from, as seen by the leader; apply looks again.
    pub returns_from: ReturnsFrom,
    /// New facts; `None` when nothing changed (only for an admitted agent).
    pub facts: Option<AgentFacts>,
    /// Frameworks the registry does not know.
    pub frameworks: Vec<Encoded<FrameworkInfo>>,
    /// Tasks that are new here or whose state differs.
    pub tasks: Vec<Encoded<Task>>,
    /// Executors that are new here; `framework_id` set.
    pub executors: Vec<Encoded<ExecutorInfo>>,
    /// Executors known here that the agent no longer has.
    pub executors_gone: Vec<(FrameworkId, ExecutorId)>,
    /// Launches that `master_pid` sends again once this is committed: from then on it may have sent them.
    pub resent: Vec<(FrameworkId, TaskId)>,
    /// libprocess pid of the master that sends them.
    pub master_pid: Arc<str>,
}

/// An agent did not answer for too long.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkAgentUnreachable {
    /// Which one.
    pub agent_id: AgentId,
    /// Since when it counts as unreachable (leader's wall clock).
    pub since: Timestamp,
}

/// Why an agent is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AgentRemoval {
    /// It said goodbye (`UnregisterSlaveMessage`).
    Unregistered,
    /// A new agent registered at its address.
    Replaced,
}

/// An agent leaves; its tasks are lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveAgent {
    /// Which one.
    pub agent_id: AgentId,
    /// Why.
    pub reason: AgentRemoval,
}

/// An operator says that an agent will never come back (Mesos `MARK_AGENT_GONE`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MarkAgentGone {
    /// Which one.
    pub agent_id: AgentId,
}

/// Something about an admitted agent's resources changed (`UpdateSlaveMessage`, or reservations and volumes changed by
/// an operation). `None` leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateAgent {
    /// Which one.
    pub agent_id: AgentId,
    /// New version of the agent's own resources.
    pub resource_version: Option<UuidBytes>,
    /// Revocable resources, replacing the former ones.
    pub oversubscribed: Option<EncodedResources>,
    /// Resources of the agent's local providers, replacing the former ones.
    pub provider_resources: Option<EncodedResources>,
    /// Dynamic reservations and volumes, replacing the former ones.
    pub checkpointed_resources: Option<EncodedResources>,
}

/// A framework accepts offers of one agent with tasks (Mesos `LAUNCH` or `LAUNCH_GROUP`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaunchTasks {
    /// Whose tasks.
    pub framework_id: FrameworkId,
    /// Where.
    pub agent_id: AgentId,
    /// Ready to be sent: `allocation_info` in every resource, `executor.framework_id` filled in.
    pub tasks: Vec<Encoded<TaskInfo>>,
    /// Set for a task group: its executor; all tasks launch or none.
    pub group: Option<Encoded<ExecutorInfo>>,
    /// libprocess pid of the master that may send them; decides who may send them again.
    pub master_pid: Arc<str>,
}

/// An agent reports a task's state (`StatusUpdateMessage`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateTaskStatus {
    /// Agent that sent it.
    pub agent_id: AgentId,
    /// The whole update, relayed to the framework as it is.
    pub update: Encoded<StatusUpdate>,
}

/// The master itself ends tasks: it could not deliver them, or lost an agent whose tasks do not survive that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoseTasks {
    /// Their agent.
    pub agent_id: AgentId,
    /// Which ones; unknown and already ended ones are passed over.
    pub tasks: Vec<(FrameworkId, TaskId)>,
    /// Executors that end with them, without a word to their frameworks.
    pub executors: Vec<(FrameworkId, ExecutorId)>,
    /// A terminal state, as a partition-aware framework sees it. Others see TASK_LOST instead of TASK_DROPPED, TASK_GONE
    /// and TASK_GONE_BY_OPERATOR.
    #[serde(with = "crate::wire_enum")]
    pub state: TaskState,
    /// Reason told to the framework.
    #[serde(with = "crate::wire_enum")]
    pub reason: Reason,
    /// Text told to the framework.
    pub message: String,
}

/// A framework acknowledged a status update. Only proposed when it ends a task; see
/// [`Registry::acknowledgement_completes`](crate::Registry::acknowledgement_completes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcknowledgeStatus {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// Which task.
    pub task_id: TaskId,
    /// Agent named in the acknowledgement.
    pub agent_id: AgentId,
    /// Uuid of the acknowledged update.
    pub uuid: UuidBytes,
}

/// A framework wants a task killed; remembered until the task ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KillTask {
    /// Whose task.
    pub framework_id: FrameworkId,
    /// Which task.
    pub task_id: TaskId,
    /// How to kill it.
    pub kill_policy: Option<Encoded<KillPolicy>>,
}

/// An executor ended (`ExitedExecutorMessage`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveExecutor {
    /// Its agent.
    pub agent_id: AgentId,
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Which one.
    pub executor_id: ExecutorId,
    /// Wait status, or -1.
    pub status: i32,
}

/// An operator changes the quotas of roles, all or none (Mesos `UPDATE_QUOTA`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateQuota {
    /// The new quotas; an empty one removes what the role has.
    pub quotas: Vec<Quota>,
    /// Whatever the cluster has and the roles consume.
    pub force: bool,
}

/// An operator gives a role its first quota (Mesos `SET_QUOTA`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetQuota {
    /// The guarantees are also the limits.
    pub quota: Quota,
    /// Whatever the cluster has.
    pub force: bool,
}

/// An operator takes a role's quota away (Mesos `REMOVE_QUOTA`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoveQuota {
    /// Which role.
    pub role: Arc<str>,
}

/// An operator sets the weights of roles, all or none (Mesos `UPDATE_WEIGHTS`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateWeights {
    /// The new weights.
    pub weights: Vec<Weight>,
}

/// An agent's resources are reserved, unreserved, made volumes or the reverse: by a framework's ACCEPT, or by an operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApplyOperation {
    /// Whose resources.
    pub agent_id: AgentId,
    /// Who asked; `None`: an operator.
    pub framework_id: Option<FrameworkId>,
    /// RESERVE, UNRESERVE, CREATE or DESTROY, without allocation roles; with the framework's operation id if it chose one.
    pub operation: Encoded<offer::Operation>,
    /// Names the operation between masters and agent; chosen by the leader.
    pub uuid: UuidBytes,
}

/// An agent reports what came of an operation (`UpdateOperationStatusMessage`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateOperationStatus {
    /// Agent that sent it.
    pub agent_id: AgentId,
    /// As it came.
    pub update: Encoded<UpdateOperationStatusMessage>,
}

/// A framework acknowledged the status of an operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcknowledgeOperationStatus {
    /// Whose operation.
    pub framework_id: FrameworkId,
    /// Agent named in the acknowledgement.
    pub agent_id: AgentId,
    /// Uuid of the acknowledged status.
    pub status_uuid: UuidBytes,
}

/// A log record that is not a command of this version. The node must stop: it would apply something else than others.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("command is empty")]
    Empty,
    /// Written by another version of the layout.
    #[error("command has format version {found}, this node knows {known}")]
    Version {
        /// Version of the record.
        found: u8,
        /// Version of this node.
        known: u8,
    },
    /// Not a command, or of a kind this node does not know.
    #[error("command of {length} bytes is malformed or of an unknown kind")]
    Malformed {
        /// Length of the record in bytes.
        length: usize,
        /// Why.
        #[source]
        source: postcard::Error,
    },
    /// More bytes than the command.
    #[error("command is followed by {excess} bytes")]
    Excess {
        /// How many.
        excess: usize,
    },
}

impl Command {
    /// A command proposed at `proposed_at`.
    pub fn new(proposed_at: Timestamp, kind: impl Into<CommandKind>) -> Self {
        Self {
            proposed_at,
            kind: kind.into(),
        }
    }

    /// Shapes: one version byte, then postcard.
    pub fn encode(&self) -> Bytes {
        let buffer = postcard::to_extend(self, vec![FORMAT_VERSION]).expect(
            "a command is made of integers, texts, bytes and lists of known length, which postcard always encodes",
        );
        Bytes::from(buffer)
    }

    /// Total: any bytes give a command or an error.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&version, rest) = bytes.split_first().ok_or(DecodeError::Empty)?;
        if version != FORMAT_VERSION {
            return Err(DecodeError::Version {
                found: version,
                known: FORMAT_VERSION,
            });
        }
        let (command, excess) = postcard::take_from_bytes(rest).map_err(|source| DecodeError::Malformed {
            length: bytes.len(),
            source,
        })?;
        if excess.is_empty() {
            Ok(command)
        } else {
            Err(DecodeError::Excess { excess: excess.len() })
        }
    }
}

macro_rules! into_kind {
    ($($name:ident)*) => {
        enum Number {
            $($name,)*
        }

        impl CommandKind {
            /// The names of all kinds.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            /// Place of this kind's name among [`CommandKind::NAMES`].
            pub fn number(&self) -> usize {
                match self {
                    $(Self::$name(_) => Number::$name as usize,)*
                }
            }

            /// Name for logs and metrics.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                }
            }
        }
        $(impl From<$name> for CommandKind {
            fn from(command: $name) -> Self {
                Self::$name(command)
            }
        })*
    };
}

into_kind! {
    AnnounceLeader SubscribeFramework UpdateFramework RemoveFramework AdmitAgent ReregisterAgent MarkAgentUnreachable
    RemoveAgent MarkAgentGone UpdateAgent LaunchTasks UpdateTaskStatus LoseTasks AcknowledgeStatus KillTask RemoveExecutor
    UpdateQuota SetQuota RemoveQuota UpdateWeights ApplyOperation UpdateOperationStatus AcknowledgeOperationStatus
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill() -> Command {
        Command::new(
            Timestamp(7),
            KillTask {
                framework_id: "f".into(),
                task_id: "t".into(),
                kill_policy: None,
            },
        )
    }

    #[test]
    fn a_command_survives_the_log() {
        assert_eq!(Command::decode(&kill().encode()).unwrap(), kill());
        assert_eq!(kill().kind.name(), "KillTask");
        assert_eq!(CommandKind::NAMES[kill().kind.number()], "KillTask");
    }

    #[test]
    fn every_cut_and_every_excess_is_an_error() {
        let bytes = kill().encode();
        for length in 0..bytes.len() {
            assert!(Command::decode(&bytes[..length]).is_err(), "{length}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Command::decode(&longer), Err(DecodeError::Excess { excess: 1 }));
    }

    #[test]
    fn unknown_versions_and_kinds_are_errors() {
        let mut bytes = kill().encode().to_vec();
        bytes[0] = 9;
        assert_eq!(
            Command::decode(&bytes),
            Err(DecodeError::Version { found: 9, known: 1 })
        );
        // The second byte is the time, the third the kind.
        bytes[0] = FORMAT_VERSION;
        bytes[2] = 120;
        assert!(matches!(Command::decode(&bytes), Err(DecodeError::Malformed { .. })));
    }
}
