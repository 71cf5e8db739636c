//! The bytes of a snapshot.
//!
//! ```text
//! "RLOGSNAP" | version u32 | length u32 | crc32 u32 | meta, postcard
//! frames     length u32 above 0 | crc32 u32 | bytes
//! end        0 u32 | crc32 u32 | bytes of all frames u64
//! ```
//! All integers are little-endian.

use std::io::{self, Read, Write};

use crate::type_config::SnapshotMeta;

const MAGIC: [u8; 8] = *b"RLOGSNAP";
const VERSION: u32 = 1;

/// Bytes of a frame: large enough that checksums and writes cost nothing, small enough to hold some in memory.
pub(crate) const FRAME_BYTES: usize = 1 << 20;

/// A membership of some nodes; anything larger is damage.
const META_BYTES_MAX: u32 = 1 << 20;

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

pub(super) fn write_header(out: &mut impl Write, meta: &SnapshotMeta) -> io::Result<()> {
    let meta = postcard::to_allocvec(meta).map_err(|error| invalid(error.to_string()))?;
    let length = u32::try_from(meta.len()).map_err(|_| invalid("the membership is too large"))?;
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc32fast::hash(&meta).to_le_bytes())?;
    out.write_all(&meta)
}

pub(super) fn read_header(input: &mut impl Read) -> io::Result<SnapshotMeta> {
    let mut magic = [0; 8];
    input.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("it is not a snapshot"));
    }
    let version = read_u32(input)?;
    if version != VERSION {
        return Err(invalid(format!(
            "snapshot version {version} is not {VERSION}; it was written by another version"
        )));
    }
    let length = read_u32(input)?;
    let checksum = read_u32(input)?;
    if length > META_BYTES_MAX {
        return Err(invalid(format!("the header claims {length} bytes")));
    }
    let mut meta = vec![0; length as usize];
    input.read_exact(&mut meta)?;
    if crc32fast::hash(&meta) != checksum {
        return Err(invalid("the checksum of the header is wrong"));
    }
    postcard::from_bytes(&meta).map_err(|error| invalid(format!("header: {error}")))
}

fn read_u32(input: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    input.read_exact(&mut bytes)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Cuts what is written into checksummed frames.
pub(super) struct FrameWriter<W> {
    out: W,
    frame: Vec<u8>,
    total: u64,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W) -> Self {
        FrameWriter {
            out,
            frame: Vec::with_capacity(FRAME_BYTES),
            total: 0,
        }
    }

    fn write_frame(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(self.frame.len()).expect("a frame has FRAME_BYTES at most");
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&self.frame).to_le_bytes())?;
        self.out.write_all(&self.frame)?;
        self.total += u64::from(length);
        self.frame.clear();
        Ok(())
    }

    /// Writes the last frame and the end; gives back what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write_frame()?;
        let total = self.total.to_le_bytes();
        self.out.write_all(&0_u32.to_le_bytes())?;
        self.out.write_all(&crc32fast::hash(&total).to_le_bytes())?;
        self.out.write_all(&total)?;
        Ok(self.out)
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME_BYTES - self.frame.len());
        self.frame.extend_from_slice(&bytes[..taken]);
        if self.frame.len() == FRAME_BYTES {
            self.write_frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Gives the content of the frames, each only after its checksum was found right.
pub(super) struct FrameReader<R> {
    input: R,
    frame: Vec<u8>,
    position: usize,
    total: u64,
    ended: bool,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R) -> Self {
        FrameReader {
            input,
            frame: Vec::new(),
            position: 0,
            total: 0,
            ended: false,
        }
    }

    fn next_frame(&mut self) -> io::Result<()> {
        let length = read_u32(&mut self.input)?;
        let checksum = read_u32(&mut self.input)?;
        self.position = 0;
        if length == 0 {
            let mut total = [0; 8];
            self.input.read_exact(&mut total)?;
            if crc32fast::hash(&total) != checksum || u64::from_le_bytes(total) != self.total {
                return Err(invalid(format!(
                    "the end does not fit the {} bytes before it",
                    self.total
                )));
            }
            self.frame.clear();
            self.ended = true;
            return Ok(());
        }
        if length as usize > FRAME_BYTES {
            return Err(invalid(format!("a frame claims {length} bytes")));
        }
        self.frame.resize(length as usize, 0);
        self.input.read_exact(&mut self.frame)?;
        if crc32fast::hash(&self.frame) != checksum {
            return Err(invalid(format!(
                "the checksum of the frame at byte {} is wrong",
                self.total
            )));
        }
        self.total += u64::from(length);
        Ok(())
    }

    /// Checks that everything was read, and that nothing follows.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.position < self.frame.len() {
            return Err(invalid("the state machine did not read all of the snapshot"));
        }
        if !self.ended {
            self.next_frame()?;
        }
        if !self.ended {
            return Err(invalid("the state machine did not read all of the snapshot"));
        }
        if self.input.read(&mut [0])? != 0 {
            return Err(invalid("bytes follow the end"));
        }
        Ok(())
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.position == self.frame.len() {
            if self.ended {
                return Ok(0);
            }
            self.next_frame()?;
        }
        let taken = out.len().min(self.frame.len() - self.position);
        out[..taken].copy_from_slice(&self.frame[self.position..self.position + taken]);
        self.position += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        write_header(&mut bytes, &SnapshotMeta::default()).unwrap();
        let mut frames = FrameWriter::new(bytes);
        frames.write_all(content).unwrap();
        frames.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut input = bytes;
        read_header(&mut input)?;
        let mut frames = FrameReader::new(input);
        let mut content = Vec::new();
        frames.read_to_end(&mut content)?;
        frames.finish()?;
        Ok(content)
    }

    #[test]
    fn content_of_any_length_survives() {
        for length in [0, 1, FRAME_BYTES - 1, FRAME_BYTES, 2 * FRAME_BYTES + 3] {
            let content: Vec<u8> = (0..length).map(|index| index as u8).collect();
            assert!(read(&image(&content)).unwrap() == content, "{length} bytes");
        }
    }

    #[test]
    fn every_damaged_or_missing_byte_is_noticed() {
        let bytes = image(b"some content");
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(read(&damaged).is_err(), "byte {at}");
            assert!(read(&bytes[..at]).is_err(), "cut to {at}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(read(&longer).is_err());
    }
}
