//! The only functions that change records. Each keeps the indexes, the derived sums and the state hash right; none
//! decides anything.

use std::sync::Arc;

use imbl::OrdMap;

use crate::command::EncodedResources;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::record::Record;
use crate::registry::{
    Agent, AgentRecord, COMPLETED_FRAMEWORKS_MAX, COMPLETED_TASKS_PER_FRAMEWORK_MAX, Cluster, CompletedFramework,
    Executor, Framework, GONE_AGENTS_MAX, GoneAgent, History, Operation, Quota, Registry, Task, UNREACHABLE_AGENTS_MAX,
    UNREACHABLE_TASKS_PER_FRAMEWORK_MAX, UnreachableAgent, Weight,
};
use crate::resources::{Resources, Value};

impl Registry {
    /// The cluster's record, which is hashed when it is asked for.
    pub(crate) fn cluster_mut(&mut self) -> &mut Cluster {
        Arc::make_mut(&mut self.cluster)
    }

    fn hash_in(&mut self, record: &Record) {
        self.records_hash = self.records_hash.wrapping_add(record.hash());
    }

    fn hash_out(&mut self, record: &Record) {
        self.records_hash = self.records_hash.wrapping_sub(record.hash());
    }

    /// Number for the next entry of a bounded list.
    pub(crate) fn next_entry(&mut self) -> u64 {
        let cluster = self.cluster_mut();
        let number = cluster.next_entry;
        cluster.next_entry = number.wrapping_add(1);
        number
    }

    // Frameworks

    /// Adds or replaces a framework.
    pub(crate) fn put_framework(&mut self, framework: Framework) -> Arc<Framework> {
        let framework = Arc::new(framework);
        self.hash_in(&Record::Framework(framework.clone()));
        if let Some(former) = self.frameworks.insert(framework.id.clone(), framework.clone()) {
            self.hash_out(&Record::Framework(former));
        }
        framework
    }

    /// Takes a framework out; its tasks and executors are gone already, its history stays.
    pub(crate) fn take_framework(&mut self, id: &FrameworkId) -> Option<Arc<Framework>> {
        let framework = self.frameworks.remove(id)?;
        self.hash_out(&Record::Framework(framework.clone()));
        Some(framework)
    }

    /// Remembers a removed framework; the oldest one and its history make room.
    pub(crate) fn push_completed_framework(&mut self, number: u64, completed: CompletedFramework) {
        let id = completed.framework.id.clone();
        let completed = Arc::new(completed);
        self.hash_in(&Record::CompletedFramework(number, completed.clone()));
        self.completed_frameworks.push(number, id, completed);
        while self.completed_frameworks.len() > COMPLETED_FRAMEWORKS_MAX
            && let Some(oldest) = self.completed_frameworks.oldest().cloned()
        {
            if let Some((number, evicted)) = self.completed_frameworks.remove(&oldest) {
                self.hash_out(&Record::CompletedFramework(number, evicted));
            }
            self.forget_history(&oldest);
        }
    }

    fn forget_history(&mut self, framework_id: &FrameworkId) {
        let Some(history) = self.histories.remove(framework_id) else {
            return;
        };
        for (number, task_id, task) in history.unreachable.iter_numbered() {
            self.unreachable_by_agent
                .remove(&(task.agent_id.clone(), framework_id.clone(), task_id.clone()));
            self.hash_out(&Record::UnreachableTask(number, task.clone()));
        }
        for (number, task) in &history.completed {
            self.hash_out(&Record::CompletedTask(*number, task.clone()));
        }
    }

    // Agents

    /// Admits an agent or replaces what is recorded of it; its total follows.
    pub(crate) fn put_agent(&mut self, record: AgentRecord) -> Arc<Agent> {
        let record = Arc::new(record);
        self.hash_in(&Record::Agent(record.clone()));
        let total = total_resources(&record);
        let agent = match self.agents.get(&record.id) {
            Some(former) => {
                let former = former.clone();
                self.agents_by_pid.remove(&(former.pid.clone(), former.id.clone()));
                self.hash_out(&Record::Agent(former.record.clone()));
                Agent {
                    record,
                    total,
                    ..Agent::clone(&former)
                }
            }
            None => Agent {
                record,
                total,
                used: Resources::new(),
                executors: OrdMap::new(),
            },
        };
        let agent = Arc::new(agent);
        self.agents_by_pid.insert((agent.pid.clone(), agent.id.clone()));
        self.agents.insert(agent.id.clone(), agent.clone());
        agent
    }

