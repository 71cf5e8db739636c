//! Calls of custom executors (v1 executor API), and the tasks handed to them.
//!
//! Source: Mesos `docs/executor-http-api.md`.

use bytes::Bytes;
use proto::v1::executor::{Call, Event, call, event};
use proto::v1::task_status::Source;
use proto::v1::{ContainerId, ExecutorInfo, TaskGroupInfo, TaskState, TaskStatus};

use super::updates::is_uuid;
use super::{Book, Effect, ExecutorKind, ExecutorState};

/// Why a call is refused: HTTP status and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) String);

impl Refusal {
    fn new(status: u16, text: impl Into<String>) -> Self {
        Refusal(status, text.into())
    }
}

impl Book {
    /// The container of an executor that may call, by framework and executor id.
    pub(crate) fn executor_container(&self, framework: &str, executor: &str) -> Result<String, Refusal> {
        let known = self
            .frameworks
            .get(framework)
            .ok_or_else(|| Refusal::new(400, "Framework cannot be found"))?;
        if known.is_shut_down {
            return Err(Refusal::new(403, "Framework is terminating"));
        }
        let run = known
            .executors
            .get(executor)
            .filter(|run| run.kind == ExecutorKind::Custom);
        let run = run.ok_or_else(|| Refusal::new(400, "Executor cannot be found"))?;
        match run.state {
            ExecutorState::Terminating | ExecutorState::Terminated => {
                Err(Refusal::new(403, "Executor is terminating or has terminated"))
            }
            _ => Ok(run.container_id.clone()),
        }
    }

    /// An executor opened its stream. The stream must be in place: events follow as effects.
    pub(crate) fn subscribe_executor(&mut self, framework: &str, executor: &str, subscribe: call::Subscribe) {
        let mut agent_info = self.info.clone();
        agent_info.checkpoint = None;
        let Some(known) = self.frameworks.get_mut(framework) else {
            return;
        };
        let framework_info = known.info.clone();
        let Some(run) = known.executors.get_mut(executor) else {
            return;
        };
        run.is_subscribed = true;
        run.state = ExecutorState::Running;
        let container_id = run.container_id.clone();
        let executor_info: ExecutorInfo = run.info.clone();
        // A task handed over before, of which the executor has not heard, was lost with the former stream.
        for (id, entry) in &mut run.tasks {
            let is_new = entry.task.state == TaskState::TaskStaging as i32;
            if is_new
                && !subscribe
                    .unacknowledged_tasks
                    .iter()
                    .any(|task| task.task_id.value == *id)
            {
                entry.delivered = false;
            }
        }
        let subscribed = event::Subscribed {
            executor_info,
            framework_info,
            agent_info,
            container_id: Some(ContainerId {
                value: container_id.clone(),
                parent: None,
            }),
        };
        let event = Event {
            r#type: Some(event::Type::Subscribed as i32),
            subscribed: Some(subscribed),
            ..Default::default()
        };
        self.effects.push(Effect::ToExecutor {
            container_id,
            event: Box::new(event),
        });
        self.save_executor(framework, executor);
        for update in subscribe.unacknowledged_updates {
            if let Err(Refusal(_, text)) = self.executor_update(framework, executor, update.status) {
                tracing::warn!(
                    framework_id = framework,
                    executor_id = executor,
                    "dropped an unacknowledged update: {text}"
                );
            }
        }
        self.deliver_tasks(framework, executor);
    }

    /// The stream of an executor ended; it may come back as long as its process lives.
    pub(crate) fn executor_disconnected(&mut self, container: &str) {
        for framework in self.frameworks.values_mut() {
            for run in framework
                .executors
                .values_mut()
                .filter(|run| run.container_id == container)
            {
                run.is_subscribed = false;
            }
        }
    }

