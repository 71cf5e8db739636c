//! Launches: `RunTaskMessage` and `RunTaskGroupMessage`, checked as Mesos agents check them and started at most once.
//!
//! Where an unmodified agent would abort on a malformed launch, this one refuses it with a status.

use master_core::resources::upgrade_resource;
use proto::internal::{ResourceVersionUuid, RunTaskGroupMessage, RunTaskMessage};
use proto::v1::executor_info::Type as ExecutorType;
use proto::v1::task_status::Reason;
use proto::v1::{CommandInfo, ExecutorId, ExecutorInfo, FrameworkInfo, Resource, Task, TaskInfo, TaskState};
use tokio::time::Instant;

use super::model::Verdict;
use super::stream::UpdateStream;
use super::{Book, Executor, ExecutorKind, ExecutorState, Framework, TaskEntry, Timer};

/// Longest id taken, in bytes; Mesos masters accept up to 255.
const ID_BYTES_MAX: usize = 1_024;

/// A launch as far as both messages are alike.
struct Launch {
    framework: FrameworkInfo,
    pid: Option<String>,
    executor: ExecutorInfo,
    kind: ExecutorKind,
    tasks: Vec<TaskInfo>,
    versions: Vec<ResourceVersionUuid>,
    /// `None`: an old master leaves it to the agent.
    launch_executor: Option<bool>,
    is_group: bool,
}

impl Book {
    /// Launches one task.
    pub(crate) fn run_task(&mut self, message: RunTaskMessage) {
        let RunTaskMessage {
            framework,
            pid,
            task,
            resource_version_uuids,
            launch_executor,
            ..
        } = message;
        let (kind, executor) = match (&task.command, &task.executor) {
            (Some(_), None) => (ExecutorKind::Command, command_executor(&framework, &task)),
            (None, Some(executor)) => (kind_of(executor), executor.clone()),
            _ => {
                let text = "task must have either a command or an executor, not both or neither".to_owned();
                return self.refuse_task(&framework, &task.task_id.value, Reason::TaskInvalid, text);
            }
        };
        self.launch(Launch {
            framework,
            pid,
            executor,
            kind,
            tasks: vec![task],
            versions: resource_version_uuids,
            launch_executor,
            is_group: false,
        });
    }

    /// Launches a task group.
    pub(crate) fn run_task_group(&mut self, message: RunTaskGroupMessage) {
        let RunTaskGroupMessage {
            framework,
            executor,
            task_group,
            resource_version_uuids,
            launch_executor,
        } = message;
        let kind = kind_of(&executor);
        self.launch(Launch {
            framework,
            pid: None,
            executor,
            kind,
            tasks: task_group.tasks,
            versions: resource_version_uuids,
            launch_executor,
            is_group: true,
        });
    }

    fn launch(&mut self, mut launch: Launch) {
        let own = launch.executor.resources.iter_mut();
        own.chain(launch.tasks.iter_mut().flat_map(|task| &mut task.resources))
            .for_each(upgrade_resource);
        let framework_id = launch
            .framework
            .id
            .as_ref()
            .map(|id| id.value.clone())
            .unwrap_or_default();
        let Some(agent_id) = self.agent_id().map(str::to_owned) else {
            tracing::warn!(framework_id, "ignored a launch: this agent is not registered");
            return;
        };
        if framework_id.is_empty() {
            tracing::error!("dropped a launch without a framework id");
            return;
        }
        if let Some(task) = launch.tasks.iter().find(|task| task.agent_id.value != agent_id) {
            let task_id = task.task_id.value.as_str();
            tracing::warn!(
                framework_id,
                task_id,
                agent_id = task.agent_id.value,
                "ignored a launch for another agent"
            );
            return;
        }
        if let Some(known) = launch
            .tasks
            .iter()
            .find(|task| self.was_launched(&framework_id, &task.task_id.value))
        {
            // Masters send a launch again when they cannot know whether it arrived.
            tracing::info!(framework_id, task_id = known.task_id.value, "ignored a repeated launch");
            return;
        }
        if self
            .frameworks
            .get(&framework_id)
            .is_some_and(|known| known.is_shut_down)
        {
            tracing::warn!(framework_id, "ignored a launch of a framework that was shut down");
            return;
        }
        let refusal = self
            .denial(&launch, &framework_id)
            .or_else(|| self.check(&launch, &framework_id));
        if let Some((reason, text, is_executor_gone)) = refusal {
            for task in &launch.tasks {
                self.refuse_task(&launch.framework, &task.task_id.value, reason, text.clone());
            }
            // The master has booked the executor's resources and must free them.
            if is_executor_gone && launch.kind != ExecutorKind::Command {
                let agent = self.info.id.clone();
                self.exited_executor(agent, &framework_id, &launch.executor.executor_id.value, -1);
            }
            return;
        }
        self.accept(launch, framework_id, agent_id);
    }

