//! `mesoraft local --demo`: a framework with tasks, and the leading master killed three times in front of your eyes.
//!
//! Every line is measured or looked up when it is printed: updates as they arrive at the framework, process ids from
//! the sandboxes and `/proc`. The exit code says whether anything was lost.

mod processes;
mod round;
mod summary;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use client::{Encoding, MasterList, Operator};
use master_core::resources::Resources;
use proto::v1::TaskState;
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use self::processes::LongTask;
use self::round::Round;
use super::leader::LeaderWatch;
use super::narrator::Narrator;
use super::plan::{Kind, Plan};
use super::supervisor::{Event, Supervisor};
use crate::framework::{Framework, Happening, TaskSpec};
use crate::output::{say, table};

/// Tasks that run all the time.
const LONG_TASKS: usize = 12;
/// Times the leading master is killed.
const ROUNDS: usize = 3;
/// A short task is started this often.
const SHORT_TASK_INTERVAL: Duration = Duration::from_millis(300);
/// What each task takes of its agent.
const TASK_RESOURCES: &str = "cpus:0.1;mem:16";
/// Longest wait for anything; far more than is needed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time in which nothing is done to the cluster, before the first kill and between two.
const CALM: Duration = Duration::from_secs(2);

/// The whole demonstration.
pub(super) async fn run(
    plan: &Plan,
    supervisor: &Supervisor,
    events: mpsc::Receiver<Event>,
    narrator: &Narrator,
) -> anyhow::Result<ExitCode> {
    if plan.of_kind(Kind::Master).count() < 3 || plan.of_kind(Kind::Agent).count() == 0 {
        bail!("--demo needs at least 3 masters, so that one may die, and an agent");
    }
    let leaders = LeaderWatch::new(plan)?;
    let leader = timeout(PATIENCE, leaders.await_leader(None))
        .await
        .context("no master leads")?;
    let term = leaders
        .term(&leader)
        .await
        .map(|term| format!(", term {term}"))
        .unwrap_or_default();
    narrator.tell(&format!("{leader} leads{term}"));

    let masters: MasterList = plan.master_list().parse()?;
    await_agents(plan, &masters, narrator).await?;
    let framework = Framework::start(masters, "mesoraft-demo")?;
    let mut demo = Demo::new(plan, supervisor, events, *narrator, leaders, framework)?;
    demo.start_long_tasks().await?;
    demo.calm().await?;
    for number in 1..=ROUNDS {
        demo.round(number).await?;
        demo.calm().await?;
    }
    demo.finish().await
}

/// Waits until every agent is registered, so that tasks are spread over all of them.
async fn await_agents(plan: &Plan, masters: &MasterList, narrator: &Narrator) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(50);
    let operator = Operator::new(masters, Encoding::Protobuf, Seams::real());
    let expected = plan.of_kind(Kind::Agent).count();
    let all = async {
        loop {
            let agents = operator.get_agents().await?.agents;
            if agents.iter().filter(|agent| agent.active).count() >= expected {
                return anyhow::Ok(());
            }
            sleep(LOOK).await;
        }
    };
    timeout(PATIENCE, all).await.context("the agents do not register")??;
    narrator.tell(&format!("{expected} agents are registered"));
    Ok(())
}

/// The state of the demonstration.
struct Demo<'a> {
    plan: &'a Plan,
    supervisor: &'a Supervisor,
    events: mpsc::Receiver<Event>,
    narrator: Narrator,
    leaders: LeaderWatch,
    framework: Framework,
    framework_id: Option<String>,
    resources: Resources,
    long_tasks: Vec<LongTask>,
    rounds: Vec<Round>,
    short_tasks: usize,
    short_timer: Interval,
    /// What must not happen, one sentence each.
    faults: Vec<String>,
}

/// What the framework or the clock brought.
enum Step {
    Happened(Happening),
    ShortTaskDue,
}

impl<'a> Demo<'a> {
    fn new(
        plan: &'a Plan,
        supervisor: &'a Supervisor,
        events: mpsc::Receiver<Event>,
        narrator: Narrator,
        leaders: LeaderWatch,
        framework: Framework,
    ) -> anyhow::Result<Self> {
        let resources = Resources::parse_flag(TASK_RESOURCES, "*").context("resources of the demonstration's tasks")?;
        let mut short_timer = interval(SHORT_TASK_INTERVAL);
        short_timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Ok(Demo {
            plan,
            supervisor,
            events,
            narrator,
            leaders,
            framework,
            framework_id: None,
            resources,
            long_tasks: Vec::new(),
            rounds: Vec::new(),
            short_tasks: 0,
            short_timer,
            faults: Vec::new(),
        })
    }

    fn submit(&mut self, id: String, command: &str) {
        let spec = TaskSpec {
            id,
            command: command.to_owned(),
            resources: self.resources.clone(),
        };
        self.framework.submit(spec);
    }

    /// The next thing to look at; supervisor's news are dropped here, the rounds say themselves who comes back.
    async fn step(&mut self) -> anyhow::Result<Step> {
        loop {
            tokio::select! {
                happening = self.framework.next() => {
                    let happening = happening.context("the framework ended without a reason")?;
                    self.check(&happening)?;
                    return Ok(Step::Happened(happening));
                }
                Some(event) = self.events.recv() => self.check_event(&event),
                _ = self.short_timer.tick() => return Ok(Step::ShortTaskDue),
            }
        }
    }

