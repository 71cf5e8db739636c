//! A framework with long tasks, on this project's own client library. After a fault it takes three times: subscribed again,
//! every task answered by explicit reconciliation, a newly launched task running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use client::{CallOutcome, MasterList, Notice, Notices, Scheduler, SchedulerConfig};
use proto::v1::scheduler::{Event, event};
use proto::v1::task_status::Reason;
use proto::v1::{
    AgentId, CommandInfo, FrameworkInfo, Offer, Resource, TaskId, TaskInfo, TaskState, TaskStatus, framework_info,
};
use seams::Seams;
use tokio::time::sleep;

/// Share of a CPU per task.
const TASK_CPUS: f64 = 0.01;
/// MiB per task.
const TASK_MEM: f64 = 1.0;
/// What each task runs: nothing, for longer than any benchmark takes.
const TASK_COMMAND: &str = "exec sleep 100000";

/// How often RECONCILE is called before the next subscription is waited for.
const RECONCILE_ATTEMPTS: usize = 10;
/// Pause before it is called again.
const RECONCILE_PAUSE: Duration = Duration::from_millis(20);

/// When things happened after a fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Subscribed at the new leader.
    pub subscribed: Option<Instant>,
    /// The last task was answered by reconciliation.
    pub reconciled: Option<Instant>,
    /// A task launched after the fault runs.
    pub running: Option<Instant>,
}

impl Times {
    /// Whether everything has happened.
    pub fn complete(&self) -> bool {
        self.subscribed.is_some() && self.reconciled.is_some() && self.running.is_some()
    }
}

#[derive(Debug, Default)]
struct Shared {
    times: Option<Times>,
    long_running: usize,
    /// Tasks that changed their state to anything but running, or that reconciliation did not know.
    lost: u64,
}

/// Where the framework and the benchmark meet.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Shared>>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to take times; the fault follows at once.
    pub fn arm(&self) {
        self.lock().times = Some(Times::default());
    }

    /// The times so far.
    pub fn times(&self) -> Times {
        self.lock().times.unwrap_or_default()
    }

    /// How many of the long tasks run.
    pub fn long_running(&self) -> usize {
        self.lock().long_running
    }

    /// How often a long task was reported as anything but running.
    pub fn lost(&self) -> u64 {
        self.lock().lost
    }
}

/// The framework's own state.
struct Tasks {
    scheduler: Scheduler,
    board: Board,
    wanted: usize,
    launched: usize,
    /// Task and its agent; `true` once it runs.
    long: BTreeMap<String, (AgentId, bool)>,
    /// Names of long tasks whose reconciliation is awaited.
    unanswered: BTreeSet<String>,
    reconciling: bool,
    offers: Vec<Offer>,
    /// The task launched after the present fault.
    probe: Option<String>,
}

/// Runs the framework until its subscription ends; `wanted` is the number of long tasks.
pub async fn run(masters: MasterList, wanted: usize, board: Board) -> Result<()> {
    let framework = FrameworkInfo {
        user: "root".to_owned(),
        name: "tasks".to_owned(),
        roles: vec!["tasks".to_owned()],
        failover_timeout: Some(3600.0),
        checkpoint: Some(true),
        capabilities: vec![framework_info::Capability {
            r#type: Some(framework_info::capability::Type::MultiRole.into()),
        }],
        ..FrameworkInfo::default()
    };
    let (scheduler, notices) = Scheduler::start(SchedulerConfig::new(masters, framework), Seams::real())?;
    let tasks = Tasks {
        scheduler,
        board,
        wanted,
        launched: 0,
        long: BTreeMap::new(),
        unanswered: BTreeSet::new(),
        reconciling: false,
        offers: Vec::new(),
        probe: None,
    };
    tasks.follow(notices).await;
    Ok(())
}

impl Tasks {
    async fn follow(mut self, mut notices: Notices) {
        while let Some(notice) = notices.next().await {
            match notice {
                Notice::Subscribed { again, .. } => {
                    if again {
                        self.subscribed_again().await;
                    }
                }
                Notice::Disconnected { .. } => self.offers.clear(),
                Notice::Event(event) => self.event(*event).await,
                Notice::Ended { reason } => {
                    eprintln!("the framework with tasks was refused: {reason}");
                    return;
                }
            }
        }
    }

