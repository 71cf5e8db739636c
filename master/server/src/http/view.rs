//! What several read endpoints derive from one soft state: who is connected, and sums of resources.
//!
//! Built for one answer and dropped with it. Nothing here knows how answers are encoded.

use std::collections::BTreeMap;

use master_core::ids::{AgentId, FrameworkId, OfferId};
use master_core::registry::{Agent, CompletedFramework, Executor, Framework, Task};
use master_core::resources::Resources;
use master_core::timestamp::Timestamp;

use crate::leadership::soft_state::{AgentSoftState, OfferSoftState, SoftState};

/// One soft state with the indexes its readers need.
pub(super) struct View<'a> {
    /// What it is a view of.
    pub(super) state: &'a SoftState,
    executors: BTreeMap<&'a FrameworkId, Vec<&'a Executor>>,
    offers: BTreeMap<&'a FrameworkId, Vec<(&'a OfferId, &'a OfferSoftState)>>,
    offered_of_agents: BTreeMap<&'a AgentId, Resources>,
}

/// A framework with its connection and what it holds.
pub(super) struct FrameworkView<'a> {
    /// The framework.
    pub(super) framework: &'a Framework,
    /// It has an event stream.
    pub(super) connected: bool,
    /// It gets offers. Mesos can deactivate a connected framework, this master does not.
    pub(super) active: bool,
    /// Known, but not subscribed with this leadership.
    pub(super) recovered: bool,
    /// When it was removed, for completed ones.
    pub(super) removed_at: Option<Timestamp>,
    /// What its executors and the tasks that have not ended use.
    pub(super) used: Resources,
    /// What is offered to it.
    pub(super) offered: Resources,
    /// Its executors on all agents.
    pub(super) executors: &'a [&'a Executor],
    /// Its outstanding offers.
    pub(super) offers: &'a [(&'a OfferId, &'a OfferSoftState)],
}

/// An agent that registered or reregistered with this leadership.
pub(super) struct AgentView<'a> {
    /// As the registry has it.
    pub(super) agent: &'a Agent,
    /// Its connection.
    pub(super) soft: &'a AgentSoftState,
    /// What of it is offered to frameworks.
    pub(super) offered: Option<&'a Resources>,
    /// When it last came back, to this leadership or an earlier one.
    pub(super) reregistered_at: Option<Timestamp>,
}

impl<'a> View<'a> {
    /// Builds the indexes: one pass over agents, executors and offers.
    pub(super) fn new(state: &'a SoftState) -> View<'a> {
        let mut executors: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for executor in state.registry.agents().flat_map(|agent| agent.executors.values()) {
            executors.entry(&executor.framework_id).or_default().push(&**executor);
        }
        let mut offers: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut offered_of_agents: BTreeMap<_, Resources> = BTreeMap::new();
        for (id, offer) in &state.offers {
            offers.entry(&offer.framework_id).or_default().push((id, offer));
            offered_of_agents
                .entry(&offer.agent_id)
                .or_default()
                .add(&offer.resources);
        }
        View {
            state,
            executors,
            offers,
            offered_of_agents,
        }
    }

    /// Agents of this leadership, in id order.
    pub(super) fn agents(&self) -> impl Iterator<Item = AgentView<'_>> {
        self.state.registry.agents().filter_map(|agent| {
            let soft = self.state.agents.get(&agent.id)?;
            // An agent that comes back unchanged leaves no trace in the registry.
            let came_back = agent.registered_at < Timestamp(self.state.elected_at);
            let here = came_back.then_some(Timestamp(soft.registered_at));
            Some(AgentView {
                agent,
                soft,
                offered: self.offered_of_agents.get(&agent.id),
                reregistered_at: agent.reregistered_at.max(here),
            })
        })
    }

