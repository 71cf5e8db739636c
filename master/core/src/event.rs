//! What operators are told: the operator event stream is this feed, in log order, on every replica.

use std::sync::Arc;

use prost::Message;
use proto::v1::{TaskState, TaskStatus};

use crate::ids::{AgentId, FrameworkId};
use crate::registry::{Agent, Framework, Task};

/// One operator event. The caller adds the log index of the command it follows from.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A task was launched, or an agent reported one that was not known.
    TaskAdded {
        /// As recorded.
        task: Arc<Task>,
    },
    /// A task's state changed, or its health or the result of its check.
    TaskUpdated {
        /// Whose task.
        framework_id: FrameworkId,
        /// The status that changed it, ids filled in.
        status: Box<TaskStatus>,
        /// The task's latest state.
        state: TaskState,
    },
    /// An agent was admitted, or came back.
    AgentAdded {
        /// As recorded.
        agent: Arc<Agent>,
    },
    /// An agent was removed: it said goodbye or was replaced. Not when it became unreachable or is gone, as in Mesos.
    AgentRemoved {
        /// Which one.
        agent_id: AgentId,
    },
    /// A framework subscribed for the first time, or became known from an agent's report.
    FrameworkAdded {
        /// As recorded.
        framework: Arc<Framework>,
    },
    /// A framework resubscribed through the log, or changed its info.
    FrameworkUpdated {
        /// As recorded.
        framework: Arc<Framework>,
    },
    /// A framework was removed.
    FrameworkRemoved {
        /// As it was.
        framework: Arc<Framework>,
    },
}

/// Bytes of one resource of a task in memory.
const RESOURCE_BYTES: usize = 96;

impl Event {
    /// About how many bytes the parts of the event take, in memory or encoded. Records it shares with the registry count in full,
    /// because the registry may have moved on.
    pub fn bytes_estimate(&self) -> usize {
        match self {
            Event::TaskAdded { task } => task.bytes_estimate() + task.resources.iter().count() * RESOURCE_BYTES,
            Event::TaskUpdated { status, .. } => status.encoded_len(),
            Event::AgentAdded { agent } => agent.info.encoded().as_bytes().len(),
            Event::AgentRemoved { .. } => 0,
            Event::FrameworkAdded { framework }
            | Event::FrameworkUpdated { framework }
            | Event::FrameworkRemoved { framework } => framework.info.encoded().as_bytes().len(),
        }
    }
}
