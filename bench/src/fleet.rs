//! A cluster filled with hollow agents and tasks: three masters as real processes, the fleet and the launching frameworks
//! in this one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chaos::hollow::{Fleet, FleetConfig};
use chaos::launcher::{Launcher, LauncherConfig};
use client::MasterList;
use cluster_tests::cluster::Cluster;
use master_core::resources::Resources;
use seams::Seams;
use tokio::runtime::Runtime;

use crate::masters;

/// Resources of a hollow agent.
const AGENT_RESOURCES: &str = "cpus:16;mem:65536;disk:100000;ports:[31000-32000]";
/// Resources of a task.
const TASK_RESOURCES: &str = "cpus:0.1;mem:16";
/// Longest wait for registration, launches or reregistration.
const PATIENCE: Duration = Duration::from_secs(300);
/// Pause between two looks at the counts.
const POLL: Duration = Duration::from_millis(2);

/// Masters, agents and frameworks that run. Dropping it ends them all.
pub struct FilledCluster {
    /// The masters.
    pub cluster: Cluster,
    /// The agents.
    pub fleet: Fleet,
    /// Keeps the frameworks subscribed.
    _launcher: Launcher,
    /// Runs the fleet.
    _runtime: Runtime,
}

impl FilledCluster {
    /// Starts three masters, the fleet and the frameworks, and waits until every task runs.
    pub fn start(agents: usize, tasks: u64, frameworks: usize) -> Result<FilledCluster> {
        // With patient election timers: on a busy machine nobody else is to be elected while the cluster is being filled. A
        // killed leader is noticed by its broken connections all the same.
        let mut cluster = Cluster::builder().start()?;
        let list: MasterList = cluster.addresses().parse()?;
        let runtime = Runtime::new()?;
        let resources =
            |text: &str| Resources::parse_flag(text, "*").map_err(|error| anyhow::anyhow!("{text}: {error}"));
        let config = FleetConfig {
            starting_updates: false,
            ..FleetConfig::new(list.clone(), agents, resources(AGENT_RESOURCES)?.to_proto())
        };
        let begin = Instant::now();
        let fleet = runtime.block_on(Fleet::start(config, Seams::real()))?;
        wait_for("the agents register", || {
            fleet.counts().snapshot().registered >= agents as u64
        })?;
        println!("{} agents registered within {} ms", agents, begin.elapsed().as_millis());
        let config = LauncherConfig {
            masters: list,
            frameworks,
            tasks,
            task_resources: resources(TASK_RESOURCES)?,
            tasks_per_accept: usize::try_from(tasks / agents.max(1) as u64)?.max(1),
            command: "sleep 100000".to_owned(),
        };
        let begin = Instant::now();
        let launcher = runtime.block_on(async { Launcher::start(&config, &Seams::real()) })?;
        let counts = launcher.counts().clone();
        let unknown = || counts.unknown.load(Ordering::Relaxed);
        let is_full = || {
            let now = fleet.counts().snapshot();
            let certain = tasks.saturating_sub(unknown());
            now.running >= certain && now.acknowledged >= certain
        };
        let filled = wait_for("the tasks run and their updates are acknowledged", is_full);
        filled.with_context(|| {
            format!(
                "{:?}, {} launches of unknown outcome",
                fleet.counts().snapshot(),
                unknown()
            )
        })?;
        println!(
            "{} tasks run after {} ms",
            fleet.counts().snapshot().running,
            begin.elapsed().as_millis()
        );
        masters::settle(&mut cluster)?;
        Ok(FilledCluster {
            cluster,
            fleet,
            _launcher: launcher,
            _runtime: runtime,
        })
    }
}

/// Waits until the condition holds; fails after five minutes.
pub fn wait_for(what: &str, condition: impl Fn() -> bool) -> Result<()> {
    let begin = Instant::now();
    while !condition() {
        ensure!(begin.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
    Ok(())
}
