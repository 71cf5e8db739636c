//! Frameworks: their roles (slots of the role tree), suppression, refusals, and what is counted for them.

use super::facts::FrameworkFacts;
use super::{Allocator, Requested, SlotOwner};
use crate::ids::{AgentId, FrameworkId};
use crate::resources::Resources;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Framework {
    pub(super) id: FrameworkId,
    /// None: not known (yet, or any more); it may hold resources all the same.
    pub(super) facts: Option<FrameworkFacts>,
    pub(super) active: bool,
    /// By role: those subscribed to and those that something is allocated for.
    pub(super) slots: BTreeMap<Arc<str>, u32>,
    /// Where it holds something.
    pub(super) agents: BTreeSet<u32>,
}

impl Framework {
    pub(super) fn unknown(id: FrameworkId) -> Self {
        Framework {
            id,
            facts: None,
            active: false,
            slots: BTreeMap::new(),
            agents: BTreeSet::new(),
        }
    }
}

impl Allocator {
    /// Adds a framework, or brings a known one up to date; it gets offers if it is active.
    pub fn add_framework(&mut self, id: FrameworkId, facts: FrameworkFacts, active: bool) {
        let number = self.frameworks.number_or_insert(&id, || Framework::unknown(id.clone()));
        let was_known = self
            .frameworks
            .get(number)
            .is_some_and(|framework| framework.facts.is_some());
        if was_known {
            self.update_framework(&id, facts);
        } else {
            let Some(framework) = self.frameworks.get_mut(number) else {
                return;
            };
            framework.facts = Some(facts);
            let agents = framework.agents.clone();
            self.ensure_subscribed_slots(number);
            agents.into_iter().for_each(|agent| self.count(agent, number));
        }
        if let Some(framework) = self.frameworks.get_mut(number) {
            framework.active = active;
        }
        self.relist(number);
        self.requested = Requested::AllAgents;
    }

