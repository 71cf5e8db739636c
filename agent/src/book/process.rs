//! What supervisors report, and what it means for tasks and executors.

use nix::sys::signal::Signal;
use proto::v1::TaskState;
use proto::v1::task_status::Reason;

use super::model::{KillCause, Verdict};
use super::{Book, ExecutorKind, ExecutorState, ProcessOwner};
use crate::supervisor::spec::{Exit, Phase, ProcessStatus};

impl Book {
    /// A supervisor has written a new status of its process.
    pub(crate) fn process_changed(&mut self, process: &str, status: &ProcessStatus) {
        let Some(owner) = self.processes.get(process).cloned() else {
            return;
        };
        match &owner.task {
            Some(task) => {
                let task = task.clone();
                self.task_process_changed(&owner, &task, status);
            }
            None => self.executor_process_changed(&owner, status),
        }
        if status.phase == Phase::Exited {
            self.processes.remove(process);
        }
    }

    /// A process is gone without a word: its supervisor was killed, or the host restarted.
    pub(crate) fn process_lost(&mut self, process: &str, text: &str) {
        let Some(owner) = self.processes.remove(process) else {
            return;
        };
        tracing::warn!(
            framework_id = owner.framework,
            executor_id = owner.executor,
            process,
            "a process is lost: {text}"
        );
        match &owner.task {
            Some(task) => {
                let verdict = Verdict::agent(TaskState::TaskFailed, Reason::ExecutorTerminated, text);
                self.task_ended(&owner.framework, &owner.executor, &task.clone(), verdict);
            }
            None => {
                self.fail_executor(&owner.framework, &owner.executor, Reason::ExecutorTerminated, text);
                self.executor_ended(
                    &owner.framework,
                    &owner.executor,
                    Exit::Signal(Signal::SIGKILL as i32).wait_status(),
                );
            }
        }
    }

    fn task_process_changed(&mut self, owner: &ProcessOwner, task: &str, status: &ProcessStatus) {
        let Some(entry) = self.task_mut(&owner.framework, task) else {
            return;
        };
        if status.pid.is_some() {
            entry.pid = status.pid;
        }
        let kill = entry.kill;
        let is_new = matches!(
            TaskState::try_from(entry.task.state),
            Ok(TaskState::TaskStaging | TaskState::TaskStarting)
        );
        if is_new && status.pid.is_some() {
            self.judge(&owner.framework, task, Verdict::executor(TaskState::TaskRunning, None));
        }
        if status.phase == Phase::Exited {
            let cause = kill.map(|(_, cause)| cause);
            self.task_ended(&owner.framework, &owner.executor, task, verdict(status, cause));
        }
    }

    fn executor_process_changed(&mut self, owner: &ProcessOwner, status: &ProcessStatus) {
        let (framework, executor) = (&owner.framework, &owner.executor);
        if let Some(run) = self.executor_mut(framework, executor)
            && status.pid.is_some()
        {
            run.pid = status.pid;
        }
        if status.phase != Phase::Exited {
            return;
        }
        let (reason, text) = match &status.failure {
            Some(failure) => (
                Reason::ContainerLaunchFailed,
                format!("Failed to launch container: {failure}"),
            ),
            None if status.memory_limit_reached => (Reason::ContainerLimitationMemory, "Memory limit exceeded".into()),
            None => (Reason::ExecutorTerminated, "Executor terminated".into()),
        };
        self.fail_executor(framework, executor, reason, &text);
        let exit = status.exit.map_or(-1, Exit::wait_status);
        self.executor_ended(framework, executor, exit);
    }

    /// Every unfinished task of an executor fails.
    pub(super) fn fail_executor(&mut self, framework: &str, executor: &str, reason: Reason, text: &str) {
        self.end_tasks(
            framework,
            executor,
            &Verdict::agent(TaskState::TaskFailed, reason, text),
        );
    }