    /// Takes an admitted agent and its executors out; its tasks are gone already.
    pub(crate) fn take_agent(&mut self, id: &AgentId) -> Option<Arc<Agent>> {
        let agent = self.agents.remove(id)?;
        self.agents_by_pid.remove(&(agent.pid.clone(), agent.id.clone()));
        self.hash_out(&Record::Agent(agent.record.clone()));
        for executor in agent.executors.values() {
            self.hash_out(&Record::Executor(executor.clone()));
        }
        Some(agent)
    }

    /// Remembers an unreachable agent; the oldest one makes room.
    pub(crate) fn push_unreachable_agent(&mut self, number: u64, agent: UnreachableAgent) {
        let agent = Arc::new(agent);
        self.hash_in(&Record::UnreachableAgent(number, agent.clone()));
        self.unreachable_agents.push(number, agent.record.id.clone(), agent);
        while self.unreachable_agents.len() > UNREACHABLE_AGENTS_MAX
            && let Some(oldest) = self.unreachable_agents.oldest().cloned()
        {
            self.take_unreachable_agent(&oldest);
            self.take_operations(&oldest);
        }
    }

    /// Takes an unreachable agent out.
    pub(crate) fn take_unreachable_agent(&mut self, id: &AgentId) -> Option<Arc<UnreachableAgent>> {
        let (number, agent) = self.unreachable_agents.remove(id)?;
        self.hash_out(&Record::UnreachableAgent(number, agent.clone()));
        Some(agent)
    }

    /// Remembers a gone agent; the oldest one makes room.
    pub(crate) fn push_gone_agent(&mut self, number: u64, agent: GoneAgent) {
        let agent = Arc::new(agent);
        self.hash_in(&Record::GoneAgent(number, agent.clone()));
        self.gone_agents.push(number, agent.id.clone(), agent);
        while self.gone_agents.len() > GONE_AGENTS_MAX
            && let Some(oldest) = self.gone_agents.oldest().cloned()
            && let Some((number, evicted)) = self.gone_agents.remove(&oldest)
        {
            self.hash_out(&Record::GoneAgent(number, evicted));
        }
    }

    // Executors

    /// Adds or replaces an executor of an admitted agent; its resources are in use.
    pub(crate) fn put_executor(&mut self, executor: Executor) {
        let agent_id = executor.agent_id.clone();
        self.take_executor(&agent_id, &executor.framework_id, &executor.id);
        let Some(agent) = self.agents.get_mut(&agent_id) else {
            return;
        };
        let executor = Arc::new(executor);
        let agent = Arc::make_mut(agent);
        agent.used.add(&executor.resources);
        agent
            .executors
            .insert((executor.framework_id.clone(), executor.id.clone()), executor.clone());
        self.hash_in(&Record::Executor(executor));
    }

    /// Takes an executor out; its resources are free.
    pub(crate) fn take_executor(
        &mut self,
        agent_id: &AgentId,
        framework_id: &FrameworkId,
        executor_id: &ExecutorId,
    ) -> Option<Arc<Executor>> {
        let agent = Arc::make_mut(self.agents.get_mut(agent_id)?);
        let executor = agent.executors.remove(&(framework_id.clone(), executor_id.clone()))?;
        self.hash_out(&Record::Executor(executor.clone()));
        self.release(agent_id, &executor.resources);
        Some(executor)
    }

    // Tasks

    /// Adds a live task or replaces it; while it has not ended its resources are in use.
    pub(crate) fn put_task(&mut self, mut task: Task) -> Arc<Task> {
        self.share_resources(&mut task);
        let task = Arc::new(task);
        let key = (task.framework_id.clone(), task.id.clone());
        self.hash_in(&Record::Task(task.clone()));
        let former = self.tasks.insert(key.clone(), task.clone());
        let index = |task: &Task| (task.agent_id.clone(), key.0.clone(), key.1.clone());
        let mut in_use = None;
        if let Some(former) = &former {
            debug_assert!(
                task.is_terminal() || !former.is_terminal(),
                "task {} came back to life",
                task.id
            );
            debug_assert_eq!(former.agent_id, task.agent_id, "task {} moved", task.id);
            self.hash_out(&Record::Task(former.clone()));
            in_use = Some(former.clone()).filter(|former| !former.is_terminal());
        } else {
            self.tasks_by_agent.insert(index(&task));
        }
        match (in_use, task.is_terminal()) {
            (Some(former), true) => self.release(&former.agent_id, &former.resources),
            (None, false) => self.occupy(&task.agent_id, &task.resources),
            (Some(former), false) if former.resources != task.resources => {
                self.occupy(&task.agent_id, &task.resources);
                self.release(&former.agent_id, &former.resources);
            }
            (Some(_), false) | (None, true) => {}
        }
        task
    }

