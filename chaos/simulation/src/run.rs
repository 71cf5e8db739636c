//! One run of one seed: the simulated world, its phases, and what is known at the end.

mod machines;
mod phases;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use chaos::fault::FaultKind;
use chaos::history::{FORMAT, History, Micros, Phase, PhaseBegun, Record, Recorder};
use seams::Seams;
use serde::{Deserialize, Serialize};

use crate::cluster::{Cluster, Shared};
use crate::coverage::Counters;
use crate::faults::{Active, Loss, Replacement};
use crate::jobs::{Jobs, jobs};
use crate::load::{Load, Places};
use crate::network::{HostId, Net, WallClock, seams};
use crate::oracle::{Oracle, Violation};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::time::{now_micros, rising_micros, set_step};
use crate::trace::Trace;

/// Machines without a master at the beginning, for new members.
const SPARES: usize = 2;
/// A step of the simulation: hosts run one after the other for so long.
const TICK: Duration = Duration::from_millis(2);
/// Least time a message takes.
const LATENCY_MIN: Duration = Duration::from_micros(200);
/// Far longer than any run: the phases bound themselves.
const FOREVER: Duration = Duration::from_secs(3600);
/// Segments that a connection, and connections that a listener, may hold.
const TCP_CAPACITY: usize = 4_096;

/// What is asked of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// From which everything follows.
    pub(crate) seed: u64,
    /// Masters, if the seed is not to decide.
    pub(crate) masters: Option<usize>,
    /// Faults to draw from; all if empty.
    pub(crate) kinds: Vec<FaultKind>,
    /// Numbers of the only faults to inject.
    pub(crate) only: Option<Vec<u64>>,
    /// Where the history is written.
    pub(crate) history: Option<PathBuf>,
    /// Where the trace is written.
    pub(crate) trace: Option<PathBuf>,
}

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Its seed.
    pub(crate) seed: u64,
    /// Broken rules; none if all held.
    pub(crate) violations: Vec<Violation>,
    /// The faults that were planned.
    pub(crate) faults: Vec<Fault>,
    /// How often things were reached.
    pub(crate) coverage: BTreeMap<String, u64>,
    /// Hash of the trace.
    pub(crate) trace: String,
    /// Events in the trace.
    pub(crate) events: u64,
    /// Hash of the history.
    pub(crate) history: String,
    /// Simulated time, milliseconds.
    pub(crate) simulated: u64,
}

/// A run under way.
pub(crate) struct Run<'a> {
    pub(crate) plan: Plan,
    pub(crate) sim: turmoil::Sim<'a>,
    pub(crate) net: Net,
    pub(crate) cluster: Cluster,
    /// Names of all hosts, by number; machines first.
    pub(crate) names: Vec<String>,
    pub(crate) agents_host: HostId,
    pub(crate) clients_host: HostId,
    pub(crate) jobs: Jobs,
    pub(crate) operator_seams: Seams,
    pub(crate) load: Load,
    pub(crate) recorder: Recorder,
    pub(crate) trace: Trace,
    pub(crate) counters: Counters,
    pub(crate) oracle: Oracle,
    /// Place in the plan of the next fault.
    pub(crate) next_fault: usize,
    pub(crate) active: Vec<Active>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) replacements: Vec<Replacement>,
    /// Masters still to be replaced by another build.
    pub(crate) upgrades: Vec<HostId>,
    /// Masters to be started again, with when.
    pub(crate) restarts: Vec<(u64, HostId)>,
    /// Losses of power still to come: when, whose, and what decides what is left.
    pub(crate) blackouts: Vec<(u64, Vec<HostId>, Random)>,
    /// Node id of the next new member.
    pub(crate) next_node: u64,
    next_sample: u64,
}

