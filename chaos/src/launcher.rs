//! Frameworks that launch as many tasks as they are offered room for, and count: the load of launch benchmarks, and the
//! way to fill hollow agents with tasks.
//!
//! Every update is acknowledged. A launch is counted by what is known of it; nothing is launched twice.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use client::{CallOutcome, MasterList, Notice, Notices, Scheduler, SchedulerConfig, SchedulerConfigError};
use hdrhistogram::Histogram;
use master_core::resources::Resources;
use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::{CommandInfo, Filters, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState, TaskStatus, framework_info};
use seams::Seams;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

/// ACCEPTs, and acknowledgements, of one framework on their way at once: together as many connections as its HTTP
/// client keeps idle.
const CALLS_MAX: usize = 4;
/// Offers that wait to be used: more than there are agents.
const OFFERS_MAX: usize = 100_000;
/// Acknowledgements that wait to be sent; then events are read no further.
const ACKNOWLEDGEMENTS_MAX: usize = 10_000;
/// The role of every task.
const ROLE: &str = "*";
/// A declined or used offer's rest comes back after this time.
const REFUSE_SECONDS: f64 = 0.0;
/// The frameworks outlive failovers.
const FAILOVER_TIMEOUT_SECONDS: f64 = 3600.0;

/// What is launched.
#[derive(Clone, Debug)]
pub struct LauncherConfig {
    /// Members of the cluster.
    pub masters: MasterList,
    /// Frameworks that share the work.
    pub frameworks: usize,
    /// Tasks in all; launching ends with the last one.
    pub tasks: u64,
    /// What each task takes.
    pub task_resources: Resources,
    /// Most tasks in one ACCEPT.
    pub tasks_per_accept: usize,
    /// The command of the tasks; hollow agents do not look at it.
    pub command: String,
}

/// What has been done so far.
#[derive(Debug)]
pub struct LaunchCounts {
    /// Tasks whose launch was accepted.
    pub accepted: AtomicU64,
    /// Tasks whose launch has an unknown outcome.
    pub unknown: AtomicU64,
    /// Tasks whose launch was refused or not sent; they are launched later under another id.
    pub not_launched: AtomicU64,
    /// First updates to RUNNING.
    pub running: AtomicU64,
    /// Terminal updates.
    pub ended: AtomicU64,
    /// Acknowledgements accepted.
    pub acknowledged: AtomicU64,
    /// From sending an ACCEPT to its answer, in microseconds.
    pub accept_micros: Mutex<Histogram<u64>>,
    /// From sending an ACCEPT to the arrival of RUNNING, in microseconds, per task.
    pub running_micros: Mutex<Histogram<u64>>,
}

fn histogram() -> Mutex<Histogram<u64>> {
    // One hour in microseconds, three digits: bounds that are known to be valid.
    const HIGHEST: u64 = 3_600_000_000;
    Mutex::new(Histogram::new_with_bounds(1, HIGHEST, 3).expect("the bounds are constants that fit each other"))
}

fn record(histogram: &Mutex<Histogram<u64>>, since: Instant) {
    let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
    histogram
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .saturating_record(micros);
}

impl Default for LaunchCounts {
    fn default() -> Self {
        LaunchCounts {
            accepted: AtomicU64::new(0),
            unknown: AtomicU64::new(0),
            not_launched: AtomicU64::new(0),
            running: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            accept_micros: histogram(),
            running_micros: histogram(),
        }
    }
}

/// Running frameworks. Dropping it disconnects them; their tasks stay.
#[derive(Debug)]
pub struct Launcher {
    counts: Arc<LaunchCounts>,
    schedulers: Vec<Scheduler>,
    loops: JoinSet<()>,
}