    /// A new task that needs the same as its neighbour in the framework shares the neighbour's list: most do.
    fn share_resources(&self, task: &mut Task) {
        let key = (task.framework_id.clone(), task.id.clone());
        let neighbour = self.tasks.get_prev(&key).or_else(|| self.tasks.get_next(&key));
        if let Some((_, neighbour)) = neighbour
            && neighbour.resources == task.resources
        {
            task.resources = neighbour.resources.clone();
        }
    }

    /// Takes a live task out; its resources are free.
    pub(crate) fn take_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<Arc<Task>> {
        let task = self.tasks.remove(&(framework_id.clone(), task_id.clone()))?;
        self.tasks_by_agent
            .remove(&(task.agent_id.clone(), framework_id.clone(), task_id.clone()));
        self.hash_out(&Record::Task(task.clone()));
        if !task.is_terminal() {
            self.release(&task.agent_id, &task.resources);
        }
        Some(task)
    }

    fn history_mut(&mut self, framework_id: &FrameworkId) -> &mut History {
        Arc::make_mut(self.histories.entry(framework_id.clone()).or_default())
    }

    /// Adds a task to its framework's unreachable list; the oldest one makes room.
    pub(crate) fn push_unreachable_task(&mut self, number: u64, task: Arc<Task>) {
        let framework_id = task.framework_id.clone();
        self.hash_in(&Record::UnreachableTask(number, task.clone()));
        self.unreachable_by_agent
            .insert((task.agent_id.clone(), framework_id.clone(), task.id.clone()));
        let unreachable = &mut self.history_mut(&framework_id).unreachable;
        unreachable.push(number, task.id.clone(), task);
        if unreachable.len() > UNREACHABLE_TASKS_PER_FRAMEWORK_MAX
            && let Some(oldest) = unreachable.oldest().cloned()
        {
            self.take_unreachable_task(&framework_id, &oldest);
        }
    }

    /// Takes a task out of its framework's unreachable list.
    pub(crate) fn take_unreachable_task(&mut self, framework_id: &FrameworkId, task_id: &TaskId) -> Option<Arc<Task>> {
        self.unreachable_task(framework_id, task_id)?;
        let (number, task) = self.history_mut(framework_id).unreachable.remove(task_id)?;
        self.unreachable_by_agent
            .remove(&(task.agent_id.clone(), framework_id.clone(), task_id.clone()));
        self.hash_out(&Record::UnreachableTask(number, task.clone()));
        Some(task)
    }

    /// Tasks in the unreachable lists that were on this agent.
    pub(crate) fn unreachable_tasks_of_agent(&self, agent_id: &AgentId) -> Vec<Arc<Task>> {
        let first = (agent_id.clone(), FrameworkId::from(""), TaskId::from(""));
        self.unreachable_by_agent
            .range(first..)
            .take_while(|(on, _, _)| on == agent_id)
            .filter_map(|(_, framework_id, task_id)| self.unreachable_task(framework_id, task_id).cloned())
            .collect()
    }

    /// Adds a task to its framework's completed list; the oldest one makes room.
    pub(crate) fn push_completed_task(&mut self, number: u64, task: Arc<Task>) {
        self.hash_in(&Record::CompletedTask(number, task.clone()));
        let history = self.history_mut(&task.framework_id.clone());
        history.latest_completed.insert(task.id.clone(), number);
        history.completed.insert(number, task);
        if history.completed.len() > COMPLETED_TASKS_PER_FRAMEWORK_MAX
            && let Some((oldest, evicted)) = history.completed.get_min().cloned()
        {
            history.completed.remove(&oldest);
            if history.latest_completed.get(&evicted.id) == Some(&oldest) {
                history.latest_completed.remove(&evicted.id);
            }
            self.hash_out(&Record::CompletedTask(oldest, evicted));
        }
    }

    // Quotas and weights

