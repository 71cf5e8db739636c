//! A small framework for `run` and `local --demo`: launches commands, acknowledges updates, reconciles after every
//! failover, and launches again what certainly never ran.
//!
//! Must never launch a task a second time whose fate is unknown: it asks first.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use client::{CallOutcome, MasterList, Notice, Notices, Scheduler, SchedulerConfig};
use master_core::resources::Resources;
use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::scheduler::Event;
use proto::v1::{
    AgentId, CommandInfo, Filters, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState, TaskStatus, framework_info,
};
use seams::Seams;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How long the master keeps the tasks while this framework is away. Zero would end it at every failover.
const FAILOVER_TIMEOUT_SECONDS: f64 = 60.0;
/// How long declined resources are not offered again; REVIVE ends it when there is something to launch.
const REFUSE_SECONDS: f64 = 3600.0;
/// Unanswered reconciliation is asked for again after this time.
const RECONCILE_AGAIN: Duration = Duration::from_secs(2);
/// The role everything here runs under.
const ROLE: &str = "*";

/// A command to run once.
#[derive(Clone, Debug)]
pub(crate) struct TaskSpec {
    /// Unique within the framework.
    pub(crate) id: String,
    /// A shell command.
    pub(crate) command: String,
    /// What it takes; unreserved and not allocated.
    pub(crate) resources: Resources,
}

/// What is known of a task.
#[derive(Clone, Debug)]
pub(crate) struct TaskRecord {
    /// As submitted.
    pub(crate) spec: TaskSpec,
    /// Its id at the master: `spec.id`, with `.2`, `.3` … when it was launched again.
    pub(crate) task_id: String,
    /// Where it was launched, `host:port` of the agent.
    pub(crate) agent_address: String,
    agent_id: AgentId,
    /// Whether the master accepted the launch; otherwise its fate was unknown.
    accepted: bool,
    /// Latest state.
    pub(crate) state: TaskState,
    /// Distinct terminal updates received; more than one is a fault.
    pub(crate) terminal_updates: u32,
    /// The end is known from an answer to RECONCILE only; the update itself is still to come.
    end_is_an_answer: bool,
    seen: BTreeSet<Vec<u8>>,
}

/// What happened, for the caller to tell.
#[derive(Debug)]
pub(crate) enum Happening {
    /// Subscribed at a master.
    Subscribed {
        master: String,
        framework_id: String,
        again: bool,
    },
    /// The subscription is lost.
    Disconnected { reason: String },
    /// A task changed its state, or its state was confirmed by reconciliation.
    Update {
        id: String,
        state: TaskState,
        status: Box<TaskStatus>,
    },
    /// A task that the master accepted and then did not know any more. This must not happen.
    Lost { id: String, state: TaskState },
    /// A task certainly never ran and is going to be launched again.
    Again { id: String, why: String },
    /// The framework is over.
    Ended { reason: String },
}

/// The framework; drive it by calling [`Framework::next`] again and again.
pub(crate) struct Framework {
    scheduler: Scheduler,
    notices: Notices,
    pending: VecDeque<(TaskSpec, u32)>,
    /// By the id as submitted.
    tasks: BTreeMap<String, TaskRecord>,
    attempts: BTreeMap<String, u32>,
    unanswered: BTreeSet<String>,
    ask_again_at: Instant,
    happenings: VecDeque<Happening>,
    /// Calls on their way. They run on when `next` is dropped; of launches the outcome matters.
    calls: JoinSet<Option<(Launched, CallOutcome)>>,
}

/// The tasks of one launch: the id as submitted, and the one at the master.
type Launched = Vec<(String, String)>;

/// The name of the user this process runs as.
pub(crate) fn user_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
    user.ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name)
}

impl Framework {
    /// Starts to subscribe under `name`.
    pub(crate) fn start(masters: MasterList, name: &str) -> anyhow::Result<Self> {
        let capabilities = [
            Capability::MultiRole,
            Capability::PartitionAware,
            Capability::ReservationRefinement,
        ];
        let info = FrameworkInfo {
            user: user_name(),
            name: name.to_owned(),
            roles: vec![ROLE.to_owned()],
            failover_timeout: Some(FAILOVER_TIMEOUT_SECONDS),
            checkpoint: Some(true),
            capabilities: capabilities
                .map(|capability| framework_info::Capability {
                    r#type: Some(capability.into()),
                })
                .to_vec(),
            ..FrameworkInfo::default()
        };
        let (scheduler, notices) = Scheduler::start(SchedulerConfig::new(masters, info), Seams::real())?;
        Ok(Framework {
            scheduler,
            notices,
            pending: VecDeque::new(),
            tasks: BTreeMap::new(),
            attempts: BTreeMap::new(),
            unanswered: BTreeSet::new(),
            ask_again_at: Instant::now(),
            happenings: VecDeque::new(),
            calls: JoinSet::new(),
        })
    }

    /// The calls of this framework.
    pub(crate) fn scheduler(&self) -> &Scheduler {
        &self.scheduler
    }