    /// Agents in the registry that have not come back to this leadership yet, in id order.
    pub(super) fn recovered_agents(&self) -> impl Iterator<Item = &'a Agent> {
        let state = self.state;
        state
            .registry
            .agents()
            .map(|agent| &**agent)
            .filter(|agent| !state.agents.contains_key(&agent.id))
    }

    /// Frameworks that were not removed, in id order.
    pub(super) fn frameworks(&self) -> impl Iterator<Item = FrameworkView<'_>> {
        self.state
            .registry
            .frameworks()
            .map(|framework| self.framework(framework))
    }

    /// Removed frameworks, oldest first.
    pub(super) fn completed_frameworks(&self) -> impl Iterator<Item = FrameworkView<'_>> {
        self.state
            .registry
            .completed_frameworks()
            .map(|completed| completed_framework(completed))
    }

    fn framework<'v>(&'v self, framework: &'v Framework) -> FrameworkView<'v> {
        let soft = self.state.frameworks.get(&framework.id);
        let connected = soft.is_some_and(|soft| soft.connected);
        let executors = self.executors.get(&framework.id).map_or(&[][..], Vec::as_slice);
        let offers = self.offers.get(&framework.id).map_or(&[][..], Vec::as_slice);
        let mut used = Resources::new();
        for task in self
            .state
            .registry
            .tasks_of_framework(&framework.id)
            .filter(|task| !task.is_terminal())
        {
            used.add(&task.resources);
        }
        for executor in executors {
            used.add(&executor.resources);
        }
        FrameworkView {
            framework,
            connected,
            active: connected,
            recovered: framework.recovered || soft.is_none_or(|soft| soft.subscribed_at.is_none()),
            removed_at: None,
            used,
            offered: offers.iter().map(|(_, offer)| &offer.resources).sum(),
            executors,
            offers,
        }
    }
}

fn completed_framework(completed: &CompletedFramework) -> FrameworkView<'_> {
    FrameworkView {
        framework: &completed.framework,
        connected: false,
        active: false,
        recovered: false,
        removed_at: Some(completed.removed_at),
        used: Resources::new(),
        offered: Resources::new(),
        executors: &[],
        offers: &[],
    }
}

impl FrameworkView<'_> {
    /// Used and offered together.
    pub(super) fn resources(&self) -> Resources {
        let mut all = self.used.clone();
        all.add(&self.offered);
        all
    }
}

/// The tasks of one framework, by where they stand.
#[derive(Clone, Copy)]
pub(super) struct TasksOf<'a> {
    state: &'a SoftState,
    framework_id: &'a FrameworkId,
}

impl<'a> TasksOf<'a> {
    pub(super) fn new(state: &'a SoftState, framework_id: &'a FrameworkId) -> TasksOf<'a> {
        TasksOf { state, framework_id }
    }

    /// On agents; ended ones until they are acknowledged.
    pub(super) fn live(self) -> impl Iterator<Item = &'a Task> {
        self.state
            .registry
            .tasks_of_framework(self.framework_id)
            .map(|task| &**task)
    }

    /// On unreachable agents, oldest first.
    pub(super) fn unreachable(self) -> impl Iterator<Item = &'a Task> {
        let history = self.state.registry.history(self.framework_id);
        history
            .into_iter()
            .flat_map(|history| history.unreachable())
            .map(|task| &**task)
    }

    /// Ended and acknowledged, oldest first.
    pub(super) fn completed(self) -> impl Iterator<Item = &'a Task> {
        let history = self.state.registry.history(self.framework_id);
        history
            .into_iter()
            .flat_map(|history| history.completed())
            .map(|task| &**task)
    }

    /// All of them.
    pub(super) fn all(self) -> impl Iterator<Item = &'a Task> {
        self.live().chain(self.unreachable()).chain(self.completed())
    }
}

/// Ids of all frameworks, then of all completed ones.
pub(super) fn framework_ids(state: &SoftState) -> impl Iterator<Item = &FrameworkId> {
    let completed = state
        .registry
        .completed_frameworks()
        .map(|completed| &completed.framework.id);
    state
        .registry
        .frameworks()
        .map(|framework| &framework.id)
        .chain(completed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::cluster::soft_state;

    #[test]
    fn an_agent_admitted_before_this_leadership_came_back_to_it() {
        let mut state = soft_state();
        let reregistered = |state: &SoftState| View::new(state).agents().next().unwrap().reregistered_at;
        assert_eq!(reregistered(&state), None);
        state.elected_at += 1_000_000_000;
        for agent in state.agents.values_mut() {
            agent.registered_at = state.elected_at + 5;
        }
        assert_eq!(reregistered(&state), Some(Timestamp(state.elected_at + 5)));
    }

    #[test]
    fn a_framework_that_has_not_subscribed_here_is_recovered() {
        let mut state = soft_state();
        state.frameworks.clear();
        let view = View::new(&state);
        let framework = view.frameworks().next().unwrap();
        assert!(framework.recovered && !framework.connected && !framework.active);
        assert_eq!(framework.used.scalar("cpus"), 1_100);
    }
}