impl Launcher {
    /// Subscribes the frameworks and starts to launch.
    ///
    /// # Errors
    /// The configuration of the scheduler client is refused.
    pub fn start(config: &LauncherConfig, seams: &Seams) -> Result<Launcher, SchedulerConfigError> {
        let counts = Arc::new(LaunchCounts::default());
        let left = Arc::new(AtomicU64::new(config.tasks));
        let mut launcher = Launcher {
            counts: Arc::clone(&counts),
            schedulers: Vec::new(),
            loops: JoinSet::new(),
        };
        for number in 0..config.frameworks.max(1) {
            let scheduler_config = SchedulerConfig::new(config.masters.clone(), framework_info(number));
            let (scheduler, notices) = Scheduler::start(scheduler_config, seams.clone())?;
            launcher.schedulers.push(scheduler.clone());
            let framework = Arc::new(Framework {
                scheduler,
                config: config.clone(),
                counts: Arc::clone(&counts),
                left: Arc::clone(&left),
                next_id: AtomicU64::new(0),
                sent_at: Mutex::default(),
            });
            let (offers, offers_waiting) = mpsc::channel(OFFERS_MAX);
            let (updates, updates_waiting) = mpsc::channel(ACKNOWLEDGEMENTS_MAX);
            let offers_waiting = Arc::new(AsyncMutex::new(offers_waiting));
            let updates_waiting = Arc::new(AsyncMutex::new(updates_waiting));
            for _ in 0..CALLS_MAX {
                launcher
                    .loops
                    .spawn(Arc::clone(&framework).use_offers(Arc::clone(&offers_waiting)));
                launcher
                    .loops
                    .spawn(Arc::clone(&framework).acknowledge(Arc::clone(&updates_waiting)));
            }
            launcher.loops.spawn(framework.read(notices, offers, updates));
        }
        Ok(launcher)
    }

    /// What has been done so far.
    pub fn counts(&self) -> &Arc<LaunchCounts> {
        &self.counts
    }

    /// The frameworks' calls, for example to tear them down.
    pub fn schedulers(&self) -> &[Scheduler] {
        &self.schedulers
    }

    /// Waits until every task is accepted and runs or has run; `false` when `limit` passed before.
    pub async fn finished(&self, tasks: u64, limit: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(10);
        let deadline = Instant::now() + limit;
        while self.counts.running.load(Ordering::Relaxed) < tasks {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
        true
    }
}

struct Framework {
    scheduler: Scheduler,
    config: LauncherConfig,
    counts: Arc<LaunchCounts>,
    /// Tasks still to be launched, shared by all frameworks.
    left: Arc<AtomicU64>,
    next_id: AtomicU64,
    /// When the ACCEPT of a task that does not run yet was sent.
    sent_at: Mutex<HashMap<String, Instant>>,
}

impl Framework {
    /// Turns notices into calls to make.
    async fn read(
        self: Arc<Self>,
        mut notices: Notices,
        offers: mpsc::Sender<Offer>,
        updates: mpsc::Sender<TaskStatus>,
    ) {
        while let Some(notice) = notices.next().await {
            let event = match notice {
                Notice::Event(event) => event,
                Notice::Subscribed {
                    master,
                    framework_id,
                    again,
                    ..
                } => {
                    info!(%master, framework_id = %framework_id.value, again, "subscribed");
                    continue;
                }
                Notice::Disconnected { reason, .. } => {
                    info!(%reason, "disconnected");
                    continue;
                }
                Notice::Ended { reason } => {
                    warn!(%reason, "a framework has ended");
                    return;
                }
            };
            for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
                if offers.send(offer).await.is_err() {
                    return;
                }
            }
            if let Some(update) = event.update {
                self.count(&update.status);
                let needs_acknowledgement = update.status.uuid.is_some();
                if needs_acknowledgement && updates.send(update.status).await.is_err() {
                    return;
                }
            }
        }
    }