    async fn subscribed_again(&mut self) {
        if let Some(times) = &mut self.board.lock().times {
            times.subscribed = Some(Instant::now());
        }
        self.probe = None;
        self.unanswered = self.long.keys().cloned().collect();
        self.reconciling = true;
        let tasks: Vec<_> = self
            .long
            .iter()
            .map(|(name, (agent, _))| (TaskId { value: name.clone() }, Some(agent.clone())))
            .collect();
        // Safe to repeat, and refused while a leader is still finding out that it leads no more.
        for _ in 0..RECONCILE_ATTEMPTS {
            let outcome = self.scheduler.reconcile(tasks.clone()).await;
            report("RECONCILE", &outcome);
            if matches!(outcome, CallOutcome::Accepted) {
                return;
            }
            sleep(RECONCILE_PAUSE).await;
        }
    }

    async fn event(&mut self, event: Event) {
        match event.r#type() {
            event::Type::Offers => {
                self.offers
                    .extend(event.offers.map(|offers| offers.offers).unwrap_or_default());
                self.launch().await;
            }
            event::Type::Rescind => {
                let rescinded = event.rescind.map(|rescind| rescind.offer_id);
                self.offers.retain(|offer| Some(&offer.id) != rescinded.as_ref());
            }
            event::Type::Update => {
                if let Some(update) = event.update {
                    self.update(update.status).await;
                }
            }
            _ => {}
        }
    }

    /// Uses one offer: for the long tasks that are still missing, or for the task after the fault.
    async fn launch(&mut self) {
        let after_fault = {
            let shared = self.board.lock();
            shared
                .times
                .is_some_and(|times| times.subscribed.is_some() && times.running.is_none())
        };
        let missing = self.wanted - self.long.len();
        let count = if missing > 0 {
            missing
        } else {
            usize::from(after_fault && self.probe.is_none())
        };
        if count == 0 {
            return;
        }
        let Some(offer) = self.offers.pop() else { return };
        let mut tasks = Vec::new();
        let mut names = Vec::new();
        for _ in 0..count {
            self.launched += 1;
            let name = format!("task-{}", self.launched);
            if missing > 0 {
                self.long.insert(name.clone(), (offer.agent_id.clone(), false));
            } else {
                self.probe = Some(name.clone());
            }
            tasks.push(task(&name, &offer.agent_id));
            names.push(name);
        }
        let outcome = self.scheduler.launch(vec![offer.id], tasks, None).await;
        report("ACCEPT", &outcome);
        if matches!(outcome, CallOutcome::NotSent { .. } | CallOutcome::Refused { .. }) {
            names.iter().for_each(|name| drop(self.long.remove(name)));
            self.probe = self.probe.take().filter(|probe| !names.contains(probe));
        }
    }

    async fn update(&mut self, status: TaskStatus) {
        let name = status.task_id.value.clone();
        let is_running = status.state() == TaskState::TaskRunning;
        if let Some((_, runs)) = self.long.get_mut(&name) {
            let answer = status.reason() == Reason::Reconciliation;
            if is_running {
                *runs = true;
            } else if *runs {
                self.board.lock().lost += 1;
                eprintln!("{name} is {} ({})", status.state().as_str_name(), status.message());
            }
            if answer {
                self.unanswered.remove(&name);
            }
            let long_running = self.long.values().filter(|(_, runs)| *runs).count();
            let mut shared = self.board.lock();
            shared.long_running = long_running;
            if self.reconciling && self.unanswered.is_empty() {
                self.reconciling = false;
                if let Some(times) = &mut shared.times {
                    times.reconciled = Some(Instant::now());
                }
            }
        } else if self.probe.as_ref() == Some(&name) && is_running {
            if let Some(times) = &mut self.board.lock().times {
                times.running.get_or_insert_with(Instant::now);
            }
            let task_id = status.task_id.clone();
            report(
                "KILL",
                &self.scheduler.kill(task_id, status.agent_id.clone(), None).await,
            );
        }
        report("ACKNOWLEDGE", &self.scheduler.acknowledge(&status).await);
        // Offers may have come while there was nothing to do with them.
        self.launch().await;
    }
}

/// Calls that fail while the leader is dying are part of the game; their outcome is seen in the times.
fn report(call: &str, outcome: &CallOutcome) {
    if let CallOutcome::Refused { status, text } = outcome {
        eprintln!("{call} was refused with {status}: {text}");
    }
}

fn task(name: &str, agent: &AgentId) -> TaskInfo {
    TaskInfo {
        name: name.to_owned(),
        task_id: TaskId { value: name.to_owned() },
        agent_id: agent.clone(),
        resources: vec![scalar("cpus", TASK_CPUS), scalar("mem", TASK_MEM)],
        command: Some(CommandInfo {
            value: Some(TASK_COMMAND.to_owned()),
            ..CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: proto::v1::value::Type::Scalar.into(),
        scalar: Some(proto::v1::value::Scalar { value }),
        allocation_info: Some(proto::v1::resource::AllocationInfo {
            role: Some("tasks".to_owned()),
        }),
        ..Resource::default()
    }
}
