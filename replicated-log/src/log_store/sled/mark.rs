//! How far the log had got: notices a log that lost its end.
//!
//! sled takes the first damaged message of its file for the end of a write that a crash cut short, and silently goes
//! back to what was before it. For Raft that would be a vote given twice and acknowledged entries gone. So every write
//! carries its number into sled, and after it has become durable the number is also noted in a file beside sled's: a
//! store that comes up with a smaller number than the noted one has lost something.
//!
//! The note is not synced, so it costs no time. It survives the death of the process; after a loss of power it may be
//! older than the log, never newer.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::super::layout::OpenError;

/// Name of the file in the store's directory.
const MARK_FILE: &str = "reached";
/// The number (u64, little-endian) and the CRC-32 of its bytes.
const MARK_BYTES: usize = 12;

/// The file that holds the number of the last durable write.
pub(super) struct Mark {
    file: File,
}

impl Mark {
    /// Opens or creates the file in the store's directory.
    pub(super) fn open(directory: &Path) -> io::Result<Self> {
        let path = directory.join(MARK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Mark { file })
    }

    /// Compares with the number that sled came up with.
    pub(super) fn check(&self, recovered: u64) -> Result<(), OpenError> {
        let noted = self.read()?;
        if recovered < noted {
            return Err(OpenError::Damaged(format!(
                "the end of the log is missing: write {noted} had become durable, but the file is readable up to \
                 write {recovered} only"
            )));
        }
        Ok(())
    }

    /// The noted number; 0 while there is none.
    fn read(&self) -> Result<u64, OpenError> {
        let mut bytes = [0; MARK_BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            Err(error) => return Err(error.into()),
        }
        // A file that had its length but not its content when the power went.
        if bytes == [0; MARK_BYTES] {
            return Ok(0);
        }
        let [number @ .., c0, c1, c2, c3] = bytes;
        if crc32fast::hash(&number) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(OpenError::Damaged(format!(
                "the checksum in the file '{MARK_FILE}' is wrong"
            )));
        }
        Ok(u64::from_le_bytes(number))
    }

    /// Notes that the write has become durable.
    pub(super) fn note(&self, number: u64) -> io::Result<()> {
        let number = number.to_le_bytes();
        let mut bytes = [0; MARK_BYTES];
        bytes[..number.len()].copy_from_slice(&number);
        bytes[number.len()..].copy_from_slice(&crc32fast::hash(&number).to_le_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}
