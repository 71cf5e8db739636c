//! RegisterSlaveMessage and ReregisterSlaveMessage.
//!
//! Every drop is silent, as in Mesos: the agent tries again. Nothing is answered before what it says is committed;
//! an agent that comes back with nothing new costs no write.

use libprocess::Upid;
use master_core::command::AdmitAgent;
use master_core::ids::AgentId;
use master_core::{CommandKind, decide, validate};
use proto::internal::{
    MasterSlaveConnection, RegisterSlaveMessage, ReregisterSlaveMessage, ShutdownFrameworkMessage, ShutdownMessage,
    SlaveRegisteredMessage, SlaveReregisteredMessage, UpdateFrameworkMessage,
};
use tokio::time::Instant;

use super::Leadership;
use super::proposals::Pending;
use crate::metrics::Event;

/// The pid of a framework that speaks HTTP.
pub(super) const NO_PID: &str = "@0.0.0.0:0";

/// A reregistration on its way through the log.
#[derive(Debug)]
pub(crate) struct Reregistering {
    pub(super) agent_id: AgentId,
    pub(super) pid: Upid,
    pub(super) decision: decide::Reregistration,
    /// Whether a former leadership knew the agent, and this one has not seen it yet.
    pub(super) is_recovered: bool,
}

impl Leadership {
    fn connection(&self) -> Option<MasterSlaveConnection> {
        let seconds = self.context.config.total_ping_timeout().as_secs_f64();
        Some(MasterSlaveConnection {
            total_ping_timeout_seconds: Some(seconds),
        })
    }

    pub(super) fn register(&mut self, from: &Upid, message: RegisterSlaveMessage) {
        let pid = from.to_string();
        if self.registering.contains_key(&pid) {
            return;
        }
        if let Err(problem) = validate::register_agent(&message) {
            tracing::warn!(%from, problem, "dropping the registration of an agent");
            return;
        }
        if let Some(agent_id) = self.agents_by_pid.get(&pid)
            && self.agents.get(agent_id).is_some_and(|agent| agent.connected)
        {
            self.answer_registration(&agent_id.clone(), from);
            return;
        }
        let facts = decide::facts_of_registration(&message, &pid);
        match decide::registration(&self.registry, &facts) {
            decide::Registration::Known(agent_id) => {
                // Admitted before, but never told so.
                self.agent_connected(&agent_id, from);
                self.answer_registration(&agent_id, from);
            }
            decide::Registration::Admit { replaces } => {
                self.registering.insert(pid, Instant::now());
                let command = AdmitAgent { facts, replaces };
                self.propose(
                    CommandKind::AdmitAgent(command),
                    Pending::Register { pid: from.clone() },
                );
            }
        }
    }

    /// AdmitAgent was applied.
    pub(super) fn admitted(&mut self, agent_id: &AgentId, pid: &Upid) {
        self.registering.remove(&pid.to_string());
        tracing::info!(%agent_id, %pid, "agent registered");
        self.agent_connected(agent_id, pid);
        self.answer_registration(agent_id, pid);
    }

    fn answer_registration(&self, agent_id: &AgentId, pid: &Upid) {
        let answer = SlaveRegisteredMessage {
            slave_id: agent_id.to_proto(),
            connection: self.connection(),
        };
        self.send_to_pid(pid, &answer);
    }

    pub(super) fn reregister(&mut self, from: &Upid, message: ReregisterSlaveMessage) {
        let pid = from.to_string();
        if self.registering.contains_key(&pid) {
            return;
        }
        if let Err(problem) = validate::reregister_agent(&message) {
            tracing::warn!(%from, problem, "dropping the reregistration of an agent");
            return;
        }
        let Some(agent_id) = message.slave.id.as_ref().map(AgentId::from) else {
            return;
        };
        let decision = decide::reregistration(&self.registry, &message, &pid, &self.context.pid.to_string());
        if let Some(refusal) = &decision.refuse {
            tracing::warn!(%agent_id, %from, refusal, "refusing the reregistration of an agent");
            self.send_to_pid(
                from,
                &ShutdownMessage {
                    message: Some(refusal.clone()),
                },
            );
            return;
        }
        let command = decision.command.clone();
        let reregistering = Box::new(Reregistering {
            is_recovered: self.registry.agent(&agent_id).is_some() && !self.agents.contains_key(&agent_id),
            agent_id,
            pid: from.clone(),
            decision,
        });
        match command {
            Some(command) => {
                self.registering.insert(pid, Instant::now());
                self.propose(command, Pending::Reregister(reregistering));
            }
            None => self.reregistered(*reregistering),
        }
    }

    /// What the agent said is in the registry: it is told so, and gets whatever it missed.
    pub(super) fn reregistered(&mut self, reregistering: Reregistering) {
        let Reregistering {
            agent_id,
            pid,
            mut decision,
            is_recovered,
        } = reregistering;
        decision.bring_up_to_date(&self.registry, &agent_id);
        self.registering.remove(&pid.to_string());
        tracing::info!(%agent_id, %pid, "agent reregistered");
        let was_connected = self.agents.get(&agent_id).is_some_and(|agent| agent.connected);
        self.agent_connected(&agent_id, &pid);
        let answer = SlaveReregisteredMessage {
            slave_id: agent_id.to_proto(),
            reconciliations: std::mem::take(&mut decision.reconcile),
            connection: self.connection(),
        };
        self.send_to_pid(&pid, &answer);
        for framework_id in &decision.shutdown_frameworks {
            self.send_to_pid(
                &pid,
                &ShutdownFrameworkMessage {
                    framework_id: framework_id.to_proto(),
                },
            );
        }
        for framework_id in &decision.framework_updates {
            if let Some(framework) = self.registry.framework(framework_id) {
                let update = UpdateFrameworkMessage {
                    framework_id: framework_id.to_proto(),
                    pid: Some(NO_PID.to_owned()),
                    framework_info: Some(framework.info.message().as_ref().clone()),
                };
                self.send_to_pid(&pid, &update);
            }
        }
        let metrics = &self.context.metrics;
        metrics.event(Event::AgentReregistered);
        metrics.events(Event::RecoveredAgentReregistered, usize::from(is_recovered));
        metrics.events(
            Event::LaunchRedelivered,
            decision.resend.iter().map(|launch| launch.tasks.len()).sum(),
        );
        metrics.events(Event::KillRedelivered, decision.kill_again.len());
        // Before the launches, which may need what they make.
        let operations = decision.operations_to_send(&self.registry, &agent_id, was_connected);
        self.bring_reservations_up_to_date(&agent_id, &operations);
        for launch in decision.resend {
            self.send_tasks(&launch);
        }
        for kill in decision.kill_again {
            self.send_kill(&kill);
        }
    }
}
