use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prost::Message;
use proto::internal::{ResourceVersionUuid, RunTaskMessage, StatusUpdateAcknowledgementMessage, StatusUpdateMessage};
use proto::v1::{AgentInfo, CommandInfo, FrameworkInfo, TaskInfo};
use seams::{Clock, Seams};

use super::super::{Book, Effect};
use crate::config::Config;
use crate::messages;
use crate::store::Layout;
use crate::supervisor::spec::{Exit, Phase, ProcessStatus};

const AGENT: &str = "m-S0";
const DELAY: Duration = Duration::from_secs(60);

/// A wall clock that a test moves.
#[derive(Debug, Default)]
pub(in crate::book) struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_micros(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Hand {
    fn advance(&self, by: Duration) {
        self.0
            .fetch_add(u64::try_from(by.as_micros()).unwrap(), Ordering::Relaxed);
    }
}

/// A registered agent's book that keeps at most `executors` runs of a framework and `frameworks` idle frameworks.
pub(in crate::book) fn book(executors: usize, frameworks: usize) -> (Book, Arc<Hand>) {
    let clock = Arc::new(Hand::default());
    let seams = Seams {
        clock: clock.clone(),
        ..Seams::real()
    };
    let config = Config {
        gc_delay: DELAY,
        max_completed_executors_per_framework: executors,
        max_completed_frameworks: frameworks,
        ..Config::new(vec!["h:5050".into()], "/w".into())
    };
    let info = AgentInfo {
        hostname: "h".into(),
        ..Default::default()
    };
    let layout = Layout::new("/w".into());
    let mut book = Book::new(
        Arc::new(config),
        layout,
        seams,
        "slave(1)@127.0.0.1:1".into(),
        info,
        None,
    );
    book.registered(AGENT);
    (book, clock)
}

pub(in crate::book) fn launch(book: &mut Book, framework: &str, task: &str) {
    let command = CommandInfo {
        value: Some("true".into()),
        ..Default::default()
    };
    book.run_task(RunTaskMessage {
        framework: FrameworkInfo {
            id: Some(framework.into()),
            name: framework.into(),
            ..Default::default()
        },
        task: TaskInfo {
            name: task.into(),
            task_id: task.into(),
            agent_id: AGENT.into(),
            command: Some(command),
            ..Default::default()
        },
        resource_version_uuids: vec![ResourceVersionUuid {
            resource_provider_id: None,
            uuid: proto::v1::Uuid {
                value: book.resource_version.clone(),
            },
        }],
        launch_executor: Some(true),
        ..Default::default()
    });
}

/// The process of the only task of the framework that runs returns 0.
fn end(book: &mut Book, framework: &str) {
    let below = book.layout.framework(framework);
    let running = book.live_processes();
    let (process, _) = running.into_iter().find(|(_, path)| path.starts_with(&below)).unwrap();
    let status = ProcessStatus {
        phase: Phase::Exited,
        exit: Some(Exit::Code(0)),
        ..ProcessStatus::running(1)
    };
    book.process_changed(&process, &status);
}

/// Acknowledges updates as they come; returns the sandboxes that were to be removed meanwhile.
fn acknowledge_all(book: &mut Book) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    loop {
        let effects = book.take_effects();
        if effects.is_empty() {
            return removed;
        }
        for effect in effects {
            match effect {
                Effect::ToMaster { name, body } if name == messages::STATUS_UPDATE => {
                    let update = StatusUpdateMessage::decode(body).unwrap().update;
                    book.acknowledge(&StatusUpdateAcknowledgementMessage {
                        slave_id: AGENT.into(),
                        framework_id: update.framework_id,
                        task_id: update.status.task_id,
                        uuid: update.uuid.unwrap(),
                    });
                }
                Effect::RemoveSandbox { path } => removed.push(path),
                _ => {}
            }
        }
    }
}

/// Runs a task from its launch to the acknowledgement of its end.
fn complete(book: &mut Book, framework: &str, task: &str) -> Vec<PathBuf> {
    launch(book, framework, task);
    let mut removed = acknowledge_all(book);
    end(book, framework);
    removed.extend(acknowledge_all(book));
    removed
}

/// Sandboxes that a sweep at this moment removes.
fn sweep(book: &mut Book) -> Vec<PathBuf> {
    book.collect_garbage();
    acknowledge_all(book)
}

fn is_of(sandbox: &Path, framework: &str, task: &str) -> bool {
    let executor = format!("/w/slaves/{AGENT}/frameworks/{framework}/executors/{task}/runs");
    sandbox.parent() == Some(Path::new(&executor))
}

#[tokio::test]
async fn a_sandbox_is_removed_when_its_run_has_been_over_for_the_delay_and_not_before() {
    let (mut book, clock) = book(10, 10);
    assert!(complete(&mut book, "f", "first").is_empty());
    clock.advance(DELAY / 2);
    assert!(complete(&mut book, "f", "second").is_empty());
    clock.advance(DELAY / 2 - Duration::from_micros(1));
    assert!(sweep(&mut book).is_empty(), "a microsecond too early");
    clock.advance(Duration::from_micros(1));
    let removed = sweep(&mut book);
    assert!(removed.len() == 1 && is_of(&removed[0], "f", "first"), "{removed:?}");
    assert!(sweep(&mut book).is_empty(), "once");
    clock.advance(DELAY / 2);
    let removed = sweep(&mut book);
    assert!(removed.len() == 1 && is_of(&removed[0], "f", "second"), "{removed:?}");
    assert!(book.frameworks.is_empty(), "nothing is left of the framework");
    assert!(book.completed_tasks.is_empty());
}

#[tokio::test]
async fn nothing_is_removed_of_a_task_that_runs_or_whose_end_is_not_acknowledged() {
    let (mut book, clock) = book(0, 0);
    launch(&mut book, "f", "t");
    assert!(acknowledge_all(&mut book).is_empty());
    clock.advance(DELAY * 1000);
    assert!(sweep(&mut book).is_empty(), "it runs");
    end(&mut book, "f");
    drop(book.take_effects());
    clock.advance(DELAY * 1000);
    book.collect_garbage();
    let effects = book.take_effects();
    assert!(effects.is_empty(), "its end is not acknowledged: {effects:?}");
    assert!(book.frameworks.contains_key("f"));
}

#[tokio::test]
async fn the_oldest_runs_beyond_the_number_kept_go_at_once() {
    let (mut book, _) = book(2, 10);
    assert!(complete(&mut book, "f", "1").is_empty());
    assert!(complete(&mut book, "f", "2").is_empty());
    assert!(
        complete(&mut book, "other", "1").is_empty(),
        "each framework has its own number"
    );
    let removed = complete(&mut book, "f", "3");
    assert!(removed.len() == 1 && is_of(&removed[0], "f", "1"), "{removed:?}");
}

#[tokio::test]
async fn the_framework_idle_longest_goes_when_there_are_too_many_and_one_that_runs_something_stays() {
    let (mut book, clock) = book(10, 1);
    assert!(complete(&mut book, "busy", "1").is_empty());
    launch(&mut book, "busy", "2");
    clock.advance(Duration::from_secs(1));
    assert!(
        complete(&mut book, "f", "1").is_empty(),
        "the other one is older, but not idle"
    );
    clock.advance(Duration::from_secs(1));
    end(&mut book, "busy");
    let removed = acknowledge_all(&mut book);
    assert!(removed.len() == 1 && is_of(&removed[0], "f", "1"), "{removed:?}");
    assert_eq!(book.frameworks.keys().collect::<Vec<_>>(), ["busy"]);
}
