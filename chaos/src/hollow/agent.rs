//! One hollow agent: messages in, messages out. No I/O here, and no clock but the times handed in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, KillTaskMessage, PingSlaveMessage, PongSlaveMessage,
    RegisterSlaveMessage, ReregisterSlaveMessage, RunTaskGroupMessage, RunTaskMessage, ShutdownExecutorMessage,
    ShutdownFrameworkMessage, SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdate,
    StatusUpdateAcknowledgementMessage, StatusUpdateMessage, UnregisterSlaveMessage, UpdateFrameworkMessage,
    UpdateOperationStatusMessage, UpdateSlaveMessage, update_slave_message,
};
use proto::v1::agent_info::capability::Type as Capability;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{
    AgentId, AgentInfo, FrameworkId, FrameworkInfo, Task, TaskId, TaskInfo, TaskState, TaskStatus, Uuid, agent_info,
};

use super::counts::{Counts, add, subtract};
use super::life::{self, Life};
use super::observe::{Observed, Observer};
use super::operations::Operations;
use crate::history::Recorder;

/// Version hollow agents give themselves.
const VERSION: &str = "1.12.0";
/// What an agent of that version can do.
const CAPABILITIES: [Capability; 8] = [
    Capability::MultiRole,
    Capability::HierarchicalRole,
    Capability::ReservationRefinement,
    Capability::ResourceProvider,
    Capability::ResizeVolume,
    Capability::AgentOperationFeedback,
    Capability::AgentDraining,
    Capability::TaskResourceLimits,
];

/// A message to the leading master, or in answer to a ping to its sender.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outgoing {
    pub(super) name: &'static str,
    pub(super) body: Bytes,
    /// To the sender of the message in hand instead of the leading master.
    pub(super) to_sender: bool,
}

/// What an agent needs from outside.
pub(super) struct Surroundings<'a> {
    pub(super) counts: &'a Counts,
    /// Seconds since 1970.
    pub(super) now: f64,
    pub(super) uuid: &'a dyn Fn() -> [u8; 16],
    pub(super) starting_updates: bool,
    /// Whether tasks live as their commands say.
    pub(super) heeds_commands: bool,
    pub(super) observer: Observer<'a>,
}

/// Task ids are unique per framework.
pub(super) type TaskKey = (Arc<str>, Arc<str>);

#[derive(Debug)]
struct HollowTask {
    task: Task,
    /// Updates not acknowledged yet, oldest first; only the first has been sent.
    updates: VecDeque<StatusUpdate>,
}

#[derive(Debug)]
pub(super) struct HollowAgent {
    /// Actor id, `slave(N)`.
    pub(super) actor: String,
    /// Its UPID as text.
    pid: String,
    info: AgentInfo,
    resource_version: [u8; 16],
    pub(super) registered: bool,
    pub(super) terminated: bool,
    tasks: BTreeMap<TaskKey, HollowTask>,
    frameworks: BTreeMap<Arc<str>, FrameworkInfo>,
    /// Tasks that began to run since they were last taken out, with their lives if they have one of their own.
    pub(super) began: Vec<(TaskKey, Option<Life>)>,
    observed: Observed,
    operations: Operations,
}

fn capabilities() -> Vec<agent_info::Capability> {
    CAPABILITIES
        .map(|capability| agent_info::Capability {
            r#type: Some(capability.into()),
        })
        .to_vec()
}

impl HollowAgent {
    pub(super) fn new(actor: String, pid: String, info: AgentInfo, resource_version: [u8; 16]) -> Self {
        HollowAgent {
            actor,
            pid,
            info,
            resource_version,
            registered: false,
            terminated: false,
            tasks: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            began: Vec::new(),
            observed: Observed::default(),
            operations: Operations::default(),
        }
    }

    /// A registration is about to be sent: it tells the latest state of every task.
    pub(super) fn telling_all(&mut self, observer: &Observer<'_>) {
        let told = self.tasks.values().filter(|_| observer.recorder.is_some());
        for update in told.flat_map(|task| &task.updates) {
            self.observed.reporting(observer, &self.info.hostname, update);
        }
    }

    /// The message by which it takes leave of the master, if it has ever been admitted.
    pub(super) fn unregistration(&self) -> Option<Outgoing> {
        let message = UnregisterSlaveMessage {
            slave_id: self.info.id.clone()?,
        };
        Some(to_master("mesos.internal.UnregisterSlaveMessage", &message))
    }

