//! What the agent tells a master about itself: registration, reregistration, totals; and reconciliation.

use proto::internal::archive;
use proto::internal::update_slave_message::{Operations, ResourceProviders};
use proto::internal::{
    ExecutorToFrameworkMessage, ReconcileTasksMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    UpdateFrameworkMessage, UpdateSlaveMessage,
};
use proto::v1::agent_info::{Capability, capability};
use proto::v1::executor::{Event, event};
use proto::v1::task_status::Reason;
use proto::v1::{AgentInfo, Resource, Task, Uuid};

use super::model::Verdict;
use super::updates::{dropped_or_lost, status_of};
use super::{Book, Effect, ExecutorKind, ExecutorState, Framework, TaskEntry};
use crate::config::MESOS_VERSION;
use crate::{messages, resources};

/// What this agent can do, as Mesos 1.12 agents say it.
const CAPABILITIES: [capability::Type; 8] = [
    capability::Type::MultiRole,
    capability::Type::HierarchicalRole,
    capability::Type::ReservationRefinement,
    capability::Type::ResourceProvider,
    capability::Type::ResizeVolume,
    capability::Type::AgentOperationFeedback,
    capability::Type::AgentDraining,
    capability::Type::TaskResourceLimits,
];

/// Completed tasks reported per completed framework; more would only make the report long.
const COMPLETED_TASKS_REPORTED_MAX: usize = 100;

impl Book {
    /// The message that (re)registers this agent: its name and encoded body.
    pub(crate) fn registration(&self) -> (&'static str, Vec<u8>) {
        use prost::Message as _;
        if self.info.id.is_some() {
            (messages::REREGISTER, self.reregister_message().encode_to_vec())
        } else {
            (messages::REGISTER, self.register_message().encode_to_vec())
        }
    }

