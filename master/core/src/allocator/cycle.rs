//! One run: offering what is available.
//!
//! Two stages over the agents, as in Mesos: first what unsatisfied guarantees ask for, then everything else. Without
//! guarantees there is only the second one, without quotas nothing is cut.

use super::agents::Agent;
use super::facts::{FrameworkFacts, MinAllocatable};
use super::headroom::{Cut, Cuts, Headroom, Stage};
use super::quantities::Names;
use super::role_tree::RoleTree;
use super::shuffle::SplitMix;
use super::{Allocation, Allocator, SlotOwner, constraints, filters};
use crate::ids::{AgentId, FrameworkId};
use crate::resources::{Resources, is_strict_subrole};
use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Allocator {
    /// Offers what is available on the given agents (all when None) and books it as offered.
    ///
    /// `now` is monotonic, in microseconds, the same clock as in [`Allocator::recover_offered`]; `seed` decides the order of the
    /// agents. Each returned allocation is one offer: one framework, one role, one agent, resources carrying the role.
    pub fn allocate(&mut self, now: u64, seed: u64, only: Option<&BTreeSet<AgentId>>) -> Vec<Allocation> {
        self.expire_filters(now);
        self.tree.refresh(&self.names);
        let mut candidates: Vec<u32> = match only {
            None => self.agents.iter().map(|(_, number)| number).collect(),
            Some(ids) => ids.iter().filter_map(|id| self.agents.number(id)).collect(),
        };
        candidates.retain(|&number| self.is_candidate(number));
        let mut random = SplitMix::new(seed);
        random.shuffle(&mut candidates);
        let mut made = Made::default();
        if self.quotas.is_empty() {
            self.allocate_among(&candidates, None, &mut made);
            return made.allocations;
        }
        let mut headroom = self.headroom_of_slots();
        if headroom.has_open_guarantees() {
            self.allocate_among(&candidates, Some((&mut headroom, Stage::Guarantees)), &mut made);
            random.shuffle(&mut candidates);
        }
        self.allocate_among(&candidates, Some((&mut headroom, Stage::Rest)), &mut made);
        merged(made.allocations)
    }

    /// One stage of a run.
    fn allocate_among(&mut self, candidates: &[u32], mut quotas: Option<(&mut Headroom, Stage)>, made: &mut Made) {
        for &number in candidates {
            let quotas = quotas.as_mut().map(|(headroom, stage)| (&mut **headroom, *stage));
            if let Some((headroom, Stage::Guarantees)) = &quotas
                && !headroom.has_open_guarantees()
            {
                return;
            }
            let mut shared_given = made.shared.remove(&number).unwrap_or_default();
            for (slot, resources) in self.choose(number, quotas, &mut shared_given) {
                made.allocations.extend(self.book_offer(number, slot, resources));
            }
            if !shared_given.is_empty() {
                made.shared.insert(number, shared_given);
            }
        }
    }

    fn is_candidate(&self, agent: u32) -> bool {
        self.agents.get(agent).is_some_and(|agent| {
            agent.active
                && !agent.available.is_empty()
                && !agent.blocked.covers(self.listing)
                && self
                    .whitelist
                    .as_ref()
                    .is_none_or(|hosts| hosts.contains(&agent.facts.hostname))
        })
    }

    /// Who gets what of one agent. The order of the clients is that at the start; takes from `available`, books nothing.
    fn choose(
        &mut self,
        agent: u32,
        quotas: Option<(&mut Headroom, Stage)>,
        shared_given: &mut Resources,
    ) -> Vec<(u32, Resources)> {
        let Allocator {
            agents,
            tree,
            frameworks,
            slots,
            names,
            config,
            listing,
            ..
        } = self;
        let Some(agent) = agents.get_mut(agent) else {
            return Vec::new();
        };
        let mut given: Vec<(u32, Resources)> = Vec::new();
        // Plain resources that nobody's global minimum is met by need no look at the clients one by one.
        let meets_global = meets(&config.min_allocatable, &agent.available);
        let mut cuts = quotas.map(|(headroom, stage)| Cuts::new(headroom, stage, &config.min_allocatable));
        if let Some(cuts) = &mut cuts
            && agent.plain
            && meets_global
            && cuts.leave_nothing(&agent.available, names)
        {
            return given;
        }
        let mut was_everybody_asked = true;
        RoleTree::visit(tree, &mut |slot| {
            if agent.blocked.contains(slot) {
                return ControlFlow::Continue(());
            }
            if let Some(cuts) = &mut cuts
                && agent.plain
                && meets_global
                && cuts.leave_too_little(slot, &agent.available, names)
            {
                was_everybody_asked = false;
                return ControlFlow::Continue(());
            }
            let owner = slots.get(slot as usize).and_then(Option::as_ref);
            let facts = owner.and_then(|owner| frameworks.get(owner.framework)?.facts.as_ref());
            let (Some(owner), Some(facts)) = (owner, facts) else {
                return ControlFlow::Continue(());
            };
            let view = View {
                agent,
                facts,
                owner,
                slot,
                shared_given,
            };
            let offer = view.offer(&config.min_allocatable, meets_global, &config.visibility());
            let Some(offer) = offer else {
                if shared_given.is_empty() {
                    agent.blocked.insert(slot);
                }
                return ControlFlow::Continue(());
            };
            let Some(offer) = view.within_quota(offer, cuts.as_mut(), &config.min_allocatable, names) else {
                // Only for now: somebody else may give something back anywhere.
                was_everybody_asked = false;
                return ControlFlow::Continue(());
            };
            if let Some(cuts) = &mut cuts {
                cuts.give(slot, &offer, names);
            }
            agent.take(&offer);
            if !agent.plain {
                shared_given.add(&offer.filter(|entry| entry.kind().is_shared()));
            }
            given.push((slot, offer));
            if agent.available.is_empty() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        if given.is_empty() && was_everybody_asked {
            // Everybody was asked: nobody needs to be until something changes.
            agent.blocked.cover(*listing);
        }
        given
    }

    fn book_offer(&mut self, agent_number: u32, slot: u32, resources: Resources) -> Option<Allocation> {
        let owner = self.slots.get(slot as usize)?.as_ref()?.clone();
        let agent = self.agents.get_mut(agent_number)?;
        let allocated = resources.allocated_to(&owner.role);
        let held = agent.held.entry(owner.framework).or_default();
        let amount = self.names.quantities_where(&allocated, |entry| {
            // A shared volume counts once however often its client holds it.
            !entry.kind().is_shared()
                || (held.offered.scalar_entry(entry.kind()).is_none() && held.used.scalar_entry(entry.kind()).is_none())
        });
        held.offered.add(&allocated);
        let agent_id = agent.id.clone();
        let framework = self.frameworks.get_mut(owner.framework)?;
        framework.agents.insert(agent_number);
        self.tree.allocate(slot, &amount, &self.names);
        self.quotas.touch(agent_number);
        Some(Allocation {
            framework_id: framework.id.clone(),
            role: owner.role,
            agent_id,
            resources: allocated,
        })
    }

    fn expire_filters(&mut self, now: u64) {
        for (agent, slot) in self.expiries.take_due(now) {
            if let Some(agent) = self.agents.get_mut(agent) {
                filters::expire(&mut agent.filters, slot, now);
                agent.blocked.remove(slot);
            }
        }
    }
}

/// What one run has offered so far.
#[derive(Default)]
struct Made {
    allocations: Vec<Allocation>,
    /// Shared volumes that were offered, by agent: once per run.
    shared: BTreeMap<u32, Resources>,
}

/// What the operator's flags hide from frameworks.
pub(super) struct Visibility<'a> {
    pub(super) filter_gpu_resources: bool,
    pub(super) master_region: Option<&'a str>,
}

/// One agent as one client may see it.
struct View<'a> {
    agent: &'a Agent,
    facts: &'a FrameworkFacts,
    owner: &'a SlotOwner,
    slot: u32,
    shared_given: &'a Resources,
}

