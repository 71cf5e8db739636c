//! What always holds, checked from outside the functions that are meant to keep it.

use crate::registry::store::decode_resources;
use crate::registry::{
    COMPLETED_FRAMEWORKS_MAX, COMPLETED_TASKS_PER_FRAMEWORK_MAX, Registry, UNREACHABLE_TASKS_PER_FRAMEWORK_MAX,
};
use crate::resources::Resources;

impl Registry {
    /// Checks every invariant named in the module documentation. Costs a walk over all records.
    ///
    /// Errors: the first one that does not hold, with the object.
    pub fn check_invariants(&self) -> Result<(), String> {
        self.check_sums()?;
        self.check_agents()?;
        self.check_tasks()?;
        self.check_lists()?;
        self.check_quotas()?;
        self.check_operations()?;
        let (kept, recomputed) = (self.state_hash(), self.recomputed_state_hash());
        if kept != recomputed {
            return Err(format!(
                "the state hash is kept as {kept:032x}, but the records give {recomputed:032x}"
            ));
        }
        Ok(())
    }

    /// The cheap ones, after every command in debug builds: indexes are as long as what they index.
    pub(crate) fn check_sums(&self) -> Result<(), String> {
        if self.tasks.len() != self.tasks_by_agent.len() {
            return Err(format!(
                "{} tasks, but {} in the index by agent",
                self.tasks.len(),
                self.tasks_by_agent.len()
            ));
        }
        Ok(())
    }

    fn check_agents(&self) -> Result<(), String> {
        if self.agents.len() != self.agents_by_pid.len() {
            return Err(format!(
                "{} agents, but {} in the index by address",
                self.agents.len(),
                self.agents_by_pid.len()
            ));
        }
        for agent in self.agents() {
            if !self.agents_at(&agent.pid).any(|indexed| indexed.id == agent.id) {
                return Err(format!("agent {} is not in the index by address", agent.id));
            }
            if self.unreachable_agent(&agent.id).is_some() || self.gone_agent(&agent.id).is_some() {
                return Err(format!("agent {} is admitted and unreachable or gone", agent.id));
            }
            let used = self.recomputed_used(agent);
            if used != agent.used {
                return Err(format!(
                    "agent {} uses {}, its tasks and executors use {used}",
                    agent.id, agent.used
                ));
            }
            for (framework_id, executor_id) in agent.executors.keys() {
                if self.framework(framework_id).is_none() {
                    return Err(format!(
                        "executor {executor_id} on {} of unknown framework {framework_id}",
                        agent.id
                    ));
                }
            }
        }
        for agent in self.unreachable_agents() {
            if self.gone_agent(&agent.record.id).is_some() {
                return Err(format!("agent {} is unreachable and gone", agent.record.id));
            }
        }
        Ok(())
    }

    fn check_operations(&self) -> Result<(), String> {
        for agent in self.agents() {
            let record = agent.record();
            let checkpointed = decode_resources(&record.checkpointed_resources)?;
            if !agent.total.contains(&checkpointed) {
                return Err(format!(
                    "agent {} has {}, which lacks its reservations {checkpointed}",
                    agent.id, agent.total
                ));
            }
            let mut plain = Resources::from_proto(&record.info.resources).map_err(|error| error.to_string())?;
            for more in [&record.oversubscribed, &record.provider_resources]
                .into_iter()
                .flatten()
            {
                plain.add(&decode_resources(more)?);
            }
            if plain.quantities() != agent.total.quantities() {
                return Err(format!(
                    "agent {} has {}, not the quantities of {plain}",
                    agent.id, agent.total
                ));
            }
        }
        for ((agent_id, number), operation) in &self.operations {
            if operation.agent_id != *agent_id || operation.number != *number {
                return Err(format!(
                    "operation {number} of agent {agent_id} is kept under another name"
                ));
            }
            if self.agent(agent_id).is_none() && self.unreachable_agent(agent_id).is_none() {
                return Err(format!("operation {number} is of agent {agent_id}, which is not known"));
            }
        }
        Ok(())
    }

    fn check_tasks(&self) -> Result<(), String> {
        for ((framework_id, task_id), task) in &self.tasks {
            if self.framework(framework_id).is_none() {
                return Err(format!("task {task_id} of unknown framework {framework_id}"));
            }
            if self.agent(&task.agent_id).is_none() {
                return Err(format!(
                    "task {task_id} on agent {}, which is not admitted",
                    task.agent_id
                ));
            }
            if self.unreachable_task(framework_id, task_id).is_some() {
                return Err(format!("task {task_id} of {framework_id} is live and unreachable"));
            }
            let key = (task.agent_id.clone(), framework_id.clone(), task_id.clone());
            if !self.tasks_by_agent.contains(&key) {
                return Err(format!("task {task_id} of {framework_id} is not in the index by agent"));
            }
            if task.status_update_state.is_some() != task.status_update_uuid.is_some() {
                return Err(format!(
                    "task {task_id} of {framework_id} has an update without uuid, or the reverse"
                ));
            }
        }
        Ok(())
    }

    fn check_quotas(&self) -> Result<(), String> {
        for quota in self.quotas() {
            if quota.is_empty() || quota.role.contains('/') {
                return Err(format!("role '{}' cannot have the quota {quota:?}", quota.role));
            }
            quota.check()?;
        }
        self.weights().try_for_each(|weight| weight.check())
    }

    fn check_lists(&self) -> Result<(), String> {
        if self.completed_frameworks.len() > COMPLETED_FRAMEWORKS_MAX {
            return Err(format!(
                "{} completed frameworks are kept",
                self.completed_frameworks.len()
            ));
        }
        let consistent = self.completed_frameworks.is_consistent()
            && self.unreachable_agents.is_consistent()
            && self.gone_agents.is_consistent();
        if !consistent {
            return Err("a bounded list and its index differ".to_owned());
        }
        let mut unreachable = 0;
        for (framework_id, history) in &self.histories {
            unreachable += history.unreachable.len();
            if history.unreachable.len() > UNREACHABLE_TASKS_PER_FRAMEWORK_MAX
                || history.completed.len() > COMPLETED_TASKS_PER_FRAMEWORK_MAX
            {
                return Err(format!("the history of framework {framework_id} is too long"));
            }
            if !history.unreachable.is_consistent() {
                return Err(format!(
                    "the unreachable tasks of {framework_id} and their index differ"
                ));
            }
        }
        if unreachable != self.unreachable_by_agent.len() {
            return Err(format!(
                "{unreachable} unreachable tasks, {} in the index",
                self.unreachable_by_agent.len()
            ));
        }
        Ok(())
    }
}