    /// Every unfinished task of an executor gets this last state.
    pub(super) fn end_tasks(&mut self, framework: &str, executor: &str, verdict: &Verdict) {
        let Some(run) = self.executor_mut(framework, executor) else {
            return;
        };
        if run.state != ExecutorState::Terminated {
            run.state = ExecutorState::Terminating;
        }
        let unfinished = run.tasks.iter().filter(|(_, entry)| !entry.is_terminal());
        let unfinished: Vec<String> = unfinished.map(|(id, _)| id.clone()).collect();
        for task in unfinished {
            self.judge(framework, &task, verdict.clone());
        }
    }

    /// A task that the agent runs itself reached its end; its group and its executor may follow.
    pub(super) fn task_ended(&mut self, framework: &str, executor: &str, task: &str, verdict: Verdict) {
        let is_success = verdict.state == TaskState::TaskFinished;
        self.judge(framework, task, verdict);
        let group = self.task_mut(framework, task).and_then(|entry| entry.group);
        if let (Some(group), false) = (group, is_success) {
            self.end_group(framework, executor, group);
        }
        self.built_in_executor_may_end(framework, executor);
    }

    /// A member of a task group failed or was killed: the others end with it.
    fn end_group(&mut self, framework: &str, executor: &str, group: u32) {
        let Some(run) = self.executor_mut(framework, executor) else {
            return;
        };
        if run.kind != ExecutorKind::Default {
            return;
        }
        let others: Vec<String> = run
            .tasks
            .iter()
            .filter(|(_, entry)| entry.group == Some(group) && !entry.is_terminal() && entry.kill.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for task in others {
            self.kill_built_in(framework, &task, None, KillCause::Asked);
        }
    }
}

/// The last state of a task whose process ended.
fn verdict(status: &ProcessStatus, kill: Option<KillCause>) -> Verdict {
    if let Some(failure) = &status.failure {
        let text = format!("Failed to launch container: {failure}");
        return Verdict::agent(TaskState::TaskFailed, Reason::ContainerLaunchFailed, text);
    }
    let text = match status.exit {
        Some(Exit::Code(code)) => format!("Command exited with status {code}"),
        Some(Exit::Signal(signal)) => format!("Command terminated with signal {}", signal_text(signal)),
        None => "Command ended".to_owned(),
    };
    let mut verdict = Verdict::executor(TaskState::TaskFailed, Some(text));
    if status.completion_time_reached {
        verdict.reason = Some(Reason::MaxCompletionTimeReached);
    } else if status.killed || kill.is_some() {
        verdict.state = TaskState::TaskKilled;
        match kill {
            Some(KillCause::Drain) => verdict.reason = Some(Reason::AgentDraining),
            Some(KillCause::DrainGone) => {
                verdict.state = TaskState::TaskGoneByOperator;
                verdict.reason = Some(Reason::AgentDraining);
            }
            _ => {}
        }
    } else if status.memory_limit_reached {
        return Verdict::agent(
            TaskState::TaskFailed,
            Reason::ContainerLimitationMemory,
            "Memory limit exceeded",
        );
    } else if status.exit == Some(Exit::Code(0)) {
        verdict.state = TaskState::TaskFinished;
    }
    verdict
}

/// The text of a signal as C libraries print it, which is what Mesos reports.
fn signal_text(signal: i32) -> String {
    let text = match Signal::try_from(signal) {
        Ok(Signal::SIGHUP) => "Hangup",
        Ok(Signal::SIGINT) => "Interrupt",
        Ok(Signal::SIGQUIT) => "Quit",
        Ok(Signal::SIGILL) => "Illegal instruction",
        Ok(Signal::SIGTRAP) => "Trace/breakpoint trap",
        Ok(Signal::SIGABRT) => "Aborted",
        Ok(Signal::SIGBUS) => "Bus error",
        Ok(Signal::SIGFPE) => "Floating point exception",
        Ok(Signal::SIGKILL) => "Killed",
        Ok(Signal::SIGUSR1) => "User defined signal 1",
        Ok(Signal::SIGSEGV) => "Segmentation fault",
        Ok(Signal::SIGUSR2) => "User defined signal 2",
        Ok(Signal::SIGPIPE) => "Broken pipe",
        Ok(Signal::SIGALRM) => "Alarm clock",
        Ok(Signal::SIGTERM) => "Terminated",
        _ => return format!("{signal}"),
    };
    text.to_owned()
}
