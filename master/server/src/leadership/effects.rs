//! What a committed command makes this leadership do. The only place that talks to agents and frameworks on behalf of
//! the registry; everything here is idempotent at its receiver.

use libprocess::HttpResponse;
use master_core::effect::{SendKill, SendTasks};
use master_core::ids::FrameworkId;
use master_core::{Applied, Effect, Outcome, Rejection};
use planted::{Bug, is_planted};
use proto::internal::{
    KillTaskMessage, ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage, ShutdownFrameworkMessage,
    ShutdownMessage, StatusUpdate, StatusUpdateAcknowledgementMessage, UpdateFrameworkMessage,
};
use proto::v1::scheduler::{Event, event};
use proto::v1::{TaskGroupInfo, TaskInfo, Uuid};

use super::Leadership;
use super::proposals::Pending;
use super::registration::NO_PID;
use super::stream::event;

impl Leadership {
    /// First the effects, then the caller's answer: whoever hears `202` finds everything under way.
    pub(super) fn outcome(&mut self, pending: Option<Pending>, applied: Applied) {
        let Applied {
            outcome,
            effects,
            events: _,
        } = applied;
        if let Some(Pending::StatusUpdate(framework_id, task_id, uuid)) = &pending {
            self.updating
                .remove(&(framework_id.clone(), task_id.clone(), uuid.clone()));
        }
        match (&pending, &outcome) {
            (
                _,
                Outcome::TasksLaunched {
                    launched, executors, ..
                },
            ) => {
                self.account_launch(pending.as_ref(), launched, executors);
            }
            // The framework was removed meanwhile: nothing was launched.
            (Some(Pending::Launch { .. }), _) => self.account_launch(pending.as_ref(), &[], &[]),
            (Some(Pending::Operation(operation)), outcome) => self.account_operation(operation, outcome),
            (Some(Pending::OperatorOperation(operation)), outcome) => self.account_operator(operation, outcome),
            // Of an earlier leadership of this replica.
            (_, Outcome::OperationApplied { agent_id }) => self.agent_total_changed(agent_id),
            _ => {}
        }
        for effect in effects {
            self.perform(effect);
        }
        match &outcome {
            Outcome::FrameworkRemoved { framework_id, .. } => self.forget_framework(framework_id),
            Outcome::FrameworkUpdated { framework_id, .. } => {
                self.framework_to_allocator(framework_id);
                self.rescind_foreign_roles(framework_id);
            }
            Outcome::QuotaUpdated { roles } => self.quotas_changed(roles),
            Outcome::WeightsUpdated { roles } => self.weights_changed(roles),
            _ => {}
        }
        match pending {
            Some(pending) => self.answer(pending, outcome),
            None => self.nobody_waits(&outcome),
        }
    }

    /// The soft side of a command whose caller is gone, or that an earlier leadership of this replica proposed.
    fn nobody_waits(&mut self, outcome: &Outcome) {
        if let Outcome::FrameworkSubscribed { framework_id, .. } = outcome
            && !self.frameworks.contains_key(framework_id)
        {
            self.frameworks
                .insert(framework_id.clone(), super::FrameworkConnection::default());
            self.framework_to_allocator(framework_id);
            self.disconnect_framework(framework_id);
        }
    }

    fn answer(&mut self, pending: Pending, outcome: Outcome) {
        match (pending, outcome) {
            (Pending::Subscribe(subscription), Outcome::FrameworkSubscribed { framework_id, .. }) => {
                self.subscribed(&framework_id, *subscription);
            }
            (Pending::Subscribe(subscription), outcome) => {
                self.refuse_subscription(*subscription, &rejection_text(&outcome));
            }
            (Pending::Call(reply), _) => reply.send(HttpResponse::new(202)),
            (Pending::OperatorOperation(operation), outcome) => operation.answer(&outcome),
            (Pending::Answered(reply, answering), outcome) => reply.send(answering(&outcome)),
            (Pending::Register { pid }, Outcome::AgentAdmitted { agent_id }) => self.admitted(&agent_id, &pid),
            (Pending::Register { pid }, outcome) => {
                self.registering.remove(&pid.to_string());
                tracing::warn!(%pid, problem = rejection_text(&outcome), "the registration of an agent was refused");
            }
            (Pending::Reregister(reregistering), Outcome::AgentReregistered { .. }) => {
                self.reregistered(*reregistering);
            }
            (Pending::Reregister(reregistering), outcome) => {
                self.registering.remove(&reregistering.pid.to_string());
                let problem = rejection_text(&outcome);
                tracing::warn!(agent_id = %reregistering.agent_id, problem, "the reregistration of an agent was refused");
                if matches!(outcome, Outcome::Rejected(Rejection::AgentGone)) {
                    self.send_to_pid(&reregistering.pid, &ShutdownMessage { message: Some(problem) });
                }
            }
            (Pending::Unreachable(agent_id), Outcome::Rejected(_)) => self.unreachable_not_marked(&agent_id),
            // A launch is answered when the last command of its ACCEPT is done: its reply is dropped here.
            (
                Pending::Launch { .. }
                | Pending::Operation(_)
                | Pending::ReconcileOperations(..)
                | Pending::Unreachable(_)
                | Pending::StatusUpdate(..)
                | Pending::Reconcile(..)
                | Pending::Nobody,
                _,
            ) => {}
        }
    }

