//! Everything that ends tasks before their time: kills, shutdowns, drains.

use proto::internal::KillTaskMessage;
use proto::v1::executor::{Event, event};
use proto::v1::framework_info::capability::Type as FrameworkCapability;
use proto::v1::task_status::Reason;
use proto::v1::{DrainConfig, KillPolicy, TaskState};
use tokio::time::Instant;

use super::model::{KillCause, Verdict};
use super::process_spec::{millis, millis_of};
use super::updates::{dropped_or_lost, status_of};
use super::{Book, Effect, ExecutorKind, ExecutorState, Timer};

impl Book {
    /// A framework wants a task to end.
    pub(crate) fn kill_task(&mut self, message: &KillTaskMessage) {
        let (framework, task) = (&message.framework_id.value, &message.task_id.value);
        let Some(known) = self.frameworks.get(framework).filter(|known| !known.is_shut_down) else {
            tracing::warn!(
                framework_id = framework,
                task_id = task,
                "ignored a kill for an unknown framework"
            );
            return;
        };
        let state = dropped_or_lost(&known.info);
        if self.task_mut(framework, task).is_none() {
            self.denied.insert(framework, task);
            let verdict = Verdict::agent(state, Reason::ExecutorTerminated, "Cannot find executor");
            let status = status_of(task, verdict);
            return self.update_task(framework, task, status);
        }
        self.kill(framework, task, message.kill_policy, KillCause::Asked);
    }

    fn kill(&mut self, framework: &str, task: &str, policy: Option<KillPolicy>, cause: KillCause) {
        let key = (framework.to_owned(), task.to_owned());
        let Some(executor_id) = self.task_index.get(&key).cloned() else {
            return;
        };
        let Some(run) = self.executor_mut(framework, &executor_id) else {
            return;
        };
        if run.kind != ExecutorKind::Custom {
            return self.kill_built_in(framework, task, policy, cause);
        }
        let container_id = run.container_id.clone();
        let Some(entry) = run.tasks.get_mut(task) else { return };
        if entry.is_terminal() {
            return;
        }
        if entry.delivered {
            let kill = event::Kill {
                task_id: task.into(),
                kill_policy: policy,
            };
            let event = Event {
                r#type: Some(event::Type::Kill as i32),
                kill: Some(kill),
                ..Default::default()
            };
            self.effects.push(Effect::ToExecutor {
                container_id,
                event: Box::new(event),
            });
            return;
        }
        let text = "Killed before delivery to the executor";
        self.judge(
            framework,
            task,
            Verdict::agent(TaskState::TaskKilled, Reason::TaskKilledDuringLaunch, text),
        );
        let is_idle = self
            .executor_mut(framework, &executor_id)
            .is_some_and(|run| run.all_terminal());
        if is_idle {
            self.shut_down_executor(framework, &executor_id);
        }
    }

    /// Ends a task that the agent runs itself.
    pub(super) fn kill_built_in(&mut self, framework: &str, task: &str, policy: Option<KillPolicy>, cause: KillCause) {
        let default = millis_of(self.config.kill_grace_period);
        let announces = self
            .frameworks
            .get(framework)
            .is_some_and(|known| known.has(FrameworkCapability::TaskKillingState));
        let Some(entry) = self.task_mut(framework, task) else {
            return;
        };
        if entry.is_terminal() {
            return;
        }
        let policy = policy.or(entry.info.kill_policy);
        let grace = policy
            .and_then(|policy| policy.grace_period)
            .map_or(default, |grace| millis(grace.nanoseconds));
        let is_first = entry.kill.is_none();
        entry.kill = Some((grace, entry.kill.map_or(cause, |(_, first)| first)));
        let process = entry.process.clone();
        if is_first && announces {
            let mut verdict = Verdict::executor(TaskState::TaskKilling, None);
            verdict.reason = (cause != KillCause::Asked).then_some(Reason::AgentDraining);
            self.judge(framework, task, verdict);
        }
        self.save_task(framework, task);
        if let Some(directory) = process.and_then(|process| self.directory_of(&process)) {
            self.effects.push(Effect::Kill {
                directory,
                grace_ms: grace,
            });
        }
    }

    /// Ends an executor with all its tasks.
    pub(crate) fn shut_down_executor(&mut self, framework: &str, executor: &str) {
        let grace = self.config.executor_shutdown_grace_period;
        let Some(run) = self.executor_mut(framework, executor) else {
            return;
        };
        if matches!(run.state, ExecutorState::Terminating | ExecutorState::Terminated) {
            return;
        }
        let was_registering = run.state == ExecutorState::Registering;
        run.state = ExecutorState::Terminating;
        let container_id = run.container_id.clone();
        if run.kind != ExecutorKind::Custom {
            let tasks: Vec<String> = run.tasks.keys().cloned().collect();
            for task in tasks {
                self.kill_built_in(framework, &task, None, KillCause::Asked);
            }
            return self.built_in_executor_may_end(framework, executor);
        }
        let grace = run
            .info
            .shutdown_grace_period
            .map_or(grace, |own| std::time::Duration::from_millis(millis(own.nanoseconds)));
        let event = Event {
            r#type: Some(event::Type::Shutdown as i32),
            ..Default::default()
        };
        self.effects.push(Effect::ToExecutor {
            container_id: container_id.clone(),
            event: Box::new(event),
        });
        let wait = if was_registering {
            std::time::Duration::ZERO
        } else {
            grace
        };
        self.wake_at(
            Instant::now() + wait,
            Timer::Shutdown(framework.to_owned(), container_id),
        );
    }

