//! LaunchTasks: accepted offers become tasks. Checked again here, since other commands may have come in between.

use std::sync::Arc;

use planted::{Bug, is_planted};
use proto::v1::task_status::Reason;
use proto::v1::{ExecutorInfo, TaskInfo, TaskState};

use super::Changes;
use super::changes::told_state;
use crate::command::LaunchTasks;
use crate::effect::{Effect, SendTasks};
use crate::encoded::Encoded;
use crate::event::Event;
use crate::ids::{ExecutorId, TaskId};
use crate::outcome::{Outcome, RefusedTask, Rejection};
use crate::registry::{Agent, Executor, GroupLaunch, Launch, Registry, Task};
use crate::resources::Resources;

/// A task ready to be recorded, with its payload.
struct Candidate {
    task: Task,
    payload: Encoded<TaskInfo>,
    executor: Option<ExecutorInfo>,
}

/// What is told of a task that is not launched.
struct Refusal {
    state: TaskState,
    reason: Reason,
    message: String,
}

/// What the launches of one command lead to.
#[derive(Default)]
struct Launched {
    tasks: Vec<Arc<Task>>,
    refused: Vec<RefusedTask>,
    executors: Vec<ExecutorId>,
}

impl Registry {
    pub(super) fn launch_tasks(&mut self, command: &LaunchTasks, changes: &mut Changes) -> Result<Outcome, Rejection> {
        if self.framework(&command.framework_id).is_none() {
            return Err(Rejection::UnknownFramework(command.framework_id.clone()));
        }
        let mut candidates = Vec::with_capacity(command.tasks.len());
        for payload in &command.tasks {
            candidates.push(self.candidate(command, payload, changes)?);
        }
        let mut launched = Launched::default();
        match &command.group {
            Some(executor) => self.launch_group(command, candidates, executor, &mut launched, changes)?,
            None => {
                for candidate in candidates {
                    self.launch_one(command, candidate, &mut launched, changes);
                }
            }
        }
        let Launched {
            tasks,
            refused,
            executors,
        } = launched;
        Ok(Outcome::TasksLaunched {
            launched: tasks,
            refused,
            executors,
        })
    }

    fn candidate(
        &self,
        command: &LaunchTasks,
        payload: &Encoded<TaskInfo>,
        changes: &Changes,
    ) -> Result<Candidate, Rejection> {
        let malformed = |why: String| Rejection::Malformed { what: "task", why };
        let info = payload.decode().map_err(|error| malformed(error.to_string()))?;
        // Ids are shared with the framework's and the agent's own records.
        let framework_id = self
            .framework(&command.framework_id)
            .map_or(&command.framework_id, |framework| &framework.id)
            .clone();
        let agent_id = self
            .agent(&command.agent_id)
            .map_or(&command.agent_id, |agent| &agent.id)
            .clone();
        let task = Task::launching(framework_id, agent_id, &info, changes.now).map_err(malformed)?;
        Ok(Candidate {
            task,
            payload: payload.clone(),
            executor: info.executor,
        })
    }

    fn launch_one(
        &mut self,
        command: &LaunchTasks,
        candidate: Candidate,
        launched: &mut Launched,
        changes: &mut Changes,
    ) {
        let new_executor = candidate
            .executor
            .as_ref()
            .filter(|executor| !self.runs(command, executor));
        let checked = self
            .check_id(&candidate.task)
            .and_then(|()| self.check_room(command, std::iter::once(&candidate.task), new_executor));
        if let Err(refusal) = checked {
            refuse(&candidate.task, refusal, launched, changes);
            return;
        }
        // A command task always starts an executor of its own.
        let launch_executor = candidate.executor.is_none() || new_executor.is_some();
        if let Some(executor) = new_executor.cloned() {
            launched.executors.push(self.start_executor(command, executor));
        }
        let task = self.record_launch(candidate, None, command, changes);
        changes.effect(Effect::SendTasks(SendTasks {
            agent_id: task.agent_id.clone(),
            framework_id: task.framework_id.clone(),
            tasks: vec![task.clone()],
            group: None,
            launch_executor,
        }));
        launched.tasks.push(task);
    }

    fn launch_group(
        &mut self,
        command: &LaunchTasks,
        candidates: Vec<Candidate>,
        executor: &Encoded<ExecutorInfo>,
        launched: &mut Launched,
        changes: &mut Changes,
    ) -> Result<(), Rejection> {
        let info = executor.decode().map_err(|error| Rejection::Malformed {
            what: "executor",
            why: error.to_string(),
        })?;
        let new_executor = Some(&info).filter(|executor| !self.runs(command, executor));
        let checked = self.check_group(command, &candidates, new_executor);
        if let Err(refusal) = checked {
            for candidate in &candidates {
                let refusal = Refusal {
                    message: refusal.message.clone(),
                    ..refusal
                };
                refuse(&candidate.task, refusal, launched, changes);
            }
            return Ok(());
        }
        let launch_executor = new_executor.is_some();
        if let Some(executor) = new_executor.cloned() {
            launched.executors.push(self.start_executor(command, executor));
        }
        let task_ids = candidates.iter().map(|candidate| candidate.task.id.clone()).collect();
        let group = Arc::new(GroupLaunch {
            executor: executor.clone(),
            task_ids,
        });
        let executor_id = ExecutorId::from(&info.executor_id);
        let mut tasks = Vec::with_capacity(candidates.len());
        for mut candidate in candidates {
            candidate.task.executor_id = Some(executor_id.clone());
            tasks.push(self.record_launch(candidate, Some(group.clone()), command, changes));
        }
        changes.effect(Effect::SendTasks(SendTasks {
            agent_id: command.agent_id.clone(),
            framework_id: command.framework_id.clone(),
            tasks: tasks.clone(),
            group: Some(executor.clone()),
            launch_executor,
        }));
        launched.tasks.extend(tasks);
        Ok(())
    }