    fn count(&self, status: &TaskStatus) {
        if status.state() == TaskState::TaskRunning {
            let sent_at = self
                .sent_at
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&status.task_id.value);
            // Only the first RUNNING finds it.
            if let Some(sent_at) = sent_at {
                self.counts.running.fetch_add(1, Ordering::Relaxed);
                record(&self.counts.running_micros, sent_at);
            }
        } else if status.state().is_terminal() {
            self.counts.ended.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Uses offers one after the other, until there will be no more.
    async fn use_offers(self: Arc<Self>, waiting: Arc<AsyncMutex<mpsc::Receiver<Offer>>>) {
        loop {
            let offer = waiting.lock().await.recv().await;
            match offer {
                Some(offer) => self.use_offer(offer).await,
                None => return,
            }
        }
    }

    /// Acknowledges updates one after the other, until there will be no more. One that fails comes again.
    async fn acknowledge(self: Arc<Self>, waiting: Arc<AsyncMutex<mpsc::Receiver<TaskStatus>>>) {
        loop {
            let status = waiting.lock().await.recv().await;
            let Some(status) = status else { return };
            if self.scheduler.acknowledge(&status).await.is_accepted() {
                self.counts.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn use_offer(&self, offer: Offer) {
        let tasks = self.tasks_for(&offer);
        if tasks.is_empty() {
            // Resources of a declined offer come back by themselves; it matters to nobody how the call ended.
            let outcome = self.scheduler.decline(vec![offer.id], Some(never())).await;
            return tracing::trace!(%outcome, "declined");
        }
        let sent_at = Instant::now();
        let ids: Vec<String> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
        {
            let mut all = self.sent_at.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(ids.iter().map(|id| (id.clone(), sent_at)));
        }
        let count = ids.len() as u64;
        let filters = Filters {
            refuse_seconds: Some(REFUSE_SECONDS),
        };
        match self.scheduler.launch(vec![offer.id], tasks, Some(filters)).await {
            CallOutcome::Accepted => {
                record(&self.counts.accept_micros, sent_at);
                self.counts.accepted.fetch_add(count, Ordering::Relaxed);
            }
            CallOutcome::Unknown { reason } => {
                tracing::debug!(%reason, count, "launches with unknown outcome");
                self.counts.unknown.fetch_add(count, Ordering::Relaxed);
            }
            CallOutcome::Refused { .. } | CallOutcome::NotSent { .. } => {
                self.counts.not_launched.fetch_add(count, Ordering::Relaxed);
                self.left.fetch_add(count, Ordering::Relaxed);
                let mut all = self.sent_at.lock().unwrap_or_else(PoisonError::into_inner);
                all.retain(|id, _| !ids.contains(id));
            }
        }
    }

    /// As many tasks as fit the offer, are left and go into one ACCEPT.
    fn tasks_for(&self, offer: &Offer) -> Vec<TaskInfo> {
        let mut available = match Resources::from_proto(&offer.resources) {
            Ok(resources) => resources.unallocated(),
            Err(error) => {
                warn!(%error, "an offer that cannot be read");
                return Vec::new();
            }
        };
        let resources = self.config.task_resources.allocated_to(ROLE).to_proto();
        let mut tasks = Vec::new();
        while tasks.len() < self.config.tasks_per_accept
            && available.subtract(&self.config.task_resources)
            && self.take_one_of_those_left()
        {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed);
            tasks.push(TaskInfo {
                name: "launched".to_owned(),
                task_id: TaskId {
                    value: format!("t{id}"),
                },
                agent_id: offer.agent_id.clone(),
                resources: resources.clone(),
                command: Some(CommandInfo {
                    value: Some(self.config.command.clone()),
                    ..CommandInfo::default()
                }),
                ..TaskInfo::default()
            });
        }
        tasks
    }

    fn take_one_of_those_left(&self) -> bool {
        let take = |left: u64| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// Filters of an offer that nothing is launched on: there is nothing left to launch.
fn never() -> Filters {
    Filters {
        refuse_seconds: Some(FAILOVER_TIMEOUT_SECONDS),
    }
}

fn framework_info(number: usize) -> FrameworkInfo {
    let capabilities = [
        Capability::MultiRole,
        Capability::PartitionAware,
        Capability::ReservationRefinement,
    ];
    FrameworkInfo {
        user: "root".to_owned(),
        name: format!("launcher-{number}"),
        roles: vec![ROLE.to_owned()],
        failover_timeout: Some(FAILOVER_TIMEOUT_SECONDS),
        checkpoint: Some(true),
        capabilities: capabilities
            .map(|capability| framework_info::Capability {
                r#type: Some(capability.into()),
            })
            .to_vec(),
        ..FrameworkInfo::default()
    }
}
