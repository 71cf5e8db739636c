//! What a framework does of its own accord: lanes that each make one call at a time, and the orderly end.

use std::sync::Arc;
use std::time::Duration;

use client::CallOutcome;
use master_core::resources::Resources;
use proto::v1::{AgentId, CommandInfo, Filters, Offer, TaskId, TaskInfo};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::framework::{Framework, KnownTask, Owed};
use crate::history::Operation;
use crate::workload::draw::Draw;
use crate::workload::reads;
use crate::workload::sights::{ROLE, hex};
use crate::workload::{HarnessError, mean_pause};

/// Calls of one framework that can be under way at once, acknowledgements aside.
pub(super) const LANES: usize = 3;
/// Offers not used for so long are declined, so that other frameworks get some.
const OFFER_AGE_MAX: Duration = Duration::from_secs(3);
/// Most tasks in one ACCEPT.
const TASKS_PER_LAUNCH_MAX: usize = 3;
/// Most tasks in one RECONCILE or read.
const TASKS_PER_QUESTION_MAX: usize = 8;
/// Between two looks at what is still open at the end.
const CLOSING_PAUSE: Duration = Duration::from_millis(500);
/// What each task takes.
const TASK_RESOURCES: &str = "cpus:0.1;mem:32";

/// What a lane can do next, with how likely it is.
const ACTIONS: [(Action, usize); 7] = [
    (Action::Launch, 40),
    (Action::Kill, 15),
    (Action::ReconcileSome, 8),
    (Action::ReconcileAll, 2),
    (Action::Read, 25),
    (Action::LaunchOnGoneOffer, 5),
    (Action::KillInVain, 5),
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Launch,
    Kill,
    ReconcileSome,
    ReconcileAll,
    Read,
    LaunchOnGoneOffer,
    KillInVain,
}

/// One lane, until the stop.
pub(super) async fn act(framework: Arc<Framework>, lane: usize) -> Result<(), HarnessError> {
    let client = format!("{}/lane-{lane}", framework.name);
    let mut draw = Draw::new(framework.world.seed, &client);
    let mean = mean_pause(&framework.options, framework.options.clients * LANES);
    let weights = ACTIONS.map(|(_, weight)| weight);
    let lane = Lane { framework, client };
    loop {
        tokio::select! {
            biased;
            () = lane.framework.world.stop.cancelled() => return Ok(()),
            () = sleep(draw.duration(Duration::ZERO, mean * 2)) => {}
        }
        lane.decline_old_offers().await;
        match ACTIONS[draw.weighted(&weights)].0 {
            Action::Launch => lane.launch(&mut draw).await,
            Action::Kill => lane.kill(&mut draw).await,
            Action::ReconcileSome => lane.reconcile_some(&mut draw).await,
            Action::ReconcileAll => lane.reconcile(Vec::new()).await,
            Action::Read => lane.read(&mut draw).await,
            Action::LaunchOnGoneOffer => lane.launch_on_gone_offer(&mut draw).await,
            Action::KillInVain => lane.kill_in_vain(&mut draw).await,
        }
    }
}

/// Acknowledges updates one after the other, none before its time (after the stop at once). One that fails comes again,
/// with the update.
pub(super) async fn acknowledge(
    framework: Arc<Framework>,
    lane: &'static str,
    mut updates: mpsc::Receiver<Owed>,
) -> Result<(), HarnessError> {
    let client = format!("{}/{lane}", framework.name);
    loop {
        let next = tokio::select! {
            biased;
            () = framework.over.cancelled() => None,
            next = updates.recv() => next,
        };
        let Some((status, due)) = next else { return Ok(()) };
        tokio::select! {
            biased;
            () = framework.world.stop.cancelled() => {}
            () = sleep_until(due) => {}
        }
        let Some(uuid) = status.uuid.clone() else { continue };
        if let Some((scheduler, id)) = framework.scheduler() {
            let operation = Operation::Acknowledge {
                framework: id,
                task: status.task_id.value.clone(),
                uuid: hex(&uuid),
            };
            let call = scheduler.acknowledge(&status);
            note(framework.scribe.call(&client, operation, call).await);
        }
        framework.acknowledgement_ended(&uuid);
    }
}

/// How a call ended is in the history; nothing else depends on it.
fn note(outcome: CallOutcome) {
    tracing::trace!(%outcome, "a call of a workload");
}

