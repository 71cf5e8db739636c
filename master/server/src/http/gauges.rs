//! Gauges over agents, frameworks, tasks and offers.
//!
//! Mesos's followers report zeros, so that the sum over all masters is that of the leader; so do these.

use std::collections::BTreeMap;

use master_core::resources::{Resources, thousandths_to_f64, top_level_role};
use proto::v1::TaskState;

use crate::leadership::SoftState;

/// Values by name.
pub(super) type Gauges = Vec<(String, f64)>;

/// Resources that have gauges.
const RESOURCES: [&str; 4] = ["cpus", "disk", "gpus", "mem"];

/// States of tasks that have not ended, as Mesos names their gauges.
const STATES: [(TaskState, &str); 4] = [
    (TaskState::TaskKilling, "master/tasks_killing"),
    (TaskState::TaskRunning, "master/tasks_running"),
    (TaskState::TaskStaging, "master/tasks_staging"),
    (TaskState::TaskStarting, "master/tasks_starting"),
];

/// The gauges of a leadership; all zero without one.
pub(super) fn cluster(state: Option<&SoftState>) -> Gauges {
    let mut gauges = Vec::new();
    members(state, &mut gauges);
    tasks(state, &mut gauges);
    resources(state, &mut gauges);
    quotas(state, &mut gauges);
    gauges
}

fn members(state: Option<&SoftState>, gauges: &mut Gauges) {
    let count = |of: fn(&SoftState) -> usize| state.map_or(0.0, |state| of(state) as f64);
    let connected_agents = count(|state| state.agents.values().filter(|agent| agent.connected).count());
    let agents = count(|state| state.agents.len());
    let connected = |state: &SoftState| {
        let connected = |id| state.frameworks.get(id).is_some_and(|soft| soft.connected);
        state
            .registry
            .frameworks()
            .filter(|framework| connected(&framework.id))
            .count()
    };
    let connected_frameworks = count(connected);
    let frameworks = count(|state| state.registry.frameworks().count());
    let values = [
        ("master/slaves_active", connected_agents),
        ("master/slaves_connected", connected_agents),
        ("master/slaves_disconnected", agents - connected_agents),
        ("master/slaves_inactive", agents - connected_agents),
        (
            "master/slaves_recovered",
            count(|state| state.registry.agent_count()) - agents,
        ),
        (
            "master/slaves_unreachable",
            count(|state| state.registry.unreachable_agents().count()),
        ),
        ("master/frameworks_active", connected_frameworks),
        ("master/frameworks_connected", connected_frameworks),
        ("master/frameworks_disconnected", frameworks - connected_frameworks),
        ("master/frameworks_inactive", frameworks - connected_frameworks),
        ("master/outstanding_offers", count(|state| state.offers.len())),
        ("registrar/queued_operations", count(|state| state.proposals)),
    ];
    gauges.extend(values.map(|(name, value)| (name.to_owned(), value)));
}

fn tasks(state: Option<&SoftState>, gauges: &mut Gauges) {
    let mut counts = [0_u64; STATES.len()];
    let mut unreachable = 0;
    if let Some(state) = state {
        for task in state.registry.tasks() {
            if let Some(at) = STATES.iter().position(|(counted, _)| *counted == task.state) {
                counts[at] += 1;
            }
        }
        let histories = state
            .registry
            .frameworks()
            .filter_map(|framework| state.registry.history(&framework.id));
        unreachable = histories.map(|history| history.unreachable().count()).sum();
    }
    gauges.extend(
        STATES
            .iter()
            .zip(counts)
            .map(|((_, name), count)| ((*name).to_owned(), count as f64)),
    );
    gauges.push(("master/tasks_unreachable".to_owned(), unreachable as f64));
}

/// Sums over the agents that registered with this leadership, revocable ones apart.
fn resources(state: Option<&SoftState>, gauges: &mut Gauges) {
    let mut sums: BTreeMap<(&str, bool), (i64, i64)> = BTreeMap::new();
    for name in RESOURCES {
        sums.insert((name, false), (0, 0));
        sums.insert((name, true), (0, 0));
    }
    let agents = state.into_iter().flat_map(|state| {
        state
            .registry
            .agents()
            .filter(|agent| state.agents.contains_key(&agent.id))
    });
    for agent in agents {
        add(&mut sums, &agent.total, |sum, amount| {
            sum.0 = sum.0.saturating_add(amount)
        });
        add(&mut sums, &agent.used, |sum, amount| {
            sum.1 = sum.1.saturating_add(amount)
        });
    }
    for ((name, revocable), (total, used)) in sums {
        let name = if revocable {
            format!("master/{name}_revocable")
        } else {
            format!("master/{name}")
        };
        let percent = if total == 0 { 0.0 } else { used as f64 / total as f64 };
        gauges.push((format!("{name}_total"), thousandths_to_f64(total)));
        gauges.push((format!("{name}_used"), thousandths_to_f64(used)));
        gauges.push((format!("{name}_percent"), percent));
    }
}