    fn was_launched(&self, framework: &str, task: &str) -> bool {
        let key = (framework.to_owned(), task.to_owned());
        self.task_index.contains_key(&key) || self.completed_tasks.contains(&key)
    }

    /// The refusal of a launch that comes behind its denial.
    fn denial(&self, launch: &Launch, framework_id: &str) -> Option<(Reason, String, bool)> {
        let is_denied = |task: &TaskInfo| self.denied.contains(framework_id, &task.task_id.value);
        let task = launch.tasks.iter().find(|task| is_denied(task))?;
        let text = format!(
            "Task '{}' was reported unknown before its launch arrived",
            task.task_id.value
        );
        Some((Reason::Reconciliation, text, launch.launch_executor == Some(true)))
    }

    /// Why a launch is refused, and whether the master must be told that its executor does not exist.
    fn check(&mut self, launch: &Launch, framework_id: &str) -> Option<(Reason, String, bool)> {
        let starts_executor = launch.launch_executor == Some(true);
        if let Some((reason, text)) = self.check_launch(launch) {
            return Some((reason, text, starts_executor));
        }
        let id = launch.executor.executor_id.value.as_str();
        let state = self
            .frameworks
            .get(framework_id)?
            .executors
            .get(id)
            .map(|known| known.state);
        match (state, launch.launch_executor) {
            (None, Some(false)) => Some((
                Reason::ExecutorTerminated,
                format!("executor '{id}' does not exist on this agent"),
                false,
            )),
            (Some(_), _) if launch.kind == ExecutorKind::Command => Some((
                Reason::TaskInvalid,
                format!("executor '{id}' of a former command task still exists"),
                false,
            )),
            (Some(ExecutorState::Terminated), Some(true)) => Some((
                Reason::ExecutorTerminated,
                format!("executor '{id}' has terminated"),
                true,
            )),
            (Some(_), Some(true)) => {
                self.shut_down_executor(framework_id, id);
                Some((
                    Reason::ExecutorTerminated,
                    format!("executor '{id}' exists, but was to be launched"),
                    false,
                ))
            }
            (Some(ExecutorState::Terminating | ExecutorState::Terminated), _) => Some((
                Reason::ExecutorTerminated,
                format!("executor '{id}' is terminating or has terminated"),
                false,
            )),
            _ => None,
        }
    }