    /// The agent's host dies: the agent and its tasks are gone for good.
    pub(super) fn end(&mut self, counts: &Counts, recorder: Option<&Recorder>, reason: &str) {
        self.disconnect(counts);
        for task in std::mem::take(&mut self.tasks).values() {
            subtract(&counts.tasks, 1);
            subtract(&counts.running, u64::from(task.task.state() == TaskState::TaskRunning));
        }
        self.observed.give_up(recorder, None, reason);
        if !self.terminated
            && let Some(id) = &self.info.id
        {
            let observer = Observer { recorder, master: None };
            observer.ended(&self.info.hostname, &id.value, reason);
        }
    }

    /// What the next agent on this host is told to be.
    pub(super) fn fresh(&self, resource_version: [u8; 16]) -> HollowAgent {
        let info = AgentInfo {
            id: None,
            ..self.info.clone()
        };
        HollowAgent::new(self.actor.clone(), self.pid.clone(), info, resource_version)
    }

    /// The message that registers this agent, or reregisters it with all it holds.
    pub(super) fn registration(&self) -> Outgoing {
        let resource_version_uuid = Some(Uuid {
            value: self.resource_version.to_vec().into(),
        });
        if self.info.id.is_none() {
            let message = RegisterSlaveMessage {
                slave: self.info.clone(),
                version: Some(VERSION.to_owned()),
                checkpointed_resources: self.operations.checkpointed.clone(),
                agent_capabilities: capabilities(),
                resource_version_uuid,
                deduplicates_launches: Some(true),
            };
            return to_master("mesos.internal.RegisterSlaveMessage", &message);
        }
        let message = ReregisterSlaveMessage {
            slave: self.info.clone(),
            tasks: self.tasks.values().map(|task| task.task.clone()).collect(),
            version: Some(VERSION.to_owned()),
            frameworks: self.frameworks.values().cloned().collect(),
            agent_capabilities: capabilities(),
            resource_version_uuid,
            deduplicates_launches: Some(true),
            checkpointed_resources: self.operations.checkpointed.clone(),
            ..ReregisterSlaveMessage::default()
        };
        to_master("mesos.internal.ReregisterSlaveMessage", &message)
    }

    /// Takes a message. `from_leader`: its sender is the master this agent follows.
    ///
    /// Errors: the message is not what its name says.
    pub(super) fn take(
        &mut self,
        name: &str,
        body: &Bytes,
        from_leader: bool,
        around: &Surroundings<'_>,
    ) -> Result<Vec<Outgoing>, prost::DecodeError> {
        let body = body.clone();
        let Some(name) = name.strip_prefix("mesos.internal.") else {
            return Ok(Vec::new());
        };
        if name == "PingSlaveMessage" {
            PingSlaveMessage::decode(body)?;
            let pong = to_master("mesos.internal.PongSlaveMessage", &PongSlaveMessage {});
            return Ok(vec![Outgoing {
                to_sender: true,
                ..pong
            }]);
        }
        if !from_leader {
            return Ok(Vec::new());
        }
        Ok(match name {
            "SlaveRegisteredMessage" => self.registered_as(SlaveRegisteredMessage::decode(body)?.slave_id, around),
            "SlaveReregisteredMessage" => self.reregistered(&SlaveReregisteredMessage::decode(body)?, around),
            "RunTaskMessage" => {
                let message = RunTaskMessage::decode(body)?;
                self.launch(&message.framework, &message.task, None, around)
            }
            "RunTaskGroupMessage" => {
                let message = RunTaskGroupMessage::decode(body)?;
                let executor = Some(&message.executor.executor_id);
                let tasks = message.task_group.tasks.iter();
                tasks
                    .flat_map(|task| self.launch(&message.framework, task, executor, around))
                    .collect()
            }
            "KillTaskMessage" => self.kill(&KillTaskMessage::decode(body)?, around),
            "StatusUpdateAcknowledgementMessage" => {
                self.acknowledged(&StatusUpdateAcknowledgementMessage::decode(body)?, around)
            }
            "ShutdownFrameworkMessage" => {
                self.remove_framework(&ShutdownFrameworkMessage::decode(body)?.framework_id, around);
                Vec::new()
            }
            "ShutdownExecutorMessage" => self.shut_executor_down(&ShutdownExecutorMessage::decode(body)?, around),
            "ApplyOperationMessage" => {
                let message = ApplyOperationMessage::decode(body)?;
                let status = self.operations.apply(&self.info, &message, (around.uuid)());
                status.iter().map(operation_status).collect()
            }
            "AcknowledgeOperationStatusMessage" => {
                self.operations
                    .acknowledged(&AcknowledgeOperationStatusMessage::decode(body)?);
                Vec::new()
            }
            "UpdateFrameworkMessage" => {
                let id = UpdateFrameworkMessage::decode(body)?.framework_id;
                if self.frameworks.contains_key(id.value.as_str()) {
                    self.unacknowledged(around)
                } else {
                    Vec::new()
                }
            }
            "ShutdownMessage" => {
                self.terminated = true;
                self.disconnect(around.counts);
                add(&around.counts.shut_down);
                let id = self.info.id.as_ref().map_or("", |id| id.value.as_str());
                around
                    .observer
                    .ended(&self.info.hostname, id, "the master shut it down");
                Vec::new()
            }
            _ => Vec::new(),
        })
    }