impl View<'_> {
    /// What the client is to be offered, without allocation role; None when nothing.
    fn offer(&self, least: &MinAllocatable, meets_global: bool, visibility: &Visibility<'_>) -> Option<Resources> {
        let own_least = self.facts.min_allocatable.get(&*self.owner.role);
        if self.agent.plain && own_least.is_none() && !meets_global {
            return None;
        }
        if !self.agent_is_visible(visibility) {
            return None;
        }
        let candidate = if self.agent.plain {
            Cow::Borrowed(&self.agent.available)
        } else {
            Cow::Owned(self.usable())
        };
        if candidate.is_empty() || !meets(own_least.unwrap_or(least), &candidate) {
            return None;
        }
        (!self.agent.filters.refuses(self.slot, &candidate)).then(|| candidate.into_owned())
    }

    /// What quotas leave of an offer; None when nothing, or too little.
    fn within_quota(
        &self,
        offer: Resources,
        cuts: Option<&mut Cuts<'_>>,
        least: &MinAllocatable,
        names: &Names,
    ) -> Option<Resources> {
        let Some(cuts) = cuts else {
            return Some(offer);
        };
        match cuts.cut(self.slot, &offer, self.agent.plain, names) {
            Cut::Whole => Some(offer),
            Cut::Nothing => None,
            Cut::Part(part) => {
                let least = self.facts.min_allocatable.get(&*self.owner.role).unwrap_or(least);
                let is_offered =
                    !part.is_empty() && meets(least, &part) && !self.agent.filters.refuses(self.slot, &part);
                is_offered.then_some(part)
            }
        }
    }

    fn agent_is_visible(&self, visibility: &Visibility<'_>) -> bool {
        let (agent, facts) = (&self.agent.facts, self.facts);
        let gpus_hidden = visibility.filter_gpu_resources && self.agent.has_gpus && !facts.gpu_resources;
        let remote = agent.region.is_some() && agent.region.as_deref() != visibility.master_region;
        !(gpus_hidden
            || (remote && !facts.region_aware)
            || (facts.multi_role && !agent.multi_role)
            || (self.owner.role.contains('/') && !agent.hierarchical_role))
            && facts
                .constraints
                .get(&*self.owner.role)
                .is_none_or(|wanted| constraints::accepts(wanted, agent))
    }

    /// What of the available resources the role may have and the framework understands.
    fn usable(&self) -> Resources {
        let role = &*self.owner.role;
        self.agent.available.filter(|entry| {
            let kind = entry.kind();
            kind.reservation_role()
                .is_none_or(|reserved| reserved == role || is_strict_subrole(reserved, role))
                && (!kind.is_revocable() || self.facts.revocable_resources)
                && (!kind.is_refined() || self.facts.reservation_refinement)
                && (!kind.is_shared() || (self.facts.shared_resources && !self.was_given(entry.kind())))
        })
    }

    /// Shared volumes are offered at most once per run and agent.
    fn was_given(&self, kind: &crate::resources::Kind) -> bool {
        self.shared_given.scalar_entry(kind).is_some()
    }
}

/// One offer per framework, role and agent, though two stages gave something.
fn merged(allocations: Vec<Allocation>) -> Vec<Allocation> {
    let mut places: BTreeMap<(FrameworkId, Arc<str>, AgentId), usize> = BTreeMap::new();
    let mut merged: Vec<Allocation> = Vec::with_capacity(allocations.len());
    for allocation in allocations {
        let key = (
            allocation.framework_id.clone(),
            allocation.role.clone(),
            allocation.agent_id.clone(),
        );
        match places.entry(key) {
            Entry::Occupied(place) => merged[*place.get()].resources.add(&allocation.resources),
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push(allocation);
            }
        }
    }
    merged
}

fn meets(least: &MinAllocatable, resources: &Resources) -> bool {
    least.is_met(|name| resources.scalar(name))
}
