//! The allocator: who is offered which resources (Mesos's hierarchical dominant-resource-fairness allocator).
//!
//! Soft state of one leadership, rebuilt from the registry by each new leader. Pure: time (monotonic microseconds) and
//! the seed of the agents' order are passed in; there is no I/O and no timer. The invariant everything rests on: what is
//! offered and used of an agent never exceeds its total, except what an agent already used when it reported.
//!
//! Habits that frameworks are tuned to and that are kept: an agent's resources go to one framework at a time, whole; a refusal
//! suppresses offers that it contains; shares count offers.
//!
//! Quotas of top-level roles are kept (see `quotas`): limits are never exceeded by an offer, what is guaranteed is held back
//! from everybody else.
//!
//! Not here yet: inverse offers, the random sorter.

mod agents;
mod constraints;
mod cycle;
mod facts;
mod filters;
mod frameworks;
mod headroom;
mod invariants;
mod quantities;
mod quotas;
mod role_tree;
mod shuffle;
mod slab;
#[cfg(test)]
mod tests;

pub use facts::{AgentFacts, FrameworkFacts, MinAllocatable, framework_roles};
pub use filters::{DEFAULT_REFUSE_SECONDS, MAX_REFUSE_SECONDS, MICROS_PER_SECOND, refuse_duration};
pub use role_tree::DEFAULT_WEIGHT;

use crate::ids::{AgentId, FrameworkId};
use crate::resources::Resources;
use agents::{Agent, exclusively};
use cycle::Visibility;
use filters::Expiries;
use frameworks::Framework;
use quantities::Names;
use quotas::Quotas;
use role_tree::RoleTree;
use slab::Slab;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The operator's choices; names are those of Mesos's flags.
#[derive(Clone, Debug)]
pub struct AllocatorConfig {
    /// `--allocation_interval` in microseconds (1 s): the shortest time a refusal lasts.
    pub allocation_interval: u64,
    /// `--min_allocatable_resources` (`cpus:0.01|mem:32`): offers hold at least one of these.
    pub min_allocatable: MinAllocatable,
    /// `--filter_gpu_resources` (true): agents with gpus are only for frameworks with GPU_RESOURCES.
    pub filter_gpu_resources: bool,
    /// The region of the masters; agents elsewhere are only for REGION_AWARE frameworks.
    pub master_region: Option<String>,
    /// `--fair_sharing_excluded_resource_names` (none): names that do not count for shares.
    pub fair_sharing_excluded: BTreeSet<String>,
}

impl Default for AllocatorConfig {
    fn default() -> Self {
        AllocatorConfig {
            allocation_interval: MICROS_PER_SECOND,
            min_allocatable: MinAllocatable::mesos_default(),
            filter_gpu_resources: true,
            master_region: None,
            fair_sharing_excluded: BTreeSet::new(),
        }
    }
}

impl AllocatorConfig {
    fn visibility(&self) -> Visibility<'_> {
        Visibility {
            filter_gpu_resources: self.filter_gpu_resources,
            master_region: self.master_region.as_deref(),
        }
    }
}

/// One offer to be made: all resources are of one agent, for one role, and carry it as their allocation role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// To whom.
    pub framework_id: FrameworkId,
    /// For which of its roles.
    pub role: Arc<str>,
    /// Of which agent.
    pub agent_id: AgentId,
    /// What, allocated to the role.
    pub resources: Resources,
}

/// Which agents want a run before the next periodic one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Requested {
    /// None; the periodic run will do.
    #[default]
    Nothing,
    /// These.
    Agents(BTreeSet<AgentId>),
    /// All of them.
    AllAgents,
}

/// Whose slot it is.
#[derive(Clone, Debug)]
struct SlotOwner {
    framework: u32,
    role: Arc<str>,
}

