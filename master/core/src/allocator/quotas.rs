//! Quotas: what top-level roles are guaranteed and limited to, and what counts for it.
//!
//! A role consumes what is reserved for it and the roles below it, and what of the unreserved resources is offered to or
//! used by them; scalars only, revocable ones do not count. Each agent's part is counted anew when it was touched, at the
//! next run; without quotas nothing is counted at all.

use super::agents::Agent;
use super::headroom::{Headroom, Standing};
use super::quantities::{Names, Quantities};
use super::slab::Slab;
use super::{Allocator, SlotOwner};
use crate::ids::AgentId;
use crate::registry::Amounts;
use crate::resources::{Resources, top_level_role};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
pub(super) struct RoleQuota {
    /// By name index; positive.
    pub(super) guarantees: Vec<(usize, i64)>,
    /// By name index.
    pub(super) limits: Vec<(usize, i64)>,
}

/// One agent's part of the sums.
#[derive(Clone, Debug, Default)]
struct Part {
    /// Unreserved and held by nobody; nothing on an agent that is not offered.
    free: Quantities,
    /// By the roles that have quotas.
    consumed: BTreeMap<Arc<str>, Quantities>,
}

/// All quotas and the sums they are compared with.
#[derive(Debug, Default)]
pub(super) struct Quotas {
    roles: BTreeMap<Arc<str>, RoleQuota>,
    /// By agent number; agents that are gone have empty ones.
    parts: Vec<Part>,
    sum: Part,
    /// Agents whose part is to be counted anew.
    touched: Vec<u32>,
    /// All are.
    stale: bool,
}

impl Quotas {
    pub(super) fn is_empty(&self) -> bool {
        self.roles.is_empty()
    }

    /// Something of the agent changed hands, or the agent itself changed.
    pub(super) fn touch(&mut self, agent: u32) {
        if !self.is_empty() && !self.stale {
            self.touched.push(agent);
        }
    }

    /// How the role stands, if it has a quota.
    fn standing(&self, role: &str) -> Option<Standing> {
        let consumed = self.sum.consumed.get(role).cloned();
        Some(Standing {
            quota: self.roles.get(role)?.clone(),
            consumed: consumed.unwrap_or_default(),
        })
    }

    fn refresh(&mut self, agents: &Slab<AgentId, Agent>, names: &mut Names) {
        if std::mem::take(&mut self.stale) {
            self.parts.clear();
            self.sum = Part::default();
            self.touched.clear();
            self.touched.extend(agents.iter().map(|(_, number)| number));
        }
        self.touched.sort_unstable();
        self.touched.dedup();
        for number in std::mem::take(&mut self.touched) {
            let part = agents
                .get(number)
                .map_or_else(Part::default, |agent| Part::of(agent, &self.roles, names));
            self.sum.add(&part);
            let place = number as usize;
            if self.parts.len() <= place {
                self.parts.resize_with(place + 1, Part::default);
            }
            let former = std::mem::replace(&mut self.parts[place], part);
            self.sum.subtract(&former);
        }
    }
}

impl Part {
    fn of(agent: &Agent, roles: &BTreeMap<Arc<str>, RoleQuota>, names: &mut Names) -> Part {
        let mut part = Part::default();
        if agent.active {
            part.free = names.quantities_where(&agent.available, |entry| entry.kind().is_for_quota());
        }
        let reserved = agent.total.iter().map(|entry| (entry, entry.kind().reservation_role()));
        let held = agent.held.values().flat_map(|held| [&held.used, &held.offered]);
        let held = held
            .flat_map(Resources::iter)
            .filter(|entry| entry.kind().is_for_quota());
        let held = held.map(|entry| (entry, entry.kind().allocation_role()));
        for (entry, role) in reserved.chain(held) {
            let quota = role.and_then(|role| roles.get_key_value(top_level_role(role)));
            if let Some((role, _)) = quota.filter(|_| entry.scalar() > 0) {
                let consumed = part.consumed.entry(role.clone()).or_default();
                consumed.increase(names.index(entry.kind().name()), entry.scalar());
            }
        }
        part
    }

    fn add(&mut self, other: &Part) {
        self.free.add(&other.free);
        for (role, consumed) in &other.consumed {
            self.consumed.entry(role.clone()).or_default().add(consumed);
        }
    }

    fn subtract(&mut self, other: &Part) {
        self.free.subtract(&other.free);
        for (role, consumed) in &other.consumed {
            self.consumed.entry(role.clone()).or_default().subtract(consumed);
        }
    }
}

