//! `/state-summary`: agents and frameworks with counts instead of tasks.

use std::collections::{BTreeMap, BTreeSet};

use master_core::ids::{AgentId, FrameworkId};
use proto::v1::TaskState;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::frameworks::write_summary;
use super::list::List;
use super::slaves::write_slave;
use crate::http::view::{AgentView, FrameworkView, TasksOf, View};

/// The states that are counted, in the order they are shown.
const COUNTED: [TaskState; 10] = [
    TaskState::TaskStaging,
    TaskState::TaskStarting,
    TaskState::TaskRunning,
    TaskState::TaskKilling,
    TaskState::TaskFinished,
    TaskState::TaskKilled,
    TaskState::TaskFailed,
    TaskState::TaskLost,
    TaskState::TaskError,
    TaskState::TaskUnreachable,
];

#[derive(Default)]
struct Counts([u64; COUNTED.len()]);

impl Counts {
    fn add(&mut self, state: TaskState) {
        if let Some(at) = COUNTED.iter().position(|counted| *counted == state) {
            self.0[at] += 1;
        }
    }

    fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        COUNTED
            .iter()
            .zip(&self.0)
            .try_for_each(|(state, count)| map.serialize_entry(state.as_str_name(), count))
    }
}

/// The body of `/state-summary`.
pub(super) struct Summary<'a> {
    view: &'a View<'a>,
    cluster: &'a str,
    agents: BTreeMap<&'a AgentId, (Counts, BTreeSet<&'a FrameworkId>)>,
    frameworks: BTreeMap<&'a FrameworkId, (Counts, BTreeSet<&'a AgentId>)>,
}

impl<'a> Summary<'a> {
    /// Counts every task of the frameworks that were not removed.
    pub(super) fn new(view: &'a View<'a>, cluster: &'a str) -> Summary<'a> {
        let mut agents: BTreeMap<_, (Counts, BTreeSet<_>)> = BTreeMap::new();
        let mut frameworks: BTreeMap<_, (Counts, BTreeSet<_>)> = BTreeMap::new();
        for framework in view.state.registry.frameworks() {
            let of_framework = frameworks.entry(&framework.id).or_default();
            for task in TasksOf::new(view.state, &framework.id).all() {
                let of_agent = agents.entry(&task.agent_id).or_default();
                of_agent.0.add(task.state);
                of_agent.1.insert(&framework.id);
                of_framework.0.add(task.state);
                of_framework.1.insert(&task.agent_id);
            }
        }
        Summary {
            view,
            cluster,
            agents,
            frameworks,
        }
    }
}

impl Serialize for Summary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("hostname", self.view.state.master_info.hostname())?;
        map.serialize_entry("cluster", self.cluster)?;
        let slave = |agent| SlaveSummary { summary: self, agent };
        map.serialize_entry("slaves", &List(|| self.view.agents().map(slave)))?;
        let framework = |framework| FrameworkSummary {
            summary: self,
            framework,
        };
        map.serialize_entry("frameworks", &List(|| self.view.frameworks().map(framework)))?;
        map.end()
    }
}

struct SlaveSummary<'a> {
    summary: &'a Summary<'a>,
    agent: AgentView<'a>,
}

impl Serialize for SlaveSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = Default::default();
        let (counts, ids) = self.summary.agents.get(&self.agent.agent.id).unwrap_or(&none);
        let mut map = serializer.serialize_map(None)?;
        write_slave(&mut map, &self.agent)?;
        counts.write(&mut map)?;
        map.serialize_entry("framework_ids", &List(|| ids.iter().map(|id| id.as_str())))?;
        map.end()
    }
}

struct FrameworkSummary<'a> {
    summary: &'a Summary<'a>,
    framework: FrameworkView<'a>,
}

impl Serialize for FrameworkSummary<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let none = Default::default();
        let (counts, ids) = self
            .summary
            .frameworks
            .get(&self.framework.framework.id)
            .unwrap_or(&none);
        let mut map = serializer.serialize_map(None)?;
        write_summary(&mut map, &self.framework)?;
        counts.write(&mut map)?;
        map.serialize_entry("slave_ids", &List(|| ids.iter().map(|id| id.as_str())))?;
        map.end()
    }
}