    fn check_launch(&self, launch: &Launch) -> Option<(Reason, String)> {
        let invalid = if launch.is_group {
            Reason::TaskGroupInvalid
        } else {
            Reason::TaskInvalid
        };
        if launch.tasks.is_empty() {
            return Some((invalid, "task group is empty".into()));
        }
        let ids = launch.tasks.iter().map(|task| task.task_id.value.as_str());
        for id in ids.chain([launch.executor.executor_id.value.as_str()]) {
            if id.is_empty() || id.len() > ID_BYTES_MAX {
                return Some((
                    invalid,
                    format!("id of {} bytes: expected 1 to {ID_BYTES_MAX}", id.len()),
                ));
            }
        }
        if launch.kind == ExecutorKind::Default
            && let Some(task) = launch.tasks.iter().find(|task| task.command.is_none())
        {
            let text = format!("task '{}' for the default executor has no command", task.task_id.value);
            return Some((invalid, text));
        }
        if launch.kind == ExecutorKind::Custom && launch.executor.command.is_none() {
            return Some((
                invalid,
                format!("executor '{}' has no command", launch.executor.executor_id.value),
            ));
        }
        if let Some(drain) = &self.drain {
            tracing::debug!(?drain, "refusing a launch");
            return Some((Reason::AgentDraining, "Agent is draining".into()));
        }
        if !launch.versions.is_empty() {
            let own = launch
                .versions
                .iter()
                .find(|version| version.resource_provider_id.is_none());
            match own {
                None => {
                    return Some((
                        Reason::InvalidOffers,
                        "the agent's own resource version is missing".into(),
                    ));
                }
                Some(version) if version.uuid.value != self.resource_version => {
                    return Some((
                        Reason::InvalidOffers,
                        "Task is assuming outdated resource version".into(),
                    ));
                }
                Some(_) => {}
            }
        }
        let resources = launch
            .tasks
            .iter()
            .flat_map(|task| &task.resources)
            .chain(&launch.executor.resources);
        let unknown = resources.into_iter().find(|resource| !self.knows_resource(resource))?;
        Some((
            Reason::ResourcesUnknown,
            format!(
                "resource '{}' is reserved in a way this agent does not know",
                unknown.name
            ),
        ))
    }

    /// Whether a volume or dynamic reservation was made on this agent; plain resources always are known.
    fn knows_resource(&self, resource: &Resource) -> bool {
        let persistence = resource.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
        if let Some(wanted) = persistence {
            return self.checkpointed_resources.iter().any(|known| {
                let known_id = known.disk.as_ref().and_then(|disk| disk.persistence.as_ref());
                known_id.is_some_and(|persistence| persistence.id == wanted.id) && same_reservations(known, resource)
            });
        }
        let is_dynamic = resource.reservations.iter().any(crate::resources::is_dynamic);
        !is_dynamic
            || self
                .checkpointed_resources
                .iter()
                .any(|known| known.name == resource.name && same_reservations(known, resource))
    }

    fn accept(&mut self, launch: Launch, framework_id: String, agent_id: String) {
        let Launch {
            framework,
            pid,
            executor,
            kind,
            mut tasks,
            is_group,
            ..
        } = launch;
        let executor_id = executor.executor_id.value.clone();
        let user = framework.user.clone();
        let known = self
            .frameworks
            .entry(framework_id.clone())
            .or_insert_with(|| Framework {
                info: framework.clone(),
                pid: None,
                is_shut_down: false,
                executors: Default::default(),
                completed: Default::default(),
            });
        known.info = framework;
        known.pid = pid.filter(|pid| libprocess::Upid::parse(pid).is_some());
        let is_new = !known.executors.contains_key(&executor_id);
        if is_new {
            self.create_executor(&framework_id, executor, kind, agent_id.clone());
        }
        let Some(run) = self.executor_mut(&framework_id, &executor_id) else {
            return;
        };
        let group = (is_group || kind == ExecutorKind::Default).then(|| {
            run.next_group += 1;
            run.next_group
        });
        let ids: Vec<String> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
        for task in tasks.drain(..) {
            let id = task.task_id.value.clone();
            let entry = TaskEntry {
                task: task_record(&framework_id, &agent_id, kind, &executor_id, &user, &task),
                info: task,
                stream: UpdateStream::default(),
                pid: None,
                process: None,
                group,
                kill: None,
                completed: false,
                delivered: false,
            };
            if let Some(run) = self.executor_mut(&framework_id, &executor_id) {
                run.tasks.insert(id.clone(), entry);
            }
            self.task_index.insert((framework_id.clone(), id), executor_id.clone());
        }
        self.save_framework(&framework_id);
        self.save_executor(&framework_id, &executor_id);
        if kind == ExecutorKind::Custom {
            if is_new {
                self.start_custom_executor(&framework_id, &executor_id);
            }
            for id in &ids {
                self.save_task(&framework_id, id);
            }
            self.deliver_tasks(&framework_id, &executor_id);
        } else {
            for id in &ids {
                self.start_task(&framework_id, &executor_id, id);
            }
        }
    }

