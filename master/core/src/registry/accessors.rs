//! Lookups. All of them are cheap, all iterators are in id order unless they say otherwise.

use std::sync::Arc;

use crate::command::UuidBytes;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::{
    Agent, AgentRecord, Cluster, CompletedFramework, Executor, Framework, GoneAgent, History, Operation, Registry,
    Task, UnreachableAgent, is_terminal,
};

impl Registry {
    /// Name, counters, clock, leader.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A framework that was not removed.
    pub fn framework(&self, id: &FrameworkId) -> Option<&Arc<Framework>> {
        self.frameworks.get(id)
    }

    /// Frameworks that were not removed.
    pub fn frameworks(&self) -> impl DoubleEndedIterator<Item = &Arc<Framework>> {
        self.frameworks.values()
    }

    /// The framework was removed; its id is refused.
    pub fn is_completed_framework(&self, id: &FrameworkId) -> bool {
        self.completed_frameworks.get(id).is_some()
    }

    /// A removed framework.
    pub fn completed_framework(&self, id: &FrameworkId) -> Option<&Arc<CompletedFramework>> {
        self.completed_frameworks.get(id)
    }

    /// Removed frameworks, oldest first.
    pub fn completed_frameworks(&self) -> impl DoubleEndedIterator<Item = &Arc<CompletedFramework>> {
        self.completed_frameworks.iter().map(|(_, framework)| framework)
    }

    /// An admitted agent.
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    /// Admitted agents registered at this libprocess address: one, or for a moment several.
    pub fn agents_at(&self, pid: &Arc<str>) -> impl Iterator<Item = &Arc<Agent>> {
        let first = (pid.clone(), AgentId::from(""));
        self.agents_by_pid
            .range(first..)
            .take_while(move |(at, _)| at == pid)
            .filter_map(|(_, id)| self.agents.get(id))
    }

    /// Admitted agents.
    pub fn agents(&self) -> impl DoubleEndedIterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// Number of admitted agents.
    pub fn agent_count(&self) -> usize {
        self.agents.len()
    }

    /// An unreachable agent.
    pub fn unreachable_agent(&self, id: &AgentId) -> Option<&Arc<UnreachableAgent>> {
        self.unreachable_agents.get(id)
    }

    /// Unreachable agents, oldest first.
    pub fn unreachable_agents(&self) -> impl DoubleEndedIterator<Item = &Arc<UnreachableAgent>> {
        self.unreachable_agents.iter().map(|(_, agent)| agent)
    }

    /// An agent that will never come back.
    pub fn gone_agent(&self, id: &AgentId) -> Option<&Arc<GoneAgent>> {
        self.gone_agents.get(id)
    }

    /// Gone agents, oldest first.
    pub fn gone_agents(&self) -> impl DoubleEndedIterator<Item = &Arc<GoneAgent>> {
        self.gone_agents.iter().map(|(_, agent)| agent)
    }

    /// An executor on an admitted agent.
    pub fn executor(
        &self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> Option<&Arc<Executor>> {
        self.agents
            .get(agent_id)?
            .executors
            .get(&(framework_id.clone(), executor_id.clone()))
    }

    /// A live task: on an admitted agent; ended ones until they are acknowledged.
    pub fn task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&Arc<Task>> {
        self.tasks.get(&(framework_id.clone(), task_id.clone()))
    }

    /// Live tasks of all frameworks.
    pub fn tasks(&self) -> impl DoubleEndedIterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// Number of live tasks.
    pub fn task_count(&self) -> usize {
        self.tasks.len()
    }

    /// Live tasks of one framework.
    pub fn tasks_of_framework(&self, framework_id: &FrameworkId) -> impl Iterator<Item = &Arc<Task>> {
        let first = (framework_id.clone(), TaskId::from(""));
        self.tasks
            .range(first..)
            .take_while(move |((of, _), _)| of == framework_id)
            .map(|(_, task)| task)
    }

    /// Live tasks on one agent, by framework.
    pub fn tasks_of_agent(&self, agent_id: &AgentId) -> impl Iterator<Item = &Arc<Task>> {
        let first = (agent_id.clone(), FrameworkId::from(""), TaskId::from(""));
        self.tasks_by_agent
            .range(first..)
            .take_while(move |(on, _, _)| on == agent_id)
            .filter_map(|(_, framework_id, task_id)| self.tasks.get(&(framework_id.clone(), task_id.clone())))
    }

    /// Unreachable and completed tasks of a framework, removed frameworks included.
    pub fn history(&self, framework_id: &FrameworkId) -> Option<&Arc<History>> {
        self.histories.get(framework_id)
    }

    /// A task whose agent is unreachable.
    pub fn unreachable_task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&Arc<Task>> {
        self.histories.get(framework_id)?.unreachable.get(task_id)
    }

    /// The youngest completed task of that id.
    pub fn completed_task(&self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<&Arc<Task>> {
        self.histories.get(framework_id)?.completed_task(task_id)
    }

    /// What was last said about an agent that is admitted or unreachable.
    pub fn last_record(&self, id: &AgentId) -> Option<&Arc<AgentRecord>> {
        let admitted = self.agent(id).map(|agent| agent.record());
        admitted.or_else(|| self.unreachable_agent(id).map(|agent| &agent.record))
    }

    /// Operations that their agents have not confirmed or their frameworks not acknowledged, by agent.
    pub fn operations(&self) -> impl DoubleEndedIterator<Item = &Arc<Operation>> {
        self.operations.values()
    }

    /// Those of one agent, in the order in which they were committed.
    pub fn operations_of_agent(&self, agent_id: &AgentId) -> impl Iterator<Item = &Arc<Operation>> {
        self.operations
            .range((agent_id.clone(), 0)..)
            .take_while(move |((of, _), _)| of == agent_id)
            .map(|(_, operation)| operation)
    }

    /// The operation that masters and agent know by this uuid.
    pub fn operation(&self, agent_id: &AgentId, uuid: &UuidBytes) -> Option<&Arc<Operation>> {
        self.operations_of_agent(agent_id)
            .find(|operation| operation.uuid == *uuid)
    }

    /// Whether acknowledging the update `uuid` ends the task: only then the acknowledgement has to be proposed, any other
    /// one goes straight to the agent.
    pub fn acknowledgement_completes(&self, framework_id: &FrameworkId, task_id: &TaskId, uuid: &UuidBytes) -> bool {
        self.task(framework_id, task_id).is_some_and(|task| {
            task.status_update_uuid.as_ref() == Some(uuid) && task.status_update_state.is_some_and(is_terminal)
        })
    }
}
