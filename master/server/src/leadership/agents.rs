//! Connections of agents: links, pings, disconnection, and marking the silent ones unreachable.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::{Exited, Upid};
use master_core::allocator::AgentFacts;
use master_core::command::{LoseTasks, MarkAgentUnreachable};
use master_core::ids::{AgentId, FrameworkId};
use master_core::resources::Resources;
use master_core::{CommandKind, Timestamp};
use proto::internal::PingSlaveMessage;
use proto::v1::task_status::Reason;
use proto::v1::{TaskState, agent_info};
use tokio::time::Instant;

use super::Leadership;
use super::proposals::Pending;
use super::timers::Timer;

/// Agents marked unreachable in one go; the rest follow a moment later, so that a mass failure does not flood the log.
const UNREACHABLE_PER_TURN: usize = 100;

/// Pause between two such goes.
const UNREACHABLE_PAUSE: Duration = Duration::from_millis(250);

/// Soft state of an agent that registered or reregistered with this leadership.
#[derive(Debug)]
pub(super) struct AgentConnection {
    pub(super) pid: Upid,
    /// Generation of the outbound connection, so that the end of an older one does not count.
    link: u64,
    /// Whether the outbound connection stands.
    pub(super) connected: bool,
    /// Names this registration; pings of an older one stop.
    generation: u64,
    /// Names the disconnection that is being timed.
    disconnection: u64,
    /// Whether the last ping was answered.
    answered: bool,
    /// Unanswered pings in a row.
    missed: u32,
    /// Its unreachability is on its way through the log.
    pub(super) removing: bool,
    /// When it (re)registered with this leadership, microseconds of the wall clock.
    pub(super) registered_at: u64,
}

impl Leadership {
    /// The agent is registered, again or for the first time: links to it, offers its resources, starts to ping it.
    pub(super) fn agent_connected(&mut self, agent_id: &AgentId, pid: &Upid) {
        let generation = self.next_generation();
        let link = self.context.links.link(pid.address);
        let connection = AgentConnection {
            pid: pid.clone(),
            link,
            connected: true,
            generation,
            disconnection: 0,
            answered: true,
            missed: 0,
            removing: false,
            registered_at: self.context.seams.clock.now_micros(),
        };
        let former = self.agents.insert(agent_id.clone(), connection);
        if let Some(former) = &former {
            self.agents_by_pid.remove(&former.pid.to_string());
        }
        self.agents_by_pid.insert(pid.to_string(), agent_id.clone());
        if former.is_none() {
            self.add_agent_to_allocator(agent_id);
        } else {
            self.agent_total_changed(agent_id);
        }
        self.allocator.activate_agent(agent_id);
        self.timers
            .at(Instant::now(), Timer::Ping(agent_id.clone(), generation));
    }

