//! Hollow agents that die and come back, with their tasks or as new ones without, that stand still for a while, and that take
//! leave.
//!
//! What they see is in the history under their host names. They serve the frameworks of other workloads: after the stop all
//! of them are repaired, and stay until nothing happens to their tasks any more.

use std::sync::Arc;
use std::time::Duration;

use master_core::resources::Resources;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::draw::Draw;
use super::scribe::Scribe;
use super::{HarnessError, Options, Summary, Workload, World, check, join, mean_pause, quiet};
use crate::hollow::{Fleet, FleetConfig};

/// What each agent has.
const AGENT_RESOURCES: &str = "cpus:8;mem:8192;disk:10000";
/// So many agents share a lane, which does something to one of them at a time: most are always well.
const AGENTS_PER_LANE: usize = 4;
/// Times for which an agent is dead or stands still.
const AWAY_MIN: Duration = Duration::from_millis(50);
const AWAY_MAX: Duration = Duration::from_secs(4);

/// What happens to an agent, with how likely it is.
const ACTIONS: [(Action, usize); 4] = [
    (Action::Kill, 40),
    (Action::Pause, 30),
    (Action::Reboot, 15),
    (Action::Replace, 15),
];

#[derive(Clone, Copy, Debug)]
enum Action {
    Kill,
    Pause,
    Reboot,
    Replace,
}

/// A fleet of `count` observed agents as the workloads need it: each a host of its own, whose tasks live as their commands
/// say. Their names begin with `options.name`.
pub fn fleet(world: &World, options: &Options, count: usize) -> FleetConfig {
    let resources = Resources::parse_flag(AGENT_RESOURCES, "*").expect("the constant is a list of resources");
    FleetConfig {
        ip: options.ip,
        listen_ip: options.listen_ip,
        agents_per_port: 1,
        hostname_prefix: options.name.clone(),
        heeds_commands: true,
        rises_again: true,
        observer: Some(world.recorder.clone()),
        ..FleetConfig::new(world.masters.clone(), count, resources.to_proto())
    }
}

/// Runs `options.clients` agents; `options.rate` is how often per second something happens to one of them.
pub(super) async fn run(world: World, options: Options) -> Result<Summary, HarnessError> {
    let workload = Workload::Agents;
    check(workload, &options)?;
    let scribe = Scribe::new(world.recorder.clone());
    let config = fleet(&world, &options, options.clients);
    let fleet = Fleet::start(config, world.seams.clone()).await;
    let fleet = Arc::new(fleet.map_err(HarnessError::Agents)?);
    let lanes = options.clients.div_ceil(AGENTS_PER_LANE);
    let mut running = JoinSet::new();
    for number in 0..lanes {
        let lane = Lane {
            hosts: (number..options.clients).step_by(lanes).collect(),
            draw: Draw::new(world.seed, &format!("{}/lane-{number}", options.name)),
            mean: mean_pause(&options, lanes),
            world: world.clone(),
            fleet: Arc::clone(&fleet),
            scribe: scribe.clone(),
        };
        running.spawn(lane.run());
    }
    join(workload, running).await?;
    // Others finish their tasks meanwhile.
    quiet(options.closing, || {
        let counts = fleet.counts().snapshot();
        counts.launches + counts.updates_sent + counts.acknowledged + counts.reregistrations
    })
    .await;
    Ok(scribe.summary(workload.name()))
}

/// Does something to its agents, one at a time.
struct Lane {
    hosts: Vec<usize>,
    draw: Draw,
    mean: Duration,
    world: World,
    fleet: Arc<Fleet>,
    scribe: Scribe,
}

impl Lane {
    async fn run(mut self) -> Result<(), HarnessError> {
        let weights = ACTIONS.map(|(_, weight)| weight);
        loop {
            let pause = self.draw.duration(Duration::ZERO, self.mean * 2);
            if self.stopped_within(pause).await {
                return Ok(());
            }
            let Some(host) = self.draw.pick(&self.hosts).copied() else {
                return Ok(());
            };
            let away = self.draw.duration(AWAY_MIN, AWAY_MAX);
            let fleet = Arc::clone(&self.fleet);
            match ACTIONS[self.draw.weighted(&weights)].0 {
                Action::Kill => {
                    self.scribe.count("agent-killed");
                    fleet.kill(host).await.map_err(HarnessError::Agents)?;
                    self.stopped_within(away).await;
                    fleet.restart(host).await.map_err(HarnessError::Agents)?;
                }
                Action::Pause => {
                    self.scribe.count("agent-paused");
                    fleet.pause(host).await.map_err(HarnessError::Agents)?;
                    self.stopped_within(away).await;
                    fleet.resume(host).await.map_err(HarnessError::Agents)?;
                }
                Action::Reboot => {
                    self.scribe.count("agent-rebooted");
                    fleet.kill(host).await.map_err(HarnessError::Agents)?;
                    self.stopped_within(away).await;
                    fleet.reboot(host).await.map_err(HarnessError::Agents)?;
                }
                Action::Replace => {
                    self.scribe.count("agent-replaced");
                    fleet.replace(host).await.map_err(HarnessError::Agents)?;
                }
            }
        }
    }

    /// Waits; true when the workload was stopped before the time was over.
    async fn stopped_within(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.world.stop.cancelled() => true,
            () = sleep(pause) => false,
        }
    }
}
