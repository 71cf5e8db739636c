//! Subscribers of the operator event stream that die and come back, where they were or anew.
//!
//! In the history a position `index.number` is `index * 1,000,000 + number`: it grows along the stream, is the same at every
//! master, and is not consecutive. The state of a task in an event is the latest that the master knows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use client::{Encoding, EventNotice, Operator, OperatorEvents};
use proto::ext::event_position::EventPosition;
use proto::v1::master::Event;
use proto::v1::master::response::GetState;
use proto::v1::{FrameworkId, Task, TaskId};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::draw::Draw;
use super::scribe::Scribe;
use super::{HarnessError, Options, Summary, Workload, World, check, join, mean_pause, quiet};
use crate::history::Sight;

/// Events of one entry are far fewer.
const NUMBERS: u64 = 1_000_000;
/// Among a hundred reconnections those that start anew.
const ANEW_PERCENT: usize = 25;
/// Pause before a subscriber that was refused comes back.
const PAUSE_AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// Runs `options.clients` subscribers; `options.rate` is how often per second one of them dies.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Events;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let name = format!("{}-{number}", options.name);
        // Both encodings are read.
        let encoding = if number % 2 == 0 {
            Encoding::Protobuf
        } else {
            Encoding::Json
        };
        let subscriber = Subscriber {
            draw: Draw::new(world.seed, &name),
            operator: Operator::new(&world.masters, encoding, world.seams.clone()),
            name,
            position: None,
            seen: Arc::default(),
            world: world.clone(),
            options: options.clone(),
            scribe: scribe.clone(),
        };
        clients.spawn(subscriber.run());
    }
    join(workload, clients).await?;
    Ok(scribe.summary(workload.name()))
}

/// One subscriber, which outlives its subscriptions.
struct Subscriber {
    name: String,
    draw: Draw,
    world: World,
    options: Options,
    scribe: Scribe,
    operator: Operator,
    /// Behind the last event it has written down.
    position: Option<EventPosition>,
    /// Counts notices.
    seen: Arc<AtomicU64>,
}

impl Subscriber {
    async fn run(mut self) -> Result<(), HarnessError> {
        let mean = mean_pause(&self.options, self.options.clients);
        let stop = self.world.stop.clone();
        loop {
            let after = if self.draw.percent(ANEW_PERCENT) {
                None
            } else {
                self.position
            };
            let mut events = self.operator.subscribe(after);
            let death = Instant::now() + self.draw.duration(Duration::ZERO, mean * 2);
            tokio::select! {
                biased;
                () = stop.cancelled() => {
                    // The others end meanwhile; what they do is part of the stream.
                    let (seen, limit) = (Arc::clone(&self.seen), self.options.closing);
                    tokio::select! {
                        biased;
                        () = quiet(limit, || seen.load(Ordering::Relaxed)) => {}
                        () = self.follow(&mut events) => {}
                    }
                    return Ok(());
                }
                () = sleep_until(death) => self.scribe.count("subscriber-died"),
                () = self.follow(&mut events) => sleep(PAUSE_AFTER_REFUSAL).await,
            }
        }
    }

    /// Writes down what comes, until the subscription is refused.
    async fn follow(&mut self, events: &mut OperatorEvents) {
        while let Some(notice) = events.next().await {
            self.seen.fetch_add(1, Ordering::Relaxed);
            match notice {
                EventNotice::State { state, position, .. } => {
                    self.position = position;
                    self.begun(false, tasks_of(&state));
                }
                EventNotice::Resumed { position, .. } => {
                    self.position = Some(position);
                    self.begun(true, BTreeMap::new());
                }
                EventNotice::Event { event, position } => {
                    self.position = position;
                    let (subject, state) = about(&event);
                    let what = Sight::StreamEvent {
                        position: number(position),
                        event: event.r#type().as_str_name().to_owned(),
                        subject,
                        state,
                    };
                    self.scribe.saw(&self.name, what);
                }
                EventNotice::Disconnected { .. } => self.scribe.count("stream-broke"),
                EventNotice::Refused { reason } => {
                    tracing::info!(%reason, "a subscriber of events was refused");
                    self.scribe.count("stream-refused");
                    return;
                }
            }
        }
    }

    fn begun(&self, resumed: bool, tasks: BTreeMap<String, String>) {
        let what = Sight::StreamBegun {
            resumed,
            position: number(self.position),
            tasks,
        };
        self.scribe.saw(&self.name, what);
    }
}

fn number(position: Option<EventPosition>) -> u64 {
    position.map_or(0, |position| {
        position
            .index
            .saturating_mul(NUMBERS)
            .saturating_add(u64::from(position.number))
    })
}

fn task_name(framework: &FrameworkId, task: &TaskId) -> String {
    format!("{}/{}", framework.value, task.value)
}

fn task_entry(task: &Task) -> (String, String) {
    (
        task_name(&task.framework_id, &task.task_id),
        task.state().as_str_name().to_owned(),
    )
}

fn tasks_of(state: &GetState) -> BTreeMap<String, String> {
    let Some(tasks) = &state.get_tasks else {
        return BTreeMap::new();
    };
    let lists = [
        &tasks.completed_tasks,
        &tasks.unreachable_tasks,
        &tasks.orphan_tasks,
        &tasks.pending_tasks,
        &tasks.tasks,
    ];
    lists.into_iter().flatten().map(task_entry).collect()
}

/// What an event is about, and the state of a task, if it is about one.
fn about(event: &Event) -> (String, String) {
    if let Some(added) = &event.task_added {
        return task_entry(&added.task);
    }
    if let Some(updated) = &event.task_updated {
        let subject = task_name(&updated.framework_id, &updated.status.task_id);
        return (subject, updated.state().as_str_name().to_owned());
    }
    let framework_of = |info: &proto::v1::FrameworkInfo| info.id.as_ref().map(|id| id.value.clone());
    let agent_of = |info: &proto::v1::AgentInfo| info.id.as_ref().map(|id| id.value.clone());
    let subject = None
        .or_else(|| {
            event
                .framework_added
                .as_ref()
                .map(|added| framework_of(&added.framework.framework_info))
        })
        .or_else(|| {
            event
                .framework_updated
                .as_ref()
                .map(|updated| framework_of(&updated.framework.framework_info))
        })
        .or_else(|| {
            event
                .framework_removed
                .as_ref()
                .map(|removed| framework_of(&removed.framework_info))
        })
        .or_else(|| {
            event
                .agent_added
                .as_ref()
                .map(|added| agent_of(&added.agent.agent_info))
        })
        .or_else(|| {
            event
                .agent_removed
                .as_ref()
                .map(|removed| Some(removed.agent_id.value.clone()))
        });
    (subject.flatten().unwrap_or_default(), String::new())
}
