//! Prints how long full allocation cycles take: `cargo run --release -p master-core --example allocator_bench [agents] [frameworks]`.
//!
//! `bench-allocator` measures the usual cases; this one adds the two extremes without other crates: every pair of agent and framework
//! has to be looked at and none may be offered, first fresh, then remembered; and cycles that go by quotas.

#![allow(clippy::disallowed_types)] // A bench reads the clock; the crate itself must not.

use master_core::allocator::{AgentFacts, Allocator, AllocatorConfig, FrameworkFacts, MICROS_PER_SECOND};
use master_core::registry::Amounts;
use master_core::resources::Resources;
use master_core::{AgentId, FrameworkId};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let agents: usize = arguments.next().map_or(Ok(20_000), |text| text.parse())?;
    let frameworks: usize = arguments.next().map_or(Ok(2_000), |text| text.parse())?;
    for roles in [1, frameworks / 10, frameworks] {
        let mut allocator = cluster(
            agents,
            frameworks,
            roles.max(1),
            "cpus:16;mem:65536;disk:100000;ports:[31000-32000]",
        )?;
        let mut now = 0;
        let first = cycle(&mut allocator, &mut now, true);
        let second = cycle(&mut allocator, &mut now, false);
        let nothing = cycle(&mut allocator, &mut now, false);
        println!("{roles:>5} roles: all free {first}, all free again {second}, nothing free {nothing}");
        let mut hidden = cluster(agents, frameworks, roles.max(1), "gpus:1;cpus:16;mem:65536")?;
        let fresh = cycle(&mut hidden, &mut now, false);
        let remembered = cycle(&mut hidden, &mut now, false);
        println!("{roles:>5} roles: nobody may have anything {fresh}, the same again {remembered}");
        let mut limited = cluster(agents, frameworks, roles.max(1), "cpus:16;mem:65536")?;
        for role in 0..roles.min(100) {
            limited.set_quota(&format!("role-{role}"), &Amounts::new(), &cpus(1_000));
        }
        let first = cycle(&mut limited, &mut now, false);
        let second = cycle(&mut limited, &mut now, false);
        println!("{roles:>5} roles: limits, all free {first}, again {second}");
        let mut held_back = cluster(agents, frameworks, roles.max(1), "cpus:16")?;
        held_back.set_quota("absent", &cpus(1_000_000_000), &Amounts::new());
        let first = cycle(&mut held_back, &mut now, false);
        let second = cycle(&mut held_back, &mut now, false);
        println!("{roles:>5} roles: everything held back for a guarantee {first}, again {second}");
    }
    Ok(())
}

fn cpus(thousandths: i64) -> Amounts {
    Amounts::from([("cpus".into(), thousandths)])
}

fn cluster(agents: usize, frameworks: usize, roles: usize, total: &str) -> Result<Allocator, Box<dyn Error>> {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    let total = Resources::parse_flag(total, "*")?;
    for number in 0..agents {
        let facts = AgentFacts {
            hostname: format!("host-{number}"),
            multi_role: true,
            ..AgentFacts::default()
        };
        allocator.add_agent(AgentId::from(format!("S{number:05}")), facts, total.clone(), &[]);
    }
    for number in 0..frameworks {
        let role = format!("role-{}", number % roles);
        let facts = FrameworkFacts {
            roles: [role.as_str().into()].into(),
            multi_role: true,
            ..FrameworkFacts::default()
        };
        allocator.add_framework(FrameworkId::from(format!("{number:04}")), facts, true);
    }
    Ok(allocator)
}

/// Runs one cycle and tells how long it took; what was offered is refused for five seconds if wanted.
fn cycle(allocator: &mut Allocator, now: &mut u64, refuse: bool) -> String {
    *now += MICROS_PER_SECOND;
    let start = Instant::now();
    let offers = allocator.allocate(*now, *now, None);
    let text = format!(
        "{:.1} ms ({} offers)",
        start.elapsed().as_secs_f64() * 1e3,
        offers.len()
    );
    for offer in offers.iter().filter(|_| refuse) {
        let refuse = Some(5 * MICROS_PER_SECOND);
        let unknown = allocator.recover_offered(*now, &offer.framework_id, &offer.agent_id, &offer.resources, refuse);
        assert!(unknown.is_empty(), "{unknown} was not offered");
    }
    text
}