/// The allocator; see the module's text.
#[derive(Debug)]
pub struct Allocator {
    config: AllocatorConfig,
    agents: Slab<AgentId, Agent>,
    frameworks: Slab<FrameworkId, Framework>,
    /// Owners of the slots of `tree`, by slot number.
    slots: Vec<Option<SlotOwner>>,
    tree: RoleTree,
    quotas: Quotas,
    names: Names,
    expiries: Expiries,
    whitelist: Option<BTreeSet<String>>,
    requested: Requested,
    /// Counts changes of what is listed in `tree`.
    listing: u64,
}

impl Allocator {
    /// An allocator without agents and frameworks.
    pub fn new(config: AllocatorConfig) -> Self {
        let tree = RoleTree::new(config.fair_sharing_excluded.clone());
        Allocator {
            config,
            agents: Slab::new(),
            frameworks: Slab::new(),
            slots: Vec::new(),
            tree,
            quotas: Quotas::default(),
            names: Names::new(),
            expiries: Expiries::default(),
            whitelist: None,
            requested: Requested::Nothing,
            listing: 0,
        }
    }

    /// Which agents should be allocated at once rather than by the next periodic run, as Mesos decides it: all after a
    /// framework was added, activated or revived, one after it was added or changed. Taking it resets it.
    pub fn take_requested(&mut self) -> Requested {
        std::mem::take(&mut self.requested)
    }

    /// Adds an agent with what frameworks already use of it (each resource with its allocation role). What frameworks use
    /// that are not known yet is withheld from offers, and counted once they are added. An agent that is known is replaced.
    pub fn add_agent(&mut self, id: AgentId, facts: AgentFacts, total: Resources, used: &[(FrameworkId, Resources)]) {
        self.remove_agent(&id);
        let quantities = self.names.quantities(&total);
        self.tree.change_total(&Default::default(), &quantities);
        let number = self
            .agents
            .number_or_insert(&id, || Agent::new(id.clone(), facts, total));
        for (framework, resources) in used {
            self.hold(number, framework, resources);
        }
        self.recompute(number);
        self.request_agent(id);
    }

    /// Removes an agent with everything held of it.
    pub fn remove_agent(&mut self, id: &AgentId) {
        let Some(number) = self.agents.number(id) else { return };
        let holders: Vec<u32> = self
            .agents
            .get(number)
            .map(|agent| agent.held.keys().copied().collect())
            .unwrap_or_default();
        for framework in holders {
            self.uncount(number, framework);
            if let Some(agent) = self.agents.get_mut(number) {
                agent.held.remove(&framework);
            }
            self.forget_holder(number, framework);
        }
        self.quotas.touch(number);
        if let Some((_, agent)) = self.agents.remove(id) {
            let quantities = self.names.quantities(&agent.total);
            self.tree.change_total(&quantities, &Default::default());
        }
    }

    /// True when the agent is known.
    pub fn knows_agent(&self, id: &AgentId) -> bool {
        self.agents.number(id).is_some()
    }

    /// Changes an agent's total; what is held stays held, even beyond the new total.
    pub fn update_agent_total(&mut self, id: &AgentId, total: Resources) {
        let Some(number) = self.agents.number(id) else { return };
        let Some(agent) = self.agents.get_mut(number) else {
            return;
        };
        if agent.total == total {
            return;
        }
        let (less, more) = (self.names.quantities(&agent.total), self.names.quantities(&total));
        agent.total = total;
        self.recompute(number);
        self.tree.change_total(&less, &more);
        self.request_agent(id.clone());
    }

    /// Changes what is known of an agent; a change of its attributes removes all refusals of it.
    pub fn update_agent_facts(&mut self, id: &AgentId, facts: AgentFacts) {
        let Some(agent) = self.agents.number(id).and_then(|number| self.agents.get_mut(number)) else {
            return;
        };
        if agent.facts == facts {
            return;
        }
        if agent.facts.attributes != facts.attributes {
            agent.filters.clear();
        }
        agent.facts = facts;
        agent.blocked.clear();
        self.request_agent(id.clone());
    }

