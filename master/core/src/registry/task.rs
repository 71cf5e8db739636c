//! A task as the registry knows it. Kept small: a million of them have to fit.

use std::sync::Arc;

use proto::v1::task_status::Source;
use proto::v1::{self, ExecutorInfo, KillPolicy, TaskInfo, TaskState, TaskStatus};
use serde::{Deserialize, Serialize};

use crate::command::UuidBytes;
use crate::encoded::Encoded;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::resources::Resources;
use crate::timestamp::Timestamp;

/// Statuses kept per task: a task that runs normally has three or four; the bound is against agents that never stop.
pub const STATUSES_PER_TASK_MAX: usize = 16;

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Chosen by the framework.
    pub id: TaskId,
    /// Whose.
    pub framework_id: FrameworkId,
    /// Where.
    pub agent_id: AgentId,
    /// `None` for a command task.
    pub executor_id: Option<ExecutorId>,
    /// Chosen by the framework, may be empty.
    #[serde(deserialize_with = "crate::shared_text::deserialize")]
    pub name: Arc<str>,
    /// Latest state known to the agent. Once terminal it stays.
    #[serde(with = "crate::wire_enum")]
    pub state: TaskState,
    /// With allocation role. Tasks of one framework are often alike and then share them.
    pub resources: Arc<Resources>,
    /// State of the latest update that was relayed; the one its framework may still have to acknowledge.
    #[serde(with = "crate::wire_enum::option")]
    pub status_update_state: Option<TaskState>,
    /// Uuid of that update.
    pub status_update_uuid: Option<UuidBytes>,
    /// Oldest first, successive ones of one state merged into the later; without the ids this record has anyway.
    pub(crate) statuses: Vec<Encoded<TaskStatus>>,
    /// What only the APIs show: labels, discovery, container, health check, kill policy, user, limits.
    pub(crate) details: Option<Encoded<v1::Task>>,
    /// Until the agent has confirmed that it knows the task.
    pub launch: Option<Arc<Launch>>,
    /// A kill was requested.
    pub kill: Option<Arc<KillRequest>>,
    /// When it was launched, or became known.
    pub launched_at: Timestamp,
}

/// What is needed to send a launch (again).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The whole TaskInfo as it is sent.
    pub task: Encoded<TaskInfo>,
    /// Set for a member of a task group.
    pub group: Option<Arc<GroupLaunch>>,
    /// libprocess pids of the masters that may have sent it, each once: as many as the cluster has addresses.
    pub senders: Vec<Arc<str>>,
}

/// What the members of a task group share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLaunch {
    /// The group's executor as it is sent.
    pub executor: Encoded<ExecutorInfo>,
    /// All members, in the framework's order.
    pub task_ids: Vec<TaskId>,
}

/// A kill that was requested.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillRequest {
    /// How; `None` leaves it to the task's own policy.
    pub policy: Option<Encoded<KillPolicy>>,
}

/// The state is final.
pub fn is_terminal(state: TaskState) -> bool {
    state.is_terminal()
}

impl Task {
    /// Its state is final; it waits for the acknowledgement.
    pub fn is_terminal(&self) -> bool {
        is_terminal(self.state)
    }

    /// The state to report when somebody asks: that of the latest relayed update, else the latest state.
    pub fn reported_state(&self) -> TaskState {
        self.status_update_state.unwrap_or(self.state)
    }

