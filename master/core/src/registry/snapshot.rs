//! The registry as a stream of bytes: written from a clone while commands go on, read before it replaces anything.
//!
//! ```text
//! magic (8) | frame … | end frame
//! frame:      length of the payload, u32 little endian, not 0 | xxh3 of the payload, u64 | payload: records, postcard
//! end frame:  0, u32 | number of records, u64 | state hash, u128
//! ```

use std::io::{self, Read, Write};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::registry::record::Record;
use crate::registry::{Cluster, Registry, Task};

/// Names the format; the last two digits are its version.
const MAGIC: [u8; 8] = *b"MRREGI01";
/// A frame is closed once it holds this many bytes: large enough for few checksums, small enough for little memory.
const FRAME_BYTES: usize = 1 << 20;
/// Longest payload read: a frame and one record, which a request's size bounds (256 MiB) with some room.
const PAYLOAD_BYTES_MAX: usize = 512 << 20;

/// Why a snapshot cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It cannot be read.
    #[error("reading the snapshot")]
    Read(#[from] io::Error),
    /// It is of another kind or version.
    #[error("snapshot begins with {found:?}, this node reads {MAGIC:?}")]
    Magic {
        /// Its first bytes.
        found: [u8; 8],
    },
    /// Its bytes are damaged.
    #[error("snapshot is damaged after {records} records: {why}")]
    Damaged {
        /// Records read before.
        records: u64,
        /// What does not fit.
        why: String,
    },
}

impl Registry {
    /// Writes everything. Errors: those of `out`.
    pub fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        let mut frame = Vec::with_capacity(FRAME_BYTES + (FRAME_BYTES >> 4));
        let mut records = 0_u64;
        for record in self.records() {
            frame.extend_from_slice(&record.encode());
            records += 1;
            if frame.len() >= FRAME_BYTES {
                write_frame(out, &frame)?;
                frame.clear();
            }
        }
        if !frame.is_empty() {
            write_frame(out, &frame)?;
        }
        out.write_all(&0_u32.to_le_bytes())?;
        out.write_all(&records.to_le_bytes())?;
        out.write_all(&self.state_hash().to_le_bytes())
    }

    /// Reads what [`Registry::write_to`] wrote. Total: any bytes give a registry or an error.
    pub fn read_from(input: &mut dyn Read) -> Result<Registry, SnapshotError> {
        let found = read_array::<8>(input)?;
        if found != MAGIC {
            return Err(SnapshotError::Magic { found });
        }
        let mut registry = Registry::default();
        let mut records = 0_u64;
        let mut payload = Vec::new();
        loop {
            let length = u32::from_le_bytes(read_array(input)?) as usize;
            if length == 0 {
                break;
            }
            let checksum = u64::from_le_bytes(read_array(input)?);
            let damaged = |why: String| SnapshotError::Damaged { records, why };
            if length > PAYLOAD_BYTES_MAX {
                return Err(damaged(format!(
                    "a frame of {length} bytes, at most {PAYLOAD_BYTES_MAX} are expected"
                )));
            }
            payload.clear();
            // Grows with what really comes, whatever the length says.
            if input.take(length as u64).read_to_end(&mut payload)? != length {
                return Err(damaged(format!(
                    "a frame of {length} bytes ends after {}",
                    payload.len()
                )));
            }
            if xxh3_64(&payload) != checksum {
                return Err(damaged(format!(
                    "the checksum of a frame of {length} bytes does not match"
                )));
            }
            let mut rest = &payload[..];
            while !rest.is_empty() {
                let (record, after) =
                    postcard::take_from_bytes::<Record>(rest).map_err(|error| SnapshotError::Damaged {
                        records,
                        why: error.to_string(),
                    })?;
                registry.put_back(record);
                records += 1;
                rest = after;
            }
        }
        registry.check_end(input, records)?;
        Ok(registry)
    }

    fn check_end(&self, input: &mut dyn Read, records: u64) -> Result<(), SnapshotError> {
        let damaged = |why: String| SnapshotError::Damaged { records, why };
        let expected = u64::from_le_bytes(read_array(input)?);
        if records != expected {
            return Err(damaged(format!("it should hold {expected} records")));
        }
        let hash = u128::from_le_bytes(read_array(input)?);
        if hash != self.state_hash() {
            return Err(damaged(format!(
                "state hash {:032x}, it should be {hash:032x}",
                self.state_hash()
            )));
        }
        Ok(())
    }

    /// A million tasks share the ids of their few frameworks and agents with these.
    fn sharing_ids(&self, task: &Task) -> Task {
        let mut task = Task::clone(task);
        if let Some(framework) = self.framework(&task.framework_id) {
            task.framework_id = framework.id.clone();
        }
        if let Some(agent) = self.agent(&task.agent_id) {
            task.agent_id = agent.id.clone();
        }
        task
    }

    fn put_back(&mut self, record: Record) {
        match record {
            Record::Cluster(cluster) => *self.cluster_mut() = Cluster::from(cluster),
            Record::Framework(framework) => drop(self.put_framework((*framework).clone())),
            Record::CompletedFramework(number, completed) => {
                self.push_completed_framework(number, (*completed).clone());
            }
            Record::Agent(agent) => drop(self.put_agent((*agent).clone())),
            Record::UnreachableAgent(number, agent) => self.push_unreachable_agent(number, (*agent).clone()),
            Record::GoneAgent(number, agent) => self.push_gone_agent(number, (*agent).clone()),
            Record::Executor(executor) => self.put_executor((*executor).clone()),
            Record::Task(task) => {
                // A damaged snapshot could hold a task twice; the state hash tells in the end.
                if self.task(&task.framework_id, &task.id).is_none() {
                    drop(self.put_task(self.sharing_ids(&task)));
                }
            }
            Record::UnreachableTask(number, task) => {
                self.push_unreachable_task(number, Arc::new(self.sharing_ids(&task)));
            }
            Record::CompletedTask(number, task) => self.push_completed_task(number, Arc::new(self.sharing_ids(&task))),
        }
    }
}

fn write_frame(out: &mut dyn Write, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a snapshot frame of 4 GiB or more"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&xxh3_64(payload).to_le_bytes())?;
    out.write_all(payload)
}

fn read_array<const N: usize>(input: &mut dyn Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