    /// Changes roles, suppression, capabilities or constraints. Refusals for roles that are no longer subscribed, or no longer
    /// suppressed, are dropped; what is allocated for a dropped role stays counted for it.
    pub fn update_framework(&mut self, id: &FrameworkId, facts: FrameworkFacts) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        let Some(framework) = self.frameworks.get_mut(number) else {
            return;
        };
        let Some(old) = framework.facts.replace(facts) else {
            framework.facts = None;
            return;
        };
        let new = framework.facts.clone().unwrap_or_default();
        self.ensure_subscribed_slots(number);
        for (role, slot) in self.slots_of(number) {
            let dropped = old.roles.contains(&role) && !new.roles.contains(&role);
            let revived = old.suppressed.contains(&role) && !new.suppressed.contains(&role);
            self.reconsider(slot, dropped || revived);
        }
        self.relist(number);
        self.drop_idle_slots(number);
        if new
            .roles
            .iter()
            .any(|role| old.suppressed.contains(role) && !new.suppressed.contains(role))
        {
            self.requested = Requested::AllAgents;
        }
    }

    /// Forgets a framework. What it still holds stays withheld from offers until it is recovered.
    pub fn remove_framework(&mut self, id: &FrameworkId) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        for (_, slot) in self.slots_of(number) {
            self.reconsider(slot, true);
            self.tree.remove_slot(slot, &self.names);
            self.slots[slot as usize] = None;
        }
        if let Some(framework) = self.frameworks.get_mut(number) {
            framework.facts = None;
            framework.active = false;
            framework.slots.clear();
            if framework.agents.is_empty() {
                self.frameworks.remove(id);
            }
        }
    }

    /// Offers flow again.
    pub fn activate_framework(&mut self, id: &FrameworkId) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        if let Some(framework) = self.frameworks.get_mut(number) {
            framework.active = framework.facts.is_some();
        }
        self.relist(number);
        self.requested = Requested::AllAgents;
    }

    /// No more offers; what it holds stays its own, its refusals are dropped.
    pub fn deactivate_framework(&mut self, id: &FrameworkId) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        if let Some(framework) = self.frameworks.get_mut(number) {
            framework.active = false;
        }
        for (_, slot) in self.slots_of(number) {
            self.reconsider(slot, true);
        }
        self.relist(number);
    }

    /// No offers for these roles (all of the framework's when empty) until they are revived; roles that are not subscribed
    /// are ignored.
    pub fn suppress(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        if let Some(facts) = self.facts_mut(number) {
            let subscribed = facts.roles.iter();
            let named = subscribed.filter(|role| roles.is_empty() || roles.iter().any(|named| **named == ***role));
            let named: Vec<_> = named.cloned().collect();
            facts.suppressed.extend(named);
        }
        self.relist(number);
    }

    /// Offers for these roles again (all when empty), and their refusals are dropped.
    pub fn revive(&mut self, id: &FrameworkId, roles: &[String]) {
        let Some(number) = self.frameworks.number(id) else {
            return;
        };
        let is_named = |role: &str| roles.is_empty() || roles.iter().any(|named| named == role);
        if let Some(facts) = self.facts_mut(number) {
            facts.suppressed.retain(|role| !is_named(role));
        }
        for (role, slot) in self.slots_of(number) {
            if is_named(&role) {
                self.reconsider(slot, true);
            }
        }
        self.relist(number);
        self.requested = Requested::AllAgents;
    }

    /// True when the framework is known.
    pub fn knows_framework(&self, id: &FrameworkId) -> bool {
        self.frameworks
            .number(id)
            .and_then(|number| self.frameworks.get(number))
            .is_some_and(|f| f.facts.is_some())
    }

    fn facts_mut(&mut self, number: u32) -> Option<&mut FrameworkFacts> {
        self.frameworks.get_mut(number)?.facts.as_mut()
    }

    fn slots_of(&self, number: u32) -> Vec<(Arc<str>, u32)> {
        let slots = self.frameworks.get(number).map(|framework| &framework.slots);
        slots
            .into_iter()
            .flatten()
            .map(|(role, slot)| (role.clone(), *slot))
            .collect()
    }

    fn ensure_subscribed_slots(&mut self, number: u32) {
        let roles = self
            .frameworks
            .get(number)
            .and_then(|f| f.facts.as_ref())
            .map(|facts| facts.roles.clone());
        for role in roles.unwrap_or_default() {
            self.ensure_slot(number, &role);
        }
    }

    fn ensure_slot(&mut self, number: u32, role: &Arc<str>) -> Option<u32> {
        let framework = self.frameworks.get_mut(number)?;
        if let Some(slot) = framework.slots.get(role) {
            return Some(*slot);
        }
        let slot = self.tree.add_slot(role, framework.id.as_str().into());
        framework.slots.insert(role.clone(), slot);
        if self.slots.len() <= slot as usize {
            self.slots.resize(slot as usize + 1, None);
        }
        self.slots[slot as usize] = Some(SlotOwner {
            framework: number,
            role: role.clone(),
        });
        // The number may have been another client's before.
        self.reconsider(slot, true);
        Some(slot)
    }

    /// Lists exactly the slots that may be offered something: active, subscribed, not suppressed.
    fn relist(&mut self, number: u32) {
        self.listing += 1;
        let Some(framework) = self.frameworks.get(number) else {
            return;
        };
        for (role, slot) in &framework.slots {
            let wanted = framework.facts.as_ref().is_some_and(|facts| {
                framework.active && facts.roles.contains(role) && !facts.suppressed.contains(role)
            });
            self.tree.set_listed(*slot, wanted);
        }
    }

    /// Looks at the slot anew on every agent, without its refusals if they are to be dropped.
    fn reconsider(&mut self, slot: u32, drop_refusals: bool) {
        for agent in self.agents.values_mut() {
            agent.blocked.remove(slot);
            if drop_refusals {
                agent.filters.remove(slot);
            }
        }
    }

    pub(super) fn refuse(&mut self, framework: &FrameworkId, agent: &AgentId, refused: &Resources, until: u64) {
        let Some(framework) = self
            .frameworks
            .number(framework)
            .and_then(|number| self.frameworks.get(number))
        else {
            return;
        };
        let Some(number) = self.agents.number(agent) else {
            return;
        };
        // A framework that is gone or inactive has no refusals.
        let Some(facts) = framework.facts.as_ref().filter(|_| framework.active) else {
            return;
        };
        for role in refused.allocation_roles() {
            let Some(&slot) = framework.slots.get(&role).filter(|_| facts.roles.contains(&role)) else {
                continue;
            };
            let of_role = refused
                .filter(|entry| entry.kind().allocation_role() == Some(&role))
                .unallocated();
            if let Some(agent) = self.agents.get_mut(number) {
                agent.filters.add(slot, of_role, until);
                self.expiries.add(until, number, slot);
            }
        }
    }

    /// Counts what a known framework holds of an agent for its roles.
    pub(super) fn count(&mut self, agent: u32, framework: u32) {
        for (slot, amount) in self.counted(agent, framework, true) {
            self.tree.allocate(slot, &amount, &self.names);
        }
    }

    /// The reverse of [`Allocator::count`].
    pub(super) fn uncount(&mut self, agent: u32, framework: u32) {
        for (slot, amount) in self.counted(agent, framework, false) {
            self.tree.release(slot, &amount, &self.names);
        }
        self.drop_idle_slots(framework);
    }

    fn counted(&mut self, agent: u32, framework: u32, make_slots: bool) -> Vec<(u32, super::quantities::Quantities)> {
        if self
            .frameworks
            .get(framework)
            .is_none_or(|framework| framework.facts.is_none())
        {
            return Vec::new();
        }
        let Some(held) = self.agents.get(agent).and_then(|agent| agent.held.get(&framework)) else {
            return Vec::new();
        };
        let held = held.all();
        let mut counted = Vec::new();
        for role in held.allocation_roles() {
            let slot = if make_slots {
                self.ensure_slot(framework, &role)
            } else {
                self.frameworks
                    .get(framework)
                    .and_then(|framework| framework.slots.get(&role).copied())
            };
            let amount = self
                .names
                .quantities_where(&held, |entry| entry.kind().allocation_role() == Some(&role));
            counted.extend(slot.map(|slot| (slot, amount)));
        }
        counted
    }

    /// Gives back what was counted for freed resources; shared volumes that are `still` held stay counted.
    pub(super) fn release_counted(&mut self, framework: u32, freed: &Resources, still: &Resources) {
        for role in freed.allocation_roles() {
            let slot = self
                .frameworks
                .get(framework)
                .and_then(|framework| framework.slots.get(&role).copied());
            let Some(slot) = slot else { continue };
            let amount = self.names.quantities_where(freed, |entry| {
                let kind = entry.kind();
                kind.allocation_role() == Some(&role) && !(kind.is_shared() && still.scalar_entry(kind).is_some())
            });
            self.tree.release(slot, &amount, &self.names);
        }
        self.drop_idle_slots(framework);
    }

    /// The framework holds nothing of the agent any more.
    pub(super) fn forget_holder(&mut self, agent: u32, framework: u32) {
        let Some(holder) = self.frameworks.get_mut(framework) else {
            return;
        };
        holder.agents.remove(&agent);
        if holder.facts.is_none() && holder.agents.is_empty() {
            let id = holder.id.clone();
            self.frameworks.remove(&id);
        }
    }

    /// Removes slots for roles that are neither subscribed nor hold anything.
    fn drop_idle_slots(&mut self, number: u32) {
        let Some(framework) = self.frameworks.get(number) else {
            return;
        };
        let Some(facts) = framework.facts.as_ref() else { return };
        let unsubscribed = framework.slots.iter().filter(|(role, _)| !facts.roles.contains(*role));
        let is_idle = |slot: u32| {
            self.tree
                .allocated(slot)
                .is_none_or(|allocated| allocated.iter().all(|(_, amount)| amount == 0))
        };
        let idle: Vec<_> = unsubscribed
            .filter(|(_, slot)| is_idle(**slot))
            .map(|(r, s)| (r.clone(), *s))
            .collect();
        for (role, slot) in idle {
            self.reconsider(slot, true);
            self.tree.remove_slot(slot, &self.names);
            self.slots[slot as usize] = None;
            if let Some(framework) = self.frameworks.get_mut(number) {
                framework.slots.remove(&role);
            }
        }
    }
}
