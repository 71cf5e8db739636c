//! An executor on an agent. Executors that an agent makes by itself for command tasks are not recorded.

use proto::v1::ExecutorInfo;
use serde::{Deserialize, Serialize};

use crate::encoded::Encoded;
use crate::ids::{AgentId, ExecutorId, FrameworkId};
use crate::resources::Resources;

/// One executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executor {
    /// Unique per agent and framework.
    pub id: ExecutorId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// Where.
    pub agent_id: AgentId,
    /// As launched or reported.
    pub info: Encoded<ExecutorInfo>,
    /// Its own resources, without those of its tasks.
    pub resources: Resources,
}