    /// Allows offers of the agent again (it is picked up by the next periodic run).
    pub fn activate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, true);
    }

    /// Stops offers of the agent: disconnected, draining or deactivated.
    pub fn deactivate_agent(&mut self, id: &AgentId) {
        self.set_agent_active(id, false);
    }

    fn set_agent_active(&mut self, id: &AgentId, active: bool) {
        let Some(number) = self.agents.number(id) else { return };
        if let Some(agent) = self.agents.get_mut(number) {
            agent.active = active;
            self.quotas.touch(number);
        }
    }

    /// Only agents with these host names are offered; None: all.
    pub fn set_whitelist(&mut self, hostnames: Option<BTreeSet<String>>) {
        self.whitelist = hostnames;
    }

    /// Sets a role's weight; it must be positive, other values are taken as the default.
    pub fn set_weight(&mut self, role: &str, weight: f64) {
        self.tree.set_weight(
            role,
            if weight.is_finite() && weight > 0.0 {
                weight
            } else {
                DEFAULT_WEIGHT
            },
        );
    }

    /// Resources of an offer come back: it was declined, rescinded or not fully used. With a duration (microseconds, see
    /// [`refuse_duration`]) the framework is not offered them again for that long, at least for one allocation interval.
    /// Returns what was not held (empty unless the caller's books differ).
    pub fn recover_offered(
        &mut self,
        now: u64,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        refuse: Option<u64>,
    ) -> Resources {
        let missing = self.recover(framework, agent, resources, |held| (&mut held.offered, &mut held.used));
        if let Some(refuse) = refuse {
            let until = now.saturating_add(refuse.max(self.config.allocation_interval));
            self.refuse(framework, agent, resources, until);
        }
        missing
    }

    /// Resources of tasks and executors come back. Returns what was not held (empty unless the caller's books differ).
    pub fn recover_used(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) -> Resources {
        self.recover(framework, agent, resources, |held| (&mut held.used, &mut held.offered))
    }

    /// Resources that were offered are now used by a task or an executor. Returns what was not offered (empty unless the
    /// caller's books differ).
    pub fn allocated(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) -> Resources {
        let (Some(framework), Some(agent)) = (self.frameworks.number(framework), self.agents.number(agent)) else {
            return resources.clone();
        };
        let held = self
            .agents
            .get_mut(agent)
            .and_then(|agent| agent.held.get_mut(&framework));
        let Some(held) = held else {
            return resources.clone();
        };
        let missing = held.offered.take_available(resources);
        let mut moved = resources.clone();
        moved.take_available(&missing);
        held.used.add(&moved);
        missing
    }

    /// Resources that are used without having been offered (reported by an agent, or a launch that survived its offer).
    pub fn use_unoffered(&mut self, framework: &FrameworkId, agent: &AgentId, resources: &Resources) {
        let Some(number) = self.agents.number(agent) else {
            return;
        };
        self.hold(number, framework, resources);
        self.recompute(number);
    }

    /// Brings what follows from an agent's total and what is held of it up to date.
    fn recompute(&mut self, agent: u32) {
        if let Some(agent) = self.agents.get_mut(agent) {
            agent.recompute();
        }
        self.quotas.touch(agent);
    }

    /// Converts offered resources (reserving, unreserving, creating and destroying volumes): `consumed` becomes `converted`
    /// for the framework, and in the agent's total. False, and nothing is changed, when `consumed` is not offered to it.
    #[must_use = "false means that nothing was converted"]
    pub fn convert(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        consumed: &Resources,
        converted: &Resources,
    ) -> bool {
        let (Some(framework), Some(number)) = (self.frameworks.number(framework), self.agents.number(agent)) else {
            return false;
        };
        let offered = self
            .agents
            .get(number)
            .and_then(|agent| agent.held.get(&framework))
            .map(|held| &held.offered);
        if !offered.is_some_and(|offered| offered.contains(consumed)) {
            return false;
        }
        self.uncount(number, framework);
        if let Some(agent) = self.agents.get_mut(number) {
            let less = self.names.quantities(&agent.total);
            agent.total.take_available(&consumed.unallocated());
            agent.total.add(&converted.unallocated());
            if let Some(held) = agent.held.get_mut(&framework) {
                held.offered.take_available(consumed);
                held.offered.add(converted);
            }
            let more = self.names.quantities(&agent.total);
            self.tree.change_total(&less, &more);
        }
        self.recompute(number);
        self.count(number, framework);
        true
    }

    /// Converts resources that nobody holds, in the agent's total (an operator's operations). False, and nothing is changed,
    /// when `consumed` is not free.
    #[must_use = "false means that nothing was converted"]
    pub fn convert_available(&mut self, agent: &AgentId, consumed: &Resources, converted: &Resources) -> bool {
        let Some(number) = self.agents.number(agent) else {
            return false;
        };
        let Some(agent) = self.agents.get_mut(number) else {
            return false;
        };
        if !agent.available.contains(consumed) {
            return false;
        }
        let less = self.names.quantities(&agent.total);
        agent.total.take_available(consumed);
        agent.total.add(converted);
        let more = self.names.quantities(&agent.total);
        self.recompute(number);
        self.tree.change_total(&less, &more);
        true
    }

    /// What of an agent is free to be offered; None when the agent is not known.
    pub fn available(&self, agent: &AgentId) -> Option<&Resources> {
        Some(&self.agents.get(self.agents.number(agent)?)?.available)
    }

    fn request_agent(&mut self, id: AgentId) {
        match &mut self.requested {
            Requested::AllAgents => {}
            Requested::Agents(agents) => drop(agents.insert(id)),
            Requested::Nothing => self.requested = Requested::Agents(BTreeSet::from([id])),
        }
    }

    fn recover(
        &mut self,
        framework: &FrameworkId,
        agent: &AgentId,
        resources: &Resources,
        books: impl Fn(&mut agents::Held) -> (&mut Resources, &mut Resources),
    ) -> Resources {
        let (Some(framework), Some(number)) = (self.frameworks.number(framework), self.agents.number(agent)) else {
            return resources.clone();
        };
        let Some(agent) = self.agents.get_mut(number) else {
            return resources.clone();
        };
        let Some(held) = agent.held.get_mut(&framework) else {
            return resources.clone();
        };
        let (first, second) = books(held);
        let missing = first.take_available(resources);
        let missing = if missing.is_empty() {
            missing
        } else {
            second.take_available(&missing)
        };
        let mut freed = resources.clone();
        freed.take_available(&missing);
        // A shared volume is given back to the share when its client holds it no more.
        let still = held.all();
        let all_freed = still.is_empty();
        if all_freed {
            agent.held.remove(&framework);
        }
        self.recompute(number);
        self.release_counted(framework, &freed, &still);
        if all_freed {
            self.forget_holder(number, framework);
        }
        missing
    }

    fn hold(&mut self, agent_number: u32, id: &FrameworkId, resources: &Resources) {
        if resources.is_empty() {
            return;
        }
        let framework = self.frameworks.number_or_insert(id, || Framework::unknown(id.clone()));
        self.uncount(agent_number, framework);
        if let Some(agent) = self.agents.get_mut(agent_number) {
            agent.held.entry(framework).or_default().used.add(resources);
        }
        if let Some(framework) = self.frameworks.get_mut(framework) {
            framework.agents.insert(agent_number);
        }
        self.count(agent_number, framework);
    }

    /// For tests and debug builds: the parts nobody else can have, over all holders of an agent.
    fn held_exclusively(agent: &Agent) -> Resources {
        let mut sum = Resources::new();
        agent
            .held
            .values()
            .for_each(|held| sum.add(&exclusively(&held.all()).unallocated()));
        sum
    }
}