    /// The master is gone or another one leads: register anew.
    pub(super) fn disconnect(&mut self, counts: &Counts) {
        if std::mem::take(&mut self.registered) {
            subtract(&counts.registered, 1);
        }
    }

    fn registered_as(&mut self, id: AgentId, around: &Surroundings<'_>) -> Vec<Outgoing> {
        if !self.registered {
            let again = self.info.id.as_ref() == Some(&id);
            around.observer.registered(&self.info.hostname, &id.value, again);
        }
        self.info.id = Some(id.clone());
        for task in self.tasks.values_mut() {
            task.task.agent_id = id.clone();
        }
        if !std::mem::replace(&mut self.registered, true) {
            add(&around.counts.registered);
        }
        let mut out: Vec<_> = self.update_slave().into_iter().collect();
        out.extend(self.unacknowledged(around));
        out.extend(self.operations.unacknowledged().map(operation_status));
        out
    }

    fn reregistered(&mut self, message: &SlaveReregisteredMessage, around: &Surroundings<'_>) -> Vec<Outgoing> {
        if !self.registered {
            add(&around.counts.reregistrations);
        }
        let mut out = self.registered_as(message.slave_id.clone(), around);
        for reconciliation in &message.reconciliations {
            for status in &reconciliation.statuses {
                let key = key(&reconciliation.framework_id, &status.task_id);
                if !self.tasks.contains_key(&key) {
                    out.push(self.dropped(
                        &reconciliation.framework_id,
                        &status.task_id,
                        Reason::Reconciliation,
                        around,
                    ));
                }
            }
        }
        out
    }

    fn update_slave(&self) -> Option<Outgoing> {
        let message = UpdateSlaveMessage {
            slave_id: self.info.id.clone()?,
            oversubscribed_resources: Vec::new(),
            update_oversubscribed_resources: Some(false),
            operations: Some(update_slave_message::Operations::default()),
            resource_version_uuid: Some(Uuid {
                value: self.resource_version.to_vec().into(),
            }),
            resource_providers: Some(update_slave_message::ResourceProviders::default()),
        };
        Some(to_master("mesos.internal.UpdateSlaveMessage", &message))
    }

    fn launch(
        &mut self,
        framework: &FrameworkInfo,
        info: &TaskInfo,
        group_executor: Option<&proto::v1::ExecutorId>,
        around: &Surroundings<'_>,
    ) -> Vec<Outgoing> {
        let (Some(framework_id), Some(own_id)) = (&framework.id, &self.info.id) else {
            return Vec::new();
        };
        if info.agent_id != *own_id {
            return Vec::new();
        }
        let key = key(framework_id, &info.task_id);
        let repeated = self.tasks.contains_key(&key) || self.observed.is_over(&key);
        around
            .observer
            .launch_received(&self.info.hostname, &own_id.value, &key, repeated);
        if repeated {
            add(&around.counts.repeated_launches);
            return Vec::new();
        }
        around.observer.started(&self.info.hostname, &own_id.value, &key);
        self.frameworks
            .entry(Arc::clone(&key.0))
            .or_insert_with(|| framework.clone());
        let executor_id = group_executor
            .or(info.executor.as_ref().map(|executor| &executor.executor_id))
            .cloned();
        let task = Task {
            name: info.name.clone(),
            task_id: info.task_id.clone(),
            framework_id: framework_id.clone(),
            executor_id,
            agent_id: info.agent_id.clone(),
            state: TaskState::TaskStaging.into(),
            resources: info.resources.clone(),
            labels: info.labels.clone(),
            ..Task::default()
        };
        self.tasks.insert(
            key.clone(),
            HollowTask {
                task,
                updates: VecDeque::new(),
            },
        );
        add(&around.counts.launches);
        add(&around.counts.tasks);
        let mut out = Vec::new();
        if around.starting_updates {
            out.extend(self.change(&key, TaskState::TaskStarting, None, around));
        }
        out.extend(self.change(&key, TaskState::TaskRunning, None, around));
        let own_life = if around.heeds_commands { life::of(info) } else { None };
        self.began.push((key, own_life));
        out
    }

