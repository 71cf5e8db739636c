//! One framework: its subscription, kept by one scheduler after the other, and what it knows of its offers and tasks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use client::{Encoding, Notice, Notices, Operator, Scheduler, SchedulerConfig};
use proto::v1::scheduler::Event;
use proto::v1::{FrameworkId, FrameworkInfo, Offer, TaskState, TaskStatus};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::lanes;
use crate::history::{Operation, Outcome, Sight};
use crate::workload::scribe::{Open, Scribe, unknown};
use crate::workload::sights::{self, hex};
use crate::workload::{HarnessError, Options, Workload, World, join};

/// Offers that are gone and kept, to be used wrongly.
const GONE_OFFERS_MAX: usize = 16;
/// Tasks that have ended and are kept, to be read and killed in vain.
const ENDED_TASKS_MAX: usize = 64;
/// Updates that wait to be acknowledged; the agent repeats those for which there is no room.
pub(super) const ACKNOWLEDGEMENTS_MAX: usize = 10_000;
/// Longest delay of a late acknowledgement.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Longest time one read looks for an answer.
const READ_LIMIT: Duration = Duration::from_secs(5);
/// Pause before a framework that was refused or removed subscribes anew.
const PAUSE_AFTER_END: Duration = Duration::from_secs(1);

/// A task as its framework knows it.
#[derive(Clone, Debug)]
pub(super) struct KnownTask {
    pub(super) agent: String,
    /// Whether it waits for a kill.
    pub(super) waits: bool,
    /// Whether its launch is under way; then "unknown" says nothing.
    pub(super) launching: bool,
}

/// What a framework knows; the lanes act on it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) scheduler: Option<Scheduler>,
    pub(super) framework: Option<FrameworkId>,
    leadership: String,
    /// Offers that can be used, oldest first, with the time they came.
    pub(super) offers: VecDeque<(Offer, Option<Instant>)>,
    /// Offers that must not be honoured.
    pub(super) gone: VecDeque<Offer>,
    /// Tasks that have not ended, by id.
    pub(super) tasks: BTreeMap<String, KnownTask>,
    pub(super) ended: VecDeque<String>,
    /// UUIDs of updates whose acknowledgement waits or is under way; when they come again there is nothing more to do.
    acknowledging: BTreeSet<Vec<u8>>,
    pub(super) launched: u64,
}

impl State {
    pub(super) fn keep_gone(&mut self, offer: Offer) {
        if self.gone.len() == GONE_OFFERS_MAX {
            self.gone.pop_front();
        }
        self.gone.push_back(offer);
    }

    /// All offers died with their leader or their stream.
    fn lose_offers(&mut self) {
        while let Some((offer, _)) = self.offers.pop_front() {
            self.keep_gone(offer);
        }
    }

    /// What an update says of a task of this framework.
    fn learn(&mut self, status: &TaskStatus) {
        let id = &status.task_id.value;
        let nowhere = status.uuid.is_none() && status.state() == TaskState::TaskUnknown;
        let launching = self.tasks.get(id).is_some_and(|task| task.launching);
        if status.state().is_terminal() || (nowhere && !launching) {
            self.forget(id);
        } else if let Some(agent) = &status.agent_id
            && !nowhere
        {
            let known = self.tasks.entry(id.clone()).or_insert_with(|| KnownTask {
                agent: String::new(),
                waits: true,
                launching: false,
            });
            known.agent.clone_from(&agent.value);
        }
    }

    fn forget_framework(&mut self) {
        self.framework = None;
        self.tasks.clear();
        self.ended.clear();
    }

    pub(super) fn forget(&mut self, id: &str) {
        if self.tasks.remove(id).is_some() {
            if self.ended.len() == ENDED_TASKS_MAX {
                self.ended.pop_front();
            }
            self.ended.push_back(id.to_owned());
        }
    }
}

/// An update that is to be acknowledged, not before a certain time.
pub(super) type Owed = (TaskStatus, Instant);

/// Where updates that are to be acknowledged wait.
#[derive(Debug)]
struct AcknowledgementQueues {
    prompt: mpsc::Sender<Owed>,
    late: mpsc::Sender<Owed>,
}

