//! Records become a registry again. They are put in without the checks and sums of `store.rs`, which cost a lookup or two
//! per record: indexes and sums are built in one go at the end.
//!
//! The order of the records only matters in so far as what others refer to comes first. Whatever comes, there is a registry
//! or an error; every record is in it exactly once, so that its state hash is the sum of theirs.

#[allow(clippy::disallowed_types)] // Only looked up, never walked: its order cannot be seen.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;
use std::thread;

use imbl::{OrdMap, OrdSet};

use super::decoding::{DecodedFrame, Item};
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::record::Record;
use crate::registry::store::total_resources;
use crate::registry::{
    Agent, AgentRecord, COMPLETED_FRAMEWORKS_MAX, COMPLETED_TASKS_PER_FRAMEWORK_MAX, Cluster, Executor,
    GONE_AGENTS_MAX, History, Registry, Task, UNREACHABLE_AGENTS_MAX, UNREACHABLE_TASKS_PER_FRAMEWORK_MAX,
};
use crate::resources::Resources;

/// Fewer tasks are not worth a second thread.
const TASKS_ALONE_MAX: usize = 10_000;

/// A registry that is not whole yet.
#[derive(Default)]
pub(super) struct Assembly {
    /// Without agents, live tasks and their indexes.
    registry: Registry,
    /// Records put in.
    pub(super) records: u64,
    agents: Vec<AssembledAgent>,
    /// Where an agent is in `agents`.
    #[allow(clippy::disallowed_types)] // As above.
    places: HashMap<AgentId, usize>,
    tasks: OrdMap<(FrameworkId, TaskId), Arc<Task>>,
    /// That of the last task.
    framework_id: Option<FrameworkId>,
    /// The live tasks as they came, each with the place of its agent.
    placed: Vec<(usize, Arc<Task>)>,
}

struct AssembledAgent {
    record: Arc<AgentRecord>,
    total: Resources,
    /// By its executors.
    used: Resources,
    executors: OrdMap<(FrameworkId, ExecutorId), Arc<Executor>>,
}

impl Assembly {
    /// Puts the records of the next frame in. Errors: what of it does not fit.
    pub(super) fn take(&mut self, frame: DecodedFrame) -> Result<(), String> {
        self.registry.records_hash = self.registry.records_hash.wrapping_add(frame.hash);
        for item in frame.items {
            match item {
                Item::Agent(record, total) => self.put_agent(record, total)?,
                Item::Other(record) => self.put(record)?,
            }
            self.records += 1;
        }
        frame.damage.map_or(Ok(()), Err)
    }

    fn put_agent(&mut self, record: Arc<AgentRecord>, total: Resources) -> Result<(), String> {
        match self.places.entry(record.id.clone()) {
            Entry::Occupied(_) => return Err(format!("agent {} is there twice", record.id)),
            Entry::Vacant(vacant) => vacant.insert(self.agents.len()),
        };
        self.agents.push(AssembledAgent {
            record,
            total,
            used: Resources::new(),
            executors: OrdMap::new(),
        });
        Ok(())
    }

    fn put_task(&mut self, mut task: Arc<Task>) -> Result<(), String> {
        // A task without its agent breaks an invariant, but is kept: it stands after all others.
        let place = self.share_ids(&mut task).unwrap_or(usize::MAX);
        let key = (task.framework_id.clone(), task.id.clone());
        if self.tasks.insert(key, task.clone()).is_some() {
            return Err(format!("task {} of {} is there twice", task.id, task.framework_id));
        }
        self.placed.push((place, task));
        Ok(())
    }

    /// A million tasks share the ids of their few frameworks and agents with these. Returns the place of its agent.
    fn share_ids(&mut self, task: &mut Arc<Task>) -> Option<usize> {
        let task = Arc::make_mut(task);
        match &self.framework_id {
            Some(same) if *same == task.framework_id => task.framework_id = same.clone(),
            _ => {
                if let Some(framework) = self.registry.frameworks.get(&task.framework_id) {
                    task.framework_id = framework.id.clone();
                }
                self.framework_id = Some(task.framework_id.clone());
            }
        }
        let place = self.places.get(&task.agent_id).copied()?;
        task.agent_id = self.agents.get(place)?.record.id.clone();
        Some(place)
    }

