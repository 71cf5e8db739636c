//! Runs the checker over a model and says what it found.

use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

use crate::properties::properties;
use crate::steps::Step;
use crate::story;
use crate::system::{Faults, System};

/// How deep a counter-example is searched for; all known ones are found long before.
const DEPTH_MAX: usize = 30;

/// Which mistake is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// None.
    Correct,
    /// A leader sends a launch when it proposes it.
    EffectBeforeCommit,
    /// A launch that an agent does not report is sent again, also by a master that may have sent it before, to an agent that
    /// does not deduplicate. (Leadership goes from A to B and back to A.)
    RedeliverWithoutAba,
    /// Our agent starts a task although it has said that it does not know it.
    ForgetDenial,
    /// A launch is sent again to our agent without a commit in between.
    ResendUncommitted,
    /// The next leader does not repeat kills.
    ForgetKill,
}

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Tasks, at most two.
    pub tasks: usize,
    /// The framework may ask for kills.
    pub kills: bool,
    /// Tasks may end by themselves.
    pub finishes: bool,
    /// What a master has sent can arrive after the agent has followed another one and follows that master again.
    pub late_messages: bool,
    /// Faults of each kind.
    pub faults: Faults,
}

impl Bounds {
    /// One task, two changes of the leader that nobody's death calls for, a death of a master, and a restart of the agent.
    pub fn one_task() -> Self {
        Bounds {
            tasks: 1,
            kills: true,
            finishes: true,
            late_messages: false,
            faults: Faults {
                elections: 2,
                crashes: 1,
                agent_restarts: 1,
                breaks: 0,
                wrong_detections: 0,
                repeats: 0,
            },
        }
    }

    /// One task, one change of the leader; nobody dies, but a connection breaks, a report is made twice, and the agent once takes a
    /// deposed leader for the leader.
    pub fn broken_connections() -> Self {
        Bounds {
            faults: Faults {
                elections: 1,
                crashes: 0,
                agent_restarts: 0,
                breaks: 1,
                wrong_detections: 1,
                repeats: 1,
            },
            ..Self::one_task()
        }
    }

    /// One task, one leader, an agent that is restarted twice.
    pub fn two_restarts() -> Self {
        Bounds {
            faults: Faults {
                elections: 0,
                crashes: 0,
                agent_restarts: 2,
                breaks: 0,
                wrong_detections: 0,
                repeats: 0,
            },
            ..Self::one_task()
        }
    }

    /// Two tasks that do not end, and two changes of the leader, of which one because a master died.
    pub fn two_tasks() -> Self {
        Bounds {
            tasks: 2,
            kills: false,
            finishes: false,
            late_messages: false,
            faults: Faults {
                elections: 1,
                crashes: 1,
                agent_restarts: 0,
                breaks: 0,
                wrong_detections: 0,
                repeats: 0,
            },
        }
    }
}

/// The model with its parameters.
#[derive(Clone, Debug)]
pub struct LaunchModel {
    /// Which mistake.
    pub variant: Variant,
    /// Our agent does, an unmodified one does not.
    pub deduplicates: bool,
    /// How far.
    pub bounds: Bounds,
}

impl Model for LaunchModel {
    type State = System;
    type Action = Step;

    fn init_states(&self) -> Vec<System> {
        vec![System::new(self.bounds.faults)]
    }

    fn actions(&self, state: &System, actions: &mut Vec<Step>) {
        self.steps(state, actions);
    }

    fn next_state(&self, state: &System, step: Step) -> Option<System> {
        Some(self.after(state, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties(self)
    }
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Different states looked at.
    pub states: usize,
    /// Steps taken, those to states seen before included.
    pub steps: usize,
    /// Length of the longest shortest way to a state.
    pub depth: usize,
    /// What must hold and does not, with the shortest way there as sentences. Ordered by name.
    pub violated: Vec<(&'static str, Vec<String>)>,
    /// What should be possible and was not reached; only meaningful when the whole model was looked at.
    pub unreached: Vec<&'static str>,
}

/// Looks at every state within the bounds, breadth first.
pub fn check(model: LaunchModel, threads: usize) -> Found {
    look(model.checker().threads(threads).spawn_bfs().join())
}

/// Looks until the property is found violated, ever one step deeper, so that the way there is a shortest one; at most
/// [`DEPTH_MAX`] steps deep.
pub fn search(model: &LaunchModel, property: &'static str) -> Found {
    let look_at = |depth: usize| {
        let wanted = HasDiscoveries::AnyOf([property].into());
        let checker = model.clone().checker().threads(1).target_max_depth(depth);
        look(checker.finish_when(wanted).spawn_bfs().join())
    };
    let is_found = |found: &Found| found.violated.iter().any(|(name, _)| *name == property);
    let first = (2..DEPTH_MAX).map(look_at).find(is_found);
    first.unwrap_or_else(|| look_at(DEPTH_MAX))
}

fn look(checker: impl Checker<LaunchModel>) -> Found {
    let discoveries = checker.discoveries();
    let mut violated = Vec::new();
    let mut unreached = Vec::new();
    for property in checker.model().properties() {
        let discovery = discoveries.get(property.name).cloned();
        match (property.expectation, discovery) {
            (Expectation::Sometimes, None) => unreached.push(property.name),
            (Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => violated.push((property.name, story::tell(path.into_vec()))),
        }
    }
    violated.sort_by_key(|(name, _)| *name);
    Found {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        violated,
        unreached,
    }
}