/// One framework of the workload.
pub(super) struct Framework {
    pub(super) name: String,
    number: u64,
    pub(super) world: World,
    pub(super) options: Options,
    pub(super) scribe: Scribe,
    /// For reads.
    pub(super) operator: Operator,
    state: Mutex<State>,
    /// Cancelled when everything has been done after the stop.
    pub(super) over: CancellationToken,
}

/// How one scheduler's life ended.
enum Life {
    /// It died by a fault; another takes over at once.
    Killed,
    /// The master ended it.
    Ended,
    /// The workload is over.
    Over,
}

impl Framework {
    pub(super) fn new(world: World, options: Options, scribe: Scribe, number: usize) -> Self {
        let operator = Operator::new(&world.masters, Encoding::Protobuf, world.seams.clone()).with_limit(READ_LIMIT);
        Framework {
            operator,
            name: format!("{}-{number}", options.name),
            number: number as u64,
            world,
            options,
            scribe,
            state: Mutex::default(),
            over: CancellationToken::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn framework_id(&self) -> Option<String> {
        self.state().framework.as_ref().map(|id| id.value.clone())
    }

    /// The scheduler to call through, with the framework's id; `None` while there is none or it has no id yet.
    pub(super) fn scheduler(&self) -> Option<(Scheduler, String)> {
        let state = self.state();
        Some((state.scheduler.clone()?, state.framework.as_ref()?.value.clone()))
    }

    /// Runs all of it to the end.
    pub(super) async fn run(self) -> Result<(), HarnessError> {
        let framework = Arc::new(self);
        let mut parts = JoinSet::new();
        let (prompt, prompt_updates) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
        let (late, late_updates) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
        parts.spawn(lanes::acknowledge(
            Arc::clone(&framework),
            "acknowledge",
            prompt_updates,
        ));
        parts.spawn(lanes::acknowledge(
            Arc::clone(&framework),
            "acknowledge-late",
            late_updates,
        ));
        let mut acting = JoinSet::new();
        for lane in 0..lanes::LANES {
            acting.spawn(lanes::act(Arc::clone(&framework), lane));
        }
        let closing = Arc::clone(&framework);
        parts.spawn(async move {
            join(Workload::Tasks, acting).await?;
            lanes::close(&closing).await;
            closing.over.cancel();
            Ok(())
        });
        parts.spawn(framework.live(AcknowledgementQueues { prompt, late }));
        join(Workload::Tasks, parts).await
    }

    /// One scheduler after the other, until the workload is over.
    async fn live(self: Arc<Self>, queues: AcknowledgementQueues) -> Result<(), HarnessError> {
        let mut kills = self.world.framework_kills.listen();
        loop {
            let framework = self.framework_id().unwrap_or_default();
            let operation = Operation::Subscribe { framework };
            let open = self.scribe.begin(&format!("{}/subscribe", self.name), operation);
            let config = SchedulerConfig::new(self.world.masters.clone(), self.info());
            let (scheduler, notices) = Scheduler::start(config, self.world.seams.clone())?;
            self.state().scheduler = Some(scheduler);
            let life = self.follow(notices, open, &mut kills, &queues).await;
            {
                let mut state = self.state();
                state.scheduler = None;
                state.lose_offers();
            }
            match life {
                Life::Over => return Ok(()),
                Life::Killed => {
                    self.scribe.count("scheduler-killed");
                    if let Some(framework) = self.framework_id() {
                        self.scribe.saw(&self.name, Sight::Disconnected { framework });
                    }
                }
                Life::Ended => {
                    // Whatever it was, a framework that ended does not come back under its id.
                    self.state().forget_framework();
                    tokio::select! {
                        biased;
                        () = self.over.cancelled() => return Ok(()),
                        () = sleep(PAUSE_AFTER_END) => {}
                    }
                }
            }
        }
    }

    /// Reads one scheduler's notices to its end; everything is written down before anything is made of it.
    async fn follow(
        &self,
        mut notices: Notices,
        subscribing: Open,
        kills: &mut watch::Receiver<u64>,
        queues: &AcknowledgementQueues,
    ) -> Life {
        let mut subscribing = Some(subscribing);
        let give_up = |subscribing: Option<Open>, why: &str| {
            if let Some(open) = subscribing {
                self.scribe.end(open, unknown(why));
            }
        };
        loop {
            let notice = tokio::select! {
                biased;
                () = self.over.cancelled() => {
                    give_up(subscribing, "the workload is over");
                    return Life::Over;
                }
                Ok(()) = kills.changed() => {
                    if *kills.borrow_and_update() % self.options.clients as u64 == self.number {
                        give_up(subscribing, "the scheduler was killed");
                        return Life::Killed;
                    }
                    continue;
                }
                notice = notices.next() => notice,
            };
            match notice {
                Some(Notice::Subscribed {
                    framework_id,
                    master,
                    master_info,
                    again,
                }) => {
                    let leadership = master_info.map(|info| info.id).unwrap_or_default();
                    if let Some(open) = subscribing.take() {
                        let value = framework_id.value.clone();
                        self.scribe.end(open, Outcome::Ok { value });
                    }
                    let framework = framework_id.value.clone();
                    let sight = Sight::Subscribed {
                        framework,
                        master,
                        leadership: leadership.clone(),
                        again,
                    };
                    self.scribe.saw(&self.name, sight);
                    let mut state = self.state();
                    state.lose_offers();
                    state.framework = Some(framework_id);
                    state.leadership = leadership;
                }
                Some(Notice::Disconnected { .. }) => {
                    let framework = self.framework_id().unwrap_or_default();
                    self.scribe.saw(&self.name, Sight::Disconnected { framework });
                    self.state().lose_offers();
                }
                Some(Notice::Event(event)) => self.take(*event, queues),
                Some(Notice::Ended { reason }) => {
                    if let Some(open) = subscribing {
                        self.scribe.end(open, Outcome::Refused { text: reason.clone() });
                    }
                    let framework = self.framework_id().unwrap_or_default();
                    self.scribe.saw(&self.name, Sight::Ended { framework, reason });
                    return Life::Ended;
                }
                None => {
                    give_up(subscribing, "the scheduler client ended");
                    return Life::Ended;
                }
            }
        }
    }

    fn take(&self, event: Event, queues: &AcknowledgementQueues) {
        let Some(framework) = self.framework_id() else { return };
        for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
            let mut state = self.state();
            self.scribe
                .saw(&self.name, sights::offered(&framework, &offer, &state.leadership));
            state.offers.push_back((offer, Some(Instant::now())));
        }
        if let Some(rescind) = event.rescind {
            let offer = rescind.offer_id.value;
            self.scribe.saw(&self.name, Sight::Rescinded { offer: offer.clone() });
            let mut state = self.state();
            if let Some(at) = state.offers.iter().position(|(held, _)| held.id.value == offer)
                && let Some((gone, _)) = state.offers.remove(at)
            {
                state.keep_gone(gone);
            }
        }
        if let Some(update) = event.update {
            let status = update.status;
            self.scribe.saw(&self.name, sights::updated(&framework, &status));
            self.state().learn(&status);
            self.owe(status, queues);
        }
    }

    /// An update is to be acknowledged, unless its acknowledgement is under way already.
    fn owe(&self, status: TaskStatus, queues: &AcknowledgementQueues) {
        let Some(uuid) = status.uuid.as_ref().map(|uuid| uuid.to_vec()) else {
            return;
        };
        if !self.state().acknowledging.insert(uuid.clone()) {
            return;
        }
        // Drawn by the update itself.
        let drawn = uuid
            .iter()
            .fold(0_u32, |sum, byte| (sum * 31 + u32::from(*byte)) % 8000);
        let (queue, delay) = match drawn.checked_sub(7000) {
            Some(delay) => (&queues.late, LATE_MAX * delay / 1000),
            None => (&queues.prompt, Duration::ZERO),
        };
        if queue.try_send((status, Instant::now() + delay)).is_err() {
            tracing::debug!(uuid = hex(&uuid), "no room for an acknowledgement");
            self.state().acknowledging.remove(&uuid);
        }
    }

    /// Whether no acknowledgement waits or is under way.
    pub(super) fn owes_nothing(&self) -> bool {
        self.state().acknowledging.is_empty()
    }

    /// An acknowledgement has ended, however it did; if it was in vain, the update comes again.
    pub(super) fn acknowledgement_ended(&self, uuid: &[u8]) {
        self.state().acknowledging.remove(uuid);
    }

    fn info(&self) -> FrameworkInfo {
        FrameworkInfo {
            id: self.state().framework.clone(),
            ..sights::framework_info(&self.name)
        }
    }
}
