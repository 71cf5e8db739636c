//! The replicated state: everything that has to survive the death of a leader. It changes only by [`Registry::apply`].
//!
//! Built of persistent maps with values behind `Arc`: a clone takes a microsecond and shares everything, so snapshots and
//! reads never stop `apply`. All maps are ordered, because their order can be observed.
//!
//! Invariants (checked by [`Registry::check_invariants`], see `invariants.rs`):
//! * an agent is admitted, unreachable or gone, never two of these;
//! * every task that is not completed belongs to a known framework and an admitted agent, or is in its framework's
//!   unreachable list; a task id of a framework is live or unreachable at most once;
//! * a terminal task never becomes non-terminal;
//! * an agent's used resources are the sum over its executors and its tasks that have not ended;
//! * an agent's total holds its reservations and volumes, and the same quantities as without them;
//! * an operation belongs to an admitted or unreachable agent;
//! * a quota has a valid top-level role and guarantees within its limits, a weight is positive;
//! * bounded lists stay within their bounds, ids never repeat, the clock never runs backwards.

mod accessors;
mod agent;
mod apply;
mod cluster;
mod executor;
mod framework;
mod history;
mod invariants;
mod operation;
mod quota;
mod record;
mod ring;
mod snapshot;
mod store;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

pub use agent::{Agent, AgentRecord, GoneAgent, UnreachableAgent};
pub use cluster::{Cluster, LeaderRecord};
pub use executor::Executor;
pub use framework::{CompletedFramework, Framework};
pub use history::History;
pub use operation::{Operation, Settlement};
pub use quota::{Amounts, Quota, Weight, amounts_text};
pub use ring::Ring;
pub use snapshot::SnapshotError;
pub use task::{GroupLaunch, KillRequest, Launch, STATUSES_PER_TASK_MAX, Task, is_terminal, uuid_bytes};

use crate::ids::{AgentId, FrameworkId, TaskId};

/// Removed frameworks that are remembered and refused, as many as Mesos keeps (`--max_completed_frameworks`).
pub const COMPLETED_FRAMEWORKS_MAX: usize = 50;
/// Completed tasks kept per framework, as many as Mesos keeps (`--max_completed_tasks_per_framework`).
pub const COMPLETED_TASKS_PER_FRAMEWORK_MAX: usize = 1000;
/// Unreachable tasks kept per framework, as many as Mesos keeps (`--max_unreachable_tasks_per_framework`).
pub const UNREACHABLE_TASKS_PER_FRAMEWORK_MAX: usize = 1000;
/// Unreachable agents kept, as many as Mesos keeps (`--registry_max_agent_count`).
pub const UNREACHABLE_AGENTS_MAX: usize = 102_400;
/// Gone agents kept, as many as Mesos keeps (`--registry_max_agent_count`).
pub const GONE_AGENTS_MAX: usize = 102_400;

/// Where in the log a command stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Raft term.
    pub term: u64,
    /// Log index.
    pub index: u64,
}

/// The whole replicated state.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    cluster: Arc<Cluster>,
    frameworks: OrdMap<FrameworkId, Arc<Framework>>,
    completed_frameworks: Ring<FrameworkId, CompletedFramework>,
    agents: OrdMap<AgentId, Arc<Agent>>,
    /// Index of `agents`; two may claim one address until the older one is removed.
    agents_by_pid: OrdSet<(Arc<str>, AgentId)>,
    unreachable_agents: Ring<AgentId, UnreachableAgent>,
    gone_agents: Ring<AgentId, GoneAgent>,
    /// Live tasks: on admitted agents, ended ones until their framework acknowledged.
    tasks: OrdMap<(FrameworkId, TaskId), Arc<Task>>,
    /// Index of `tasks`.
    tasks_by_agent: OrdSet<(AgentId, FrameworkId, TaskId)>,
    /// Unreachable and completed tasks of known and completed frameworks.
    histories: OrdMap<FrameworkId, Arc<History>>,
    /// Index of the unreachable tasks in `histories`.
    unreachable_by_agent: OrdSet<(AgentId, FrameworkId, TaskId)>,
    /// By role; never empty ones.
    quotas: OrdMap<Arc<str>, Arc<Quota>>,
    /// By role.
    weights: OrdMap<Arc<str>, Arc<Weight>>,
    /// By agent, in the order in which they were committed: not confirmed by the agent, or not acknowledged by the framework.
    operations: OrdMap<(AgentId, u64), Arc<Operation>>,
    /// Sum over the hashes of all records but the cluster's; see `record.rs`.
    records_hash: u128,
}