impl Allocator {
    /// Sets what a top-level role and the roles below it are guaranteed and limited to; with neither, its quota is
    /// removed. Nothing that is offered or used is taken back by this; the next periodic run goes by it.
    pub fn set_quota(&mut self, role: &str, guarantees: &Amounts, limits: &Amounts) {
        let names = &mut self.names;
        let mut indexed = |amounts: &Amounts| -> Vec<(usize, i64)> {
            amounts
                .iter()
                .map(|(name, amount)| (names.index(name), *amount))
                .collect()
        };
        let quota = RoleQuota {
            guarantees: indexed(guarantees),
            limits: indexed(limits),
        };
        if quota.guarantees.is_empty() && quota.limits.is_empty() {
            self.quotas.roles.remove(role);
        } else {
            self.quotas.roles.insert(role.into(), quota);
        }
        self.quotas.stale = true;
    }

    /// Whether the role's tree has more than its limit of something that is in this offer of it.
    pub fn exceeds_limit(&mut self, role: &str, offer: &Resources) -> bool {
        self.quotas.refresh(&self.agents, &mut self.names);
        let Some(standing) = self.quotas.standing(top_level_role(role)) else {
            return false;
        };
        let amount = self.names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        let mut limits = standing.quota.limits.iter();
        limits.any(|(name, limit)| amount.get(*name) > 0 && standing.consumed.get(*name) > *limit)
    }

    /// Whether less is free than is held back for guarantees, of something that is in this offer; an offer that is itself
    /// covered by its role's guarantee is not asked for.
    pub fn lacks_headroom(&mut self, role: &str, offer: &Resources) -> bool {
        let headroom = self.headroom();
        let standing = self.quotas.standing(top_level_role(role));
        let amount = self.names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        amount.iter().any(|(name, amount)| {
            let is_guaranteed = standing.as_ref().is_some_and(|role| {
                let mut guarantees = role.quota.guarantees.iter();
                guarantees.any(|(of, guarantee)| *of == name && role.consumed.get(name) <= *guarantee)
            });
            amount > 0 && headroom.surplus(name) < 0 && !is_guaranteed
        })
    }

    /// How things stand before a run.
    pub(super) fn headroom_of_slots(&mut self) -> Headroom {
        let mut headroom = self.headroom();
        let numbers = self.quotas.roles.keys().zip(0..);
        let numbers: BTreeMap<&str, u32> = numbers.map(|(role, number)| (&**role, number)).collect();
        for owner in &self.slots {
            headroom.add_slot(owner.as_ref().map(|SlotOwner { framework, role }| {
                let framework = self.frameworks.get(*framework);
                let facts = framework.and_then(|framework| framework.facts.as_ref());
                let has_own_least = facts.is_some_and(|facts| facts.min_allocatable.contains_key(&**role));
                (numbers.get(top_level_role(role)).copied(), has_own_least)
            }));
        }
        headroom
    }

    fn headroom(&mut self) -> Headroom {
        self.quotas.refresh(&self.agents, &mut self.names);
        let roles = self.quotas.roles.keys();
        let roles = roles.filter_map(|role| self.quotas.standing(role)).collect();
        Headroom::new(self.quotas.sum.free.clone(), roles)
    }

    /// What is free of a resource beyond what is held back for guarantees, negative when there is less.
    #[cfg(test)]
    pub(super) fn surplus(&mut self, name: &str) -> i64 {
        let name = self.names.index(name);
        self.headroom().surplus(name)
    }

    /// Checks the sums against every agent.
    pub(super) fn check_quotas(&mut self) -> Result<(), String> {
        if self.quotas.is_empty() {
            return Ok(());
        }
        self.quotas.refresh(&self.agents, &mut self.names);
        let mut expected = Part::default();
        for (_, number) in self.agents.iter() {
            if let Some(agent) = self.agents.get(number) {
                expected.add(&Part::of(agent, &self.quotas.roles, &mut self.names));
            }
        }
        let sum = &self.quotas.sum;
        if sum.free != expected.free {
            return Err(format!("{:?} is counted as free, {:?} is", sum.free, expected.free));
        }
        for role in self.quotas.roles.keys() {
            let nothing = Quantities::default();
            let counted = sum.consumed.get(role).unwrap_or(&nothing);
            let consumed = expected.consumed.get(role).unwrap_or(&nothing);
            if counted != consumed {
                return Err(format!(
                    "role '{role}': {counted:?} is counted for its quota, {consumed:?} is consumed"
                ));
            }
        }
        Ok(())
    }
}