    /// Every task launched so far, by the id it was submitted with.
    pub(crate) fn tasks(&self) -> &BTreeMap<String, TaskRecord> {
        &self.tasks
    }

    /// Tasks whose reconciliation has not been answered yet, by the id they were submitted with.
    pub(crate) fn unanswered_ids(&self) -> impl Iterator<Item = &str> {
        self.unanswered.iter().map(String::as_str)
    }

    /// Queues a task and asks for offers.
    pub(crate) fn submit(&mut self, spec: TaskSpec) {
        self.pending.push_back((spec, 1));
        self.revive();
    }

    fn revive(&mut self) {
        // Without a subscription nothing is lost: the next one brings offers by itself.
        if self.scheduler.master().is_some() {
            self.call("REVIVE", |scheduler| async move { scheduler.revive(Vec::new()).await });
        }
    }

    /// Makes a call whose outcome matters to nobody: when it fails around a failover, it is made up for later.
    fn call<F>(&mut self, name: &'static str, call: impl FnOnce(Scheduler) -> F)
    where
        F: Future<Output = CallOutcome> + Send + 'static,
    {
        let call = call(self.scheduler.clone());
        self.calls.spawn(async move {
            log_unless_accepted(name, &call.await);
            None
        });
    }

    /// Waits for the next thing that happens and does what is due. `None` after `Ended`. Cancel safety: a dropped
    /// future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Happening> {
        loop {
            if let Some(happening) = self.happenings.pop_front() {
                return Some(happening);
            }
            let ask_again_at = self.ask_again_at;
            tokio::select! {
                notice = self.notices.next() => self.take(notice?),
                Some(call) = self.calls.join_next() => self.call_ended(call),
                () = sleep_until(ask_again_at), if !self.unanswered.is_empty() => self.reconcile(),
            }
        }
    }

    fn call_ended(&mut self, call: Result<Option<(Launched, CallOutcome)>, JoinError>) {
        match call {
            Ok(Some((launched, outcome))) => self.after_launch(launched, &outcome),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a call ended badly"),
        }
    }

    fn take(&mut self, notice: Notice) {
        match notice {
            Notice::Subscribed {
                framework_id,
                master,
                again,
                ..
            } => {
                let framework_id = framework_id.value;
                self.happenings.push_back(Happening::Subscribed {
                    master,
                    framework_id,
                    again,
                });
                self.unanswered = self.alive().map(|task| task.spec.id.clone()).collect();
                self.reconcile();
            }
            Notice::Disconnected { reason, .. } => self.happenings.push_back(Happening::Disconnected { reason }),
            Notice::Ended { reason } => self.happenings.push_back(Happening::Ended { reason }),
            Notice::Event(event) => self.take_event(*event),
        }
    }

    fn take_event(&mut self, event: Event) {
        if let Some(offers) = event.offers {
            // Spread over the agents, but never so thinly that something waits that could run.
            let mut left = offers.offers.len();
            for offer in offers.offers {
                self.take_offer(offer, self.pending.len().div_ceil(left));
                left -= 1;
            }
            if !self.pending.is_empty() {
                self.revive();
            }
        } else if let Some(update) = event.update {
            self.take_update(update.status);
        }
    }

    fn alive(&self) -> impl Iterator<Item = &TaskRecord> {
        self.tasks.values().filter(|task| !task.state.is_terminal())
    }

    /// Asks for the state of every task in `unanswered`.
    fn reconcile(&mut self) {
        self.ask_again_at = Instant::now() + RECONCILE_AGAIN;
        let tasks: Vec<_> = self
            .unanswered
            .iter()
            .filter_map(|id| self.tasks.get(id))
            .map(|task| {
                (
                    TaskId {
                        value: task.task_id.clone(),
                    },
                    Some(task.agent_id.clone()),
                )
            })
            .collect();
        if !tasks.is_empty() {
            self.call("RECONCILE", |scheduler| async move { scheduler.reconcile(tasks).await });
        }
    }

    /// Launches what fits into an offer, at most `tasks_max`; declines it when there is nothing.
    fn take_offer(&mut self, offer: Offer, tasks_max: usize) {
        let mut available = match Resources::from_proto(&offer.resources) {
            Ok(resources) => resources.unallocated(),
            Err(error) => {
                tracing::warn!(%error, "declined an offer that cannot be read");
                Resources::default()
            }
        };
        let agent_address = offer_address(&offer);
        let mut launched: Launched = Vec::new();
        let mut infos = Vec::new();
        let mut waiting = VecDeque::new();
        while let Some((spec, attempt)) = self.pending.pop_front() {
            if infos.len() == tasks_max || !available.subtract(&spec.resources) {
                waiting.push_back((spec, attempt));
                continue;
            }
            let task_id = if attempt == 1 {
                spec.id.clone()
            } else {
                format!("{}.{attempt}", spec.id)
            };
            infos.push(task_info(&spec, &task_id, &offer.agent_id));
            launched.push((spec.id.clone(), task_id.clone()));
            self.attempts.insert(spec.id.clone(), attempt);
            let record = TaskRecord {
                task_id,
                agent_address: agent_address.clone(),
                agent_id: offer.agent_id.clone(),
                accepted: false,
                state: TaskState::TaskStaging,
                terminal_updates: 0,
                end_is_an_answer: false,
                seen: BTreeSet::new(),
                spec,
            };
            self.tasks.insert(record.spec.id.clone(), record);
        }
        self.pending = waiting;
        let offer_ids = vec![offer.id];
        if infos.is_empty() {
            return self.call("DECLINE", |scheduler| async move {
                scheduler.decline(offer_ids, Some(filters())).await
            });
        }
        let scheduler = self.scheduler.clone();
        self.calls.spawn(async move {
            let outcome = scheduler.launch(offer_ids, infos, Some(filters())).await;
            log_unless_accepted("ACCEPT", &outcome);
            Some((launched, outcome))
        });
    }

