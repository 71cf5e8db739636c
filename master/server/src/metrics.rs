//! Counters of this replica. Names are Mesos's where Mesos has the metric; the endpoint adds what the registry and Raft
//! know (`http/metrics.rs`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use master_core::CommandKind;
use proto::v1::TaskStatus;
use proto::v1::scheduler::call;

/// Distinct names kept for messages and reasons; peers choose message names, so that the table must not grow with them.
const NAMES_MAX: usize = 512;

/// Event streams of operators that were closed because their readers did not keep up.
pub(crate) const SLOW_EVENT_STREAMS: &str = "master/operator_event_streams_too_slow";

/// Counters, all since the process started.
#[derive(Debug)]
pub(crate) struct Metrics {
    elected: AtomicBool,
    dropped_messages: AtomicU64,
    named: Mutex<BTreeMap<String, u64>>,
    /// By [`CommandKind::number`].
    commands: [AtomicU64; CommandKind::NAMES.len()],
    events: [AtomicU64; Event::NAMES.len()],
}

/// What a leadership does or sees, beyond what Mesos counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// This replica began to lead, its announcement applied.
    LeadershipBegun,
    /// It stopped.
    LeadershipEnded,
    /// An agent in the registry was asked to come back to this leadership.
    AgentNudged,
    /// An agent reregistered.
    AgentReregistered,
    /// An agent that a former leadership knew came back to this one.
    RecoveredAgentReregistered,
    /// A task that its agent should have was sent to it again.
    LaunchRedelivered,
    /// A kill that its agent has not carried out was sent to it again.
    KillRedelivered,
}

impl Event {
    /// The metrics, in the order of the variants. `slave_reregistrations` is Mesos's.
    const NAMES: [&'static str; 7] = [
        "master/leaderships_begun",
        "master/leaderships_ended",
        "master/slaves_nudged",
        "master/slave_reregistrations",
        "master/slave_reregistrations_recovered",
        "master/launches_redelivered",
        "master/kills_redelivered",
    ];
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            elected: AtomicBool::default(),
            dropped_messages: AtomicU64::default(),
            named: Mutex::default(),
            commands: std::array::from_fn(|_| AtomicU64::new(0)),
            events: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Metrics {
    /// Whether this replica leads.
    pub(crate) fn elected(&self, elected: bool) {
        self.elected.store(elected, Ordering::Relaxed);
        if elected {
            self.count("raft/leaderships".to_owned());
        }
    }

    pub(crate) fn event(&self, event: Event) {
        self.events(event, 1);
    }

    pub(crate) fn events(&self, event: Event, count: usize) {
        self.events[event as usize].fetch_add(count as u64, Ordering::Relaxed);
    }

    /// A command was applied here, whoever leads.
    pub(crate) fn command(&self, kind: &CommandKind) {
        self.commands[kind.number()].fetch_add(1, Ordering::Relaxed);
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
        for (counted, name) in self.events.iter().zip(Event::NAMES) {
            all.insert(name.to_owned(), counted.load(Ordering::Relaxed));
        }
        for (counted, name) in self.commands.iter().zip(CommandKind::NAMES) {
            let name = format!("master/commands_applied/{}", snake_case(name));
            all.insert(name, counted.load(Ordering::Relaxed));
        }
        all
    }
}

/// `KillTask` becomes `kill_task`.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, letter) in name.char_indices() {
        if at > 0 && letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
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
        let names = metrics.snapshot().len() - Event::NAMES.len() - CommandKind::NAMES.len();
        assert_eq!(names, 2);
    }

    #[test]
    fn every_kind_of_command_and_event_has_a_counter_from_the_start() {
        let metrics = Metrics::default();
        metrics.event(Event::KillRedelivered);
        metrics.events(Event::LaunchRedelivered, 3);
        let counters = metrics.snapshot();
        assert_eq!(counters.get("master/commands_applied/mark_agent_unreachable"), Some(&0));
        assert_eq!(counters.get("master/leaderships_begun"), Some(&0));
        assert_eq!(counters.get("master/kills_redelivered"), Some(&1));
        assert_eq!(counters.get("master/launches_redelivered"), Some(&3));
    }
}
