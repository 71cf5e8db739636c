//! The registry as a set of records: what snapshots hold and what the state hash sums over.
//!
//! Derived values (indexes, sums of resources) are not in records; they are computed again when a snapshot is read.

use std::sync::Arc;

use planted::{Bug, is_planted};
use serde::{Deserialize, Deserializer, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::registry::cluster::ClusterRecord;
use crate::registry::{
    AgentRecord, CompletedFramework, Executor, Framework, GoneAgent, Operation, Quota, Registry, Task,
    UnreachableAgent, Weight,
};

/// One record. Append-only: snapshots of older versions are read too. Numbers order the bounded lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Record {
    Cluster(ClusterRecord),
    Framework(Arc<Framework>),
    CompletedFramework(u64, Arc<CompletedFramework>),
    Agent(#[serde(deserialize_with = "into_arc")] Arc<AgentRecord>),
    UnreachableAgent(u64, Arc<UnreachableAgent>),
    GoneAgent(u64, Arc<GoneAgent>),
    Executor(Arc<Executor>),
    Task(#[serde(deserialize_with = "into_arc")] Arc<Task>),
    UnreachableTask(u64, Arc<Task>),
    CompletedTask(u64, #[serde(deserialize_with = "into_arc")] Arc<Task>),
    Quota(Arc<Quota>),
    Weight(Arc<Weight>),
    Operation(Arc<Operation>),
}

impl Record {
    /// Appends the canonical encoding: equal records give equal bytes.
    pub(crate) fn encode_to(&self, bytes: &mut Vec<u8>) {
        postcard::serialize_with_flavor(self, Appending(bytes)).expect(
            "a record is made of integers, texts, bytes and lists of known length, which postcard always encodes",
        );
    }

    /// Hash of the canonical encoding.
    pub(crate) fn hash(&self) -> u128 {
        self.hash_in(&mut Vec::new())
    }

    /// The same, in memory that is used again.
    pub(crate) fn hash_in(&self, buffer: &mut Vec<u8>) -> u128 {
        buffer.clear();
        self.encode_to(buffer);
        xxh3_128(buffer)
    }
}

/// Postcard's output at the end of a buffer.
struct Appending<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appending<'_> {
    type Output = ();

    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Without the detour over a box that serde takes: a restart reads a million of them.
fn into_arc<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Arc<T>, D::Error> {
    T::deserialize(deserializer).map(Arc::new)
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
        let recorded_tasks = if is_planted(Bug::SnapshotSkipsTask) {
            self.tasks.len().saturating_sub(1)
        } else {
            usize::MAX
        };
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
            .chain(self.tasks.values().take(recorded_tasks).cloned().map(Record::Task))
            .chain(unreachable_tasks.map(|(number, _, task)| Record::UnreachableTask(number, task.clone())))
            .chain(completed_tasks.map(|(number, task)| Record::CompletedTask(*number, task.clone())))
            .chain(self.quotas.values().cloned().map(Record::Quota))
            .chain(self.weights.values().cloned().map(Record::Weight))
            .chain(self.operations.values().cloned().map(Record::Operation))
    }

    /// Equal registries have equal hashes, on every replica and after every restart: the wrapping sum over the hashes of
    /// all records, kept up to date with each change. Costs a hash of the cluster record.
    pub fn state_hash(&self) -> u128 {
        self.records_hash
            .wrapping_add(Record::Cluster(self.cluster().into()).hash())
    }

    /// The same, computed anew from every record.
    pub(crate) fn recomputed_state_hash(&self) -> u128 {
        let mut buffer = Vec::new();
        self.records()
            .fold(0, |sum, record| sum.wrapping_add(record.hash_in(&mut buffer)))
    }
}