    fn after_launch(&mut self, launched: Launched, outcome: &CallOutcome) {
        for (id, task_id) in launched {
            // What has been launched again meanwhile, or has ended, needs no more thought.
            let task = self
                .tasks
                .get_mut(&id)
                .filter(|task| task.task_id == task_id && !task.state.is_terminal());
            let Some(task) = task else { continue };
            match outcome {
                CallOutcome::Accepted => task.accepted = true,
                // It may have been carried out: ask.
                CallOutcome::Unknown { .. } => {
                    self.unanswered.insert(id);
                }
                CallOutcome::Refused { .. } | CallOutcome::NotSent { .. } => {
                    self.launch_again(&id, outcome.to_string());
                    self.revive();
                }
            }
        }
    }

    /// Queues a task that certainly never ran.
    fn launch_again(&mut self, id: &str, why: String) {
        let Some(task) = self.tasks.remove(id) else { return };
        self.unanswered.remove(id);
        let attempt = self.attempts.get(id).copied().unwrap_or(1) + 1;
        self.pending.push_back((task.spec, attempt));
        self.happenings.push_back(Happening::Again { id: id.to_owned(), why });
    }

    fn take_update(&mut self, status: TaskStatus) {
        // What is done with it here cannot fail. A lost acknowledgement brings the update again.
        let acknowledged = status.clone();
        self.call("ACKNOWLEDGE", |scheduler| async move {
            scheduler.acknowledge(&acknowledged).await
        });
        let Some(task) = self
            .tasks
            .values_mut()
            .find(|task| task.task_id == status.task_id.value)
        else {
            return;
        };
        let id = task.spec.id.clone();
        let state = status.state();
        self.unanswered.remove(&id);
        if let Some(uuid) = &status.uuid
            && !task.seen.insert(uuid.to_vec())
        {
            return;
        }
        if task.state.is_terminal() {
            // Without a uuid: the answer to a question asked before the end was known. The first update behind an
            // end that was such an answer is the same end.
            if status.uuid.is_some() && state.is_terminal() && !std::mem::take(&mut task.end_is_an_answer) {
                task.terminal_updates += 1;
            }
            return;
        }
        let never_ran = matches!(task.state, TaskState::TaskStaging);
        let gone = matches!(
            state,
            TaskState::TaskUnknown | TaskState::TaskGone | TaskState::TaskLost
        );
        if never_ran && (state == TaskState::TaskDropped || (gone && !task.accepted)) {
            let why = format!(
                "{}: {}",
                state.as_str_name(),
                status.message.as_deref().unwrap_or_default()
            );
            self.launch_again(&id, why);
            return self.revive();
        }
        if gone {
            task.state = TaskState::TaskLost;
            self.happenings.push_back(Happening::Lost { id, state });
            return;
        }
        task.state = state;
        if state.is_terminal() {
            task.terminal_updates += 1;
            task.end_is_an_answer = status.uuid.is_none();
        }
        self.happenings.push_back(Happening::Update {
            id,
            state,
            status: Box::new(status),
        });
    }
}

fn filters() -> Filters {
    Filters {
        refuse_seconds: Some(REFUSE_SECONDS),
    }
}

fn task_info(spec: &TaskSpec, task_id: &str, agent_id: &AgentId) -> TaskInfo {
    TaskInfo {
        name: spec.id.clone(),
        task_id: TaskId {
            value: task_id.to_owned(),
        },
        agent_id: agent_id.clone(),
        resources: spec.resources.allocated_to(ROLE).to_proto(),
        command: Some(CommandInfo {
            shell: Some(true),
            value: Some(spec.command.clone()),
            ..CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}

/// Where the agent of an offer listens, `host:port`.
fn offer_address(offer: &Offer) -> String {
    let Some(url) = &offer.url else {
        return offer.hostname.clone();
    };
    let host = url
        .address
        .ip
        .as_ref()
        .or(url.address.hostname.as_ref())
        .unwrap_or(&offer.hostname);
    format!("{host}:{}", url.address.port)
}

/// Calls that fail around a failover are made up for later; they are no news to a person.
fn log_unless_accepted(call: &str, outcome: &CallOutcome) {
    if !outcome.is_accepted() {
        tracing::info!(call, %outcome, "call not accepted");
    }
}
