//! Status updates: made or taken over, kept, sent, retried, acknowledged; and what the end of a task entails.

use bytes::Bytes;
use proto::internal::{ExitedExecutorMessage, StatusUpdate, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use proto::v1::framework_info::capability::Type as FrameworkCapability;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{
    AgentId, ContainerId, ContainerStatus, ExecutorId, FrameworkId, FrameworkInfo, NetworkInfo, TaskId, TaskState,
    TaskStatus, network_info,
};
use tokio::time::Instant;

use super::model::{LooseStream, Verdict, has_capability};
use super::stream::{Acknowledged, UpdateStream};
use super::{Book, Effect, ExecutorKind, ExecutorState, Timer, is_terminal};
use crate::messages;

/// Most updates about tasks that never were here; beyond it the oldest are forgotten, masters reconcile those anyway.
const LOOSE_STREAMS_MAX: usize = 10_000;

/// Most statuses kept with a task; Mesos keeps the newest of each state.
const TASK_STATUSES_MAX: usize = 16;

impl Book {
    /// A status that the agent or a built-in executor gives a task.
    pub(super) fn judge(&mut self, framework: &str, task: &str, verdict: Verdict) {
        self.update_task(framework, task, status_of(task, verdict));
    }

    /// Takes a status into the task's record and stream. Statuses after a terminal one are dropped.
    pub(super) fn update_task(&mut self, framework: &str, task: &str, mut status: TaskStatus) {
        let uuid = status.uuid.clone().unwrap_or_else(|| self.uuid());
        let timestamp = status.timestamp.unwrap_or_else(|| self.timestamp());
        let agent_id = self.info.id.clone();
        let ip = self.pid.split(['@', ':']).nth(1).unwrap_or_default().to_owned();
        let key = (framework.to_owned(), task.to_owned());
        let Some(executor_id) = self.task_index.get(&key).cloned() else {
            return self.update_unknown_task(framework, status);
        };
        let is_shut_down = self.frameworks.get(framework).is_some_and(|known| known.is_shut_down);
        let Some(executor) = self.executor_mut(framework, &executor_id) else {
            return;
        };
        let container_id = executor.container_id.clone();
        let is_group = executor.kind == ExecutorKind::Default;
        let Some(entry) = executor.tasks.get_mut(task) else {
            return;
        };
        if entry.is_terminal() {
            tracing::warn!(
                framework_id = framework,
                task_id = task,
                state = status.state,
                "dropped a status that came after the task's end"
            );
            return;
        }
        status.uuid = Some(uuid.clone());
        status.timestamp = Some(timestamp);
        status.agent_id = agent_id.clone();
        status.executor_id = Some(ExecutorId {
            value: executor_id.clone(),
        });
        if status.container_status.is_none() {
            let process = entry.process.clone().filter(|_| is_group);
            status.container_status = Some(container_status(&ip, entry.pid, &container_id, process));
        }
        entry.task.state = status.state;
        let mut kept = status.clone();
        kept.data = None;
        match entry.task.statuses.last_mut() {
            Some(last) if last.state == kept.state => *last = kept,
            _ => entry.task.statuses.push(kept),
        }
        if entry.task.statuses.len() > TASK_STATUSES_MAX {
            entry.task.statuses.remove(0);
        }
        let update = StatusUpdate {
            framework_id: FrameworkId {
                value: framework.to_owned(),
            },
            executor_id: status.executor_id.clone(),
            slave_id: agent_id,
            timestamp,
            uuid: Some(uuid),
            latest_state: None,
            status,
        };
        if is_shut_down {
            return self.save_task(framework, task);
        }
        let is_oldest = entry.stream.push(update);
        self.save_task(framework, task);
        if is_oldest {
            self.send_oldest(framework, task);
        }
    }

    /// A status about a task that has no entry here: it was refused, or asked about.
    fn update_unknown_task(&mut self, framework: &str, mut status: TaskStatus) {
        let uuid = status.uuid.clone().unwrap_or_else(|| self.uuid());
        let timestamp = status.timestamp.unwrap_or_else(|| self.timestamp());
        status.uuid = Some(uuid.clone());
        status.timestamp = Some(timestamp);
        status.agent_id = self.info.id.clone();
        let task = status.task_id.value.clone();
        let key = (framework.to_owned(), task.clone());
        let update = StatusUpdate {
            framework_id: FrameworkId {
                value: framework.to_owned(),
            },
            executor_id: status.executor_id.clone(),
            slave_id: self.info.id.clone(),
            latest_state: Some(status.state),
            timestamp,
            uuid: Some(uuid),
            status,
        };
        let loose = self.loose.entry(key).or_insert_with(|| LooseStream {
            stream: UpdateStream::default(),
            since: Instant::now(),
        });
        // The same refusal again (a repeated launch or question) needs no second update.
        if loose
            .stream
            .pending()
            .any(|pending| pending.status.state == update.status.state)
        {
            return;
        }
        let is_oldest = loose.stream.push(update);
        if is_oldest {
            self.send_oldest(framework, &task);
        }
        if self.loose.len() > LOOSE_STREAMS_MAX {
            let oldest = self
                .loose
                .iter()
                .min_by_key(|(_, loose)| loose.since)
                .map(|(key, _)| key.clone());
            if let Some(key) = oldest {
                tracing::warn!(
                    framework_id = key.0,
                    task_id = key.1,
                    "forgot an unacknowledged update: there are too many about unknown tasks"
                );
                self.loose.remove(&key);
            }
        }
    }

    /// Refuses a launch: `TASK_DROPPED`, or `TASK_LOST` for frameworks that do not know that state.
    pub(super) fn refuse_task(&mut self, framework: &FrameworkInfo, task: &str, reason: Reason, message: String) {
        let id = framework.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        tracing::warn!(framework_id = id, task_id = task, "refused a launch: {message}");
        let state = dropped_or_lost(framework);
        self.update_unknown_task(&id, status_of(task, Verdict::agent(state, reason, message)));
    }

    /// Sends the oldest pending update of a task, if a master listens, and arranges the next attempt.
    fn send_oldest(&mut self, framework: &str, task: &str) {
        if !self.is_connected {
            return;
        }
        let now = Instant::now();
        let key = (framework.to_owned(), task.to_owned());
        let (update, at) = if let Some(entry) = self.task_mut(framework, task) {
            let Some(mut update) = entry.stream.oldest().cloned() else {
                return;
            };
            update.latest_state = Some(entry.task.state);
            (update, entry.stream.sent(now))
        } else if let Some(loose) = self.loose.get_mut(&key) {
            let Some(update) = loose.stream.oldest().cloned() else {
                return;
            };
            (update, loose.stream.sent(now))
        } else {
            return;
        };
        let message = StatusUpdateMessage {
            update,
            pid: Some(self.pid.clone()),
        };
        self.tell_master(messages::STATUS_UPDATE, &message);
        self.wake_at(at, Timer::Retry(key.0, key.1));
    }

    pub(super) fn retry(&mut self, framework: &str, task: &str, now: Instant) {
        let key = (framework.to_owned(), task.to_owned());
        let is_due = match self.task_mut(framework, task) {
            Some(entry) => entry.stream.is_due(now),
            None => self.loose.get(&key).is_some_and(|loose| loose.stream.is_due(now)),
        };
        if is_due {
            self.send_oldest(framework, task);
        }
    }

    /// Sends every pending update again: a master has just (re)registered this agent, or a framework came back.
    pub(crate) fn resend_updates(&mut self) {
        let mut keys: Vec<(String, String)> = Vec::new();
        for (id, framework) in &mut self.frameworks {
            for executor in framework.executors.values_mut() {
                for (task, entry) in executor.tasks.iter_mut().filter(|(_, entry)| !entry.stream.is_empty()) {
                    entry.stream.restart();
                    keys.push((id.clone(), task.clone()));
                }
            }
        }
        for (key, loose) in &mut self.loose {
            loose.stream.restart();
            keys.push(key.clone());
        }
        for (framework, task) in keys {
            self.send_oldest(&framework, &task);
        }
    }

    /// A framework has received an update.
    pub(crate) fn acknowledge(&mut self, message: &StatusUpdateAcknowledgementMessage) {
        let (framework, task) = (&message.framework_id.value, &message.task_id.value);
        if self.agent_id() != Some(&message.slave_id.value) {
            tracing::warn!(
                agent_id = message.slave_id.value,
                "ignored an acknowledgement for another agent"
            );
            return;
        }
        let key = (framework.clone(), task.clone());
        if let Some(entry) = self.task_mut(framework, task) {
            let acknowledged = entry.stream.acknowledge(&message.uuid);
            let Acknowledged::Oldest(state) = acknowledged else {
                tracing::debug!(
                    framework_id = framework,
                    task_id = task,
                    "ignored an unexpected acknowledgement"
                );
                return;
            };
            entry.completed = is_terminal(state);
            let completed = entry.completed;
            self.save_task(framework, task);
            if completed {
                self.task_completed(framework, task);
            } else {
                self.send_oldest(framework, task);
            }
        } else if let Some(loose) = self.loose.get_mut(&key) {
            loose.stream.acknowledge(&message.uuid);
            if loose.stream.is_empty() {
                self.loose.remove(&key);
            } else {
                self.send_oldest(framework, task);
            }
        }
    }

    fn task_completed(&mut self, framework: &str, task: &str) {
        let key = (framework.to_owned(), task.to_owned());
        let Some(executor_id) = self.task_index.get(&key).cloned() else {
            return;
        };
        self.forget_old_tasks(framework, &executor_id);
        self.complete_executor(framework, &executor_id);
    }

    /// Bounds the completed tasks of a long-lived executor.
    fn forget_old_tasks(&mut self, framework: &str, executor_id: &str) {
        let limit = self.config.max_completed_tasks_per_executor;
        let Some(executor) = self.executor_mut(framework, executor_id) else {
            return;
        };
        let container_id = executor.container_id.clone();
        let completed = executor.tasks.iter().filter(|(_, entry)| entry.completed);
        let mut completed: Vec<(u64, String)> = completed
            .map(|(id, entry)| (last_micros(&entry.task), id.clone()))
            .collect();
        if completed.len() <= limit {
            return;
        }
        completed.sort();
        let surplus = completed.len() - limit;
        for (_, task) in completed.into_iter().take(surplus) {
            if let Some(executor) = self.executor_mut(framework, executor_id) {
                executor.tasks.remove(&task);
            }
            self.changes.remove(self.layout.task(framework, &container_id, &task));
            self.task_index.remove(&(framework.to_owned(), task));
        }
    }

    /// A built-in task reached its end: its executor may be over too.
    pub(super) fn built_in_executor_may_end(&mut self, framework: &str, executor_id: &str) {
        let Some(executor) = self.executor_mut(framework, executor_id) else {
            return;
        };
        if executor.kind != ExecutorKind::Custom && executor.all_terminal() {
            self.executor_ended(framework, executor_id, 0);
        }
    }

    /// An executor is over: tell the master, unless it never knew, and settle its tasks' records.
    pub(super) fn executor_ended(&mut self, framework: &str, executor_id: &str, status: i32) {
        let agent_id = self.info.id.clone();
        let Some(executor) = self.executor_mut(framework, executor_id) else {
            return;
        };
        if executor.state == ExecutorState::Terminated {
            return;
        }
        executor.state = ExecutorState::Terminated;
        executor.exit_status = Some(status);
        executor.is_subscribed = false;
        let kind = executor.kind;
        let container_id = executor.container_id.clone();
        if kind != ExecutorKind::Command {
            self.exited_executor(agent_id, framework, executor_id, status);
        }
        if kind == ExecutorKind::Custom {
            self.effects.push(Effect::CloseExecutor { container_id });
        }
        self.save_executor(framework, executor_id);
        self.complete_executor(framework, executor_id);
    }

    /// Tells the master that an executor is over, or never came to be (status -1).
    pub(super) fn exited_executor(&mut self, agent: Option<AgentId>, framework: &str, executor: &str, status: i32) {
        let Some(agent_id) = agent else { return };
        let message = ExitedExecutorMessage {
            slave_id: agent_id,
            framework_id: FrameworkId {
                value: framework.to_owned(),
            },
            executor_id: ExecutorId {
                value: executor.to_owned(),
            },
            status,
        };
        self.tell_master(messages::EXITED_EXECUTOR, &message);
    }

    /// Files an executor under the completed ones, once it is over and every update is acknowledged.
    pub(super) fn complete_executor(&mut self, framework: &str, executor_id: &str) {
        let now = self.seams.clock.now_micros();
        let Some(known) = self.frameworks.get_mut(framework) else {
            return;
        };
        let is_over = known.executors.get(executor_id).is_some_and(|executor| {
            executor.state == ExecutorState::Terminated && (known.is_shut_down || executor.all_completed())
        });
        if !is_over {
            return;
        }
        if let Some(executor) = known.executors.get_mut(executor_id) {
            executor.completed_micros = Some(now);
        }
        self.save_executor(framework, executor_id);
        let Some(known) = self.frameworks.get_mut(framework) else {
            return;
        };
        let Some(executor) = known.executors.remove(executor_id) else {
            return;
        };
        for task in executor.tasks.keys() {
            let key = (framework.to_owned(), task.clone());
            self.task_index.remove(&key);
            self.completed_tasks.insert(key);
        }
        known.completed.push_back(executor);
        self.collect_garbage();
        self.drain_may_end();
    }
}

/// The state of a task that was never started, as far as its framework knows such states.
pub(super) fn dropped_or_lost(framework: &FrameworkInfo) -> TaskState {
    if has_capability(framework, FrameworkCapability::PartitionAware) {
        TaskState::TaskDropped
    } else {
        TaskState::TaskLost
    }
}

pub(super) fn status_of(task: &str, verdict: Verdict) -> TaskStatus {
    TaskStatus {
        task_id: TaskId { value: task.to_owned() },
        state: verdict.state as i32,
        message: verdict.message,
        source: Some(if verdict.by_executor {
            Source::Executor
        } else {
            Source::Agent
        } as i32),
        reason: verdict.reason.map(|reason| reason as i32),
        ..Default::default()
    }
}

/// When the newest status of a task was made, in microseconds since 1970.
fn last_micros(task: &proto::v1::Task) -> u64 {
    let seconds = task.statuses.last().and_then(|status| status.timestamp).unwrap_or(0.0);
    // Saturates for absurd timestamps of executors, which then merely sort last or first.
    (seconds * 1e6) as u64
}

fn container_status(ip: &str, pid: Option<i32>, container_id: &str, nested: Option<String>) -> ContainerStatus {
    let container = ContainerId {
        value: container_id.to_owned(),
        parent: None,
    };
    let container = match nested {
        Some(process) => ContainerId {
            value: process,
            parent: Some(Box::new(container)),
        },
        None => container,
    };
    let address = network_info::IpAddress {
        ip_address: Some(ip.to_owned()),
        ..Default::default()
    };
    ContainerStatus {
        network_infos: vec![NetworkInfo {
            ip_addresses: vec![address],
            ..Default::default()
        }],
        executor_pid: pid.and_then(|pid| u32::try_from(pid).ok()),
        container_id: Some(container),
        ..Default::default()
    }
}

/// Whether `uuid` is one that a status update may have.
pub(super) fn is_uuid(uuid: &Bytes) -> bool {
    uuid.len() == 16
}
