//! What must always hold in the allocator's books, for tests, debug builds and the simulator.

use super::Allocator;
use super::quantities::Quantities;
use std::collections::BTreeMap;

impl Allocator {
    /// Checks every book against the others.
    ///
    /// # Errors
    /// The first contradiction: names the agent, framework or role and both values.
    pub fn check_invariants(&mut self) -> Result<(), String> {
        self.tree.check_invariants(&self.names)?;
        self.check_agents()?;
        self.check_quotas()?;
        self.check_clients()
    }

    fn check_agents(&self) -> Result<(), String> {
        for (id, number) in self.agents.iter() {
            let Some(agent) = self.agents.get(number) else {
                return Err(format!("agent {id} has no record"));
            };
            let expected = agent.compute_available();
            if agent.available != expected {
                return Err(format!(
                    "agent {id}: '{}' is available, not '{expected}'",
                    agent.available
                ));
            }
            for (framework, held) in &agent.held {
                let listed = self
                    .frameworks
                    .get(*framework)
                    .is_some_and(|f| f.agents.contains(&number));
                if !listed || (held.offered.is_empty() && held.used.is_empty()) {
                    return Err(format!("agent {id}: holder {framework} is not known, or holds nothing"));
                }
            }
            let mut everything = Self::held_exclusively(agent);
            let within = agent.total.contains(&everything);
            everything.add(&agent.available);
            if within && !agent.total.contains(&everything) {
                return Err(format!(
                    "agent {id}: '{everything}' is held or available of '{}'",
                    agent.total
                ));
            }
        }
        Ok(())
    }

    /// True when nothing beyond the total of any agent is offered or used.
    pub fn is_within_totals(&self) -> bool {
        let agents = self.agents.iter().filter_map(|(_, number)| self.agents.get(number));
        agents
            .into_iter()
            .all(|agent| agent.total.contains(&Self::held_exclusively(agent)))
    }

    fn check_clients(&mut self) -> Result<(), String> {
        let mut total = Quantities::default();
        let mut expected: BTreeMap<u32, Quantities> = BTreeMap::new();
        for (id, number) in self.agents.iter() {
            let Some(agent) = self.agents.get(number) else {
                return Err(format!("agent {id} has no record"));
            };
            total.add(&self.names.quantities(&agent.total));
            for (framework, held) in &agent.held {
                let Some(framework) = self.frameworks.get(*framework).filter(|f| f.facts.is_some()) else {
                    continue;
                };
                let held = held.all();
                for role in held.allocation_roles() {
                    let Some(slot) = framework.slots.get(&role) else {
                        return Err(format!(
                            "framework {} holds '{held}' without a slot for {role}",
                            framework.id
                        ));
                    };
                    let amount = self
                        .names
                        .quantities_where(&held, |entry| entry.kind().allocation_role() == Some(&role));
                    expected.entry(*slot).or_default().add(&amount);
                }
            }
        }
        if &total != self.tree.total() {
            return Err(format!(
                "shares are measured against {:?}, the agents have {total:?}",
                self.tree.total()
            ));
        }
        for (slot, owner) in self.slots.iter().enumerate() {
            let Some(owner) = owner else { continue };
            let expected = expected.remove(&(slot as u32)).unwrap_or_default();
            let counted = self.tree.allocated(slot as u32).cloned().unwrap_or_default();
            if counted != expected {
                return Err(format!(
                    "role {}: {counted:?} is counted, {expected:?} is held",
                    owner.role
                ));
            }
        }
        Ok(())
    }
}
