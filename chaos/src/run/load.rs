//! What the cluster is busy with while faults come and go: hollow agents and workloads, each on a network of its own.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use client::MasterList;
use master_core::resources::Resources;
use seams::Seams;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::config::Config;
use super::dice::Dice;
use super::network::{Host, HostNetwork, Switchboard};
use crate::history::Recorder;
use crate::hollow::{Fleet, FleetConfig};
use crate::workload::{FrameworkKills, HarnessError, Summary, Workload, World};

/// What each hollow agent offers.
const RESOURCES: &str = "cpus:8;mem:8192;disk:10000;ports:[31000-32000]";
/// How long a task of a hollow agent runs: so short that many end in every run, so long that many outlive a failover.
const TASK_DURATION: Duration = Duration::from_secs(3);

/// Everything that uses the cluster. Dropped, it dies at once.
pub(crate) struct Load {
    _fleet: Option<Fleet>,
    workloads: JoinSet<Result<Summary, HarnessError>>,
    stop: CancellationToken,
}

fn seams(switchboard: &Arc<Switchboard>, host: Host) -> Seams {
    Seams {
        network: Arc::new(HostNetwork::new(Arc::clone(switchboard), host)),
        ..Seams::real()
    }
}

impl Load {
    /// Starts hollow agents and every workload.
    pub(crate) async fn start(
        config: &Config,
        masters: &MasterList,
        switchboard: &Arc<Switchboard>,
        recorder: &Recorder,
        framework_kills: &FrameworkKills,
    ) -> Result<Load> {
        let fleet = match config.hollow_agents {
            0 => None,
            agents => {
                let resources = Resources::parse_flag(RESOURCES, "*")?.to_proto();
                let config = FleetConfig {
                    task_duration: Some(TASK_DURATION),
                    observer: Some(recorder.clone()),
                    ..FleetConfig::new(masters.clone(), agents, resources)
                };
                let fleet = Fleet::start(config, seams(switchboard, Host::Hollow)).await;
                Some(fleet.context("cannot start hollow agents")?)
            }
        };
        let stop = CancellationToken::new();
        let clients = seams(switchboard, Host::Clients);
        let mut dice = Dice::new(config.seed);
        let mut workloads = JoinSet::new();
        for workload in config.chosen_workloads() {
            let world = World {
                stop: stop.clone(),
                framework_kills: framework_kills.clone(),
                ..World::new(masters.clone(), clients.clone(), recorder.clone(), dice.next())
            };
            workloads.spawn(workload.run(world, workload.options()));
        }
        Ok(Load {
            _fleet: fleet,
            workloads,
            stop,
        })
    }

    /// Lets every workload finish what it has open.
    ///
    /// # Errors
    /// One of them could not do its work.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.workloads.join_next().await {
            let summary = ended.context("a workload broke down")??;
            tracing::info!(workload = summary.workload, counts = ?summary.counts, "workload ended");
        }
        Ok(())
    }

    /// Waits until a workload ends before it was told to, which it never does in order.
    pub(crate) async fn failed(&mut self) -> anyhow::Error {
        match self.workloads.join_next().await {
            Some(Ok(Ok(summary))) => anyhow::anyhow!("workload '{}' ended by itself", summary.workload),
            Some(Ok(Err(error))) => error.into(),
            Some(Err(error)) => error.into(),
            None => std::future::pending().await,
        }
    }
}

impl Config {
    /// Those named, or all.
    pub(crate) fn chosen_workloads(&self) -> Vec<Workload> {
        match self.workloads.is_empty() {
            true => Workload::ALL.to_vec(),
            false => self.workloads.clone(),
        }
    }
}
