//! Roles as readers see them: those somebody subscribes to, holds or has reserved something for, and those with a quota
//! or a weight.

use std::collections::{BTreeMap, BTreeSet};

use master_core::allocator::DEFAULT_WEIGHT;
use master_core::ids::FrameworkId;
use master_core::registry::Quota;
use master_core::resources::Resources;

use super::reservations::reserved_by_role;
use super::view::View;

/// One role.
#[derive(Default)]
pub(super) struct Role<'a> {
    /// Frameworks that subscribe to it or hold something in it.
    pub(super) frameworks: Vec<&'a FrameworkId>,
    /// What its tasks and executors use.
    pub(super) allocated: Resources,
    /// What is offered to its frameworks.
    pub(super) offered: Resources,
    /// What is reserved for it.
    pub(super) reserved_total: Resources,
    /// The part of that which nobody uses.
    pub(super) reserved: Resources,
    /// What an operator set.
    weight: Option<f64>,
    /// What it is guaranteed and limited to.
    pub(super) quota: Option<&'a Quota>,
}

impl Role<'_> {
    /// Its weight, set or not.
    pub(super) fn weight(&self) -> f64 {
        self.weight.unwrap_or(DEFAULT_WEIGHT)
    }

    /// Allocated and offered.
    pub(super) fn held(&self) -> Resources {
        let mut all = self.allocated.clone();
        all.add(&self.offered);
        all
    }
}

/// Roles by name.
pub(super) struct Roles<'a>(BTreeMap<String, Role<'a>>);

impl<'a> Roles<'a> {
    /// Gathers them from frameworks, offers, reservations, quotas and weights.
    pub(super) fn new(view: &'a View<'a>) -> Roles<'a> {
        let mut roles: BTreeMap<String, Role<'a>> = BTreeMap::new();
        for framework in view.frameworks() {
            let id = &framework.framework.id;
            let subscribed = framework.framework.roles();
            let used = framework.used.allocation_roles();
            let offered = framework.offered.allocation_roles();
            let names = subscribed
                .into_iter()
                .chain(used.iter().map(|role| &**role))
                .chain(offered.iter().map(|role| &**role));
            let mut seen = BTreeSet::new();
            for name in names.filter(|name| seen.insert((*name).to_owned())) {
                let role = roles.entry(name.to_owned()).or_default();
                role.frameworks.push(id);
                role.allocated.add(&part_of(&framework.used, name));
                role.offered.add(&part_of(&framework.offered, name));
            }
        }
        for agent in view.agents() {
            for (name, part) in reserved_by_role(&agent.agent.total) {
                let used = agent
                    .agent
                    .used
                    .filter(|entry| entry.kind().reservation_role() == Some(name))
                    .unallocated();
                let role = roles.entry(name.to_owned()).or_default();
                role.reserved_total.add(&part);
                let mut unused = part;
                unused.take_available(&used);
                role.reserved.add(&unused);
            }
        }
        let registry = &view.state.registry;
        for quota in registry.quotas() {
            roles.entry(quota.role.to_string()).or_default().quota = Some(quota);
        }
        for weight in registry.weights() {
            roles.entry(weight.role.to_string()).or_default().weight = Some(weight.weight);
        }
        Roles(roles)
    }

    /// In the order of their names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Role<'a>)> {
        self.0.iter().map(|(name, role)| (name.as_str(), role))
    }
}

/// What of `resources` is allocated to the role, without saying so.
fn part_of(resources: &Resources, role: &str) -> Resources {
    resources
        .filter(|entry| entry.kind().allocation_role() == Some(role))
        .unallocated()
}
