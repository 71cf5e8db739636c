//! Writes a workload's calls and sights into the history, and counts them.
//!
//! A call is begun before anything is sent and ended right after its answer; one whose future is dropped stays open, which
//! a history reads as unknown.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use client::{CallOutcome, OperatorError};

use super::Summary;
use crate::history::{CallId, Operation, Outcome, Recorder, Sight};

/// A recorder with counters; clones share both.
#[derive(Clone, Debug)]
pub(crate) struct Scribe {
    recorder: Recorder,
    counts: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// A call that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    id: CallId,
    kind: &'static str,
}

impl Scribe {
    pub(crate) fn new(recorder: Recorder) -> Self {
        Scribe {
            recorder,
            counts: Arc::default(),
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something that is not a call.
    pub(crate) fn count(&self, name: &str) {
        *self.counts().entry(name.to_owned()).or_default() += 1;
    }

    /// What was counted, for a workload that has ended.
    pub(crate) fn summary(&self, workload: &'static str) -> Summary {
        Summary {
            workload,
            counts: self.counts().clone(),
        }
    }

    pub(crate) fn saw(&self, observer: &str, what: Sight) {
        self.count(sight_name(&what));
        self.recorder.saw(observer, what);
    }

    pub(crate) fn begin(&self, client: &str, operation: Operation) -> Open {
        let kind = operation_name(&operation);
        Open {
            id: self.recorder.begin(client, operation),
            kind,
        }
    }

    pub(crate) fn end(&self, open: Open, outcome: Outcome) {
        let how = match &outcome {
            Outcome::Ok { .. } => "ok",
            Outcome::Refused { .. } => "refused",
            Outcome::Unknown { .. } => "unknown",
        };
        self.recorder.end(open.id, outcome);
        self.count(&format!("{}/{how}", open.kind));
    }

    /// Makes a call of a framework and records it.
    pub(crate) async fn call(
        &self,
        client: &str,
        operation: Operation,
        call: impl Future<Output = CallOutcome>,
    ) -> CallOutcome {
        let open = self.begin(client, operation);
        let outcome = call.await;
        self.end(open, of_call(&outcome));
        outcome
    }
}

/// Acknowledged, with nothing read.
pub(crate) fn done() -> Outcome {
    Outcome::Ok { value: String::new() }
}

pub(crate) fn unknown(reason: impl Into<String>) -> Outcome {
    Outcome::Unknown { reason: reason.into() }
}

/// What is known of a framework's call. One that was not sent had certainly no effect, the same as a refused one.
pub(crate) fn of_call(outcome: &CallOutcome) -> Outcome {
    match outcome {
        CallOutcome::Accepted => done(),
        CallOutcome::Refused { text, .. } => Outcome::Refused { text: text.clone() },
        CallOutcome::NotSent { reason } => Outcome::Refused {
            text: format!("not sent: {reason}"),
        },
        CallOutcome::Unknown { reason } => unknown(reason.clone()),
    }
}

/// What is known of an operator's call that changes something, after it failed.
pub(crate) fn of_failed_write(error: &OperatorError) -> Outcome {
    match error {
        // A server's error says that it went wrong, not that nothing was done.
        OperatorError::Refused { status, text, .. } if *status < 500 => Outcome::Refused { text: text.clone() },
        OperatorError::Unavailable { .. } => Outcome::Refused {
            text: format!("not sent: {error}"),
        },
        OperatorError::Refused { .. } | OperatorError::Unknown { .. } | OperatorError::BadAnswer { .. } => {
            unknown(error.to_string())
        }
    }
}

fn operation_name(operation: &Operation) -> &'static str {
    match operation {
        Operation::Write { .. } => "write",
        Operation::Read { .. } => "read",
        Operation::Subscribe { .. } => "subscribe",
        Operation::Launch { .. } => "launch",
        Operation::Kill { .. } => "kill",
        Operation::Acknowledge { .. } => "acknowledge",
        Operation::Reconcile { .. } => "reconcile",
        Operation::ReadTask { .. } => "read-task",
        Operation::Report { .. } => "report",
        Operation::Teardown { .. } => "teardown",
        Operation::Membership { .. } => "membership",
    }
}

fn sight_name(sight: &Sight) -> &'static str {
    match sight {
        Sight::Subscribed { .. } => "subscribed",
        Sight::Disconnected { .. } => "disconnected",
        Sight::Ended { .. } => "ended",
        Sight::Offered { .. } => "offered",
        Sight::Rescinded { .. } => "rescinded",
        Sight::Updated { .. } => "updated",
        Sight::Registered { .. } => "registered",
        Sight::LaunchReceived { .. } => "launch-received",
        Sight::Started { .. } => "started",
        Sight::KillReceived { .. } => "kill-received",
        Sight::AgentEnded { .. } => "agent-ended",
        Sight::StreamBegun { .. } => "stream-begun",
        Sight::StreamEvent { .. } => "stream-event",
    }
}
