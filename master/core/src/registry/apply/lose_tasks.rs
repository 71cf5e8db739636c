//! LoseTasks: the master itself ends tasks that it cannot deliver, or whose agent cannot keep them.

use std::sync::Arc;

use super::Changes;
use super::changes::Verdict;
use crate::command::LoseTasks;
use crate::effect::Effect;
use crate::outcome::Outcome;
use crate::registry::{Registry, Task, is_terminal};

impl Registry {
    /// A state that is not terminal ends nothing.
    pub(super) fn lose_tasks(&mut self, command: &LoseTasks, changes: &mut Changes) -> Outcome {
        let mut ended = Vec::new();
        if is_terminal(command.state) {
            let verdict = Verdict {
                state: command.state,
                reason: command.reason,
                message: &command.message,
            };
            for (framework_id, task_id) in &command.tasks {
                let Some(task) = self.task(framework_id, task_id).cloned() else {
                    continue;
                };
                if task.agent_id == command.agent_id && !task.is_terminal() {
                    ended.push(self.end_task(&task, verdict, changes));
                }
            }
        }
        for (framework_id, executor_id) in &command.executors {
            if let Some(executor) = self.take_executor(&command.agent_id, framework_id, executor_id) {
                changes.effect(Effect::RecoverResources {
                    framework_id: framework_id.clone(),
                    agent_id: command.agent_id.clone(),
                    resources: executor.resources.clone(),
                });
            }
        }
        let tasks: Vec<Arc<Task>> = ended;
        Outcome::TasksLost { tasks }
    }
}
