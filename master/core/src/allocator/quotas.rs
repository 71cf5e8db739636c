//! Quotas: what top-level roles are guaranteed and limited to, and what counts for it.
//!
//! A role consumes what is reserved for it and the roles below it, and what of the unreserved resources is offered to or
//! used by them; scalars only, revocable ones do not count. Each agent's part is counted anew when it was touched, at the
//! next run; without quotas nothing is counted at all.

use super::agents::Agent;
use super::quantities::{Names, Quantities};
use super::slab::Slab;
use super::{Allocator, SlotOwner};
use crate::ids::AgentId;
use crate::registry::Amounts;
use crate::resources::{Resources, top_level_role};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, Default)]
struct RoleQuota {
    /// By name index; positive.
    guarantees: Vec<(usize, i64)>,
    /// By name index.
    limits: Vec<(usize, i64)>,
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

/// Which stage of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// For guarantees that are not satisfied.
    Guarantees,
    /// Everything else.
    Rest,
}

/// A role's quota as a run goes on.
#[derive(Debug)]
struct Standing {
    quota: RoleQuota,
    consumed: Quantities,
}

impl Standing {
    fn unsatisfied(&self, name: usize) -> i64 {
        let guarantee = self.quota.guarantees.iter().find(|(of, _)| *of == name);
        guarantee.map_or(0, |(_, amount)| amount.saturating_sub(self.consumed.get(name)).max(0))
    }

    fn is_satisfied(&self) -> bool {
        self.quota
            .guarantees
            .iter()
            .all(|(name, _)| self.unsatisfied(*name) == 0)
    }

    /// What the role may still be given; None: whatever there is.
    fn room(&self, name: usize) -> Option<i64> {
        let limit = self.quota.limits.iter().find(|(of, _)| *of == name);
        limit.map(|(_, limit)| limit.saturating_sub(self.consumed.get(name)).max(0))
    }
}

/// What may still be given to whom.
#[derive(Debug)]
pub(super) struct Headroom {
    /// Unreserved and held by nobody, on all agents that are offered.
    available: Quantities,
    /// What is held back for guarantees that are not satisfied.
    required: Quantities,
    roles: BTreeMap<Arc<str>, Standing>,
    /// By slot, the role in `roles`; filled for runs only.
    slots: Vec<Option<Arc<str>>>,
}

impl Headroom {
    /// Whether somebody could be given something in the first stage.
    pub(super) fn has_open_guarantees(&self) -> bool {
        self.roles.values().any(|role| !role.is_satisfied())
    }

    fn standing(&self, slot: u32) -> Option<&Standing> {
        self.roles.get(self.slots.get(slot as usize)?.as_ref()?)
    }

    /// Whether the stage looks at the slot at all.
    pub(super) fn concerns(&self, slot: u32, stage: Stage) -> bool {
        stage == Stage::Rest || self.standing(slot).is_some_and(|role| !role.is_satisfied())
    }

    /// What of `whole` may be given to the slot: as it is, cut, or nothing.
    pub(super) fn cut(&self, slot: u32, whole: &Resources, stage: Stage, names: &Names) -> Cut {
        let standing = self.standing(slot);
        if stage == Stage::Rest && self.is_unbound(standing) {
            return Cut::Whole;
        }
        let mut given = whole.filter(|entry| !(entry.is_scalar() && entry.kind().is_for_quota()));
        let part = whole.filter(|entry| entry.is_scalar() && entry.kind().is_for_quota());
        let bound = |name: &str| {
            let name = names.find(name)?;
            let room = standing.and_then(|role| role.room(name));
            let required = self.required.get(name);
            let surplus = (required > 0).then(|| self.available.get(name).saturating_sub(required).max(0));
            let guaranteed = match (stage, standing) {
                (Stage::Guarantees, Some(role)) => role.unsatisfied(name),
                _ => 0,
            };
            // What is guaranteed is held back for this very role.
            let surplus = surplus.map(|surplus| surplus.saturating_add(guaranteed));
            room.into_iter().chain(surplus).min()
        };
        if stage == Stage::Guarantees {
            let guaranteed = |name: &str| {
                let open = standing
                    .zip(names.find(name))
                    .map(|(role, name)| role.unsatisfied(name));
                Some(open.unwrap_or(0))
            };
            if part.shrunk_to(guaranteed).is_empty() {
                return Cut::Nothing;
            }
        }
        let part = part.shrunk_to(bound);
        given.add(&part);
        if given == *whole { Cut::Whole } else { Cut::Part(given) }
    }