    /// The task finishes; nothing when it has ended already.
    pub(super) fn finish(&mut self, key: &TaskKey, around: &Surroundings<'_>) -> Option<Outgoing> {
        self.change(key, TaskState::TaskFinished, None, around)
    }

    /// The task's process fails.
    pub(super) fn fail(&mut self, key: &TaskKey, around: &Surroundings<'_>) -> Option<Outgoing> {
        self.change(key, TaskState::TaskFailed, Some(Reason::CommandExecutorFailed), around)
    }

    /// Lets every task finish.
    pub(super) fn finish_all(&mut self, around: &Surroundings<'_>) -> Vec<Outgoing> {
        let keys: Vec<TaskKey> = self.tasks.keys().cloned().collect();
        keys.iter().filter_map(|key| self.finish(key, around)).collect()
    }

    fn kill(&mut self, message: &KillTaskMessage, around: &Surroundings<'_>) -> Vec<Outgoing> {
        let key = key(&message.framework_id, &message.task_id);
        if let Some(id) = &self.info.id {
            around.observer.kill_received(&self.info.hostname, &id.value, &key);
        }
        if self.tasks.contains_key(&key) {
            return self
                .change(&key, TaskState::TaskKilled, None, around)
                .into_iter()
                .collect();
        }
        if !self.frameworks.contains_key(&key.0) {
            return Vec::new();
        }
        vec![self.dropped(
            &message.framework_id,
            &message.task_id,
            Reason::ExecutorTerminated,
            around,
        )]
    }