    /// A custom executor did not end in time.
    pub(super) fn shutdown_timed_out(&mut self, framework: &str, container: &str) {
        if let Some(directory) = self.directory_of(container) {
            tracing::info!(
                framework_id = framework,
                container_id = container,
                "killing an executor"
            );
            self.effects.push(Effect::Kill { directory, grace_ms: 0 });
        }
    }

    /// A custom executor may not have subscribed in time.
    pub(super) fn registration_timed_out(&mut self, framework: &str, container: &str) {
        let Some(known) = self.frameworks.get(framework) else {
            return;
        };
        let run = known.executors.values().find(|run| run.container_id == container);
        let Some(run) = run.filter(|run| !run.is_subscribed && run.state != ExecutorState::Terminated) else {
            return;
        };
        let id = run.id().to_owned();
        let is_new = run.state == ExecutorState::Registering;
        let reason = if is_new {
            Reason::ExecutorRegistrationTimeout
        } else {
            Reason::ExecutorReregistrationTimeout
        };
        let text = if is_new {
            "Executor did not register in time"
        } else {
            "Executor did not reregister in time"
        };
        let is_partition_aware = known.has(FrameworkCapability::PartitionAware);
        let state = match (is_new, is_partition_aware) {
            (true, _) => TaskState::TaskFailed,
            (false, true) => TaskState::TaskGone,
            (false, false) => TaskState::TaskLost,
        };
        self.end_tasks(framework, &id, &Verdict::agent(state, reason, text));
        self.shutdown_timed_out(framework, container);
    }

    /// A framework is over: everything of it ends, and nothing more is said about it.
    pub(crate) fn shut_down_framework(&mut self, framework: &str) {
        let Some(known) = self.frameworks.get_mut(framework) else {
            return;
        };
        known.is_shut_down = true;
        let executors: Vec<String> = known.executors.keys().cloned().collect();
        self.save_framework(framework);
        for executor in executors {
            self.shut_down_executor(framework, &executor);
            self.complete_executor(framework, &executor);
        }
        self.forget_updates(framework);
        self.collect_garbage();
    }

    fn forget_updates(&mut self, framework: &str) {
        self.loose.retain(|(owner, _), _| owner != framework);
        let Some(known) = self.frameworks.get_mut(framework) else {
            return;
        };
        let mut changed = Vec::new();
        for run in known.executors.values_mut() {
            for (id, entry) in run.tasks.iter_mut().filter(|(_, entry)| !entry.stream.is_empty()) {
                entry.stream = Default::default();
                changed.push(id.clone());
            }
        }
        for task in changed {
            self.save_task(framework, &task);
        }
    }

    /// The operator drains this agent.
    pub(crate) fn drain(&mut self, config: DrainConfig) {
        let tasks: Vec<(String, String)> = self.task_index.keys().cloned().collect();
        if tasks.is_empty() && self.drain.is_none() {
            return;
        }
        let is_gone = config.mark_gone.unwrap_or(false);
        let grace = config.max_grace_period;
        self.drain = Some(config);
        self.save_agent();
        for (framework, task) in tasks {
            let Some(known) = self.frameworks.get(&framework) else {
                continue;
            };
            let cause = if is_gone && known.has(FrameworkCapability::PartitionAware) {
                KillCause::DrainGone
            } else {
                KillCause::Drain
            };
            let own = self
                .task_mut(&framework, &task)
                .and_then(|entry| entry.info.kill_policy?.grace_period);
            let default = i64::try_from(self.config.kill_grace_period.as_nanos()).unwrap_or(i64::MAX);
            let own = own.map_or(default, |own| own.nanoseconds);
            let nanoseconds = grace.map_or(own, |grace| grace.nanoseconds.min(own));
            let policy = KillPolicy {
                grace_period: Some(proto::v1::DurationInfo { nanoseconds }),
            };
            self.kill(&framework, &task, Some(policy), cause);
        }
    }

    /// The drain is over when nothing is left; the agent may be used again.
    pub(super) fn drain_may_end(&mut self) {
        if self.drain.is_some() && self.frameworks.values().all(|known| known.executors.is_empty()) {
            self.drain = None;
            self.save_agent();
        }
    }
}

impl Book {
    /// The agent is to end: so is everything on it.
    pub(crate) fn shut_down_everything(&mut self) {
        let frameworks: Vec<String> = self.frameworks.keys().cloned().collect();
        for framework in frameworks {
            self.shut_down_framework(&framework);
        }
    }
}
