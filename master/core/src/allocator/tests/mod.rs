//! Helpers and the plain facts; random histories are in `histories`.

mod facts;
mod histories;
mod quotas;
mod sharing;

use super::*;
use crate::registry::Amounts;
use crate::resources::Resources;
use proto::v1::{self, framework_info};

const SECOND: u64 = MICROS_PER_SECOND;

fn resources(text: &str) -> Resources {
    Resources::parse_flag(text, "*").unwrap()
}

/// Whole units by name.
fn amounts(units: &[(&str, i64)]) -> Amounts {
    units
        .iter()
        .map(|(name, units)| (Arc::from(*name), units * 1_000))
        .collect()
}

/// A shared volume of 100 MB, reserved for role `a`.
fn shared_volume() -> v1::Resource {
    let mut volume = resources("disk(a):100").to_proto().remove(0);
    volume.disk = Some(v1::resource::DiskInfo {
        persistence: Some(v1::resource::disk_info::Persistence {
            id: "v".into(),
            principal: None,
        }),
        ..Default::default()
    });
    volume.shared = Some(v1::resource::SharedInfo::default());
    volume
}

fn framework_id(n: usize) -> FrameworkId {
    FrameworkId::from(format!("f{n:04}"))
}

fn agent_id(n: usize) -> AgentId {
    AgentId::from(format!("a{n:05}"))
}

fn agent_facts() -> AgentFacts {
    AgentFacts {
        hostname: "host".into(),
        multi_role: true,
        hierarchical_role: true,
        ..Default::default()
    }
}

fn facts(roles: &[&str]) -> FrameworkFacts {
    FrameworkFacts {
        roles: roles.iter().map(|role| Arc::from(*role)).collect(),
        multi_role: true,
        reservation_refinement: true,
        ..Default::default()
    }
}

/// An allocator with agents of 4 cpus and 4096 MB, and frameworks in the given roles.
fn cluster(agents: usize, frameworks: &[&[&str]]) -> Allocator {
    let mut allocator = Allocator::new(AllocatorConfig::default());
    for agent in 0..agents {
        allocator.add_agent(agent_id(agent), agent_facts(), resources("cpus:4;mem:4096"), &[]);
    }
    for (number, roles) in frameworks.iter().enumerate() {
        allocator.add_framework(framework_id(number), facts(roles), true);
    }
    allocator
}

/// Who was offered what, as text, in the order of the allocations.
fn texts(allocations: &[Allocation]) -> Vec<String> {
    let text = |a: &Allocation| format!("{} {} {}", a.framework_id, a.agent_id, a.resources);
    allocations.iter().map(text).collect()
}

fn decline(allocator: &mut Allocator, now: u64, allocation: &Allocation, refuse: Option<u64>) {
    let missing = allocator.recover_offered(
        now,
        &allocation.framework_id,
        &allocation.agent_id,
        &allocation.resources,
        refuse,
    );
    assert!(missing.is_empty(), "{missing}");
}

fn decline_all(allocator: &mut Allocator, now: u64, allocations: &[Allocation], refuse: Option<u64>) {
    allocations
        .iter()
        .for_each(|allocation| decline(allocator, now, allocation, refuse));
}

#[track_caller]
fn check(allocator: &mut Allocator) {
    allocator.check_invariants().unwrap();
}
