//! Which record each part of the book is kept in.

use proto::internal::StatusUpdate;

use super::{Book, Executor, TaskEntry};
use crate::store::record::{self, AgentRecord, ExecutorRecord, FrameworkRecord, TaskRecord};

impl Book {
    /// Notes that the agent's own record changed.
    pub(super) fn save_agent(&mut self) {
        let record = AgentRecord {
            info: Some(self.info.clone()),
            checkpointed_resources: self.checkpointed_resources.clone(),
            drain: self.drain,
            operations: self.operations.pending.values().cloned().collect(),
            seen_operations: self.operations.seen.iter().cloned().collect(),
            destroyed_volumes: self.operations.destroyed.iter().cloned().collect(),
        };
        self.changes.write(self.layout.agent(), record::encode(&record));
    }

    /// Notes that a framework's record changed.
    pub(super) fn save_framework(&mut self, framework: &str) {
        let Some(known) = self.frameworks.get(framework) else {
            return;
        };
        let record = FrameworkRecord {
            info: Some(known.info.clone()),
            pid: known.pid.clone(),
            shut_down: known.is_shut_down,
        };
        self.changes.write(
            self.layout.framework(framework).join("framework"),
            record::encode(&record),
        );
    }

    /// Notes that the record of a live executor changed.
    pub(super) fn save_executor(&mut self, framework: &str, executor: &str) {
        let Some(known) = self
            .frameworks
            .get(framework)
            .and_then(|known| known.executors.get(executor))
        else {
            return;
        };
        let path = self.layout.executor(framework, &known.container_id).join("executor");
        self.changes.write(path, record::encode(&executor_record(known)));
    }

    /// Notes that the record of a task of a live executor changed.
    pub(super) fn save_task(&mut self, framework: &str, task: &str) {
        let Some(executor) = self.task_index.get(&(framework.to_owned(), task.to_owned())) else {
            return;
        };
        let Some(executor) = self
            .frameworks
            .get(framework)
            .and_then(|known| known.executors.get(executor))
        else {
            return;
        };
        let Some(entry) = executor.tasks.get(task) else { return };
        let path = self.layout.task(framework, &executor.container_id, task);
        self.changes.write(path, record::encode(&task_record(entry)));
    }
}

pub(super) fn executor_record(executor: &Executor) -> ExecutorRecord {
    ExecutorRecord {
        info: Some(executor.info.clone()),
        kind: executor.kind as u32,
        container_id: executor.container_id.clone(),
        agent_id: executor.agent_id.clone(),
        exit_status: executor.exit_status,
        completed: executor.completed_micros.is_some(),
        completed_micros: executor.completed_micros.unwrap_or(0),
    }
}

fn task_record(entry: &TaskEntry) -> TaskRecord {
    TaskRecord {
        info: Some(entry.info.clone()),
        task: Some(entry.task.clone()),
        pending: entry.stream.pending().cloned().collect::<Vec<StatusUpdate>>(),
        process: entry.process.clone(),
        group: entry.group,
        kill_grace_ms: entry.kill.map(|(grace, _)| grace),
        kill_cause: entry.kill.map_or(0, |(_, cause)| cause as u32),
        completed: entry.completed,
        delivered: entry.delivered,
    }
}
