//! A framework as the registry knows it. Whether it is connected is soft state of the leader.

use proto::v1::FrameworkInfo;
use proto::v1::framework_info::capability::Type as Capability;
use serde::{Deserialize, Serialize};

use crate::encoded::Decoded;
use crate::ids::FrameworkId;
use crate::timestamp::Timestamp;

/// Role of a framework that names none.
const DEFAULT_ROLE: &str = "*";

/// One registered framework.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Framework {
    /// Same as `info.id`.
    pub id: FrameworkId,
    /// Latest info, `id` filled in.
    pub info: Decoded<FrameworkInfo>,
    /// When it became known.
    pub registered_at: Timestamp,
    /// When it last subscribed again.
    pub reregistered_at: Option<Timestamp>,
    /// Known only from an agent's report: it has not subscribed here yet.
    pub recovered: bool,
}

impl Framework {
    /// It has the capability.
    pub fn has_capability(&self, capability: Capability) -> bool {
        self.info
            .capabilities
            .iter()
            .any(|held| held.r#type == Some(capability as i32))
    }

    /// It understands TASK_UNREACHABLE, TASK_DROPPED, TASK_GONE, TASK_GONE_BY_OPERATOR and TASK_UNKNOWN.
    pub fn is_partition_aware(&self) -> bool {
        self.has_capability(Capability::PartitionAware)
    }

    /// Its tasks survive a restart of the agent process.
    pub fn checkpoints(&self) -> bool {
        self.info.checkpoint()
    }

    /// Roles it subscribes to, as listed; possibly none.
    pub fn roles(&self) -> Vec<&str> {
        if self.has_capability(Capability::MultiRole) {
            return self.info.roles.iter().map(String::as_str).collect();
        }
        #[allow(deprecated)]
        let role = self.info.role.as_deref();
        vec![role.unwrap_or(DEFAULT_ROLE)]
    }
}

/// A framework that was removed; its id is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompletedFramework {
    /// As it was.
    pub framework: Framework,
    /// When it was removed.
    pub removed_at: Timestamp,
}
