//! `bench-allocator`: how long one allocation cycle takes over many agents and frameworks, in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench::machine;
use bench::spread::{Spread, show};
use bench::table::{Table, verdict};
use clap::Parser;
use master_core::allocator::{AgentFacts, Allocation, Allocator, AllocatorConfig, FrameworkFacts};
use master_core::resources::Resources;
use master_core::{AgentId, FrameworkId};

/// Resources of an agent.
const AGENT_RESOURCES: &str = "cpus:16;mem:65536;disk:1000000;ports:[31000-32000]";
/// Microseconds between two cycles of the simulated clock.
const INTERVAL: u64 = 1_000_000;
/// For how long an offer is refused: longer than the run, so that filters pile up.
const REFUSE: u64 = 3_600_000_000;
/// The goal for 20,000 agents and 2,000 frameworks.
const GOAL: Duration = Duration::from_millis(400);

/// One allocation cycle over many agents and frameworks
#[derive(Debug, Parser)]
#[command(name = "bench-allocator")]
struct Arguments {
    /// Repetitions of each case
    #[arg(long = "trials", default_value_t = 10)]
    trials: usize,
    /// Agents
    #[arg(long = "agents", default_value_t = 20_000)]
    agents: usize,
    /// Frameworks
    #[arg(long = "frameworks", default_value_t = 2_000)]
    frameworks: usize,
    /// Roles the frameworks are spread over
    #[arg(long = "roles", default_value_t = 200)]
    roles: usize,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::print_facts();
    let mut table = Table::new(&["cycle over", "offers", "cycles", "p50 ms", "p90", "p99", "max"]);
    let mut slowest: f64 = 0.0;
    for case in [Case::Free, Case::Refused, Case::Offered, Case::Suppressed] {
        let mut spread = Spread::default();
        let mut offers = 0;
        let mut bench = Bench::new(&arguments, case)?;
        for _ in 0..arguments.trials {
            let (took, count) = bench.cycle(case);
            spread.record(took);
            offers = count;
        }
        ensure!(bench.allocator.is_within_totals(), "more was offered than there is");
        slowest = slowest.max(spread.percentile(50.0));
        let mut cells = vec![case.title().to_owned(), offers.to_string()];
        cells.extend(spread.cells());
        table.row(cells);
    }
    table.print(&format!(
        "one allocation cycle: {} agents, {} frameworks in {} roles",
        arguments.agents, arguments.frameworks, arguments.roles
    ));
    let limit = GOAL.as_secs_f64() * 1000.0;
    let mut goals = Table::new(&["goal", "figure", "verdict"]);
    goals.row([
        "20,000 agents × 2,000 frameworks ≤ 400 ms (slowest case, p50)".to_owned(),
        format!("{} ms", show(slowest)),
        verdict(slowest, limit).to_owned(),
    ]);
    goals.print("goals");
    Ok(())
}

/// What a cycle finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// Everything is free and everybody wants it.
    Free,
    /// Everything is free; each cycle's offers were refused, so the filters of former cycles stand in the way.
    Refused,
    /// Nothing is free.
    Offered,
    /// Everything is free and nobody wants it.
    Suppressed,
}

impl Case {
    fn title(self) -> &'static str {
        match self {
            Case::Free => "free agents, every framework wants offers",
            Case::Refused => "free agents, every former offer refused for an hour",
            Case::Offered => "agents that are wholly offered",
            Case::Suppressed => "free agents, every framework suppressed",
        }
    }
}

/// An allocator full of agents and frameworks.
struct Bench {
    allocator: Allocator,
    now: u64,
    seed: u64,
}

impl Bench {
    fn new(arguments: &Arguments, case: Case) -> Result<Bench> {
        let total = Resources::parse_flag(AGENT_RESOURCES, "*").map_err(|error| anyhow::anyhow!("{error}"))?;
        let mut allocator = Allocator::new(AllocatorConfig::default());
        for number in 0..arguments.frameworks {
            let role: Arc<str> = format!("role-{}", number % arguments.roles.max(1)).into();
            let roles = BTreeSet::from([role]);
            let facts = FrameworkFacts {
                suppressed: match case {
                    Case::Suppressed => roles.clone(),
                    _ => BTreeSet::new(),
                },
                roles,
                revocable_resources: false,
                gpu_resources: false,
                shared_resources: false,
                reservation_refinement: true,
                multi_role: true,
                region_aware: false,
                min_allocatable: BTreeMap::new(),
                constraints: BTreeMap::new(),
            };
            allocator.add_framework(
                FrameworkId::from(format!("framework-{number:05}").as_str()),
                facts,
                true,
            );
        }
        for number in 0..arguments.agents {
            let facts = AgentFacts {
                hostname: format!("host-{number}"),
                region: None,
                zone: None,
                attributes: BTreeMap::new(),
                multi_role: true,
                hierarchical_role: true,
            };
            let id = AgentId::from(format!("agent-{number:05}").as_str());
            allocator.add_agent(id, facts, total.clone(), &[]);
        }
        let mut bench = Bench {
            allocator,
            now: INTERVAL,
            seed: 1,
        };
        if case == Case::Offered {
            bench.cycle(case);
        }
        Ok(bench)
    }

    /// One timed cycle; what it offers comes back afterwards as the case wants it.
    fn cycle(&mut self, case: Case) -> (Duration, usize) {
        self.now += INTERVAL;
        self.seed += 1;
        let begin = Instant::now();
        let allocations = self.allocator.allocate(self.now, self.seed, None);
        let took = begin.elapsed();
        let refuse = match case {
            Case::Free | Case::Suppressed => None,
            Case::Refused => Some(REFUSE),
            Case::Offered => return (took, allocations.len()),
        };
        for allocation in &allocations {
            self.give_back(allocation, refuse);
        }
        (took, allocations.len())
    }

    fn give_back(&mut self, allocation: &Allocation, refuse: Option<u64>) {
        let Allocation {
            framework_id,
            agent_id,
            resources,
            ..
        } = allocation;
        self.allocator
            .recover_offered(self.now, framework_id, agent_id, resources, refuse);
    }
}
