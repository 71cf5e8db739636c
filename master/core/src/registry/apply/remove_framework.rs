//! RemoveFramework: its tasks are recorded as killed, its id is refused from now on.

use std::sync::Arc;

use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::Changes;
use super::changes::Verdict;
use crate::command::{FrameworkRemoval, RemoveFramework};
use crate::effect::Effect;
use crate::event::Event;
use crate::ids::{AgentId, ExecutorId};
use crate::outcome::{Outcome, Rejection};
use crate::registry::{CompletedFramework, Registry, Task};

impl Registry {
    pub(super) fn remove_framework(
        &mut self,
        command: &RemoveFramework,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let framework_id = &command.framework_id;
        if self.framework(framework_id).is_none() {
            return Err(Rejection::UnknownFramework(framework_id.clone()));
        }
        let message = match command.reason {
            FrameworkRemoval::Teardown => "Framework torn down",
            FrameworkRemoval::FailoverTimeout => "Framework failover timeout expired",
        };
        let live: Vec<Arc<Task>> = self.tasks_of_framework(framework_id).cloned().collect();
        let mut tasks = Vec::with_capacity(live.len());
        for task in live {
            tasks.push(self.kill_with_framework(&task, message, changes));
        }
        self.take_executors_of_framework(command, changes);
        if let Some(framework) = self.take_framework(framework_id) {
            let number = self.next_entry();
            let completed = CompletedFramework {
                framework: (*framework).clone(),
                removed_at: changes.now,
            };
            self.push_completed_framework(number, completed);
            changes.event(Event::FrameworkRemoved { framework });
        }
        changes.effect(Effect::BroadcastFrameworkShutdown {
            framework_id: framework_id.clone(),
        });
        Ok(Outcome::FrameworkRemoved {
            framework_id: framework_id.clone(),
            tasks,
        })
    }

    /// The framework is not told: it is gone. Operators are.
    fn kill_with_framework(&mut self, task: &Arc<Task>, message: &str, changes: &mut Changes) -> Arc<Task> {
        let Some(task) = self.take_task(&task.framework_id, &task.id) else {
            return task.clone();
        };
        if task.is_terminal() {
            let ended = Task {
                launch: None,
                kill: None,
                ..Task::clone(&task)
            };
            return self.complete(ended);
        }
        let verdict = Verdict {
            state: TaskState::TaskKilled,
            reason: Reason::FrameworkRemoved,
            message,
        };
        let (ended, _) = changes.conclude(&task, verdict);
        changes.recover(&task);
        self.complete(ended)
    }

    fn take_executors_of_framework(&mut self, command: &RemoveFramework, changes: &mut Changes) {
        let framework_id = &command.framework_id;
        let executors: Vec<(AgentId, ExecutorId)> = self
            .agents()
            .flat_map(|agent| {
                agent
                    .executors
                    .keys()
                    .filter(|(owner, _)| owner == framework_id)
                    .map(|(_, executor_id)| (agent.id.clone(), executor_id.clone()))
            })
            .collect();
        for (agent_id, executor_id) in executors {
            if let Some(executor) = self.take_executor(&agent_id, framework_id, &executor_id) {
                changes.effect(Effect::RecoverResources {
                    framework_id: framework_id.clone(),
                    agent_id,
                    resources: executor.resources.clone(),
                });
            }
        }
    }
}
