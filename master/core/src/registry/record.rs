//! The registry as a set of records: what snapshots hold and what the state hash sums over.
//!
//! Derived values (indexes, sums of resources) are not in records; they are computed again when a snapshot is read.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::registry::cluster::ClusterRecord;
use crate::registry::{
    AgentRecord, CompletedFramework, Executor, Framework, GoneAgent, Registry, Task, UnreachableAgent,
};

/// One record. Append-only: snapshots of older versions are read too. Numbers order the bounded lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    Cluster(ClusterRecord),
    Framework(Arc<Framework>),
    CompletedFramework(u64, Arc<CompletedFramework>),
    Agent(Arc<AgentRecord>),
    UnreachableAgent(u64, Arc<UnreachableAgent>),
    GoneAgent(u64, Arc<GoneAgent>),
    Executor(Arc<Executor>),
    Task(Arc<Task>),
    UnreachableTask(u64, Arc<Task>),
    CompletedTask(u64, Arc<Task>),
}

impl Record {
    /// The canonical encoding: equal records give equal bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect(
            "a record is made of integers, texts, bytes and lists of known length, which postcard always encodes",
        )
    }

    /// Hash of the canonical encoding.
    pub(crate) fn hash(&self) -> u128 {
        xxh3_128(&self.encode())
    }
}

impl Registry {
    /// Every record, in an order in which they can be put back: what others refer to comes first.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let executors = self.agents.values().flat_map(|agent| agent.executors.values());
        let unreachable_tasks = self
            .histories
            .values()
            .flat_map(|history| history.unreachable.iter_numbered());
        let completed_tasks = self.histories.values().flat_map(|history| history.completed.iter());
        std::iter::once(Record::Cluster(self.cluster().into()))
            .chain(self.frameworks.values().cloned().map(Record::Framework))
            .chain(
                self.completed_frameworks
                    .iter_numbered()
                    .map(|(number, _, framework)| Record::CompletedFramework(number, framework.clone())),
            )
            .chain(self.agents.values().map(|agent| Record::Agent(agent.record.clone())))
            .chain(
                self.unreachable_agents
                    .iter_numbered()
                    .map(|(number, _, agent)| Record::UnreachableAgent(number, agent.clone())),
            )
            .chain(
                self.gone_agents
                    .iter_numbered()
                    .map(|(number, _, agent)| Record::GoneAgent(number, agent.clone())),
            )
            .chain(executors.cloned().map(Record::Executor))
            .chain(self.tasks.values().cloned().map(Record::Task))
            .chain(unreachable_tasks.map(|(number, _, task)| Record::UnreachableTask(number, task.clone())))
            .chain(completed_tasks.map(|(number, task)| Record::CompletedTask(*number, task.clone())))
    }

    /// Equal registries have equal hashes, on every replica and after every restart: the wrapping sum over the hashes of
    /// all records, kept up to date with each change. Costs a hash of the cluster record.
    pub fn state_hash(&self) -> u128 {
        self.records_hash
            .wrapping_add(Record::Cluster(self.cluster().into()).hash())
    }

    /// The same, computed anew from every record.
    pub(crate) fn recomputed_state_hash(&self) -> u128 {
        self.records().fold(0, |sum, record| sum.wrapping_add(record.hash()))
    }
}
