//! Snapshots: written by a background thread from a frozen view, kept one at a time, sent and received as files.
//!
//! A snapshot counts only once its file is synced, has its final name, and the directory is synced: until then a crash
//! leaves the one before. What is received is checked and decoded before the state machine sees it.

mod format;
mod place;

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use planted::{Bug, is_planted};
use tokio_util::task::TaskTracker;

pub(crate) use self::format::FRAME_BYTES;
use self::place::{Place, Writing};
use crate::durable;
use crate::log_store::Mount;
use crate::state_machine::StateMachine;
use crate::type_config::SnapshotMeta;

/// Ending of a snapshot that counts.
pub(crate) const FINAL: &str = ".snapshot";
/// Ending of one that is being written or received.
const TEMPORARY: &str = ".partial";

/// The bytes of one whole, verified snapshot. Cheap to clone; stays readable when a newer one replaces it.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    content: Content,
    place: Place,
    name: String,
}

/// The bytes of an open file.
#[derive(Clone, Debug)]
enum Content {
    File(Arc<File>),
    Memory(Bytes),
}

impl Image {
    fn open(place: &Place, name: &str) -> io::Result<Self> {
        Ok(Image {
            content: place.open(name)?,
            place: place.clone(),
            name: name.to_owned(),
        })
    }

    pub(crate) fn len(&self) -> io::Result<u64> {
        match &self.content {
            Content::File(file) => Ok(file.metadata()?.len()),
            Content::Memory(bytes) => Ok(bytes.len() as u64),
        }
    }

    /// Whether reading it may block.
    pub(crate) fn blocks(&self) -> bool {
        matches!(self.content, Content::File(_))
    }