    /// A quorum confirmed that this replica led when asked.
    pub(super) fn confirmed(&mut self, pending: Pending) {
        match pending {
            Pending::Subscribe(subscription) => {
                let Some(framework_id) = subscription.framework_id.clone() else {
                    return;
                };
                if self.registry.framework(&framework_id).is_some() {
                    self.subscribed(&framework_id, *subscription);
                } else {
                    // Removed while the quorum was asked.
                    self.refuse_subscription(*subscription, &Rejection::FrameworkRemoved.to_string());
                }
            }
            Pending::Reconcile(framework_id, tasks, reply) => self.reconcile(&framework_id, &tasks, reply),
            Pending::ReconcileOperations(framework_id, operations, reply) => {
                self.reconcile_operations(&framework_id, &operations, reply);
            }
            other => tracing::error!(pending = ?other, "confirmed a read that nobody asked for"),
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::SendTasks(launch) => self.send_tasks(&launch),
            Effect::SendKill(kill) => self.send_kill(&kill),
            Effect::ForwardStatus { framework_id, update } => {
                self.acknowledge_in_place_of_framework(&framework_id, &update);
                self.forward_status(&framework_id, *update);
            }
            Effect::AcknowledgeToAgent {
                agent_id,
                framework_id,
                task_id,
                uuid,
            } => {
                let message = StatusUpdateAcknowledgementMessage {
                    slave_id: agent_id.to_proto(),
                    framework_id: framework_id.to_proto(),
                    task_id: task_id.to_proto(),
                    uuid: uuid.to_vec().into(),
                };
                self.send_to_agent(&agent_id, &message);
            }
            Effect::BroadcastFrameworkUpdate { framework_id } => self.broadcast_framework_update(&framework_id),
            Effect::BroadcastFrameworkShutdown { framework_id } => {
                let message = ShutdownFrameworkMessage {
                    framework_id: framework_id.to_proto(),
                };
                for agent in self.agents.values() {
                    self.send_to_pid(&agent.pid, &message);
                }
            }
            Effect::ShutdownAgent { agent_id, message } => {
                self.send_to_agent(&agent_id, &ShutdownMessage { message: Some(message) });
            }
            Effect::AgentLost { agent_id } => {
                self.forget_agent(&agent_id);
                let failure = event::Failure {
                    agent_id: Some(agent_id.to_proto()),
                    ..event::Failure::default()
                };
                let lost = Event {
                    failure: Some(failure),
                    ..event(event::Type::Failure)
                };
                let frameworks: Vec<FrameworkId> = self.frameworks.keys().cloned().collect();
                for framework_id in frameworks {
                    self.send_event(&framework_id, &lost);
                }
            }
            Effect::ExecutorExited {
                framework_id,
                agent_id,
                executor_id,
                status,
            } => {
                let failure = event::Failure {
                    agent_id: Some(agent_id.to_proto()),
                    executor_id: Some(executor_id.to_proto()),
                    status: Some(status),
                };
                let exited = Event {
                    failure: Some(failure),
                    ..event(event::Type::Failure)
                };
                self.send_event(&framework_id, &exited);
            }
            Effect::RecoverResources {
                framework_id,
                agent_id,
                resources,
            } => {
                let unknown = self.allocator.recover_used(&framework_id, &agent_id, &resources);
                if !unknown.is_empty() {
                    // An agent that has not come back to this leadership is not in the allocator yet.
                    tracing::debug!(%framework_id, %agent_id, %unknown, "resources freed that were not held");
                }
            }
            Effect::AgentTotalChanged { agent_id } => self.agent_total_changed(&agent_id),
            Effect::SendOperation { operation } => self.send_operation(&operation),
            Effect::CheckpointResources { agent_id } => self.send_checkpointed_resources(&agent_id),
            Effect::ForwardOperationStatus { framework_id, status } => {
                self.forward_operation_status(&framework_id, *status);
            }
            Effect::AcknowledgeOperation {
                agent_id,
                status_uuid,
                operation_uuid,
            } => self.acknowledge_operation(&agent_id, &status_uuid, &operation_uuid),
        }
    }

