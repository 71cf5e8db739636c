//! What the states of tasks and operations mean.

use crate::v1::{OperationState, TaskState};

impl TaskState {
    /// Whether the task has ended for good. An unreachable or unknown task may come back.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::TaskFinished
            | Self::TaskFailed
            | Self::TaskKilled
            | Self::TaskError
            | Self::TaskLost
            | Self::TaskDropped
            | Self::TaskGone
            | Self::TaskGoneByOperator => true,
            Self::TaskStaging
            | Self::TaskStarting
            | Self::TaskRunning
            | Self::TaskKilling
            | Self::TaskUnreachable
            | Self::TaskUnknown => false,
        }
    }
}

impl OperationState {
    /// Whether the operation has ended for good.
    pub fn is_terminal(self) -> bool {
        match self {
            Self::OperationFinished
            | Self::OperationFailed
            | Self::OperationError
            | Self::OperationDropped
            | Self::OperationGoneByOperator => true,
            Self::OperationUnsupported
            | Self::OperationPending
            | Self::OperationUnreachable
            | Self::OperationRecovering
            | Self::OperationUnknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreachable_and_unknown_tasks_may_come_back() {
        assert!(!TaskState::TaskUnreachable.is_terminal());
        assert!(!TaskState::TaskUnknown.is_terminal());
        assert!(TaskState::TaskGone.is_terminal());
        assert!(TaskState::TaskLost.is_terminal());
    }

    #[test]
    fn an_unreachable_operation_may_come_back() {
        assert!(!OperationState::OperationUnreachable.is_terminal());
        assert!(OperationState::OperationGoneByOperator.is_terminal());
    }
}
