//! RECONCILE, answered from the registry at once.
//!
//! This is the main promise: the registry knows every task, so that nobody has to wait for agents to come back. A task
//! that its agent has not confirmed yet answers TASK_STAGING.

use proto::v1::task_status::{Reason, Source};
use proto::v1::{TaskState, TaskStatus};

use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::{Registry, Task};
use crate::timestamp::Timestamp;

/// Every live task of the framework, in order of their ids. Unreachable and completed ones are not among them.
pub fn reconcile_implicit(registry: &Registry, framework_id: &FrameworkId) -> Vec<TaskStatus> {
    registry
        .tasks_of_framework(framework_id)
        .map(|task| latest(task))
        .collect()
}

/// One task; the agent is the one the framework believes it on. First match counts: live; agent admitted; agent
/// unreachable; agent gone; unknown.
pub fn reconcile_explicit(
    registry: &Registry,
    framework_id: &FrameworkId,
    task_id: &TaskId,
    agent_id: Option<&AgentId>,
) -> TaskStatus {
    if let Some(task) = registry.task(framework_id, task_id) {
        return latest(task);
    }
    let aware = registry
        .framework(framework_id)
        .is_some_and(|framework| framework.is_partition_aware());
    let unknown = |state: TaskState, message: &str| TaskStatus {
        task_id: task_id.to_proto(),
        state: if aware { state } else { TaskState::TaskLost } as i32,
        source: Some(Source::Master as i32),
        reason: Some(Reason::Reconciliation as i32),
        message: Some(message.to_owned()),
        agent_id: agent_id.map(AgentId::to_proto),
        ..TaskStatus::default()
    };
    // A framework that forgot where its task was is told, too.
    let lost = registry.unreachable_task(framework_id, task_id);
    let agent_id = agent_id.or(lost.map(|task| &task.agent_id));
    let Some(agent_id) = agent_id else {
        return unknown(TaskState::TaskUnknown, "Reconciliation: Task is unknown");
    };
    if registry.agent(agent_id).is_some() {
        return unknown(TaskState::TaskGone, "Reconciliation: Task is unknown to the agent");
    }
    if let Some(agent) = registry.unreachable_agent(agent_id) {
        return TaskStatus {
            unreachable_time: Some(Timestamp::to_proto(agent.since)),
            agent_id: Some(agent_id.to_proto()),
            ..unknown(TaskState::TaskUnreachable, "Reconciliation: Task is unreachable")
        };
    }
    if registry.gone_agent(agent_id).is_some() {
        return unknown(TaskState::TaskGoneByOperator, "Reconciliation: Task is gone");
    }
    unknown(TaskState::TaskUnknown, "Reconciliation: Task is unknown")
}

fn latest(task: &Task) -> TaskStatus {
    let known = task.latest_status().unwrap_or_default();
    TaskStatus {
        task_id: task.id.to_proto(),
        state: task.reported_state() as i32,
        source: Some(Source::Master as i32),
        reason: Some(Reason::Reconciliation as i32),
        message: Some("Reconciliation: Latest task state".to_owned()),
        agent_id: Some(task.agent_id.to_proto()),
        executor_id: task.executor_id.as_ref().map(ExecutorId::to_proto),
        healthy: known.healthy,
        check_status: known.check_status,
        container_status: known.container_status,
        // Without a uuid: nobody acknowledges it. The time is that of the state.
        timestamp: known.timestamp,
        ..TaskStatus::default()
    }
}