    /// What only planted bugs do.
    fn acknowledge_in_place_of_framework(&self, framework_id: &FrameworkId, update: &StatusUpdate) {
        let is_away = || self.frameworks.get(framework_id).is_none_or(|it| it.stream.is_none());
        let is_wanted = is_planted(Bug::AcknowledgeForFramework) || (is_planted(Bug::TaskUpdateDropped) && is_away());
        if !is_wanted {
            return;
        }
        let (Some(slave_id), Some(uuid)) = (update.slave_id.clone(), update.uuid.clone()) else {
            return;
        };
        let message = StatusUpdateAcknowledgementMessage {
            slave_id: slave_id.clone(),
            framework_id: update.framework_id.clone(),
            task_id: update.status.task_id.clone(),
            uuid,
        };
        self.send_to_agent(&(&slave_id).into(), &message);
    }

    /// UPDATE, if the framework is connected; otherwise the agent sends it again, or reconciliation tells it.
    pub(super) fn forward_status(&mut self, framework_id: &FrameworkId, update: StatusUpdate) {
        let StatusUpdate {
            executor_id,
            slave_id,
            mut status,
            timestamp,
            uuid,
            ..
        } = update;
        status.agent_id = slave_id.or(status.agent_id);
        status.executor_id = executor_id.or(status.executor_id);
        status.timestamp = Some(timestamp);
        // Present exactly when the framework has to acknowledge.
        status.uuid = uuid.filter(|uuid| !uuid.is_empty());
        self.context.metrics.task_update(&status);
        let update = Event {
            update: Some(event::Update { status }),
            ..event(event::Type::Update)
        };
        self.send_event(framework_id, &update);
    }

    fn broadcast_framework_update(&self, framework_id: &FrameworkId) {
        let Some(framework) = self.registry.framework(framework_id) else {
            return;
        };
        let message = UpdateFrameworkMessage {
            framework_id: framework_id.to_proto(),
            pid: Some(NO_PID.to_owned()),
            framework_info: Some(framework.info.message().as_ref().clone()),
        };
        for agent in self.agents.values() {
            self.send_to_pid(&agent.pid, &message);
        }
    }

    /// RunTaskMessage or RunTaskGroupMessage. An agent that is away gets it when it reregisters.
    pub(super) fn send_tasks(&self, launch: &SendTasks) {
        let (Some(framework), Some(agent)) = (
            self.registry.framework(&launch.framework_id),
            self.registry.agent(&launch.agent_id),
        ) else {
            return;
        };
        let tasks: Vec<TaskInfo> = launch
            .tasks
            .iter()
            .filter_map(|task| task.launch.as_ref())
            .filter_map(|payload| payload.task.decode().ok())
            .collect();
        let versions: Vec<ResourceVersionUuid> = agent
            .resource_version
            .iter()
            .map(|uuid| ResourceVersionUuid {
                resource_provider_id: None,
                uuid: Uuid {
                    value: uuid.to_vec().into(),
                },
            })
            .collect();
        let framework_info = framework.info.message().as_ref().clone();
        match &launch.group {
            Some(executor) => {
                let Ok(executor) = executor.decode() else { return };
                let message = RunTaskGroupMessage {
                    framework: framework_info,
                    executor,
                    task_group: TaskGroupInfo { tasks },
                    resource_version_uuids: versions,
                    launch_executor: Some(launch.launch_executor),
                };
                self.send_to_agent(&launch.agent_id, &message);
            }
            None => {
                for task in tasks {
                    let message = RunTaskMessage {
                        framework_id: None,
                        framework: framework_info.clone(),
                        task,
                        pid: Some(NO_PID.to_owned()),
                        resource_version_uuids: versions.clone(),
                        launch_executor: Some(launch.launch_executor),
                    };
                    self.send_to_agent(&launch.agent_id, &message);
                }
            }
        }
    }

    /// KillTaskMessage; repeated to an agent that reregisters.
    pub(super) fn send_kill(&self, kill: &SendKill) {
        let message = KillTaskMessage {
            framework_id: kill.framework_id.to_proto(),
            task_id: kill.task_id.to_proto(),
            kill_policy: kill.kill_policy.as_ref().and_then(|policy| policy.decode().ok()),
        };
        self.send_to_agent(&kill.agent_id, &message);
    }
}

/// The answer to UPDATE_FRAMEWORK.
pub(super) fn update_answer(outcome: &Outcome) -> HttpResponse {
    match outcome {
        Outcome::FrameworkUpdated { .. } => HttpResponse::new(200),
        outcome => HttpResponse::text(400, rejection_text(outcome)),
    }
}

fn rejection_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(rejection) => rejection.to_string(),
        other => format!("unexpected outcome {other:?}"),
    }
}
