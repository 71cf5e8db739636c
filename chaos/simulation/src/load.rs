//! What uses the cluster during a run: hollow agents, and the workloads of `chaos::workload`.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail};
use chaos::history::Recorder;
use chaos::hollow::Fleet;
use chaos::workload::{Options, Workload, World, fleet};
use client::{MasterList, Notice, Scheduler, SchedulerConfig};
use proto::v1::FrameworkInfo;
use seams::Seams;

use crate::cluster::millis;
use crate::coverage::Counters;
use crate::jobs::Jobs;
use crate::plan::Plan;

/// Time the workloads get to finish what is open, after they were stopped.
const CLOSING_MILLIS: u64 = 12_000;

/// What becomes of the workloads.
#[derive(Debug, Default)]
struct State {
    running: usize,
    failed: Option<String>,
    fleet: Option<Arc<Fleet>>,
}

/// The load of a run.
pub(crate) struct Load {
    world: World,
    agents_world: World,
    jobs: Jobs,
    agents_jobs: Jobs,
    agents_ip: Ipv4Addr,
    agents: usize,
    scale: f64,
    counters: Counters,
    state: Arc<Mutex<State>>,
}

/// Where the load runs.
pub(crate) struct Places {
    /// Seams of the host of the clients.
    pub(crate) clients: Seams,
    /// What does the clients' work.
    pub(crate) client_jobs: Jobs,
    /// Seams of the host of the agents.
    pub(crate) agents: Seams,
    /// What does the agents' work.
    pub(crate) agents_jobs: Jobs,
    /// Address of the host of the agents.
    pub(crate) agents_ip: Ipv4Addr,
}

/// One write: a framework that was not there before subscribes. Returns when it is acknowledged.
pub(crate) async fn write(masters: MasterList, seams: Seams) {
    let framework = FrameworkInfo {
        user: "root".to_owned(),
        name: "probe".to_owned(),
        ..FrameworkInfo::default()
    };
    let config = SchedulerConfig::new(masters, framework);
    let Ok((_scheduler, mut notices)) = Scheduler::start(config, seams) else {
        return;
    };
    while let Some(notice) = notices.next().await {
        if matches!(notice, Notice::Subscribed { .. }) {
            return;
        }
    }
}

/// Workloads that run beside the agents.
const WORKLOADS: [Workload; 4] = [
    Workload::Tasks,
    Workload::Frameworks,
    Workload::Events,
    Workload::Registers,
];

impl Load {
    pub(crate) fn new(
        masters: &MasterList,
        places: Places,
        recorder: &Recorder,
        plan: &Plan,
        counters: &Counters,
    ) -> Load {
        let world = |seams: Seams| World::new(masters.clone(), seams, recorder.clone(), plan.seed);
        Load {
            world: world(places.clients),
            agents_world: world(places.agents),
            jobs: places.client_jobs,
            agents_jobs: places.agents_jobs,
            agents_ip: places.agents_ip,
            agents: plan.agents,
            scale: plan.load,
            counters: counters.clone(),
            state: Arc::default(),
        }
    }

    /// Names of the workloads.
    pub(crate) fn names() -> Vec<String> {
        WORKLOADS.iter().map(|workload| workload.name().to_owned()).collect()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins.
    pub(crate) fn start(&self) -> Result<()> {
        let options = Options {
            name: "agent".to_owned(),
            ip: self.agents_ip,
            ..Workload::Agents.options()
        };
        let config = fleet(&self.agents_world, &options, self.agents);
        let (seams, state) = (self.agents_world.seams.clone(), self.state.clone());
        self.agents_jobs.give(async move {
            let started = Fleet::start(config, seams).await;
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            match started {
                Ok(fleet) => state.fleet = Some(Arc::new(fleet)),
                Err(error) => state.failed = Some(format!("the agents cannot start: {error}")),
            }
        })?;
        for workload in WORKLOADS {
            let usual = workload.options();
            let options = Options {
                rate: usual.rate * self.scale,
                closing: millis(CLOSING_MILLIS),
                ..usual
            };
            let running = workload.run(self.world.clone(), options);
            self.state().running += 1;
            let (state, counters) = (self.state.clone(), self.counters.clone());
            self.jobs.give(async move {
                let ended = running.await;
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.running -= 1;
                match ended {
                    Ok(summary) => {
                        for (name, count) in &summary.counts {
                            counters.add(&format!("workload/{}/{name}", summary.workload), *count);
                        }
                    }
                    Err(error) => state.failed = Some(error.to_string()),
                }
            })?;
        }
        Ok(())
    }

    /// A scheduler dies, and another takes its framework over.
    pub(crate) fn kill_framework(&self, number: u64) {
        self.world.framework_kills.kill(number);
    }

    /// An agent dies; `true` if there are agents.
    pub(crate) fn kill_agent(&self, number: u64) -> Result<bool> {
        self.with_agent(number, |fleet, agent| async move { fleet.kill(agent).await })
    }

    /// It comes back: with its tasks, or, after a reboot, without.
    pub(crate) fn restart_agent(&self, number: u64) -> Result<bool> {
        if number.is_multiple_of(3) {
            self.with_agent(number, |fleet, agent| async move { fleet.reboot(agent).await })
        } else {
            self.with_agent(number, |fleet, agent| async move { fleet.restart(agent).await })
        }
    }

    fn with_agent<F>(&self, number: u64, work: impl FnOnce(Arc<Fleet>, usize) -> F) -> Result<bool>
    where
        F: Future<Output = std::io::Result<()>> + 'static,
    {
        let Some(fleet) = self.state().fleet.clone() else {
            return Ok(false);
        };
        let agent = usize::try_from(number % self.agents.max(1) as u64)?;
        let (state, working) = (self.state.clone(), work(fleet, agent));
        self.agents_jobs.give(async move {
            if let Err(error) = working.await {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                state.failed = Some(format!("an agent cannot be killed or restarted: {error}"));
            }
        })?;
        Ok(true)
    }

    /// No more is begun.
    pub(crate) fn stop(&self) {
        self.world.stop.cancel();
    }

    /// Whether all has come to its end. Errors: a workload failed, so the run says nothing.
    pub(crate) fn is_over(&self) -> Result<bool> {
        let state = self.state();
        if let Some(failed) = &state.failed {
            bail!("{failed}");
        }
        Ok(state.running == 0)
    }
}
