//! What must hold in every state, and what must be possible.

use stateright::Property;

use crate::check::LaunchModel;
use crate::steps::Step;
use crate::system::{AgentTask, System, TASKS_MAX, TaskState};

/// A launch starts one process, however often it is sent.
pub const STARTED_ONCE: &str = "a task is started at most once";
/// No process runs that the registry does not know of.
pub const ON_RECORD: &str = "what was started is on record";
/// Once everything has settled, an accepted task runs, and the registry says so, or its end was told.
pub const NOT_LOST: &str = "an accepted task is not lost";
/// A task whose end was told never has another state again.
pub const STAYS_ENDED: &str = "a task that ended stays ended";
/// Once everything has settled, a task whose kill was accepted does not run.
pub const KILL_WORKS: &str = "an accepted kill takes effect";
/// A framework that was told that a task was dropped starts another in its place; the first must not run as well.
pub const DROPPED_STAYS_AWAY: &str = "what was reported dropped does not run";

/// Sanity: without these a check could pass because nothing happens.
pub const RUNS_AFTER_TWO_CHANGES: &str = "a task runs and is on record after two changes of the leader";
/// A launch was sent again, and started the task.
pub const SENT_AGAIN_AND_RUNS: &str = "a launch that was sent again starts its task";
/// A task is reported dropped.
pub const DROPPED: &str = "a task is reported dropped";
/// A kill ended a task after another leader took over.
pub const KILLED_AFTER_CHANGE: &str = "a kill takes effect after a change of the leader";

fn each(holds: impl Fn(usize) -> bool) -> bool {
    (0..TASKS_MAX).all(holds)
}

fn state(system: &System, id: usize) -> Option<TaskState> {
    system.registry.tasks[id].map(|task| task.state)
}

fn runs(system: &System, id: usize) -> bool {
    system.agent.tasks[id] == AgentTask::Running
}

/// Nothing more happens unless somebody decides something or a fault strikes.
fn has_settled(model: &LaunchModel, system: &System) -> bool {
    let mut steps: Vec<Step> = Vec::new();
    model.steps(system, &mut steps);
    steps.iter().all(|step| step.is_fault() || step.is_choice())
}

/// All of them, those of the model's bounds and agent.
pub fn properties(model: &LaunchModel) -> Vec<Property<LaunchModel>> {
    let mut all = vec![
        Property::always(STARTED_ONCE, |_, system: &System| {
            each(|id| system.witness.starts[id] <= 1)
        }),
        Property::always(ON_RECORD, |_, system: &System| {
            each(|id| system.witness.starts[id] == 0 || system.registry.tasks[id].is_some())
        }),
        Property::always(NOT_LOST, |model: &LaunchModel, system: &System| {
            let is_settled = |id: usize| match state(system, id) {
                None => true,
                Some(TaskState::Running) => runs(system, id),
                Some(TaskState::Staging) => false,
                Some(TaskState::Ended | TaskState::Dropped) => true,
            };
            each(is_settled) || !has_settled(model, system)
        }),
        Property::always(STAYS_ENDED, |_, system: &System| {
            each(|id| !system.witness.ended[id] || state(system, id).is_some_and(TaskState::is_terminal))
        }),
        Property::sometimes(SENT_AGAIN_AND_RUNS, |_, system: &System| {
            system.witness.resent && runs(system, 0) && state(system, 0) == Some(TaskState::Running)
        }),
    ];
    if model.bounds.faults.elections + model.bounds.faults.crashes >= 2 {
        all.push(Property::sometimes(RUNS_AFTER_TWO_CHANGES, |_, system: &System| {
            system.witness.leaders >= 3 && runs(system, 0) && state(system, 0) == Some(TaskState::Running)
        }));
    }
    if model.bounds.kills {
        all.push(Property::always(KILL_WORKS, |model: &LaunchModel, system: &System| {
            let is_wanted = |id: usize| system.registry.tasks[id].is_some_and(|task| task.kill);
            // An unmodified agent can start what it has denied, see `DROPPED_STAYS_AWAY`; there is nothing on record to kill then.
            let is_excused = |id: usize| !model.deduplicates && system.witness.denied[id];
            let is_done = |id: usize| !runs(system, id) || !is_wanted(id) || is_excused(id);
            each(is_done) || !has_settled(model, system)
        }));
        if model.bounds.faults.elections + model.bounds.faults.crashes >= 1 {
            all.push(Property::sometimes(KILLED_AFTER_CHANGE, |_, system: &System| {
                system.witness.leaders >= 2
                    && system.registry.tasks[0].is_some_and(|task| task.kill && task.state == TaskState::Ended)
            }));
        }
    }
    if model.deduplicates {
        all.push(Property::always(DROPPED_STAYS_AWAY, |_, system: &System| {
            each(|id| !(state(system, id) == Some(TaskState::Dropped) && runs(system, id)))
        }));
    }
    if !model.deduplicates {
        all.push(Property::sometimes(DROPPED, |_, system: &System| {
            state(system, 0) == Some(TaskState::Dropped)
        }));
    }
    all
}