    fn is_unbound(&self, standing: Option<&Standing>) -> bool {
        standing.is_none_or(|role| role.quota.limits.is_empty()) && self.required.iter().all(|(_, amount)| amount == 0)
    }

    /// The slot is given an offer.
    pub(super) fn give(&mut self, slot: u32, offer: &Resources, names: &mut Names) {
        let amount = names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        self.available.subtract(&amount);
        let role = self.slots.get(slot as usize).and_then(Option::as_ref);
        let Some(role) = role.and_then(|role| self.roles.get_mut(role)) else {
            return;
        };
        let open = role.open();
        role.consumed.add(&amount);
        let still_open = role.open();
        self.required.subtract(&open);
        self.required.add(&still_open);
    }
}

impl Standing {
    /// What is held back for the role.
    fn open(&self) -> Quantities {
        let mut open = Quantities::default();
        for (name, _) in &self.quota.guarantees {
            open.increase(*name, self.unsatisfied(*name));
        }
        open
    }
}

/// What quotas leave of an offer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Whole,
    Part(Resources),
    Nothing,
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
        let headroom = self.standings();
        let Some(standing) = headroom.roles.get(top_level_role(role)) else {
            return false;
        };
        let amount = self.names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        let mut limits = standing.quota.limits.iter();
        limits.any(|(name, limit)| amount.get(*name) > 0 && standing.consumed.get(*name) > *limit)
    }

    /// Whether less is free than is held back for guarantees, of something that is in this offer; an offer that is itself
    /// covered by its role's guarantee is not asked for.
    pub fn lacks_headroom(&mut self, role: &str, offer: &Resources) -> bool {
        let headroom = self.standings();
        let standing = headroom.roles.get(top_level_role(role));
        let amount = self.names.quantities_where(offer, |entry| entry.kind().is_for_quota());
        amount.iter().any(|(name, amount)| {
            let is_missing = headroom.available.get(name) < headroom.required.get(name);
            let guarantee = standing.and_then(|role| role.quota.guarantees.iter().find(|(of, _)| *of == name));
            let is_guaranteed = guarantee
                .zip(standing)
                .is_some_and(|((_, guarantee), role)| role.consumed.get(name) <= *guarantee);
            amount > 0 && is_missing && !is_guaranteed
        })
    }

    /// How things stand before a run.
    pub(super) fn headroom(&mut self) -> Headroom {
        let mut headroom = self.standings();
        let role_of = |owner: &Option<SlotOwner>| {
            let quota = headroom.roles.get_key_value(top_level_role(&owner.as_ref()?.role));
            quota.map(|(role, _)| role.clone())
        };
        headroom.slots = self.slots.iter().map(role_of).collect();
        headroom
    }

    fn standings(&mut self) -> Headroom {
        self.quotas.refresh(&self.agents, &mut self.names);
        let mut headroom = Headroom {
            available: self.quotas.sum.free.clone(),
            required: Quantities::default(),
            roles: BTreeMap::new(),
            slots: Vec::new(),
        };
        for (role, quota) in &self.quotas.roles {
            let standing = Standing {
                quota: quota.clone(),
                consumed: self.quotas.sum.consumed.get(role).cloned().unwrap_or_default(),
            };
            headroom.required.add(&standing.open());
            headroom.roles.insert(role.clone(), standing);
        }
        headroom
    }

    /// What is free beyond what is held back for guarantees, negative when there is less.
    #[cfg(test)]
    pub(super) fn surplus(&mut self) -> BTreeMap<String, i64> {
        let headroom = self.standings();
        let required = headroom.required.iter().filter(|(_, amount)| *amount > 0);
        let surplus = required.map(|(name, amount)| {
            let surplus = headroom.available.get(name) - amount;
            (self.names.text(name).to_owned(), surplus)
        });
        surplus.collect()
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