    fn put(&mut self, record: Record) -> Result<(), String> {
        let registry = &mut self.registry;
        match record {
            Record::Cluster(cluster) => *registry.cluster_mut() = Cluster::from(cluster),
            Record::Framework(framework) => {
                let id = framework.id.clone();
                if registry.frameworks.insert(id.clone(), framework).is_some() {
                    return Err(format!("framework {id} is there twice"));
                }
            }
            Record::CompletedFramework(number, completed) => {
                let (list, id) = (&mut registry.completed_frameworks, completed.framework.id.clone());
                list.put_back(number, id, completed, COMPLETED_FRAMEWORKS_MAX)?;
            }
            Record::UnreachableAgent(number, agent) => {
                let (list, id) = (&mut registry.unreachable_agents, agent.record.id.clone());
                list.put_back(number, id, agent, UNREACHABLE_AGENTS_MAX)?;
            }
            Record::GoneAgent(number, agent) => {
                let (list, id) = (&mut registry.gone_agents, agent.id.clone());
                list.put_back(number, id, agent, GONE_AGENTS_MAX)?;
            }
            Record::Executor(executor) => {
                let agent = self.places.get(&executor.agent_id);
                let agent = agent.and_then(|place| self.agents.get_mut(*place)).ok_or_else(|| {
                    format!(
                        "executor {} is on agent {}, which is not admitted",
                        executor.id, executor.agent_id
                    )
                })?;
                agent.used.add(&executor.resources);
                let key = (executor.framework_id.clone(), executor.id.clone());
                if agent.executors.insert(key, executor).is_some() {
                    return Err(format!("an executor of agent {} is there twice", agent.record.id));
                }
            }
            Record::UnreachableTask(number, mut task) => {
                self.share_ids(&mut task);
                self.put_unreachable_task(number, task)?;
            }
            Record::CompletedTask(number, mut task) => {
                self.share_ids(&mut task);
                self.put_completed_task(number, task)?;
            }
            Record::Quota(quota) => {
                let role = quota.role.clone();
                if quota.is_empty() || registry.quotas.insert(role.clone(), quota).is_some() {
                    return Err(format!("the quota of role '{role}' is empty or there twice"));
                }
            }
            Record::Weight(weight) => {
                let role = weight.role.clone();
                if registry.weights.insert(role.clone(), weight).is_some() {
                    return Err(format!("the weight of role '{role}' is there twice"));
                }
            }
            Record::Operation(operation) => {
                let key = (operation.agent_id.clone(), operation.number);
                if registry.operations.insert(key, operation.clone()).is_some() {
                    return Err(format!(
                        "operation {} of agent {} is there twice",
                        operation.number, operation.agent_id
                    ));
                }
            }
            Record::Agent(agent) => {
                let total = total_resources(&agent);
                self.put_agent(agent, total)?;
            }
            Record::Task(task) => self.put_task(task)?,
        }
        Ok(())
    }

    fn put_unreachable_task(&mut self, number: u64, task: Arc<Task>) -> Result<(), String> {
        let (framework_id, task_id) = (task.framework_id.clone(), task.id.clone());
        let index = (task.agent_id.clone(), framework_id.clone(), task_id.clone());
        self.registry.unreachable_by_agent.insert(index);
        let history = self.history_mut(&framework_id);
        let list = &mut history.unreachable;
        list.put_back(number, task_id, task, UNREACHABLE_TASKS_PER_FRAMEWORK_MAX)
    }

    fn put_completed_task(&mut self, number: u64, task: Arc<Task>) -> Result<(), String> {
        let framework_id = task.framework_id.clone();
        let history = self.history_mut(&framework_id);
        history.latest_completed.insert(task.id.clone(), number);
        if history.completed.insert(number, task).is_some() {
            return Err(format!("two completed tasks of {framework_id} have number {number}"));
        }
        if history.completed.len() > COMPLETED_TASKS_PER_FRAMEWORK_MAX {
            return Err(format!("the completed tasks of {framework_id} are too many"));
        }
        Ok(())
    }

    fn history_mut(&mut self, framework_id: &FrameworkId) -> &mut History {
        Arc::make_mut(self.registry.histories.entry(framework_id.clone()).or_default())
    }
}

impl Assembly {
    /// The whole registry. Errors: a thread cannot be started.
    pub(super) fn finish(self) -> io::Result<Registry> {
        let Assembly {
            mut registry,
            agents,
            tasks,
            mut placed,
            ..
        } = self;
        registry.tasks = tasks;
        // Stable: the tasks of an agent stay in the order of frameworks and ids, which is that of the index.
        placed.sort_by_key(|(place, _)| *place);
        if placed.len() < TASKS_ALONE_MAX {
            put_agents(&mut registry, agents, &placed);
            registry.tasks_by_agent = index_by_agent(&placed);
            return Ok(registry);
        }
        thread::scope(|scope| {
            let index = thread::Builder::new().spawn_scoped(scope, || index_by_agent(&placed))?;
            put_agents(&mut registry, agents, &placed);
            registry.tasks_by_agent = index.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            Ok(registry)
        })
    }
}

fn put_agents(registry: &mut Registry, agents: Vec<AssembledAgent>, placed: &[(usize, Arc<Task>)]) {
    for agent in with_sums(agents, placed) {
        registry.agents_by_pid.insert((agent.pid.clone(), agent.id.clone()));
        registry.agents.insert(agent.id.clone(), agent);
    }
}

fn index_by_agent(placed: &[(usize, Arc<Task>)]) -> OrdSet<(AgentId, FrameworkId, TaskId)> {
    placed
        .iter()
        .map(|(_, task)| (task.agent_id.clone(), task.framework_id.clone(), task.id.clone()))
        .collect()
}

/// The agents with what their executors and tasks use; `placed` is sorted.
fn with_sums(agents: Vec<AssembledAgent>, placed: &[(usize, Arc<Task>)]) -> impl Iterator<Item = Arc<Agent>> {
    let mut rest = placed;
    agents.into_iter().enumerate().map(move |(place, agent)| {
        let count = rest.iter().take_while(|(at, _)| *at == place).count();
        let (own, after) = rest.split_at(count);
        rest = after;
        let mut used = agent.used;
        for (_, task) in own.iter().filter(|(_, task)| !task.is_terminal()) {
            used.add(&task.resources);
        }
        Arc::new(Agent {
            record: agent.record,
            total: agent.total,
            used,
            executors: agent.executors,
        })
    })
}