impl Run<'_> {
    /// Microseconds since the run began.
    pub(crate) fn now(&self) -> Micros {
        u64::try_from(self.sim.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// One step of the simulation, with everything that watches it.
    fn step(&mut self) -> Result<()> {
        let now = self.now();
        set_step(now);
        self.net.tick(now);
        self.sim
            .step()
            .map_err(|error| anyhow::anyhow!("a host of the simulation failed: {error}"))?;
        let now = self.now();
        set_step(now);
        self.net.tick(now);
        self.watch_masters()?;
        self.load.is_over()?;
        self.replacements()?;
        if now >= self.next_sample {
            self.next_sample = now + machines::SAMPLE_EVERY;
            self.sample();
        }
        Ok(())
    }

    fn phase(&self, phase: Phase) {
        let at = self.recorder.now();
        self.trace.text(at, "phase", &format_args!("{phase:?}"));
        self.recorder.record(Record::Phase(PhaseBegun { at, phase }));
    }
}

/// Runs a seed. Must be the first thing its thread does with random numbers, so that nothing of another run is left.
///
/// # Errors
/// The harness failed: the run says nothing about the product.
pub(crate) fn run(request: &Request) -> Result<(Report, History)> {
    let kinds = match request.kinds.is_empty() {
        true => crate::plan::injectable(),
        false => request.kinds.clone(),
    };
    let mut plan = Plan::of(request.seed, request.masters, &kinds);
    if let Some(only) = &request.only {
        plan.keep_only(only);
    }
    let trace = Trace::new(request.trace.as_deref()).context("cannot write the trace")?;
    let recorder = Recorder::new(rising_micros);
    let recorder = match &request.history {
        None => recorder,
        Some(path) => {
            let file = std::fs::File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            recorder.with_file(std::io::BufWriter::new(file))
        }
    };
    trace.text(0, "plan", &format_args!("{plan:?}"));
    recorder.record(Record::Run(chaos::history::Run {
        format: FORMAT,
        harness: "simulation".to_owned(),
        seed: request.seed,
        masters: plan.masters,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: String::new(),
        started_at: 0,
        workloads: Load::names(),
        faults: kinds.iter().map(|kind| kind.name().to_owned()).collect(),
    }));
    let mut run = build(plan, recorder, trace)?;
    run.phases()?;
    run.report()
}

fn build<'a>(plan: Plan, recorder: Recorder, trace: Trace) -> Result<Run<'a>> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(Random::of(plan.seed, "turmoil").next())
        .simulation_duration(FOREVER)
        .tick_duration(TICK)
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(Duration::from_micros(plan.latency_max))
        .tcp_capacity(TCP_CAPACITY)
        .enable_random_order()
        .build();
    let machines = plan.masters + SPARES;
    let mut names: Vec<String> = (1..=machines).map(|number| format!("m{number}")).collect();
    names.extend(["operator", "agents", "clients"].map(str::to_owned));
    let addresses: Vec<IpAddr> = names.iter().map(|name| sim.lookup(name.as_str())).collect();
    let counters = Counters::default();
    let net = Net::new(addresses.clone(), counters.clone(), trace.clone());
    let cluster = Cluster::new(&plan, &addresses[..machines], &names[..machines], &net)?;
    for machine in &cluster.machines[..plan.masters] {
        let mut machine = machine.lock();
        machine.is_member = true;
        machine.prepare();
    }
    for spare in plan.masters..machines {
        net.refuse(spare, true);
    }
    for machine in &cluster.machines {
        let shared: Shared = machine.clone();
        let name = shared.lock().name.clone();
        sim.host(name, move || Cluster::software(shared.clone()));
    }
    let host_seams = |host: HostId| {
        let random = Random::of(plan.seed, &format!("host/{}", names[host]));
        seams(&net, host, &Arc::new(WallClock::default()), random)
    };
    let (operator_host, agents_host, clients_host) = (machines, machines + 1, machines + 2);
    let operator_seams = host_seams(operator_host);
    let (operator_jobs, worker) = jobs();
    sim.host("operator", move || worker.clone().run());
    let masters = cluster.master_list()?;
    let (agents_jobs, worker) = jobs();
    sim.host("agents", move || worker.clone().run());
    let (client_jobs, worker) = jobs();
    sim.host("clients", move || worker.clone().run());
    let IpAddr::V4(agents_ip) = addresses[agents_host] else {
        anyhow::bail!(
            "the agents' host has the address {}: expected IPv4",
            addresses[agents_host]
        )
    };
    let places = Places {
        clients: host_seams(clients_host),
        client_jobs,
        agents: host_seams(agents_host),
        agents_jobs,
        agents_ip,
    };
    let load = Load::new(&masters, places, &recorder, &plan, &counters);
    let next_node = machines as u64 + 1;
    Ok(Run {
        plan,
        sim,
        net,
        cluster,
        names,
        agents_host,
        clients_host,
        jobs: operator_jobs,
        operator_seams,
        load,
        recorder,
        trace,
        counters,
        oracle: Oracle::default(),
        next_fault: 0,
        active: Vec::new(),
        losses: Vec::new(),
        replacements: Vec::new(),
        upgrades: Vec::new(),
        restarts: Vec::new(),
        blackouts: Vec::new(),
        next_node,
        next_sample: now_micros(),
    })
}
