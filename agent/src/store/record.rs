//! The records themselves and their frame: version, checksum, protobuf.

use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use proto::internal::{StatusUpdate, UpdateOperationStatusMessage};
use proto::v1::{AgentInfo, DrainConfig, ExecutorInfo, FrameworkInfo, Resource, Task, TaskInfo};

use super::StoreError;

/// First bytes of every record: what it is and the version of the frame.
const MAGIC: &[u8; 8] = b"msragnt1";

/// The agent itself.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct AgentRecord {
    /// What was registered, with the id the master gave.
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<AgentInfo>,
    /// Reservations and volumes made by operations.
    #[prost(message, repeated, tag = "2")]
    pub(crate) checkpointed_resources: Vec<Resource>,
    /// The agent is being drained.
    #[prost(message, optional, tag = "3")]
    pub(crate) drain: Option<DrainConfig>,
    /// What came of operations, until a master has acknowledged it.
    #[prost(message, repeated, tag = "4")]
    pub(crate) operations: Vec<UpdateOperationStatusMessage>,
    /// Uuids of the operations seen last, oldest first: masters may send one again.
    #[prost(bytes = "bytes", repeated, tag = "5")]
    pub(crate) seen_operations: Vec<Bytes>,
    /// Directories of volumes that were destroyed and may still be there.
    #[prost(string, repeated, tag = "6")]
    pub(crate) destroyed_volumes: Vec<String>,
}

/// A framework with something on this agent.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FrameworkRecord {
    /// As the master sent it last.
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<FrameworkInfo>,
    /// Where a framework of the old API lives; absent for HTTP frameworks.
    #[prost(string, optional, tag = "2")]
    pub(crate) pid: Option<String>,
    /// The master ended it; nothing of it may run any more.
    #[prost(bool, tag = "3")]
    pub(crate) shut_down: bool,
}

/// One run of an executor.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExecutorRecord {
    /// As launched, or as generated for a command task.
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<ExecutorInfo>,
    /// Number of a [`crate::book::ExecutorKind`].
    #[prost(uint32, tag = "2")]
    pub(crate) kind: u32,
    /// Unique per run.
    #[prost(string, tag = "3")]
    pub(crate) container_id: String,
    /// Id of the agent it was launched under; part of its sandbox's path.
    #[prost(string, tag = "4")]
    pub(crate) agent_id: String,
    /// It ended, as `waitpid` says it; tasks may still wait for acknowledgements.
    #[prost(int32, optional, tag = "5")]
    pub(crate) exit_status: Option<i32>,
    /// Everything is over and acknowledged; kept for the sandbox and against repeated launches.
    #[prost(bool, tag = "6")]
    pub(crate) completed: bool,
    /// Microseconds since 1970 when it was completed.
    #[prost(uint64, tag = "7")]
    pub(crate) completed_micros: u64,
}

/// One task.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct TaskRecord {
    /// As launched.
    #[prost(message, optional, tag = "1")]
    pub(crate) info: Option<TaskInfo>,
    /// As reported to masters.
    #[prost(message, optional, tag = "2")]
    pub(crate) task: Option<Task>,
    /// Status updates not yet acknowledged, oldest first.
    #[prost(message, repeated, tag = "3")]
    pub(crate) pending: Vec<StatusUpdate>,
    /// Name of its process, when it has one of its own.
    #[prost(string, optional, tag = "4")]
    pub(crate) process: Option<String>,
    /// Number of its task group within the executor; members end together.
    #[prost(uint32, optional, tag = "5")]
    pub(crate) group: Option<u32>,
    /// A kill was asked for: milliseconds of grace.
    #[prost(uint64, optional, tag = "6")]
    pub(crate) kill_grace_ms: Option<u64>,
    /// Why it is being killed, if that shows in the state.
    #[prost(uint32, tag = "7")]
    pub(crate) kill_cause: u32,
    /// Its terminal update was acknowledged.
    #[prost(bool, tag = "8")]
    pub(crate) completed: bool,
    /// Handed to its executor.
    #[prost(bool, tag = "9")]
    pub(crate) delivered: bool,
}

/// Frames a record for its file.
pub(crate) fn encode(record: &impl Message) -> Bytes {
    let body = record.encode_to_vec();
    let mut framed = BytesMut::with_capacity(MAGIC.len() + 4 + body.len());
    framed.put_slice(MAGIC);
    framed.put_u32_le(crc32fast::hash(&body));
    framed.put_slice(&body);
    framed.freeze()
}

/// Reads a record; `None` when there is no such file.
pub(crate) fn read<R: Message + Default>(path: &Path) -> Result<Option<R>, StoreError> {
    let content = match std::fs::read(path) {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", path)(error)),
    };
    decode(&content).map(Some).map_err(|detail| StoreError::Damaged {
        path: path.to_path_buf(),
        detail,
    })
}

fn decode<R: Message + Default>(content: &[u8]) -> Result<R, String> {
    let Some((magic, rest)) = content.split_first_chunk::<8>() else {
        return Err(format!("{} bytes are less than a header", content.len()));
    };
    if magic != MAGIC {
        return Err(format!("header {magic:?}, expected {MAGIC:?}"));
    }
    let Some((checksum, body)) = rest.split_first_chunk::<4>() else {
        return Err("the checksum is missing".into());
    };
    let (expected, actual) = (u32::from_le_bytes(*checksum), crc32fast::hash(body));
    if expected != actual {
        return Err(format!("checksum {actual:08x}, expected {expected:08x}"));
    }
    R::decode(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_frame_and_a_flipped_bit_is_noticed() {
        let record = ExecutorRecord {
            container_id: "c".into(),
            kind: 2,
            ..Default::default()
        };
        let framed = encode(&record);
        assert_eq!(decode::<ExecutorRecord>(&framed).unwrap(), record);
        for index in 0..framed.len() {
            let mut damaged = framed.to_vec();
            damaged[index] ^= 1;
            assert!(decode::<ExecutorRecord>(&damaged).is_err(), "byte {index}");
        }
        assert!(decode::<ExecutorRecord>(&framed[..5]).is_err());
    }
}