    fn shut_executor_down(&mut self, message: &ShutdownExecutorMessage, around: &Surroundings<'_>) -> Vec<Outgoing> {
        let (Some(framework_id), Some(executor_id)) = (&message.framework_id, &message.executor_id) else {
            return Vec::new();
        };
        let is_of = |task: &Task| {
            let executor = task
                .executor_id
                .as_ref()
                .map_or(&task.task_id.value, |executor| &executor.value);
            task.framework_id == *framework_id && *executor == executor_id.value
        };
        let keys: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(_, task)| is_of(&task.task))
            .map(|(key, _)| key.clone())
            .collect();
        let reason = Some(Reason::ExecutorTerminated);
        keys.iter()
            .filter_map(|key| self.change(key, TaskState::TaskFailed, reason, around))
            .collect()
    }

    fn remove_framework(&mut self, framework_id: &FrameworkId, around: &Surroundings<'_>) {
        self.frameworks.remove(framework_id.value.as_str());
        let framework = Some(framework_id.value.as_str());
        self.observed
            .give_up(around.observer.recorder, framework, "the framework was removed");
        let counts = around.counts;
        let observed = &mut self.observed;
        self.tasks.retain(|key, task| {
            let stays = *key.0 != framework_id.value;
            if !stays {
                observed.task_is_over(&around.observer, key.clone());
                subtract(&counts.tasks, 1);
                subtract(&counts.running, u64::from(task.task.state() == TaskState::TaskRunning));
            }
            stays
        });
    }

    /// Changes the state of a task and queues the update; returns it when it is the one to be sent now.
    fn change(
        &mut self,
        key: &TaskKey,
        state: TaskState,
        reason: Option<Reason>,
        around: &Surroundings<'_>,
    ) -> Option<Outgoing> {
        let task = self.tasks.get_mut(key)?;
        let before = task.task.state();
        if before.is_terminal() {
            return None;
        }
        if state == TaskState::TaskRunning {
            add(&around.counts.running);
        } else if before == TaskState::TaskRunning {
            subtract(&around.counts.running, 1);
        }
        task.task.state = state.into();
        let status = TaskStatus {
            task_id: task.task.task_id.clone(),
            executor_id: task.task.executor_id.clone(),
            reason: reason.map(Into::into),
            ..status(&task.task.agent_id, state, Source::Executor, around)
        };
        if around.observer.recorder.is_some() {
            // Real agents report how their tasks came to be where they are.
            task.task.statuses.push(status.clone());
        }
        let update = status_update(&task.task.framework_id, status, state, around.now);
        task.updates.push_back(update);
        let is_first = task.updates.len() == 1;
        is_first.then(|| self.send_first(key, around)).flatten()
    }

    /// An acknowledgement: the next update of the task is due, or the task is over.
    fn acknowledged(
        &mut self,
        message: &StatusUpdateAcknowledgementMessage,
        around: &Surroundings<'_>,
    ) -> Vec<Outgoing> {
        let key = key(&message.framework_id, &message.task_id);
        self.observed.acknowledged(&around.observer, &message.uuid);
        let Some(task) = self.tasks.get_mut(&key) else {
            return Vec::new();
        };
        if task.updates.front().and_then(|update| update.uuid.as_ref()) != Some(&message.uuid) {
            return Vec::new();
        }
        task.updates.pop_front();
        add(&around.counts.acknowledged);
        if task.updates.is_empty() && task.task.state().is_terminal() {
            self.tasks.remove(&key);
            subtract(&around.counts.tasks, 1);
            self.observed.task_is_over(&around.observer, key);
            return Vec::new();
        }
        self.send_first(&key, around).into_iter().collect()
    }

    /// The first update of every task that has any.
    pub(super) fn unacknowledged(&mut self, around: &Surroundings<'_>) -> Vec<Outgoing> {
        let keys: Vec<TaskKey> = self
            .tasks
            .iter()
            .filter(|(_, task)| !task.updates.is_empty())
            .map(|(key, _)| key.clone())
            .collect();
        keys.iter().filter_map(|key| self.send_first(key, around)).collect()
    }

    /// Sends the oldest update of a task, with the task's present state beside it.
    fn send_first(&mut self, key: &TaskKey, around: &Surroundings<'_>) -> Option<Outgoing> {
        let task = self.tasks.get_mut(key)?;
        let update = task.updates.front_mut()?;
        update.latest_state = Some(task.task.state);
        task.task.status_update_state = Some(update.status.state);
        task.task.status_update_uuid.clone_from(&update.uuid);
        if !self.registered {
            return None;
        }
        add(&around.counts.updates_sent);
        // With an update the agent tells its task's latest state too, and so all that is still to come.
        let told = if update.latest_state == Some(update.status.state) {
            1
        } else {
            task.updates.len()
        };
        for update in task.updates.iter().take(told) {
            self.observed.reporting(&around.observer, &self.info.hostname, update);
        }
        let update = task.updates.front()?.clone();
        let message = StatusUpdateMessage {
            update,
            pid: Some(self.pid.clone()),
        };
        Some(to_master("mesos.internal.StatusUpdateMessage", &message))
    }

    /// The answer about a task that is not here. Sent once; a master that still cares asks again.
    fn dropped(
        &mut self,
        framework_id: &FrameworkId,
        task_id: &TaskId,
        reason: Reason,
        around: &Surroundings<'_>,
    ) -> Outgoing {
        let agent_id = self.info.id.clone().unwrap_or_default();
        let state = TaskState::TaskDropped;
        let status = TaskStatus {
            task_id: task_id.clone(),
            reason: Some(reason.into()),
            ..status(&agent_id, state, Source::Agent, around)
        };
        add(&around.counts.updates_sent);
        let update = status_update(framework_id, status, state, around.now);
        self.observed.reporting(&around.observer, &self.info.hostname, &update);
        let message = StatusUpdateMessage {
            update,
            pid: Some(self.pid.clone()),
        };
        to_master("mesos.internal.StatusUpdateMessage", &message)
    }
}

fn status(agent_id: &AgentId, state: TaskState, source: Source, around: &Surroundings<'_>) -> TaskStatus {
    TaskStatus {
        state: state.into(),
        agent_id: Some(agent_id.clone()),
        timestamp: Some(around.now),
        source: Some(source.into()),
        uuid: Some((around.uuid)().to_vec().into()),
        ..TaskStatus::default()
    }
}

fn status_update(framework_id: &FrameworkId, status: TaskStatus, latest: TaskState, now: f64) -> StatusUpdate {
    StatusUpdate {
        framework_id: framework_id.clone(),
        executor_id: status.executor_id.clone(),
        slave_id: status.agent_id.clone(),
        timestamp: now,
        uuid: status.uuid.clone(),
        latest_state: Some(latest.into()),
        status,
    }
}

fn operation_status(update: &UpdateOperationStatusMessage) -> Outgoing {
    to_master("mesos.internal.UpdateOperationStatusMessage", update)
}

fn to_master(name: &'static str, message: &impl Message) -> Outgoing {
    Outgoing {
        name,
        body: message.encode_to_vec().into(),
        to_sender: false,
    }
}

fn key(framework_id: &FrameworkId, task_id: &TaskId) -> TaskKey {
    (framework_id.value.as_str().into(), task_id.value.as_str().into())
}