    /// All kept statuses, oldest first, ids filled in.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.statuses
            .iter()
            .filter_map(|stored| self.restore_status(stored))
            .collect()
    }

    /// The latest status, ids filled in; `None` while no update arrived.
    pub fn latest_status(&self) -> Option<TaskStatus> {
        self.statuses.last().and_then(|stored| self.restore_status(stored))
    }

    /// Whether a kept status has this state.
    pub(crate) fn went_through(&self, state: TaskState) -> bool {
        let states = self.statuses.iter().filter_map(|stored| stored.decode().ok());
        states.into_iter().any(|status| status.state() == state)
    }

    /// Appends a status; see `statuses` for what is kept. `data` and `uuid` are not.
    pub(crate) fn push_status(&mut self, status: &TaskStatus) {
        let stripped = TaskStatus {
            task_id: v1::TaskId::default(),
            agent_id: None,
            executor_id: status
                .executor_id
                .clone()
                .filter(|id| self.implied_executor() != Some(id.value.as_str())),
            data: None,
            uuid: None,
            ..status.clone()
        };
        let same_state = |stored: &Encoded<TaskStatus>| stored.decode().is_ok_and(|last| last.state == status.state);
        if self.statuses.last().is_some_and(same_state) {
            self.statuses.pop();
        }
        if self.statuses.len() >= STATUSES_PER_TASK_MAX {
            // The first says when it started; the oldest of the others says least.
            self.statuses.remove(1);
        }
        // A million tasks: no room for more than there is.
        self.statuses.reserve_exact(1);
        self.statuses.push(Encoded::new(&stripped));
    }

    /// Whether the stored statuses tell the same as `reported` ones.
    pub(crate) fn replace_statuses(&mut self, reported: &[TaskStatus]) {
        self.statuses.clear();
        for status in reported {
            self.push_status(status);
        }
        self.statuses.shrink_to_fit();
    }

    /// The executor id an agent uses when the status names none: the task's executor, or the one it makes for a command
    /// task, which has the task's id.
    fn implied_executor(&self) -> Option<&str> {
        Some(self.executor_id.as_ref().map_or(self.id.as_str(), ExecutorId::as_str))
    }

    fn restore_status(&self, stored: &Encoded<TaskStatus>) -> Option<TaskStatus> {
        // What was stored was encoded here or checked when the snapshot was read, so it decodes.
        let mut status = stored.decode().ok()?;
        status.task_id = self.id.to_proto();
        status.agent_id = Some(self.agent_id.to_proto());
        if status.executor_id.is_none() && status.source() != Source::Master {
            status.executor_id = self
                .implied_executor()
                .map(|id| v1::ExecutorId { value: id.to_owned() });
        }
        Some(status)
    }

    /// What only the APIs show: labels, discovery, container, health check, kill policy, user, limits; the other fields are
    /// unset. `None` when there is nothing of it.
    pub fn details(&self) -> Option<v1::Task> {
        // What was stored was encoded here or checked when the snapshot was read, so it decodes.
        self.details.as_ref().and_then(|details| details.decode().ok())
    }

    /// About how many bytes its texts and encoded parts take, those of the launch included.
    pub(crate) fn bytes_estimate(&self) -> usize {
        let statuses: usize = self.statuses.iter().map(|status| status.as_bytes().len()).sum();
        let details = self.details.as_ref().map_or(0, |details| details.as_bytes().len());
        let launch = self.launch.as_ref().map_or(0, |launch| launch.task.as_bytes().len());
        self.id.as_str().len() + self.name.len() + statuses + details + launch
    }

    /// The Mesos `Task` record for the APIs.
    pub fn to_proto(&self) -> v1::Task {
        let details = self.details().unwrap_or_default();
        v1::Task {
            name: self.name.to_string(),
            task_id: self.id.to_proto(),
            framework_id: self.framework_id.to_proto(),
            executor_id: self.executor_id.as_ref().map(ExecutorId::to_proto),
            agent_id: self.agent_id.to_proto(),
            state: self.state as i32,
            resources: self.resources.to_proto(),
            statuses: self.statuses(),
            status_update_state: self.status_update_state.map(i32::from),
            status_update_uuid: self.status_update_uuid.map(|uuid| uuid.to_vec().into()),
            ..details
        }
    }

    /// A task that is about to be launched: staging, no status yet. Errors: resources that make no sense.
    pub(crate) fn launching(
        framework_id: FrameworkId,
        agent_id: AgentId,
        info: &TaskInfo,
        launched_at: Timestamp,
    ) -> Result<Self, String> {
        let details = v1::Task {
            labels: info.labels.clone(),
            discovery: info.discovery.clone(),
            container: info.container.clone(),
            health_check: info.health_check.clone(),
            kill_policy: info.kill_policy,
            limits: info.limits.clone(),
            user: info
                .command
                .as_ref()
                .or(info.executor.as_ref().and_then(|executor| executor.command.as_ref()))
                .and_then(|command| command.user.clone()),
            ..v1::Task::default()
        };
        Ok(Self {
            id: TaskId::from(&info.task_id),
            framework_id,
            agent_id,
            executor_id: info
                .executor
                .as_ref()
                .map(|executor| ExecutorId::from(&executor.executor_id)),
            name: Arc::from(info.name.as_str()),
            state: TaskState::TaskStaging,
            resources: Arc::new(Resources::from_proto(&info.resources).map_err(|error| error.to_string())?),
            status_update_state: None,
            status_update_uuid: None,
            statuses: Vec::new(),
            details: stored_details(details),
            launch: None,
            kill: None,
            launched_at,
        })
    }

    /// A task as its agent reports it. Errors: what of it makes no sense.
    pub(crate) fn reported(
        framework_id: FrameworkId,
        agent_id: AgentId,
        report: &v1::Task,
        now: Timestamp,
    ) -> Result<Self, String> {
        let state =
            TaskState::try_from(report.state).map_err(|_| format!("task has unknown state {}", report.state))?;
        let status_update_state = report
            .status_update_state
            .map(|state| TaskState::try_from(state).map_err(|_| format!("task has unknown update state {state}")))
            .transpose()?;
        let details = v1::Task {
            labels: report.labels.clone(),
            discovery: report.discovery.clone(),
            container: report.container.clone(),
            health_check: report.health_check.clone(),
            kill_policy: report.kill_policy,
            limits: report.limits.clone(),
            user: report.user.clone(),
            ..v1::Task::default()
        };
        let status_update_uuid = uuid_bytes(report.status_update_uuid.as_deref());
        let mut task = Self {
            id: TaskId::from(&report.task_id),
            framework_id,
            agent_id,
            executor_id: report.executor_id.as_ref().map(ExecutorId::from),
            name: Arc::from(report.name.as_str()),
            state,
            resources: Arc::new(Resources::from_proto(&report.resources).map_err(|error| error.to_string())?),
            // One without the other cannot be acknowledged.
            status_update_state: status_update_state.filter(|_| status_update_uuid.is_some()),
            status_update_uuid: status_update_uuid.filter(|_| status_update_state.is_some()),
            statuses: Vec::new(),
            details: stored_details(details),
            launch: None,
            kill: None,
            launched_at: report
                .statuses
                .first()
                .and_then(|status| status.timestamp)
                .map_or(now, Timestamp::from_seconds_f64),
        };
        task.replace_statuses(&report.statuses);
        Ok(task)
    }
}

/// The uuid if it is one: 16 bytes.
pub fn uuid_bytes(bytes: Option<&[u8]>) -> Option<UuidBytes> {
    bytes.and_then(|bytes| bytes.try_into().ok())
}

fn stored_details(details: v1::Task) -> Option<Encoded<v1::Task>> {
    (details != v1::Task::default()).then(|| Encoded::new(&details))
}
