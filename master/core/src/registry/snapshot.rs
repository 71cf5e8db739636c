//! The registry as a stream of bytes: written from a clone while commands go on, read before it replaces anything.
//!
//! ```text
//! magic (8) | frame … | end frame
//! frame:      length of the payload, u32 little endian, not 0 | xxh3 of the payload, u64 | payload: records, postcard
//! end frame:  0, u32 | number of records, u64 | state hash, u128
//! ```

mod assembly;
mod decoding;

use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::thread;

use xxhash_rust::xxh3::xxh3_64;

use self::assembly::Assembly;
use self::decoding::{DecodedFrame, Frame};
use crate::registry::Registry;

/// Names the format; the last two digits are its version.
const MAGIC: [u8; 8] = *b"MRREGI01";
/// A frame is closed once it holds this many bytes: large enough for few checksums, small enough for little memory.
const FRAME_BYTES: usize = 1 << 20;
/// Longest payload read: a frame and one record, which a request's size bounds (256 MiB) with some room.
const PAYLOAD_BYTES_MAX: usize = 512 << 20;
/// With fewer frames the calling thread does it all; a small snapshot is not worth other threads.
const FRAMES_ALONE_MAX: usize = 3;
/// Threads that decode: more than these are faster than the one that puts the records together.
const DECODERS_MAX: usize = 4;
/// Frames that wait before and behind each of them, so that nobody waits for long, with little memory.
const FRAMES_WAITING_MAX: usize = 2;

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
        self.write_in_frames_of(FRAME_BYTES, out)
    }

    pub(crate) fn write_in_frames_of(&self, frame_bytes: usize, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&MAGIC)?;
        let mut frame = Vec::with_capacity(frame_bytes + (frame_bytes >> 4));
        let mut records = 0_u64;
        for record in self.records() {
            record.encode_to(&mut frame);
            records += 1;
            if frame.len() >= frame_bytes {
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

    /// Reads what [`Registry::write_to`] wrote. Total: any bytes give a registry or an error, and the same ones the same,
    /// though several threads decode those of a large one.
    pub fn read_from(input: &mut dyn Read) -> Result<Registry, SnapshotError> {
        let found = read_array::<8>(input)?;
        if found != MAGIC {
            return Err(SnapshotError::Magic { found });
        }
        let mut frames = Frames { input, stopped: None };
        let first: Vec<Frame> = frames.by_ref().take(FRAMES_ALONE_MAX).collect();
        let assembled = if first.len() < FRAMES_ALONE_MAX {
            assemble(first.into_iter().map(Frame::decode))
        } else {
            decode_on_threads(first.into_iter().chain(frames.by_ref()))
        };
        // Damage in a frame comes before whatever stopped the reading after it.
        let assembly = assembled?;
        if let Some(stopped) = frames.stopped {
            return Err(stopped.after(assembly.records));
        }
        let records = assembly.records;
        let registry = assembly.finish()?;
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
}

/// Why there are no more frames, other than that the end frame came.
enum ReadError {
    Io(io::Error),
    Damaged(String),
}

impl ReadError {
    fn after(self, records: u64) -> SnapshotError {
        match self {
            ReadError::Io(error) => SnapshotError::Read(error),
            ReadError::Damaged(why) => SnapshotError::Damaged { records, why },
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        ReadError::Io(error)
    }
}

/// Reads frames until the end frame, or until something stops it.
struct Frames<'a> {
    input: &'a mut dyn Read,
    stopped: Option<ReadError>,
}

impl Iterator for Frames<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        read_frame(self.input).unwrap_or_else(|error| {
            self.stopped = Some(error);
            None
        })
    }
}

/// The next frame; `None` for the end frame.
fn read_frame(input: &mut dyn Read) -> Result<Option<Frame>, ReadError> {
    let length = u32::from_le_bytes(read_array(input)?) as usize;
    if length == 0 {
        return Ok(None);
    }
    let checksum = u64::from_le_bytes(read_array(input)?);
    if length > PAYLOAD_BYTES_MAX {
        return Err(ReadError::Damaged(format!(
            "a frame of {length} bytes, at most {PAYLOAD_BYTES_MAX} are expected"
        )));
    }
    // Grows with what really comes, whatever the length says.
    let mut payload = Vec::with_capacity(length.min(FRAME_BYTES * 2));
    if input.take(length as u64).read_to_end(&mut payload)? != length {
        return Err(ReadError::Damaged(format!(
            "a frame of {length} bytes ends after {}",
            payload.len()
        )));
    }
    Ok(Some(Frame { checksum, payload }))
}

/// Decodes the frames in parallel and puts them together in their order.
fn decode_on_threads(frames: impl Iterator<Item = Frame>) -> Result<Assembly, SnapshotError> {
    thread::scope(|scope| {
        let decoders = thread::available_parallelism().map_or(1, usize::from).min(DECODERS_MAX);
        let (mut inlets, mut outlets) = (Vec::new(), Vec::new());
        for _ in 0..decoders {
            let (inlet, frames) = mpsc::sync_channel::<Frame>(FRAMES_WAITING_MAX);
            let (decoded, outlet) = mpsc::sync_channel::<DecodedFrame>(FRAMES_WAITING_MAX);
            let decode = move || frames.into_iter().try_for_each(|frame| decoded.send(frame.decode()));
            thread::Builder::new().spawn_scoped(scope, decode)?;
            inlets.push(inlet);
            outlets.push(outlet);
        }
        // The decoders answer in turn, until the one whose turn it is has no more.
        let decoded = move || assemble(outlets.iter().cycle().map_while(|outlet| outlet.recv().ok()));
        let assemble = thread::Builder::new().spawn_scoped(scope, decoded)?;
        for (inlet, frame) in inlets.iter().cycle().zip(frames) {
            if inlet.send(frame).is_err() {
                break;
            }
        }
        drop(inlets);
        assemble.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Puts the decoded frames together.
fn assemble(frames: impl Iterator<Item = DecodedFrame>) -> Result<Assembly, SnapshotError> {
    let mut assembly = Assembly::default();
    for frame in frames {
        assembly.take(frame).map_err(|why| SnapshotError::Damaged {
            records: assembly.records,
            why,
        })?;
    }
    Ok(assembly)
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
