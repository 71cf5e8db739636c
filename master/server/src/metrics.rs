//! Counters of this replica. Names are Mesos's where Mesos has the metric; the endpoint adds what the registry and Raft
//! know (`http/metrics.rs`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use proto::v1::TaskStatus;
use proto::v1::scheduler::call;

/// Distinct names kept for messages and reasons; peers choose message names, so that the table must not grow with them.
const NAMES_MAX: usize = 512;

/// Event streams of operators that were closed because their readers did not keep up.
pub(crate) const SLOW_EVENT_STREAMS: &str = "master/operator_event_streams_too_slow";

/// Counters, all since the process started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    elected: AtomicBool,
    dropped_messages: AtomicU64,
    named: Mutex<BTreeMap<String, u64>>,
}

impl Metrics {
    /// Whether this replica leads.
    pub(crate) fn elected(&self, elected: bool) {
        self.elected.store(elected, Ordering::Relaxed);
        if elected {
            self.count("raft/leaderships".to_owned());
        }
    }

    pub(crate) fn is_elected(&self) -> bool {
        self.elected.load(Ordering::Relaxed)
    }

    pub(crate) fn dropped_message(&self) {
        self.dropped_messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn scheduler_call(&self, kind: call::Type) {
        self.count(format!("master/messages_{}", kind.as_str_name().to_ascii_lowercase()));
    }

    /// A libprocess message by its protobuf name; unknown names are not counted by name.
    pub(crate) fn message(&self, name: &str) {
        if let Some(name) = name.strip_prefix("mesos.internal.").and_then(metric_of_message) {
            self.count(format!("master/messages_{name}"));
        }
    }

    /// A status update on its way to a framework.
    pub(crate) fn task_update(&self, status: &TaskStatus) {
        let state = status.state().as_str_name().to_ascii_lowercase();
        if status.state().is_terminal() {
            let short = state.strip_prefix("task_").unwrap_or(&state);
            self.count(format!("master/tasks_{short}"));
        }
        let source = status.source().as_str_name().to_ascii_lowercase();
        if status.reason.is_some() {
            let reason = status.reason().as_str_name().to_ascii_lowercase();
            self.count(format!("master/{state}/{source}/{reason}"));
        }
    }

    /// An operator's event stream was closed because its reader had fallen too far behind.
    pub(crate) fn slow_event_stream(&self) {
        self.count(SLOW_EVENT_STREAMS.to_owned());
    }

    fn count(&self, name: String) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < NAMES_MAX || named.contains_key(&name) {
            *named.entry(name).or_insert(0) += 1;
        }
    }

    /// All counters by name.
    pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
        let mut all = self.named.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.insert(
            "master/dropped_messages".to_owned(),
            self.dropped_messages.load(Ordering::Relaxed),
        );
        all
    }
}

fn metric_of_message(name: &str) -> Option<&'static str> {
    Some(match name {
        "RegisterSlaveMessage" => "register_slave",
        "ReregisterSlaveMessage" => "reregister_slave",
        "UnregisterSlaveMessage" => "unregister_slave",
        "StatusUpdateMessage" => "status_update",
        "ExitedExecutorMessage" => "exited_executor",
        "UpdateSlaveMessage" => "update_slave",
        "ExecutorToFrameworkMessage" => "executor_to_framework",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_cannot_grow_the_table_with_names_of_their_own() {
        let metrics = Metrics::default();
        for number in 0..10_000 {
            metrics.message(&format!("mesos.internal.Nonsense{number}"));
        }
        metrics.message("mesos.internal.RegisterSlaveMessage");
        assert_eq!(metrics.snapshot().get("master/messages_register_slave"), Some(&1));
        assert_eq!(metrics.snapshot().len(), 2);
    }
}