    /// Sets a role's quota; an empty one is removed.
    pub(crate) fn put_quota(&mut self, quota: Quota) {
        let quota = Quota::new(&quota.role, quota.guarantees, quota.limits);
        self.take_quota(&quota.role);
        if quota.is_empty() {
            return;
        }
        let quota = Arc::new(quota);
        self.hash_in(&Record::Quota(quota.clone()));
        self.quotas.insert(quota.role.clone(), quota);
    }

    /// Takes a role's quota out.
    pub(crate) fn take_quota(&mut self, role: &Arc<str>) -> Option<Arc<Quota>> {
        let quota = self.quotas.remove(role)?;
        self.hash_out(&Record::Quota(quota.clone()));
        Some(quota)
    }

    /// Sets a role's weight.
    pub(crate) fn put_weight(&mut self, weight: Weight) {
        let weight = Arc::new(weight);
        self.hash_in(&Record::Weight(weight.clone()));
        if let Some(former) = self.weights.insert(weight.role.clone(), weight) {
            self.hash_out(&Record::Weight(former));
        }
    }

    // Operations

    /// Adds or replaces an operation of an admitted or unreachable agent.
    pub(crate) fn put_operation(&mut self, operation: Operation) -> Arc<Operation> {
        let operation = Arc::new(operation);
        self.hash_in(&Record::Operation(operation.clone()));
        let key = (operation.agent_id.clone(), operation.number);
        if let Some(former) = self.operations.insert(key, operation.clone()) {
            self.hash_out(&Record::Operation(former));
        }
        operation
    }

    /// Takes an operation out: there is nothing more to do about it.
    pub(crate) fn take_operation(&mut self, operation: &Operation) {
        let key = (operation.agent_id.clone(), operation.number);
        if let Some(former) = self.operations.remove(&key) {
            self.hash_out(&Record::Operation(former));
        }
    }

    /// Takes all operations of an agent out that will not come back.
    pub(crate) fn take_operations(&mut self, agent_id: &AgentId) -> Vec<Arc<Operation>> {
        let operations: Vec<Arc<Operation>> = self.operations_of_agent(agent_id).cloned().collect();
        for operation in &operations {
            self.take_operation(operation);
        }
        operations
    }

    // Sums

    fn occupy(&mut self, agent_id: &AgentId, resources: &Resources) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            Arc::make_mut(agent).used.add(resources);
        }
    }

    /// Frees what a task or executor held that is no longer among those that hold something.
    fn release(&mut self, agent_id: &AgentId, resources: &Resources) {
        let Some(agent) = self.agents.get(agent_id) else { return };
        // Ranges and sets that overlap (a report may say so) cannot be subtracted, nor can sums that were cut off.
        let exact = resources.iter().all(|entry| matches!(entry.value(), Value::Scalar(_)))
            && agent.used.iter().all(|entry| entry.scalar() < i64::MAX);
        let mut used = agent.used.clone();
        if !exact || !used.subtract(resources) {
            used = self.recomputed_used(agent);
        }
        if let Some(agent) = self.agents.get_mut(agent_id) {
            Arc::make_mut(agent).used = used;
        }
    }

    /// Sum over an agent's executors and its tasks that have not ended.
    pub(crate) fn recomputed_used(&self, agent: &Agent) -> Resources {
        let executors = agent.executors.values().map(|executor| &executor.resources);
        let tasks = self
            .tasks_of_agent(&agent.id)
            .filter(|task| !task.is_terminal())
            .map(|task| &*task.resources);
        executors.chain(tasks).sum()
    }
}

/// Everything an agent has. What makes no sense was refused before it came here; if it does come, it counts as nothing.
pub(crate) fn total_resources(record: &AgentRecord) -> Resources {
    let checkpointed = record.checkpointed_resources.decode().unwrap_or_default().resources;
    let mut total = Resources::agent_total(&record.info.resources, &checkpointed)
        .or_else(|_| Resources::from_proto(&record.info.resources))
        .unwrap_or_default();
    for more in [&record.oversubscribed, &record.provider_resources]
        .into_iter()
        .flatten()
    {
        total.add(&decode_resources(more).unwrap_or_default());
    }
    total
}

/// The resources in a list. Errors: text that says what is wrong with them.
pub(crate) fn decode_resources(encoded: &EncodedResources) -> Result<Resources, String> {
    let message = encoded.decode().map_err(|error| error.to_string())?;
    Resources::from_proto(&message.resources).map_err(|error| error.to_string())
}