    fn check_group(
        &self,
        command: &LaunchTasks,
        candidates: &[Candidate],
        new_executor: Option<&ExecutorInfo>,
    ) -> Result<(), Refusal> {
        let mut ids: Vec<&TaskId> = candidates.iter().map(|candidate| &candidate.task.id).collect();
        ids.sort();
        let within = ids
            .windows(2)
            .find(|pair| pair[0] == pair[1])
            .map(|pair| duplicate(pair[0]));
        let checked = match within {
            Some(refusal) => Err(refusal),
            None => candidates
                .iter()
                .try_for_each(|candidate| self.check_id(&candidate.task)),
        };
        checked.map_err(|refusal| Refusal {
            reason: Reason::TaskGroupInvalid,
            ..refusal
        })?;
        self.check_room(
            command,
            candidates.iter().map(|candidate| &candidate.task),
            new_executor,
        )
    }

    /// Unique among the framework's live and unreachable tasks.
    fn check_id(&self, task: &Task) -> Result<(), Refusal> {
        let taken = self.task(&task.framework_id, &task.id).is_some()
            || self.unreachable_task(&task.framework_id, &task.id).is_some();
        if taken { Err(duplicate(&task.id)) } else { Ok(()) }
    }

    /// The agent is admitted and has room: what is used and what is asked for fit into its total.
    fn check_room<'a>(
        &self,
        command: &LaunchTasks,
        tasks: impl Iterator<Item = &'a Task>,
        new_executor: Option<&ExecutorInfo>,
    ) -> Result<(), Refusal> {
        let framework = self.framework(&command.framework_id);
        let dropped = told_state(framework, TaskState::TaskDropped);
        let Some(agent) = self.agent(&command.agent_id) else {
            let message = "Agent removed".to_owned();
            return Err(Refusal {
                state: dropped,
                reason: Reason::AgentRemoved,
                message,
            });
        };
        let mut wanted: Resources = tasks.map(|task| &*task.resources).sum();
        if let Some(executor) = new_executor {
            let resources = Resources::from_proto(&executor.resources).map_err(|error| Refusal {
                state: TaskState::TaskError,
                reason: Reason::TaskInvalid,
                message: error.to_string(),
            })?;
            wanted.add(&resources);
        }
        if fits(agent, &wanted) {
            return Ok(());
        }
        let message = format!(
            "Task launched with invalid offers: Total resources {wanted} required by task and its executor is more than available: {} of {} are used",
            agent.used, agent.total
        );
        Err(Refusal {
            state: dropped,
            reason: Reason::InvalidOffers,
            message,
        })
    }

    /// The books have this executor on the agent.
    fn runs(&self, command: &LaunchTasks, executor: &ExecutorInfo) -> bool {
        let id = ExecutorId::from(&executor.executor_id);
        self.agent(&command.agent_id)
            .is_some_and(|agent| agent.executors.contains_key(&(command.framework_id.clone(), id)))
    }

    fn start_executor(&mut self, command: &LaunchTasks, executor: ExecutorInfo) -> ExecutorId {
        let id = ExecutorId::from(&executor.executor_id);
        self.put_executor(Executor {
            id: id.clone(),
            framework_id: command.framework_id.clone(),
            agent_id: command.agent_id.clone(),
            resources: Resources::from_proto(&executor.resources).unwrap_or_default(),
            info: Encoded::new(&executor),
        });
        id
    }

    fn record_launch(
        &mut self,
        candidate: Candidate,
        group: Option<Arc<GroupLaunch>>,
        command: &LaunchTasks,
        changes: &mut Changes,
    ) -> Arc<Task> {
        let Candidate { mut task, payload, .. } = candidate;
        let senders = vec![command.master_pid.clone()];
        task.launch = Some(Arc::new(Launch {
            task: payload,
            group,
            senders,
        }));
        let task = self.put_task(task);
        changes.event(Event::TaskAdded { task: task.clone() });
        task
    }
}

/// Allocation roles do not matter for room, nor does who else holds a shared volume.
fn fits(agent: &Agent, wanted: &Resources) -> bool {
    let wanted = wanted.unallocated();
    let exclusive = |resources: &Resources| resources.filter(|entry| !entry.kind().is_shared());
    let mut used = exclusive(&agent.used.unallocated());
    used.add(&exclusive(&wanted));
    let shared_are_there = wanted
        .iter()
        .filter(|entry| entry.kind().is_shared())
        .all(|entry| agent.total.iter().any(|have| have.kind() == entry.kind()));
    agent.total.contains(&used) && shared_are_there
}

fn duplicate(task_id: &TaskId) -> Refusal {
    Refusal {
        state: TaskState::TaskError,
        reason: Reason::TaskInvalid,
        message: format!("Task has duplicate ID: {task_id}"),
    }
}

fn refuse(task: &Task, refusal: Refusal, launched: &mut Launched, changes: &mut Changes) {
    let Refusal { state, reason, message } = refusal;
    let status = changes.status(task, state, reason, &message);
    if !is_planted(Bug::RefusedSilently) {
        changes.tell(task, status);
    }
    launched.refused.push(RefusedTask {
        task_id: task.id.clone(),
        state,
        reason,
        message,
    });
}
