//! What hollow agents write into a history, when they have a recorder; nothing, at no cost, when they have none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use libprocess::Upid;
use proto::internal::StatusUpdate;

use super::agent::TaskKey;
use crate::history::{CallId, Operation, Outcome, Recorder, Sight};
use crate::workload::hex;

/// What an observed agent keeps besides its tasks: its checkpoints as far as a history is concerned.
#[derive(Debug, Default)]
pub(super) struct Observed {
    /// Open reports by the update's UUID.
    reports: BTreeMap<Bytes, (CallId, TaskKey)>,
    /// Tasks that are over and acknowledged; real agents remember them too, against launches that come late.
    over: BTreeSet<TaskKey>,
}

/// Where one agent's sights and reports go.
#[derive(Clone, Copy)]
pub(super) struct Observer<'a> {
    pub(super) recorder: Option<&'a Recorder>,
    /// The sender of the message in hand.
    pub(super) master: Option<&'a Upid>,
}

impl Observer<'_> {
    fn saw(&self, name: &str, what: impl FnOnce() -> Sight) {
        if let Some(recorder) = self.recorder {
            recorder.saw(name, what());
        }
    }

    fn master(&self) -> String {
        self.master.map(Upid::to_string).unwrap_or_default()
    }

    pub(super) fn registered(&self, name: &str, agent: &str, again: bool) {
        self.saw(name, || Sight::Registered {
            agent: agent.to_owned(),
            master: self.master(),
            again,
        });
    }

    pub(super) fn launch_received(&self, name: &str, agent: &str, task: &TaskKey, repeated: bool) {
        self.saw(name, || Sight::LaunchReceived {
            agent: agent.to_owned(),
            framework: task.0.to_string(),
            task: task.1.to_string(),
            master: self.master(),
            repeated,
        });
    }

    pub(super) fn started(&self, name: &str, agent: &str, task: &TaskKey) {
        self.saw(name, || Sight::Started {
            agent: agent.to_owned(),
            framework: task.0.to_string(),
            task: task.1.to_string(),
        });
    }

    pub(super) fn kill_received(&self, name: &str, agent: &str, task: &TaskKey) {
        self.saw(name, || Sight::KillReceived {
            agent: agent.to_owned(),
            framework: task.0.to_string(),
            task: task.1.to_string(),
        });
    }

    pub(super) fn ended(&self, name: &str, agent: &str, reason: &str) {
        self.saw(name, || Sight::AgentEnded {
            agent: agent.to_owned(),
            reason: reason.to_owned(),
        });
    }
}

impl Observed {
    /// Whether the task is over and acknowledged.
    pub(super) fn is_over(&self, task: &TaskKey) -> bool {
        self.over.contains(task)
    }

    /// The task's end was acknowledged.
    pub(super) fn task_is_over(&mut self, observer: &Observer<'_>, task: TaskKey) {
        if observer.recorder.is_some() {
            self.over.insert(task);
        }
    }

    /// An update, or its state, is about to be told; only the first time begins a report. Updates of a task are told of in
    /// their order.
    pub(super) fn reporting(&mut self, observer: &Observer<'_>, name: &str, update: &StatusUpdate) {
        let (Some(recorder), Some(uuid)) = (observer.recorder, &update.uuid) else {
            return;
        };
        if self.reports.contains_key(uuid) {
            return;
        }
        let framework = update.framework_id.value.as_str();
        let task = update.status.task_id.value.as_str();
        let operation = Operation::Report {
            agent: update.slave_id.as_ref().map(|id| id.value.clone()).unwrap_or_default(),
            framework: framework.to_owned(),
            task: task.to_owned(),
            state: update.status.state().as_str_name().to_owned(),
            uuid: hex(uuid),
        };
        let state = update.status.state().as_str_name();
        let id = recorder.begin(&format!("{name}/{framework}/{task}/{state}"), operation);
        let key = (Arc::from(framework), Arc::from(task));
        self.reports.insert(uuid.clone(), (id, key));
    }

    /// An acknowledgement came.
    pub(super) fn acknowledged(&mut self, observer: &Observer<'_>, uuid: &Bytes) {
        if let (Some(recorder), Some((id, _))) = (observer.recorder, self.reports.remove(uuid)) {
            recorder.end(id, Outcome::Ok { value: String::new() });
        }
    }

    /// The updates of a framework, or all, will not be sent any more.
    pub(super) fn give_up(&mut self, recorder: Option<&Recorder>, framework: Option<&str>, reason: &str) {
        let Some(recorder) = recorder else { return };
        self.reports.retain(|_, (id, task)| {
            let stays = framework.is_some_and(|framework| *task.0 != *framework);
            if !stays {
                let reason = reason.to_owned();
                recorder.end(*id, Outcome::Unknown { reason });
            }
            stays
        });
    }
}
