//! A framework's tasks that are no longer on an admitted agent.

use std::sync::Arc;

use imbl::OrdMap;

use crate::ids::TaskId;
use crate::registry::{Ring, Task};

/// Both lists are bounded; the oldest entries are forgotten.
#[derive(Clone, Debug, Default)]
pub struct History {
    pub(crate) unreachable: Ring<TaskId, Task>,
    /// By number. A task id may be there several times, since an ended id may be used again.
    pub(crate) completed: OrdMap<u64, Arc<Task>>,
    /// The number of the youngest completed task of an id.
    pub(crate) latest_completed: OrdMap<TaskId, u64>,
}

impl History {
    /// Tasks on agents that are unreachable; they may come back. Oldest first.
    pub fn unreachable(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.unreachable.iter().map(|(_, task)| task)
    }

    /// Tasks that ended. Oldest first.
    pub fn completed(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.completed.values()
    }

    /// The youngest completed task of that id.
    pub fn completed_task(&self, task_id: &TaskId) -> Option<&Arc<Task>> {
        self.completed.get(self.latest_completed.get(task_id)?)
    }
}