/// After the stop: all tasks are killed, their ends acknowledged and read, as far as there is time.
pub(super) async fn close(framework: &Arc<Framework>) {
    let lane = Lane {
        client: format!("{}/close", framework.name),
        framework: Arc::clone(framework),
    };
    let deadline = Instant::now() + framework.options.closing;
    let finish = async {
        let mut reconcile = false;
        loop {
            let alive: Vec<(String, String)> = {
                let state = framework.state();
                let tasks = state.tasks.iter();
                tasks.map(|(id, task)| (id.clone(), task.agent.clone())).collect()
            };
            if alive.is_empty() && framework.owes_nothing() {
                break;
            }
            for (task, agent) in &alive {
                lane.kill_task(task.clone(), agent.clone()).await;
            }
            // What never came to be is not killed but unknown, which only a reconciliation tells.
            if std::mem::replace(&mut reconcile, true) && !alive.is_empty() {
                lane.reconcile(alive).await;
            }
            sleep(CLOSING_PAUSE).await;
        }
        let ended: Vec<String> = framework.state().ended.iter().cloned().collect();
        lane.read_tasks(String::new(), ended).await;
    };
    if tokio::time::timeout_at(deadline, finish).await.is_err() {
        framework.scribe.count("closing-timed-out");
    }
    if framework.options.teardown
        && let Some((scheduler, id)) = framework.scheduler()
    {
        let operation = Operation::Teardown { framework: id };
        note(
            framework
                .scribe
                .call(&lane.client, operation, scheduler.teardown())
                .await,
        );
    }
}

/// One caller of a framework.
struct Lane {
    framework: Arc<Framework>,
    client: String,
}

impl Lane {
    /// Launches on the oldest offer, unless there are tasks enough.
    async fn launch(&self, draw: &mut Draw) {
        let offer = {
            let mut state = self.framework.state();
            if state.tasks.len() >= self.framework.options.objects {
                return;
            }
            state.offers.pop_front()
        };
        if let Some((offer, _)) = offer {
            let count = 1 + draw.below(TASKS_PER_LAUNCH_MAX);
            self.launch_on(offer.clone(), count, draw).await;
            self.framework.state().keep_gone(offer);
        }
    }

    /// Uses an offer that is void. Its tasks must never run.
    async fn launch_on_gone_offer(&self, draw: &mut Draw) {
        let offer = {
            let mut state = self.framework.state();
            let at = draw.below(state.gone.len());
            state.gone.remove(at)
        };
        if let Some(offer) = offer {
            self.framework.scribe.count("launch-on-gone-offer");
            self.launch_on(offer, 1, draw).await;
        }
    }

    async fn launch_on(&self, offer: Offer, count: usize, draw: &mut Draw) {
        let Some((scheduler, framework)) = self.framework.scheduler() else {
            return;
        };
        let tasks = self.tasks_for(&offer, count, draw);
        let ids: Vec<String> = tasks.iter().map(|task| task.task_id.value.clone()).collect();
        let operation = Operation::Launch {
            framework,
            agent: offer.agent_id.value.clone(),
            offers: vec![offer.id.value.clone()],
            tasks: ids.clone(),
        };
        let filters = Filters {
            refuse_seconds: Some(0.0),
        };
        let call = scheduler.launch(vec![offer.id], tasks, Some(filters));
        let outcome = self.framework.scribe.call(&self.client, operation, call).await;
        let mut state = self.framework.state();
        for id in &ids {
            match outcome {
                CallOutcome::Accepted | CallOutcome::Unknown { .. } => {
                    if let Some(task) = state.tasks.get_mut(id) {
                        task.launching = false;
                    }
                }
                CallOutcome::Refused { .. } | CallOutcome::NotSent { .. } => state.forget(id),
            }
        }
    }

    /// Tasks under fresh ids, as many as fit the offer and at least one, known to the framework before they are sent.
    fn tasks_for(&self, offer: &Offer, count: usize, draw: &mut Draw) -> Vec<TaskInfo> {
        let needed = Resources::parse_flag(TASK_RESOURCES, "*").expect("the constant is a list of resources");
        let resources = needed.allocated_to(ROLE).to_proto();
        let mut available = Resources::from_proto(&offer.resources)
            .unwrap_or_default()
            .unallocated();
        let mut state = self.framework.state();
        let mut tasks = Vec::new();
        // The first goes along also when it does not fit: then the master says so.
        while available.subtract(&needed) && tasks.len() < count || tasks.is_empty() {
            let id = format!("{}-t{}", self.framework.name, state.launched);
            state.launched += 1;
            let (command, waits) = life(draw);
            let known = KnownTask {
                agent: offer.agent_id.value.clone(),
                waits,
                launching: true,
            };
            state.tasks.insert(id.clone(), known);
            tasks.push(TaskInfo {
                name: id.clone(),
                task_id: TaskId { value: id },
                agent_id: offer.agent_id.clone(),
                resources: resources.clone(),
                command: Some(CommandInfo {
                    value: Some(command),
                    ..CommandInfo::default()
                }),
                ..TaskInfo::default()
            });
        }
        tasks
    }

