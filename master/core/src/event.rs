//! What operators are told: the operator event stream is this feed, in log order, on every replica.

use std::sync::Arc;

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
    /// A task's state changed.
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
    /// An agent was removed or is gone (not: unreachable).
    AgentRemoved {
        /// Which one.
        agent_id: AgentId,
    },
    /// A framework subscribed for the first time, or became known from an agent's report.
    FrameworkAdded {
        /// As recorded.
        framework: Arc<Framework>,
    },
    /// A framework resubscribed or changed its info.
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