    pub(super) fn add_agent_to_allocator(&mut self, agent_id: &AgentId) {
        let Some(agent) = self.registry.agent(agent_id).cloned() else {
            return;
        };
        let capabilities: Vec<agent_info::Capability> = agent
            .capabilities
            .iter()
            .map(|number| agent_info::Capability { r#type: Some(*number) })
            .collect();
        let facts = AgentFacts::from_info(&agent.info, &capabilities);
        let used = self.used_by_framework(agent_id);
        self.allocator
            .add_agent(agent_id.clone(), facts, agent.total.clone(), &used);
    }

    /// What tasks and executors of each framework use on an agent.
    fn used_by_framework(&self, agent_id: &AgentId) -> Vec<(FrameworkId, Resources)> {
        let mut used: BTreeMap<FrameworkId, Resources> = BTreeMap::new();
        for task in self
            .registry
            .tasks_of_agent(agent_id)
            .filter(|task| !task.is_terminal())
        {
            used.entry(task.framework_id.clone()).or_default().add(&task.resources);
        }
        if let Some(agent) = self.registry.agent(agent_id) {
            for ((framework_id, _), executor) in &agent.executors {
                used.entry(framework_id.clone()).or_default().add(&executor.resources);
            }
        }
        used.into_iter().collect()
    }

    /// Totals or uses changed other than by a launch or a recovery: the allocator counts the agent anew, once everything
    /// that was committed together is taken in.
    pub(super) fn agent_total_changed(&mut self, agent_id: &AgentId) {
        self.recounted.insert(agent_id.clone());
    }

    /// Makes the books of those agents anew from the registry.
    pub(super) fn recount_agents(&mut self) {
        while let Some(agent_id) = self.recounted.pop_first() {
            self.recount_agent(&agent_id);
        }
    }

    fn recount_agent(&mut self, agent_id: &AgentId) {
        if !self.agents.contains_key(agent_id) {
            return;
        }
        let active = self.agents.get(agent_id).is_some_and(|agent| agent.connected);
        self.rescind_offers_of_agent(agent_id);
        self.allocator.remove_agent(agent_id);
        self.add_agent_to_allocator(agent_id);
        if !active {
            self.allocator.deactivate_agent(agent_id);
        }
    }

    /// Sends a message from `master` to a registered agent; returns whether there is one to send to.
    pub(super) fn send_to_agent<M: prost::Message + prost::Name>(&self, agent_id: &AgentId, message: &M) -> bool {
        let Some(connection) = self.agents.get(agent_id) else {
            return false;
        };
        self.send_to_pid(&connection.pid, message);
        connection.connected
    }

    pub(super) fn send_to_pid<M: prost::Message + prost::Name>(&self, pid: &Upid, message: &M) {
        self.context
            .links
            .send("master", pid, &M::full_name(), message.encode_to_vec().into());
    }

    pub(super) fn ping_due(&mut self, agent_id: &AgentId, generation: u64, now: Instant) {
        let config = &self.context.config;
        let (interval, allowed) = (config.agent_ping_timeout, config.max_agent_ping_timeouts);
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        if agent.generation != generation {
            return;
        }
        if agent.answered {
            agent.missed = 0;
        } else {
            agent.missed += 1;
        }
        agent.answered = false;
        let connected = agent.connected;
        let silent = agent.missed >= allowed;
        self.send_to_agent(agent_id, &PingSlaveMessage { connected });
        self.timers
            .at(now + interval, Timer::Ping(agent_id.clone(), generation));
        if silent {
            self.mark_unreachable(agent_id, "health check timed out");
        }
    }

    pub(super) fn pong(&mut self, pid: &Upid) {
        if let Some(agent_id) = self.agents_by_pid.get(&pid.to_string())
            && let Some(agent) = self.agents.get_mut(agent_id)
        {
            agent.answered = true;
            agent.missed = 0;
        }
    }

    /// The outbound connection broke: every agent behind that address is disconnected.
    pub(super) fn agent_connection_exited(&mut self, exited: &Exited) {
        let ids: Vec<AgentId> = self
            .agents
            .iter()
            .filter(|(_, agent)| agent.link == exited.generation && agent.connected)
            .map(|(id, _)| id.clone())
            .collect();
        for agent_id in ids {
            self.disconnect_agent(&agent_id);
        }
    }

    fn disconnect_agent(&mut self, agent_id: &AgentId) {
        let disconnection = self.next_generation();
        let Some(agent) = self.agents.get_mut(agent_id) else {
            return;
        };
        tracing::info!(%agent_id, pid = %agent.pid, "agent disconnected");
        agent.connected = false;
        agent.disconnection = disconnection;
        self.rescind_offers_of_agent(agent_id);
        self.allocator.deactivate_agent(agent_id);
        let deadline = Instant::now() + self.context.config.agent_reregister_timeout;
        self.timers
            .at(deadline, Timer::ReregisterTimeout(agent_id.clone(), disconnection));
        self.lose_tasks_without_checkpoint(agent_id);
    }

    /// Tasks of frameworks that do not checkpoint die with the connection.
    fn lose_tasks_without_checkpoint(&mut self, agent_id: &AgentId) {
        let does_not_checkpoint = |framework_id| {
            self.registry
                .framework(framework_id)
                .is_some_and(|framework| !framework.info.checkpoint())
        };
        let tasks: Vec<_> = self
            .registry
            .tasks_of_agent(agent_id)
            .filter(|task| !task.state.is_terminal() && does_not_checkpoint(&task.framework_id))
            .map(|task| (task.framework_id.clone(), task.id.clone()))
            .collect();
        let executors: Vec<_> = self.registry.agent(agent_id).map_or_else(Vec::new, |agent| {
            agent
                .executors
                .keys()
                .filter(|(framework_id, _)| does_not_checkpoint(framework_id))
                .cloned()
                .collect()
        });
        if tasks.is_empty() && executors.is_empty() {
            return;
        }
        let command = LoseTasks {
            agent_id: agent_id.clone(),
            tasks,
            executors,
            state: TaskState::TaskLost,
            reason: Reason::AgentDisconnected,
            message: "Slave disconnected".to_owned(),
        };
        self.propose(CommandKind::LoseTasks(command), Pending::Nobody);
    }

    pub(super) fn reregister_timeout(&mut self, agent_id: &AgentId, disconnection: u64) {
        let late = self
            .agents
            .get(agent_id)
            .is_some_and(|agent| !agent.connected && agent.disconnection == disconnection);
        if late {
            self.mark_unreachable(agent_id, "agent did not reregister within agent_reregister_timeout");
        }
    }

    fn mark_unreachable(&mut self, agent_id: &AgentId, why: &str) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            if agent.removing {
                return;
            }
            agent.removing = true;
        }
        tracing::info!(%agent_id, why, "marking agent unreachable");
        let since = Timestamp(self.context.seams.clock.now_micros());
        let command = MarkAgentUnreachable {
            agent_id: agent_id.clone(),
            since,
        };
        self.propose(
            CommandKind::MarkAgentUnreachable(command),
            Pending::Unreachable(agent_id.clone()),
        );
    }

    /// The proposal failed; the next missed ping or timeout tries again.
    pub(super) fn unreachable_not_marked(&mut self, agent_id: &AgentId) {
        if let Some(agent) = self.agents.get_mut(agent_id) {
            agent.removing = false;
        }
    }

    /// Agents of the registry that have not come back to this leadership in time.
    pub(super) fn recovered_agents_due(&mut self, now: Instant) {
        let missing: Vec<AgentId> = self
            .registry
            .agents()
            .map(|agent| &agent.id)
            .filter(|agent_id| !self.agents.contains_key(*agent_id))
            .take(UNREACHABLE_PER_TURN)
            .cloned()
            .collect();
        for agent_id in &missing {
            self.mark_unreachable(agent_id, "agent did not reregister after the failover");
        }
        if !missing.is_empty() {
            self.timers.at(now + UNREACHABLE_PAUSE, Timer::RecoveredAgents);
        }
    }

    /// The agent is no longer admitted.
    pub(super) fn forget_agent(&mut self, agent_id: &AgentId) {
        self.rescind_offers_of_agent(agent_id);
        if let Some(agent) = self.agents.remove(agent_id) {
            self.agents_by_pid.remove(&agent.pid.to_string());
            let shared = self.agents.values().any(|other| other.pid.address == agent.pid.address);
            if !shared {
                self.context.links.unlink(agent.pid.address);
            }
        }
        self.allocator.remove_agent(agent_id);
    }
}