    fn create_executor(&mut self, framework: &str, mut info: ExecutorInfo, kind: ExecutorKind, agent_id: String) {
        let executor_id = info.executor_id.value.clone();
        let container_id = self.uuid_text();
        info.framework_id = Some(framework.into());
        let state = if kind == ExecutorKind::Custom {
            ExecutorState::Registering
        } else {
            ExecutorState::Running
        };
        let executor = Executor {
            info,
            kind,
            container_id,
            agent_id,
            state,
            tasks: Default::default(),
            is_subscribed: false,
            pid: None,
            exit_status: None,
            next_group: 0,
            completed_micros: None,
        };
        if let Some(known) = self.frameworks.get_mut(framework) {
            known.executors.insert(executor_id, executor);
        }
    }

    fn start_custom_executor(&mut self, framework: &str, executor: &str) {
        let container = match self.start_executor_process(framework, executor) {
            Ok(container) => container,
            Err(text) => {
                self.fail_executor(framework, executor, Reason::ContainerLaunchFailed, &text);
                return self.executor_ended(framework, executor, -1);
            }
        };
        let deadline = Instant::now() + self.config.executor_registration_timeout;
        self.wake_at(deadline, Timer::Registration(framework.to_owned(), container));
    }

    fn start_task(&mut self, framework: &str, executor: &str, task: &str) {
        if let Some(entry) = self.task_mut(framework, task) {
            entry.delivered = true;
        }
        let started = self.start_task_process(framework, executor, task);
        self.judge(framework, task, Verdict::executor(TaskState::TaskStarting, None));
        if let Err(text) = started {
            let verdict = Verdict::agent(TaskState::TaskFailed, Reason::ContainerLaunchFailed, text);
            self.task_ended(framework, executor, task, verdict);
        }
    }
}

fn kind_of(executor: &ExecutorInfo) -> ExecutorKind {
    if executor.r#type == Some(ExecutorType::Default as i32) {
        ExecutorKind::Default
    } else {
        ExecutorKind::Custom
    }
}

/// The executor that runs a command task; masters never hear of it.
fn command_executor(framework: &FrameworkInfo, task: &TaskInfo) -> ExecutorInfo {
    let id = task.task_id.value.clone();
    ExecutorInfo {
        name: Some(format!(
            "Command Executor (Task: {id}) (Command: sh -c '{}')",
            shown(task.command.as_ref())
        )),
        source: Some(id.clone()),
        executor_id: ExecutorId { value: id },
        framework_id: framework.id.clone(),
        command: task.command.clone(),
        labels: task.labels.clone(),
        ..Default::default()
    }
}

/// The beginning of a command for its executor's name.
fn shown(command: Option<&CommandInfo>) -> String {
    let value = command.and_then(|command| command.value.as_deref()).unwrap_or_default();
    let mut shown: String = value.chars().take(15).collect();
    if shown.len() < value.len() {
        shown.push_str("...");
    }
    shown
}

fn task_record(
    framework: &str,
    agent: &str,
    kind: ExecutorKind,
    executor: &str,
    framework_user: &str,
    info: &TaskInfo,
) -> Task {
    let command_user = info.command.as_ref().and_then(|command| command.user.clone());
    Task {
        name: info.name.clone(),
        task_id: info.task_id.clone(),
        framework_id: framework.into(),
        executor_id: (kind != ExecutorKind::Command).then(|| executor.into()),
        agent_id: agent.into(),
        state: TaskState::TaskStaging as i32,
        resources: info.resources.clone(),
        labels: info.labels.clone(),
        discovery: info.discovery.clone(),
        container: info.container.clone(),
        user: Some(command_user.unwrap_or_else(|| framework_user.to_owned())),
        health_check: info.health_check.clone(),
        kill_policy: info.kill_policy,
        limits: info.limits.clone(),
        ..Default::default()
    }
}

fn same_reservations(a: &Resource, b: &Resource) -> bool {
    a.reservations == b.reservations
}