    /// Agents must live through all of this; masters are killed on purpose.
    fn check_event(&mut self, event: &Event) {
        let is_fault = match event {
            Event::Died { name, how, .. } => name.starts_with("agent") || how.starts_with("ended with code"),
            Event::Failed { .. } => true,
            Event::Started { .. } | Event::Restarting { .. } => false,
        };
        if is_fault {
            self.narrator.tell_event(event);
            self.faults.push(format!("{event:?}"));
        }
    }

    /// Notes what must not happen; ends the demonstration when the framework is over.
    fn check(&mut self, happening: &Happening) -> anyhow::Result<()> {
        match happening {
            Happening::Subscribed { framework_id, .. } => match &self.framework_id {
                None => self.framework_id = Some(framework_id.clone()),
                Some(known) if known != framework_id => {
                    self.faults
                        .push(format!("the framework id changed from {known} to {framework_id}"));
                }
                Some(_) => {}
            },
            Happening::Ended { reason } => bail!("the master ended the framework: {reason}"),
            Happening::Lost { id, state } => {
                self.faults
                    .push(format!("task {id} was accepted and is now {}", state.as_str_name()));
            }
            Happening::Update { id, state, status } => {
                let is_bad = state.is_terminal() && (*state != TaskState::TaskFinished || id.starts_with("long"));
                if is_bad {
                    let message = status.message.as_deref().unwrap_or_default();
                    self.faults
                        .push(format!("task {id} ended as {}: {message}", state.as_str_name()));
                }
            }
            Happening::Disconnected { .. } | Happening::Again { .. } => {}
        }
        Ok(())
    }

    fn start_short_task(&mut self) {
        self.short_tasks += 1;
        let id = format!("short-{:03}", self.short_tasks);
        self.submit(id, "echo a short task; sleep 0.2");
    }

    async fn start_long_tasks(&mut self) -> anyhow::Result<()> {
        for number in 1..=LONG_TASKS {
            self.submit(format!("long-{number:02}"), processes::COMMAND);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.long_tasks_run() {
            if Instant::now() > deadline {
                bail!("the tasks do not run after {PATIENCE:?}: look into the logs of masters and agents");
            }
            match timeout(PATIENCE, self.step()).await.context("nothing happens")?? {
                Step::Happened(Happening::Subscribed {
                    master, framework_id, ..
                }) => {
                    self.narrator
                        .tell(&format!("the framework is subscribed at {master} as {framework_id}"));
                }
                Step::Happened(_) | Step::ShortTaskDue => {}
            }
        }
        self.find_processes().await
    }

    fn long_tasks_run(&self) -> bool {
        let mut long = self
            .framework
            .tasks()
            .values()
            .filter(|task| task.spec.id.starts_with("long"));
        let running = long
            .by_ref()
            .filter(|task| task.state == TaskState::TaskRunning)
            .count();
        running == LONG_TASKS
    }

    /// Finds the processes of the long tasks and shows them.
    async fn find_processes(&mut self) -> anyhow::Result<()> {
        let tasks: Vec<_> = self
            .framework
            .tasks()
            .values()
            .filter(|task| task.spec.id.starts_with("long"))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        for task in tasks {
            let agent = self
                .plan
                .of_kind(Kind::Agent)
                .find(|agent| agent.address == task.agent_address);
            let agent = agent.with_context(|| format!("task {} runs at an unknown agent", task.spec.id))?;
            let found = loop {
                match LongTask::find(&task.spec.id, &task.task_id, agent) {
                    Ok(found) => break found,
                    // The shell has not written its process id yet.
                    Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(20)).await,
                    Err(error) => return Err(error),
                }
            };
            self.long_tasks.push(found);
        }
        self.narrator
            .tell(&format!("{LONG_TASKS} long tasks run, and short ones come and go:"));
        let head = ["task", "agent", "pid"].map(str::to_owned).to_vec();
        let rows = self.long_tasks.iter().map(LongTask::row);
        for line in table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()) {
            say(&format!("             {line}"));
        }
        Ok(())
    }

    /// Lets the cluster work undisturbed for a while.
    async fn calm(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + CALM;
        while let Ok(step) = tokio::time::timeout_at(until, self.step()).await {
            if let Step::ShortTaskDue = step? {
                self.start_short_task();
            }
        }
        Ok(())
    }

    /// How many long tasks still run as the very processes they were at the start.
    fn same_processes(&mut self) -> usize {
        let mut same = 0;
        for task in &self.long_tasks {
            match task.check() {
                Ok(()) => same += 1,
                Err(error) => self.faults.push(format!("{error:#}")),
            }
        }
        same
    }

    /// Waits for the short tasks, sums up and removes the framework.
    async fn finish(mut self) -> anyhow::Result<ExitCode> {
        let ended = |demo: &Demo<'_>| {
            let mut short = demo
                .framework
                .tasks()
                .values()
                .filter(|task| task.spec.id.starts_with("short"));
            short.by_ref().filter(|task| task.state.is_terminal()).count()
        };
        let deadline = Instant::now() + PATIENCE;
        while ended(&self) < self.short_tasks && Instant::now() < deadline {
            timeout(PATIENCE, self.step())
                .await
                .context("the short tasks do not end")??;
        }
        let same = self.same_processes();
        let is_good = summary::print(&self, same);
        if !self.framework.scheduler().teardown().await.is_accepted() {
            self.narrator
                .tell("the framework could not be removed; the cluster is stopped anyway");
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
