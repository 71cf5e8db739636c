//! Puts the book together again after a restart of the agent, or of the host.

use proto::v1::FrameworkInfo;
use tokio::time::Instant;

use super::model::KillCause;
use super::stream::UpdateStream;
use super::{Book, Effect, Executor, ExecutorKind, ExecutorState, Framework, ProcessOwner, TaskEntry, Timer};
use crate::store::record::TaskRecord;
use crate::store::{Recovered, RecoveredExecutor, RecoveredFramework};

impl Book {
    /// Takes over what a former agent of this work directory left.
    pub(crate) fn restore(&mut self, recovered: Recovered) {
        if let Some(agent) = recovered.agent {
            self.checkpointed_resources = agent.checkpointed_resources;
            self.drain = agent.drain;
            self.info.id = agent.info.and_then(|info| info.id);
            self.restore_operations(agent.operations, agent.seen_operations, agent.destroyed_volumes);
        }
        for framework in recovered.frameworks {
            self.restore_framework(framework);
        }
        self.collect_garbage();
    }

    fn restore_framework(&mut self, recovered: RecoveredFramework) {
        let Some(info) = recovered.record.info else { return };
        let id = info.id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
        let forgets = !info.checkpoint.unwrap_or(false);
        let framework = Framework {
            info,
            pid: recovered.record.pid,
            is_shut_down: recovered.record.shut_down,
            executors: Default::default(),
            completed: Default::default(),
        };
        self.frameworks.insert(id.clone(), framework);
        let mut completed = Vec::new();
        for found in recovered.executors {
            let is_completed = found.record.completed;
            let user = self
                .frameworks
                .get(&id)
                .map(|known| known.info.clone())
                .unwrap_or_default();
            let Some(run) = restored_executor(found, &user) else {
                continue;
            };
            if is_completed {
                let keys = run.tasks.keys().map(|task| (id.clone(), task.clone()));
                self.completed_tasks.extend(keys);
                completed.push(run);
            } else {
                self.restore_run(&id, run);
            }
        }
        completed.sort_by_key(|run| run.completed_micros);
        if let Some(known) = self.frameworks.get_mut(&id) {
            known.completed.extend(completed);
        }
        // Masters give the tasks of such frameworks up as soon as the agent's connection breaks.
        if forgets {
            self.shut_down_for_restart(&id);
        }
    }

    fn restore_run(&mut self, framework: &str, run: Executor) {
        let executor = run.id().to_owned();
        let owner = |task: Option<String>| ProcessOwner {
            framework: framework.to_owned(),
            executor: executor.clone(),
            task,
        };
        if run.kind == ExecutorKind::Custom && run.exit_status.is_none() {
            self.processes.insert(run.container_id.clone(), owner(None));
            let deadline = Instant::now() + self.config.executor_reregistration_timeout;
            self.wake_at(
                deadline,
                Timer::Registration(framework.to_owned(), run.container_id.clone()),
            );
        }
        for (task, entry) in &run.tasks {
            self.task_index
                .insert((framework.to_owned(), task.clone()), executor.clone());
            if let (Some(process), false) = (&entry.process, entry.is_terminal()) {
                self.processes.insert(process.clone(), owner(Some(task.clone())));
            }
            // The order may not have reached the supervisor.
            if let (Some(process), Some((grace_ms, _)), false) = (&entry.process, entry.kill, entry.is_terminal()) {
                let directory = self.layout.process(framework, &run.container_id, process);
                self.effects.push(Effect::Kill { directory, grace_ms });
            }
        }
        if let Some(known) = self.frameworks.get_mut(framework) {
            known.executors.insert(executor.clone(), run);
        }
        let is_ended = self
            .executor_mut(framework, &executor)
            .is_some_and(|run| run.exit_status.is_some());
        if is_ended {
            self.complete_executor(framework, &executor);
        } else {
            self.built_in_executor_may_end(framework, &executor);
        }
    }

    fn shut_down_for_restart(&mut self, framework: &str) {
        let processes: Vec<String> = self
            .processes
            .iter()
            .filter(|(_, owner)| owner.framework == framework)
            .map(|(process, _)| process.clone())
            .collect();
        for process in processes {
            if let Some(directory) = self.directory_of(&process) {
                self.effects.push(Effect::Kill { directory, grace_ms: 0 });
            }
        }
        let is_empty = self
            .frameworks
            .get(framework)
            .is_some_and(|known| known.executors.is_empty());
        if !is_empty {
            self.shut_down_framework(framework);
        }
    }
}

fn restored_executor(found: RecoveredExecutor, framework: &FrameworkInfo) -> Option<Executor> {
    let record = found.record;
    let kind = ExecutorKind::from_number(record.kind);
    let tasks = found.tasks.into_iter().filter_map(restored_task);
    let tasks: std::collections::BTreeMap<_, _> =
        tasks.map(|entry| (entry.info.task_id.value.clone(), entry)).collect();
    let next_group = tasks.values().filter_map(|entry| entry.group).max().unwrap_or(0);
    tracing::debug!(
        framework_id = framework.name,
        container_id = record.container_id,
        "recovered an executor"
    );
    Some(Executor {
        info: record.info?,
        kind,
        container_id: record.container_id,
        agent_id: record.agent_id,
        state: if record.exit_status.is_some() {
            ExecutorState::Terminated
        } else {
            ExecutorState::Running
        },
        tasks,
        is_subscribed: false,
        pid: None,
        exit_status: record.exit_status,
        next_group,
        completed_micros: record.completed.then_some(record.completed_micros),
    })
}

fn restored_task(record: TaskRecord) -> Option<TaskEntry> {
    Some(TaskEntry {
        info: record.info?,
        task: record.task?,
        stream: UpdateStream::recovered(record.pending),
        pid: None,
        process: record.process,
        group: record.group,
        kill: record
            .kill_grace_ms
            .map(|grace| (grace, KillCause::from_number(record.kill_cause))),
        completed: record.completed,
        delivered: record.delivered,
    })
}