    /// Offers nobody used for a while go back; such a call changes nothing that is kept.
    async fn decline_old_offers(&self) {
        let old: Vec<Offer> = {
            let mut state = self.framework.state();
            let is_old = |since: &Option<Instant>| since.is_none_or(|since| since.elapsed() > OFFER_AGE_MAX);
            let mut old = Vec::new();
            while state.offers.front().is_some_and(|(_, since)| is_old(since)) {
                old.extend(state.offers.pop_front().map(|(offer, _)| offer));
            }
            for offer in &old {
                state.keep_gone(offer.clone());
            }
            old
        };
        let Some((scheduler, _)) = self.framework.scheduler().filter(|_| !old.is_empty()) else {
            return;
        };
        let filters = Filters {
            refuse_seconds: Some(0.0),
        };
        let ids = old.into_iter().map(|offer| offer.id).collect();
        note(scheduler.decline(ids, Some(filters)).await);
    }

    /// Kills a task, rather one that waits for it.
    async fn kill(&self, draw: &mut Draw) {
        let tasks: Vec<(String, KnownTask)> = {
            let state = self.framework.state();
            let tasks = state.tasks.iter();
            tasks.map(|(id, task)| (id.clone(), task.clone())).collect()
        };
        let waiting: Vec<_> = tasks.iter().filter(|(_, task)| task.waits).cloned().collect();
        let from = if waiting.is_empty() || draw.percent(20) {
            &tasks
        } else {
            &waiting
        };
        if let Some((id, task)) = draw.pick(from) {
            self.kill_task(id.clone(), task.agent.clone()).await;
        }
    }

    /// Kills a task that has ended.
    async fn kill_in_vain(&self, draw: &mut Draw) {
        let ended: Vec<String> = self.framework.state().ended.iter().cloned().collect();
        if let Some(id) = draw.pick(&ended) {
            self.kill_task(id.clone(), String::new()).await;
        }
    }

    async fn kill_task(&self, task: String, agent: String) {
        let Some((scheduler, framework)) = self.framework.scheduler() else {
            return;
        };
        let operation = Operation::Kill {
            framework,
            task: task.clone(),
        };
        let agent = (!agent.is_empty()).then(|| AgentId::from(agent));
        let call = scheduler.kill(TaskId { value: task }, agent, None);
        note(self.framework.scribe.call(&self.client, operation, call).await);
    }

    async fn reconcile_some(&self, draw: &mut Draw) {
        let mut tasks: Vec<(String, String)> = {
            let state = self.framework.state();
            // "Unknown" of a task that is just being launched would only confuse.
            let known = state.tasks.iter().filter(|(_, task)| !task.launching);
            let alive = known.map(|(id, task)| (id.clone(), task.agent.clone()));
            alive
                .chain(state.ended.iter().map(|id| (id.clone(), String::new())))
                .collect()
        };
        let mut some = Vec::new();
        while !tasks.is_empty() && some.len() < TASKS_PER_QUESTION_MAX {
            some.push(tasks.swap_remove(draw.below(tasks.len())));
        }
        if !some.is_empty() {
            self.reconcile(some).await;
        }
    }

    /// Asks about tasks, each with its agent or empty text; about all when there are none.
    async fn reconcile(&self, tasks: Vec<(String, String)>) {
        let Some((scheduler, framework)) = self.framework.scheduler() else {
            return;
        };
        let operation = Operation::Reconcile {
            framework,
            tasks: tasks.iter().map(|(task, _)| task.clone()).collect(),
        };
        let asked = tasks.into_iter().map(|(task, agent)| {
            let agent = (!agent.is_empty()).then(|| AgentId::from(agent));
            (TaskId { value: task }, agent)
        });
        let call = scheduler.reconcile(asked.collect());
        note(self.framework.scribe.call(&self.client, operation, call).await);
    }

    /// Reads some tasks, at whoever leads or at one certain master.
    async fn read(&self, draw: &mut Draw) {
        let at = reads::draw_master(&self.framework.world.masters, draw);
        let mut tasks: Vec<String> = {
            let state = self.framework.state();
            state.tasks.keys().chain(state.ended.iter()).cloned().collect()
        };
        let mut some = Vec::new();
        while !tasks.is_empty() && some.len() < TASKS_PER_QUESTION_MAX {
            some.push(tasks.swap_remove(draw.below(tasks.len())));
        }
        self.read_tasks(at, some).await;
    }

    async fn read_tasks(&self, at: String, tasks: Vec<String>) {
        let Some(framework) = self.framework.framework_id().filter(|_| !tasks.is_empty()) else {
            return;
        };
        let operator = &self.framework.operator;
        reads::read_tasks(&self.framework.scribe, operator, &self.client, &at, &framework, &tasks).await;
    }
}

/// How long a task lives: a command, and whether it waits for a kill.
fn life(draw: &mut Draw) -> (String, bool) {
    let sleep = |duration: Duration| format!("sleep {}.{:03}", duration.as_secs(), duration.subsec_millis());
    match draw.weighted(&[45, 25, 25, 5]) {
        0 => (
            sleep(draw.duration(Duration::from_millis(20), Duration::from_millis(500))),
            false,
        ),
        1 => (
            sleep(draw.duration(Duration::from_secs(2), Duration::from_secs(10))),
            false,
        ),
        2 => ("sleep 1000000".to_owned(), true),
        _ => ("exit 1".to_owned(), false),
    }
}