    fn register_message(&self) -> RegisterSlaveMessage {
        RegisterSlaveMessage {
            slave: self.announced_info(),
            version: Some(MESOS_VERSION.to_owned()),
            checkpointed_resources: downgraded(&self.checkpointed_resources),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.version_uuid()),
            deduplicates_launches: Some(true),
        }
    }

    fn reregister_message(&self) -> ReregisterSlaveMessage {
        let mut message = ReregisterSlaveMessage {
            slave: self.announced_info(),
            version: Some(MESOS_VERSION.to_owned()),
            checkpointed_resources: downgraded(&self.checkpointed_resources),
            agent_capabilities: capabilities(),
            resource_version_uuid: Some(self.version_uuid()),
            deduplicates_launches: Some(true),
            ..Default::default()
        };
        for framework in self.frameworks.values() {
            if framework.executors.is_empty() {
                message.completed_frameworks.push(completed_framework(framework));
                continue;
            }
            message.frameworks.push(framework.info.clone());
            for executor in framework.executors.values() {
                message.tasks.extend(
                    executor
                        .tasks
                        .values()
                        .filter(|entry| !entry.completed)
                        .map(reported_task),
                );
                if executor.kind != ExecutorKind::Command && executor.state != ExecutorState::Terminated {
                    let mut info = executor.info.clone();
                    info.resources = downgraded(&info.resources);
                    message.executor_infos.push(info);
                }
            }
        }
        message
    }

    fn announced_info(&self) -> AgentInfo {
        AgentInfo {
            resources: downgraded(&self.info.resources),
            ..self.info.clone()
        }
    }

    fn version_uuid(&self) -> Uuid {
        Uuid {
            value: self.resource_version.clone(),
        }
    }

    /// A master has accepted the registration under `id`: remember it and tell the rest.
    pub(crate) fn registered(&mut self, id: &str) {
        if self.agent_id() != Some(id) {
            self.info.id = Some(id.into());
            self.save_agent();
        }
        self.is_connected = true;
        let message = UpdateSlaveMessage {
            slave_id: id.into(),
            oversubscribed_resources: Vec::new(),
            update_oversubscribed_resources: Some(false),
            operations: Some(Operations::default()),
            resource_version_uuid: Some(self.version_uuid()),
            resource_providers: Some(ResourceProviders::default()),
        };
        self.tell_master(messages::UPDATE_AGENT, &message);
        self.resend_updates();
        self.resend_operations();
    }

    /// No master is known any more: updates wait.
    pub(crate) fn disconnected(&mut self) {
        self.is_connected = false;
    }

    /// Answers a master that knows tasks which this agent did not report.
    pub(crate) fn reconcile(&mut self, message: &ReconcileTasksMessage) {
        let framework = &message.framework_id.value;
        for status in &message.statuses {
            let task = &status.task_id.value;
            if self.task_mut(framework, task).is_some() {
                continue;
            }
            self.denied.insert(framework, task);
            let info = message.framework.clone().unwrap_or_default();
            let text = "Reconciliation: task unknown to the agent";
            let verdict = Verdict::agent(dropped_or_lost(&info), Reason::Reconciliation, text);
            let status = status_of(task, verdict);
            self.update_task(framework, task, status);
        }
    }

    /// A framework changed or has a new scheduler.
    pub(crate) fn update_framework(&mut self, message: UpdateFrameworkMessage) {
        let id = message.framework_id.value;
        if !self.is_connected {
            return;
        }
        if let Some(known) = self.frameworks.get_mut(&id).filter(|known| !known.is_shut_down) {
            known.pid = message.pid.filter(|pid| libprocess::Upid::parse(pid).is_some());
            if let Some(info) = message.framework_info {
                known.info = info;
            }
            self.save_framework(&id);
        }
        self.resend_updates();
    }

    /// Passes a scheduler's message on to its executor.
    pub(crate) fn message_to_executor(&mut self, framework: &str, executor: &str, data: bytes::Bytes) {
        let run = self
            .frameworks
            .get(framework)
            .and_then(|known| known.executors.get(executor));
        let Some(run) = run.filter(|run| run.kind == ExecutorKind::Custom && run.is_subscribed) else {
            tracing::warn!(
                framework_id = framework,
                executor_id = executor,
                "dropped a message to an executor that does not listen"
            );
            return;
        };
        let event = Event {
            r#type: Some(event::Type::Message as i32),
            message: Some(event::Message { data }),
            ..Default::default()
        };
        self.effects.push(Effect::ToExecutor {
            container_id: run.container_id.clone(),
            event: Box::new(event),
        });
    }

    /// Passes an executor's message on to its scheduler: directly to old ones, through the master to the others.
    pub(super) fn message_to_framework(&mut self, framework: &str, executor: &str, data: bytes::Bytes) {
        let Some(agent_id) = self.info.id.clone() else { return };
        let message = ExecutorToFrameworkMessage {
            slave_id: agent_id,
            framework_id: framework.into(),
            executor_id: executor.into(),
            data,
        };
        match self.frameworks.get(framework).and_then(|known| known.pid.clone()) {
            Some(to) => {
                let body = prost::Message::encode_to_vec(&message).into();
                self.effects.push(Effect::ToActor {
                    to,
                    name: messages::EXECUTOR_TO_FRAMEWORK,
                    body,
                });
            }
            None => self.tell_master(messages::EXECUTOR_TO_FRAMEWORK, &message),
        }
    }
}

fn capabilities() -> Vec<Capability> {
    CAPABILITIES
        .iter()
        .map(|one| Capability {
            r#type: Some(*one as i32),
        })
        .collect()
}

fn downgraded(list: &[Resource]) -> Vec<Resource> {
    resources::downgraded(list)
}

fn reported_task(entry: &TaskEntry) -> Task {
    let mut task = entry.task.clone();
    task.resources = downgraded(&task.resources);
    if let Some(oldest) = entry.stream.oldest() {
        task.status_update_state = Some(oldest.status.state);
        task.status_update_uuid = oldest.uuid.clone();
    }
    task
}

fn completed_framework(framework: &Framework) -> archive::Framework {
    let tasks = framework.completed.iter().rev().flat_map(|run| run.tasks.values());
    archive::Framework {
        framework_info: framework.info.clone(),
        pid: framework.pid.clone(),
        tasks: tasks.take(COMPLETED_TASKS_REPORTED_MAX).map(reported_task).collect(),
    }
}
