//! Frameworks that register, fail over, fight over their id, change their info and are torn down.
//!
//! Two instances share each framework and act without regard for each other. Each SUBSCRIBE and each UPDATE_FRAMEWORK says
//! another name of the framework, so that the framework's info is a register, `framework/<id>`, whose value is its name and
//! which every subscription writes. It is not read any more once a teardown has begun.

mod instance;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{Encoding, Operator};
use proto::v1::FrameworkId;
use tokio::sync::RwLock;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::instance::{End, Instance};
use super::draw::Draw;
use super::scribe::{Scribe, done, unknown};
use super::{HarnessError, Options, Summary, Workload, World, check, join, mean_pause, reads};
use crate::history::{Operation, Outcome};

/// Schedulers that fight over one framework.
const INSTANCES: usize = 2;
/// Longest time one read looks for an answer.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// What an instance can do next, with how likely it is. An instance that is not subscribed subscribes instead of an update.
const ACTIONS: [(Action, usize); 4] = [
    (Action::Update, 45),
    (Action::Read, 35),
    (Action::Resubscribe, 17),
    (Action::Teardown, 3),
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Update,
    Read,
    Resubscribe,
    Teardown,
}

/// A framework whose id is known; locked for writing while it is torn down.
#[derive(Debug, Default)]
struct Shared {
    framework: RwLock<Option<FrameworkId>>,
    /// Counts values, none of which is written twice.
    values: Mutex<u64>,
}

/// Runs `options.clients` frameworks of two instances each.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Frameworks;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    let operator = Operator::new(&world.masters, Encoding::Protobuf, world.seams.clone()).with_limit(READ_LIMIT);
    let mut clients = JoinSet::new();
    for number in 0..options.clients {
        let shared = Arc::new(Shared::default());
        for letter in ["a", "b"].into_iter().take(INSTANCES) {
            let name = format!("{}-{number}{letter}", options.name);
            let lane = Lane {
                instance: Instance::new(name.clone(), world.clone(), scribe.clone()),
                draw: Draw::new(world.seed, &name),
                name,
                number: number as u64,
                shared: Arc::clone(&shared),
                world: world.clone(),
                options: options.clone(),
                scribe: scribe.clone(),
                operator: operator.clone(),
            };
            clients.spawn(lane.run());
        }
    }
    join(workload, clients).await?;
    Ok(scribe.summary(workload.name()))
}

/// One instance and what it does of its own accord, one call at a time.
struct Lane {
    name: String,
    number: u64,
    instance: Instance,
    draw: Draw,
    shared: Arc<Shared>,
    world: World,
    options: Options,
    scribe: Scribe,
    operator: Operator,
}

impl Lane {
    async fn run(mut self) -> Result<(), HarnessError> {
        let mut kills = self.world.framework_kills.listen();
        let mean = mean_pause(&self.options, self.options.clients * INSTANCES);
        let weights = ACTIONS.map(|(_, weight)| weight);
        loop {
            let pause = self.draw.duration(Duration::ZERO, mean * 2);
            tokio::select! {
                biased;
                () = self.world.stop.cancelled() => break,
                Ok(()) = kills.changed() => {
                    if *kills.borrow_and_update() % self.options.clients as u64 == self.number {
                        self.scribe.count("scheduler-killed");
                        self.instance.die();
                    }
                    continue;
                }
                () = sleep(pause) => {}
            }
            match ACTIONS[self.draw.weighted(&weights)].0 {
                Action::Update if self.instance.is_subscribed() => self.update().await,
                Action::Update | Action::Resubscribe => self.subscribe().await?,
                Action::Read => self.read().await,
                Action::Teardown => self.teardown().await?,
            }
        }
        if timeout(self.options.closing, self.close()).await.is_err() {
            self.scribe.count("closing-timed-out");
        }
        Ok(())
    }

    /// What it is to be called next; no name is given twice.
    fn next_value(&self) -> String {
        let mut values = self.shared.values.lock().unwrap_or_else(PoisonError::into_inner);
        *values += 1;
        format!("{}-v{}", self.options.name, *values)
    }

    /// The instance dies, if it lives, and another takes the framework over, or registers it if there is none.
    async fn subscribe(&mut self) -> Result<(), HarnessError> {
        self.instance.die();
        let value = self.next_value();
        let shared = Arc::clone(&self.shared);
        let known = shared.framework.read().await;
        if let Some(id) = known.as_ref() {
            let operation = Operation::Write {
                object: object(id),
                value: value.clone(),
            };
            let write = self.scribe.begin(&format!("{}/info", self.name), operation);
            let outcome = match self.instance.subscribe(Some(id), &value).await? {
                Ok(_) => done(),
                Err(End::Refused(text)) => Outcome::Refused { text },
                Err(End::Unknown(reason)) => unknown(reason),
            };
            self.scribe.end(write, outcome);
            return Ok(());
        }
        drop(known);
        // Only one of the instances registers the framework.
        let mut known = shared.framework.write().await;
        if known.is_none()
            && let Ok(id) = self.instance.subscribe(None, &value).await?
        {
            // Nobody could read or write it before its id was known, so that the write may be told now.
            let object = object(&id);
            let write = self
                .scribe
                .begin(&format!("{}/info", self.name), Operation::Write { object, value });
            self.scribe.end(write, done());
            *known = Some(id);
        }
        Ok(())
    }

    async fn update(&mut self) {
        let value = self.next_value();
        let known = self.shared.framework.read().await;
        let Some(id) = known.as_ref() else { return };
        let operation = Operation::Write {
            object: object(id),
            value: value.clone(),
        };
        let client = format!("{}/info", self.name);
        let call = self.instance.update(id, &value);
        let outcome = self.scribe.call(&client, operation, call).await;
        tracing::trace!(%outcome, "updated a framework");
    }

    async fn read(&mut self) {
        let at = reads::draw_master(&self.world.masters, &mut self.draw);
        let known = self.shared.framework.read().await;
        let Some(id) = known.as_ref() else { return };
        let operation = Operation::Read {
            object: object(id),
            at: at.clone(),
        };
        let open = self.scribe.begin(&format!("{}/read", self.name), operation);
        let outcome = match reads::framework_name(&self.operator, &at, &id.value).await {
            Ok(value) => Outcome::Ok { value },
            Err(reason) => unknown(reason),
        };
        self.scribe.end(open, outcome);
    }

    /// Tears the framework down; once that is acknowledged its id must be refused for ever.
    async fn teardown(&mut self) -> Result<(), HarnessError> {
        if !self.instance.is_subscribed() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        let mut known = shared.framework.write().await;
        let Some(id) = known.take() else { return Ok(()) };
        let operation = Operation::Teardown {
            framework: id.value.clone(),
        };
        let call = self.instance.teardown();
        let outcome = self.scribe.call(&self.name, operation, call).await;
        self.instance.die();
        if outcome.is_accepted() {
            let value = self.next_value();
            if self.instance.subscribe(Some(&id), &value).await?.is_ok() {
                self.scribe.count("subscribed-after-teardown");
            }
            self.instance.die();
        }
        Ok(())
    }

    /// The last word of the framework is read; it is torn down if that is asked for.
    async fn close(&mut self) {
        self.read().await;
        if self.options.teardown
            && let Err(error) = self.teardown().await
        {
            tracing::warn!(%error, "a framework is not torn down");
        }
    }
}

fn object(id: &FrameworkId) -> String {
    format!("framework/{}", id.value)
}
