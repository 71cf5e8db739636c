//! Where snapshot files lie: a directory, or the simulated disk.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Content;
use crate::durable;
use crate::log_store::Mount;

/// A flat set of files. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Directory(PathBuf),
    Memory(Mount),
}

impl Place {
    /// The names of all files.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Place::Directory(directory) => fs::read_dir(directory)?
                .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                .collect(),
            Place::Memory(mount) => Ok(mount.file_names()),
        }
    }

    /// For people.
    pub(super) fn path(&self, name: &str) -> String {
        match self {
            Place::Directory(directory) => directory.join(name).display().to_string(),
            Place::Memory(_) => Path::new("(memory)").join(name).display().to_string(),
        }
    }

    pub(super) fn open(&self, name: &str) -> io::Result<Content> {
        Ok(match self {
            Place::Directory(directory) => Content::File(Arc::new(File::open(directory.join(name))?)),
            Place::Memory(mount) => Content::Memory(mount.read_file(name)?),
        })
    }

    pub(super) fn create(&self, name: &str) -> io::Result<Writing> {
        match self {
            Place::Directory(directory) => Ok(Writing::File(File::create(directory.join(name))?)),
            Place::Memory(mount) => {
                mount.create_file(name)?;
                Ok(Writing::Memory(mount.clone(), name.to_owned()))
            }
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        match self {
            Place::Directory(directory) => fs::rename(directory.join(from), directory.join(to)),
            Place::Memory(mount) => mount.rename_file(from, to),
        }
    }

    /// Makes names durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Place::Directory(directory) => durable::sync_directory(directory),
            Place::Memory(mount) => mount.sync_names(),
        }
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match self {
            Place::Directory(directory) => fs::remove_file(directory.join(name)),
            Place::Memory(mount) => mount.remove_file(name),
        }
    }
}

/// A file being written.
pub(super) enum Writing {
    File(File),
    Memory(Mount, String),
}

impl Writing {
    /// Makes the bytes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        match self {
            Writing::File(file) => file.sync_all(),
            Writing::Memory(mount, name) => mount.sync_file(name),
        }
    }
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Writing::File(file) => file.write(bytes),
            Writing::Memory(mount, name) => mount.append_to_file(name, bytes).map(|()| bytes.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
