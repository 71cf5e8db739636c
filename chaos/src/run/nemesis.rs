//! Draws faults from a seed, begins them, ends them, and writes both down.
//!
//! Kinds come from a shuffled deck, so that every one comes up before any comes up much more often than its weight says.
//! A fault that is not possible at the moment goes back to the end of the deck.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::arena::Arena;
use super::dice::Dice;
use super::faults::{self, Begun, FaultError, Lane};
use crate::fault::FaultKind;
use crate::history::{FaultRecord, Record};

/// Limit of ending one fault; what needs longer does not end.
const END_LIMIT: Duration = Duration::from_secs(300);
/// Pause when no fault was possible.
const IDLE: Duration = Duration::from_millis(50);

/// What came of all faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How often each kind began and ended.
    pub(crate) done: BTreeMap<FaultKind, u64>,
    /// What the cluster did that it must not do.
    pub(crate) defects: Vec<String>,
    /// Failures of this harness.
    pub(crate) failures: Vec<String>,
    /// Why a kind was not possible, the last reason.
    pub(crate) not_possible: BTreeMap<FaultKind, String>,
}

/// Faults that are being drawn.
pub(crate) struct Nemesis {
    arena: Arc<Arena>,
    dice: Dice,
    deck: VecDeque<FaultKind>,
    kinds: Vec<FaultKind>,
    tally: Arc<Mutex<Tally>>,
    busy: BTreeMap<u64, Lane>,
    running: JoinSet<u64>,
    next: u64,
}

impl Nemesis {
    pub(crate) fn new(arena: Arc<Arena>, kinds: Vec<FaultKind>, dice: Dice) -> Self {
        Nemesis {
            arena,
            dice,
            deck: VecDeque::new(),
            kinds,
            tally: Arc::default(),
            busy: BTreeMap::new(),
            running: JoinSet::new(),
            next: 0,
        }
    }

    /// Injects faults for as long as `duration`, or until `stop`; all have ended when this returns.
    pub(crate) async fn run(mut self, duration: Duration, stop: &watch::Receiver<bool>) -> Tally {
        let deadline = Instant::now() + duration;
        // Gaps from a half to one and a half of the average.
        let gap = Duration::from_secs_f64(60.0 / self.arena.config.faults_per_minute);
        let mut stop = stop.clone();
        let (ending, hold_no_more) = watch::channel(false);
        while Instant::now() < deadline && !*stop.borrow() && !self.kinds.is_empty() {
            let pause = self.dice.between(gap / 2, gap * 3 / 2);
            tokio::select! {
                () = sleep_until((Instant::now() + pause).min(deadline)) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.collect_ended();
            if Instant::now() < deadline {
                self.begin_one(&hold_no_more).await;
            }
        }
        ending.send_replace(true);
        while self.running.join_next().await.is_some() {}
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.clone()
    }

    fn collect_ended(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            match ended {
                Ok(number) => {
                    self.busy.remove(&number);
                }
                Err(error) => lock(&self.tally).failures.push(format!("a fault ended badly: {error}")),
            }
        }
    }

    fn is_free(&self, lane: Lane) -> bool {
        let masters = |lane: Lane| matches!(lane, Lane::Masters | Lane::MastersInCalm);
        !self.busy.values().any(|busy| match (lane, *busy) {
            (Lane::MastersInCalm, Lane::Network) | (Lane::Network, Lane::MastersInCalm) => true,
            (wanted, busy) => wanted == busy || (masters(wanted) && masters(busy)),
        })
    }

    fn refill(&mut self) {
        let mut deck: Vec<FaultKind> = Vec::new();
        for kind in &self.kinds {
            deck.extend(std::iter::repeat_n(*kind, faults::weight(*kind)));
        }
        self.dice.shuffle(&mut deck);
        self.deck.extend(deck);
    }

    /// Begins the first fault of the deck whose lane is free and that is possible now.
    async fn begin_one(&mut self, hold_no_more: &watch::Receiver<bool>) {
        if self.deck.is_empty() {
            self.refill();
        }
        for _ in 0..self.deck.len() {
            let Some(kind) = self.deck.pop_front() else { return };
            let lane = faults::lane(kind);
            if !self.is_free(lane) {
                self.deck.push_back(kind);
                continue;
            }
            let dice = self.dice.split();
            match faults::begin(kind, &self.arena, dice).await {
                Ok(begun) => return self.hold(kind, lane, begun, hold_no_more.clone()),
                Err(FaultError::NotNow(reason)) => {
                    tracing::debug!(%kind, reason, "not now");
                    lock(&self.tally).not_possible.insert(kind, reason);
                    self.deck.push_back(kind);
                }
                Err(error) => return note(&self.tally, kind, error),
            }
        }
        sleep(IDLE).await;
    }

    fn hold(&mut self, kind: FaultKind, lane: Lane, begun: Begun, mut hold_no_more: watch::Receiver<bool>) {
        let number = self.next;
        self.next += 1;
        self.busy.insert(number, lane);
        tracing::info!(%kind, targets = ?begun.targets, detail = begun.detail, hold = ?begun.hold, "fault");
        let recorder = self.arena.recorder.clone();
        let record = FaultRecord {
            at: recorder.now(),
            number,
            kind,
            targets: begun.targets,
            detail: begun.detail,
            ended: false,
        };
        recorder.record(Record::Fault(record.clone()));
        let tally = Arc::clone(&self.tally);
        self.running.spawn(async move {
            tokio::select! {
                () = sleep(begun.hold) => {}
                _ = hold_no_more.wait_for(|enough| *enough) => {}
            }
            match timeout(END_LIMIT, begun.end).await {
                Ok(Ok(())) => *lock(&tally).done.entry(kind).or_default() += 1,
                Ok(Err(error)) => note(&tally, kind, error),
                Err(_) => note(
                    &tally,
                    kind,
                    FaultError::Harness(anyhow::anyhow!("does not end within {END_LIMIT:?}")),
                ),
            }
            let ended = FaultRecord {
                at: recorder.now(),
                ended: true,
                ..record
            };
            recorder.record(Record::Fault(ended));
            number
        });
    }
}

fn note(tally: &Mutex<Tally>, kind: FaultKind, error: FaultError) {
    let mut tally = lock(tally);
    match error {
        FaultError::NotNow(reason) => drop(tally.not_possible.insert(kind, reason)),
        FaultError::Defect(sentence) => {
            tracing::warn!(%kind, sentence, "defect");
            tally.defects.push(format!("{kind}: {sentence}"));
        }
        FaultError::Harness(error) => {
            tracing::error!(%kind, error = format!("{error:#}"), "the harness failed");
            tally.failures.push(format!("{kind}: {error:#}"));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
