//! One frame of a snapshot becomes records, on whatever thread: nothing here depends on any other frame.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::FrameworkId;
use crate::registry::record::Record;
use crate::registry::store::total_resources;
use crate::registry::{AgentRecord, Task};
use crate::resources::Resources;

/// A frame as it was read.
pub(super) struct Frame {
    pub(super) checksum: u64,
    pub(super) payload: Vec<u8>,
}

/// What a frame held, in its order, up to its end or to the damage.
#[derive(Default)]
pub(super) struct DecodedFrame {
    pub(super) items: Vec<Item>,
    /// Wrapping sum over the hashes of all records but the cluster's.
    pub(super) hash: u128,
    /// Why there are no more records.
    pub(super) damage: Option<String>,
}

/// One record, with what is derived from it alone.
pub(super) enum Item {
    Agent(Arc<AgentRecord>, Resources),
    Other(Record),
}

impl Frame {
    pub(super) fn decode(self) -> DecodedFrame {
        let mut decoded = DecodedFrame::default();
        if xxh3_64(&self.payload) != self.checksum {
            let length = self.payload.len();
            decoded.damage = Some(format!("the checksum of a frame of {length} bytes does not match"));
            return decoded;
        }
        let mut neighbours = Neighbours::default();
        let mut canonical = Vec::new();
        let mut rest = &self.payload[..];
        while !rest.is_empty() {
            let mut record = match postcard::take_from_bytes::<Record>(rest) {
                Ok((record, after)) => {
                    rest = after;
                    record
                }
                Err(error) => {
                    decoded.damage = Some(error.to_string());
                    return decoded;
                }
            };
            if !matches!(record, Record::Cluster(_)) {
                decoded.hash = decoded.hash.wrapping_add(record.hash_in(&mut canonical));
            }
            if let Record::Task(task) | Record::UnreachableTask(_, task) | Record::CompletedTask(_, task) = &mut record
                && let Some(task) = Arc::get_mut(task)
            {
                neighbours.share(task);
            }
            decoded.items.push(match record {
                Record::Agent(agent) => {
                    let total = total_resources(&agent);
                    Item::Agent(agent, total)
                }
                other => Item::Other(other),
            });
        }
        decoded
    }
}

/// What the task before had: tasks of one framework stand together and are often alike.
#[derive(Default)]
struct Neighbours {
    framework_id: Option<FrameworkId>,
    resources: Option<Arc<Resources>>,
}

impl Neighbours {
    fn share(&mut self, task: &mut Task) {
        match &self.framework_id {
            Some(same) if *same == task.framework_id => task.framework_id = same.clone(),
            _ => self.framework_id = Some(task.framework_id.clone()),
        }
        match &self.resources {
            Some(same) if *same == task.resources => task.resources = same.clone(),
            _ => self.resources = Some(task.resources.clone()),
        }
    }
}