/// What roles with a quota are guaranteed, limited to, consume, and have offered or in use.
fn quotas(state: Option<&SoftState>, gauges: &mut Gauges) {
    let Some(state) = state.filter(|state| state.registry.quotas().next().is_some()) else {
        return;
    };
    let consumed = state
        .registry
        .consumed_quotas(state.registry.quotas().map(|quota| &*quota.role));
    let used = state.registry.agents().map(|agent| &agent.used);
    let offered = state.offers.values().map(|offer| &offer.resources);
    let mut held: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for entry in used.chain(offered).flat_map(Resources::iter) {
        let role = entry.kind().allocation_role().map(top_level_role);
        if let Some(role) = role.filter(|role| entry.scalar() > 0 && consumed.contains_key(role)) {
            let sum = held.entry((role, entry.kind().name())).or_default();
            *sum = sum.saturating_add(entry.scalar());
        }
    }
    let mut push = |role: &str, resource: &str, what, amount| {
        let name = format!("allocator/mesos/quota/roles/{role}/resources/{resource}/{what}");
        gauges.push((name, thousandths_to_f64(amount)));
    };
    for quota in state.registry.quotas() {
        for (what, amounts) in [
            ("guarantee", Some(&quota.guarantees)),
            ("limit", Some(&quota.limits)),
            ("consumed", consumed.get(&*quota.role)),
        ] {
            for (resource, amount) in amounts.into_iter().flatten() {
                push(&quota.role, resource, what, *amount);
            }
        }
    }
    for ((role, resource), amount) in held {
        push(role, resource, "offered_or_allocated", amount);
    }
}

fn add(sums: &mut BTreeMap<(&str, bool), (i64, i64)>, resources: &Resources, add: fn(&mut (i64, i64), i64)) {
    for entry in resources.iter() {
        let Some(name) = RESOURCES.into_iter().find(|name| *name == entry.kind().name()) else {
            continue;
        };
        if let Some(sum) = sums.get_mut(&(name, entry.kind().is_revocable())) {
            add(sum, entry.scalar());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_that_does_not_lead_reports_every_gauge_as_zero() {
        let gauges = cluster(None);
        for name in [
            "master/slaves_active",
            "master/tasks_running",
            "master/cpus_total",
            "master/mem_revocable_used",
        ] {
            assert!(gauges.iter().any(|(known, _)| known == name), "{name}");
        }
        assert!(gauges.iter().all(|(_, value)| *value == 0.0));
    }

    #[test]
    fn a_leader_reports_what_it_leads() {
        let state = crate::http::tests::cluster::soft_state();
        let gauges = cluster(Some(&state));
        for (name, expected) in [
            ("master/slaves_active", 1.0),
            ("master/slaves_recovered", 1.0),
            ("master/slaves_unreachable", 1.0),
            ("master/frameworks_connected", 1.0),
            ("master/outstanding_offers", 1.0),
            ("master/tasks_running", 1.0),
            ("master/tasks_staging", 1.0),
            ("master/tasks_unreachable", 1.0),
            ("master/cpus_total", 4.0),
            ("master/cpus_used", 1.1),
            ("master/cpus_percent", 0.275),
            ("master/mem_used", 128.0),
            ("master/gpus_percent", 0.0),
            ("allocator/mesos/quota/roles/web/resources/cpus/guarantee", 0.5),
            ("allocator/mesos/quota/roles/web/resources/cpus/limit", 3.0),
            ("allocator/mesos/quota/roles/web/resources/cpus/consumed", 1.1),
            (
                "allocator/mesos/quota/roles/web/resources/cpus/offered_or_allocated",
                2.1,
            ),
        ] {
            let value = gauges.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
            assert_eq!(value, Some(expected), "{name}");
        }
    }
}