    /// Removes the file of an image that was not kept.
    pub(crate) fn discard_if_partial(&self) -> io::Result<()> {
        if !self.name.ends_with(TEMPORARY) {
            return Ok(());
        }
        match self.place.remove(&self.name) {
            // Kept under its final name, or removed before.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The bytes from `offset` on, at most `bytes_max`; empty at the end.
    pub(crate) fn chunk(&self, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
        match &self.content {
            Content::File(file) => {
                let mut chunk = vec![0; bytes_max];
                let mut filled = 0;
                while filled < bytes_max {
                    let read = file.read_at(&mut chunk[filled..], offset + filled as u64)?;
                    if read == 0 {
                        break;
                    }
                    filled += read;
                }
                chunk.truncate(filled);
                Ok(chunk.into())
            }
            Content::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
                let end = start.saturating_add(bytes_max).min(bytes.len());
                Ok(bytes.slice(start..end))
            }
        }
    }

    fn reader(&self) -> Box<dyn Read> {
        Box::new(ImageReader {
            image: self.clone(),
            offset: 0,
            chunk: Bytes::new(),
        })
    }

    /// Reads and checks the header only.
    pub(crate) fn read_meta(&self) -> io::Result<SnapshotMeta> {
        format::read_header(&mut self.reader())
    }

    /// Reads, checks and decodes all of it.
    pub(crate) fn read_view<S: StateMachine>(&self) -> io::Result<(SnapshotMeta, S::View)> {
        let mut reader = self.reader();
        let meta = format::read_header(&mut reader)?;
        let mut frames = format::FrameReader::new(reader);
        let view = S::read_snapshot(&mut frames)?;
        frames.finish()?;
        Ok((meta, view))
    }
}

struct ImageReader {
    image: Image,
    offset: u64,
    chunk: Bytes,
}

impl Read for ImageReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.chunk.is_empty() {
            self.chunk = self.image.chunk(self.offset, FRAME_BYTES)?;
            self.offset += self.chunk.len() as u64;
        }
        let taken = self.chunk.split_to(out.len().min(self.chunk.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

/// What openraft passes around as a snapshot: the image, and its content if it is already decoded.
pub(crate) struct SnapshotData<V> {
    pub(crate) image: Image,
    pub(crate) view: Option<V>,
}

/// Where snapshots are kept, and the current one.
pub(crate) struct SnapshotStore {
    place: Place,
    current: Mutex<Option<(SnapshotMeta, Image)>>,
    temporary: AtomicU64,
    /// The blocking work under way.
    work: TaskTracker,
    closed: AtomicBool,
}

impl SnapshotStore {
    /// Opens the directory and finds the current snapshot. Blocks.
    pub(crate) fn in_directory(directory: &Path) -> io::Result<Self> {
        durable::create_directory(directory)?;
        Self::at(Place::Directory(directory.to_owned()))
    }

    /// Finds the current snapshot on a simulated disk.
    pub(crate) fn in_memory(mount: Mount) -> io::Result<Self> {
        Self::at(Place::Memory(mount))
    }

    fn at(place: Place) -> io::Result<Self> {
        let mut found: Option<(SnapshotMeta, Image)> = None;
        for name in place.names()? {
            if name.ends_with(TEMPORARY) {
                place.remove(&name)?;
            } else if name.ends_with(FINAL) {
                let image = Image::open(&place, &name)?;
                let meta = image.read_meta().map_err(|error| {
                    let reason = format!("snapshot {}: {error}", place.path(&name));
                    io::Error::new(io::ErrorKind::InvalidData, reason)
                })?;
                let is_newer = |(other, _): &(SnapshotMeta, Image)| other.last_log_id < meta.last_log_id;
                if found.as_ref().is_none_or(is_newer) {
                    found = Some((meta, image));
                }
            }
        }
        Ok(SnapshotStore {
            place,
            current: Mutex::new(found),
            temporary: AtomicU64::new(0),
            work: TaskTracker::new(),
            closed: AtomicBool::new(false),
        })
    }

    /// Runs blocking work on a thread of its own. Work on a simulated disk runs on this one after the time it takes, so
    /// that a simulation stays repeatable.
    pub(crate) async fn off_the_runtime<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        // Taken before the look, so that `close` either is seen here or waits for this.
        let token = self.work.token();
        if self.is_closed() {
            return Err(io::Error::other("the replica is stopped"));
        }
        match &self.place {
            Place::Memory(mount) => {
                mount.pause().await;
                work()
            }
            Place::Directory(_) => {
                let done = tokio::task::spawn_blocking(move || {
                    let result = work();
                    drop(token);
                    result
                });
                done.await.unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        }
    }

    /// Whether the replica is stopped: work that waits for something gives up.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Waits until nothing touches the directory any more, so that another run may open it.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.work.close();
        self.work.wait().await;
    }

    pub(crate) fn current(&self) -> Option<(SnapshotMeta, Image)> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts a new image; it counts only after [`SnapshotStore::keep`].
    pub(crate) fn create(&self) -> io::Result<ImageWriter> {
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}{TEMPORARY}");
        Ok(ImageWriter {
            writing: self.place.create(&name)?,
            partial: Partial(Some((self.place.clone(), name))),
        })
    }

    /// Writes a whole image of `view`. Blocks.
    pub(crate) fn write<S: StateMachine>(&self, meta: &SnapshotMeta, view: &S::View) -> io::Result<Image> {
        let mut writer = self.create()?;
        format::write_header(&mut writer, meta)?;
        let mut frames = format::FrameWriter::new(writer);
        S::write_snapshot(view, &mut frames)?;
        frames.finish()?.finish()
    }

    /// Makes an image the current one, unless the current one is newer; removes the other. Blocks.
    pub(crate) fn keep(&self, meta: &SnapshotMeta, image: Image) -> io::Result<Image> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|(kept, _)| kept.last_log_id > meta.last_log_id)
        {
            image.discard_if_partial()?;
            return Ok(image);
        }
        let final_name = file_name(meta);
        if image.name != final_name {
            self.place.rename(&image.name, &final_name)?;
            self.place.sync()?;
        }
        for name in self.place.names()? {
            if name != final_name && name.ends_with(FINAL) {
                self.place.remove(&name)?;
            }
        }
        let kept = Image {
            name: final_name,
            ..image
        };
        *current = Some((meta.clone(), kept.clone()));
        Ok(kept)
    }
}

fn file_name(meta: &SnapshotMeta) -> String {
    match &meta.last_log_id {
        Some(last) => format!(
            "{:020}-{}-{}{FINAL}",
            last.index, last.leader_id.term, last.leader_id.node_id
        ),
        None => format!("empty{FINAL}"),
    }
}

/// An image being written or received. Its file is removed when it is dropped unfinished.
pub(crate) struct ImageWriter {
    writing: Writing,
    partial: Partial,
}

/// A file that is removed unless it is finished.
struct Partial(Option<(Place, String)>);

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some((place, name)) = self.0.take()
            && let Err(error) = place.remove(&name)
        {
            tracing::warn!(path = place.path(&name), %error, "removing an unfinished snapshot");
        }
    }
}

impl ImageWriter {
    /// Makes the content durable. Blocks.
    pub(crate) fn finish(mut self) -> io::Result<Image> {
        if !is_planted(Bug::SnapshotNotSynced) {
            self.writing.sync()?;
        }
        let finished = self.partial.0.take();
        let (place, name) = finished.ok_or_else(|| io::Error::other("a snapshot is finished once"))?;
        Image::open(&place, &name)
    }
}

impl Write for ImageWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
