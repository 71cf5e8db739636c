//! Tasks this agent has said it does not know.
//!
//! A kill or a question can overtake the launch it is about: the launch was lost and is sent again, or comes late on another
//! connection. Once the agent has denied the task its framework is told that it ended, and must not be surprised by it: such a
//! launch is refused. Kept in memory only; what was sent to an agent does not survive its restart, and masters send nothing
//! again before the denial is committed. `docs/model.md` has the story.

use std::collections::{BTreeSet, VecDeque};

/// Denied tasks remembered; the oldest is forgotten first. A launch that comes late comes within seconds.
const DENIED_MAX: usize = 10_000;

/// Framework and task.
type Key = (String, String);

/// The denied tasks.
#[derive(Debug, Default)]
pub(super) struct Denied {
    keys: BTreeSet<Key>,
    /// Oldest first.
    order: VecDeque<Key>,
}

impl Denied {
    pub(super) fn insert(&mut self, framework: &str, task: &str) {
        let key = (framework.to_owned(), task.to_owned());
        if self.keys.insert(key.clone()) {
            self.order.push_back(key);
        }
        if self.order.len() > DENIED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }

    pub(super) fn contains(&self, framework: &str, task: &str) -> bool {
        self.keys.contains(&(framework.to_owned(), task.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use proto::internal::{KillTaskMessage, ReconcileTasksMessage, StatusUpdateMessage};
    use proto::v1::{FrameworkInfo, TaskState, TaskStatus};

    use super::super::garbage::tests::{book, launch};
    use super::super::{Book, Effect};
    use super::*;
    use crate::messages;

    /// States told to the master since the last call, by task.
    fn told(book: &mut Book) -> Vec<(String, TaskState)> {
        let updates = book.take_effects().into_iter().filter_map(|effect| match effect {
            Effect::ToMaster { name, body } if name == messages::STATUS_UPDATE => {
                Some(StatusUpdateMessage::decode(body).unwrap().update.status)
            }
            _ => None,
        });
        updates
            .map(|status| (status.task_id.value.clone(), status.state()))
            .collect()
    }

    #[test]
    fn a_launch_behind_its_denial_is_refused() {
        let (mut book, _) = book(10, 10);
        launch(&mut book, "f", "other");
        told(&mut book);
        book.kill_task(&KillTaskMessage {
            framework_id: "f".into(),
            task_id: "killed".into(),
            kill_policy: None,
        });
        book.reconcile(&ReconcileTasksMessage {
            framework_id: "f".into(),
            statuses: vec![TaskStatus {
                task_id: "asked".into(),
                ..TaskStatus::default()
            }],
            framework: Some(FrameworkInfo::default()),
        });
        let lost = |task: &str| (task.to_owned(), TaskState::TaskLost);
        assert_eq!(told(&mut book), [lost("killed"), lost("asked")]);
        let running = book.live_processes().len();
        for task in ["killed", "asked"] {
            launch(&mut book, "f", task);
        }
        assert_eq!(book.live_processes().len(), running, "neither is started");
        launch(&mut book, "f", "new");
        assert_eq!(book.live_processes().len(), running + 1);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let mut denied = Denied::default();
        for number in 0..=DENIED_MAX {
            denied.insert("f", &number.to_string());
            denied.insert("f", &number.to_string());
        }
        assert!(!denied.contains("f", "0") && denied.contains("f", "1"));
        assert_eq!(denied.keys.len(), DENIED_MAX);
    }
}