    /// Carries out a call other than SUBSCRIBE.
    pub(crate) fn executor_call(&mut self, call: Call) -> Result<(), Refusal> {
        let (framework, executor) = (call.framework_id.value, call.executor_id.value);
        let container = self.executor_container(&framework, &executor);
        let run = self
            .frameworks
            .get(&framework)
            .and_then(|known| known.executors.get(&executor));
        // An executor that is being shut down still reports its tasks' ends.
        let is_terminating = run.is_some_and(|run| run.state == ExecutorState::Terminating && run.is_subscribed);
        if !is_terminating {
            container?;
        }
        if !run.is_some_and(|run| run.is_subscribed) {
            return Err(Refusal::new(403, "Executor is not subscribed"));
        }
        match call.r#type.and_then(|number| call::Type::try_from(number).ok()) {
            Some(call::Type::Update) => {
                let update = call.update.ok_or_else(|| {
                    Refusal::new(
                        400,
                        "Failed to validate executor::Call: Expecting 'update' to be present",
                    )
                })?;
                self.executor_update(&framework, &executor, update.status)
            }
            Some(call::Type::Message) => {
                let message = call.message.ok_or_else(|| {
                    Refusal::new(
                        400,
                        "Failed to validate executor::Call: Expecting 'message' to be present",
                    )
                })?;
                self.message_to_framework(&framework, &executor, message.data);
                Ok(())
            }
            Some(call::Type::Heartbeat) => Ok(()),
            _ => Err(Refusal::new(501, "")),
        }
    }

    fn executor_update(&mut self, framework: &str, executor: &str, status: TaskStatus) -> Result<(), Refusal> {
        let invalid = |text: &str| Refusal::new(400, format!("Failed to validate executor::Call: {text}"));
        let uuid: Bytes = status
            .uuid
            .clone()
            .ok_or_else(|| invalid("Expecting 'uuid' to be present"))?;
        if !is_uuid(&uuid) {
            return Err(invalid("Not a valid UUID"));
        }
        if status.source != Some(Source::Executor as i32) {
            return Err(invalid(
                "Received Call from executor with invalid source, expecting 'SOURCE_EXECUTOR'",
            ));
        }
        if status.state == TaskState::TaskStaging as i32 {
            return Err(invalid("Received TASK_STAGING from executor which is not allowed"));
        }
        let task = status.task_id.value.clone();
        let known = self.task_mut(framework, &task);
        let is_repeated = known.is_some_and(|entry| {
            let is_in_statuses = entry
                .task
                .statuses
                .iter()
                .any(|known| known.uuid.as_ref() == Some(&uuid));
            is_in_statuses || entry.stream.contains(&uuid)
        });
        if !is_repeated {
            self.update_task(framework, &task, status);
        }
        let Some(run) = self.executor_mut(framework, executor) else {
            return Ok(());
        };
        let container_id = run.container_id.clone();
        let acknowledged = event::Acknowledged {
            task_id: task.into(),
            uuid,
        };
        let event = Event {
            r#type: Some(event::Type::Acknowledged as i32),
            acknowledged: Some(acknowledged),
            ..Default::default()
        };
        self.effects.push(Effect::ToExecutor {
            container_id,
            event: Box::new(event),
        });
        Ok(())
    }

    /// Hands queued tasks to a subscribed executor, groups as groups.
    pub(super) fn deliver_tasks(&mut self, framework: &str, executor: &str) {
        let Some(run) = self.executor_mut(framework, executor) else {
            return;
        };
        if !run.is_subscribed {
            return;
        }
        let container_id = run.container_id.clone();
        let mut single = Vec::new();
        let mut groups: std::collections::BTreeMap<u32, Vec<proto::v1::TaskInfo>> = Default::default();
        let mut delivered = Vec::new();
        for (id, entry) in run
            .tasks
            .iter_mut()
            .filter(|(_, entry)| !entry.delivered && !entry.is_terminal())
        {
            entry.delivered = true;
            delivered.push(id.clone());
            match entry.group {
                Some(group) => groups.entry(group).or_default().push(entry.info.clone()),
                None => single.push(entry.info.clone()),
            }
        }
        for task in single {
            let launch = Some(event::Launch { task });
            let event = Event {
                r#type: Some(event::Type::Launch as i32),
                launch,
                ..Default::default()
            };
            self.effects.push(Effect::ToExecutor {
                container_id: container_id.clone(),
                event: Box::new(event),
            });
        }
        for tasks in groups.into_values() {
            let launch_group = Some(event::LaunchGroup {
                task_group: TaskGroupInfo { tasks },
            });
            let event = Event {
                r#type: Some(event::Type::LaunchGroup as i32),
                launch_group,
                ..Default::default()
            };
            self.effects.push(Effect::ToExecutor {
                container_id: container_id.clone(),
                event: Box::new(event),
            });
        }
        for task in delivered {
            self.save_task(framework, &task);
        }
    }
}
