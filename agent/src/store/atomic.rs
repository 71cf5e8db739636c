//! Whole-file writes that are either there or not: temporary name, sync, rename, sync of the directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// End of a temporary name; no encoded id contains it.
pub(crate) const TEMPORARY: &str = "~";

/// Replaces the file `path` by `content`, durably.
///
/// When it returns `Ok`, the new content survives a power failure; when it fails, the old content is untouched.
pub(crate) fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .ok_or_else(|| io::Error::other("a file without a directory"))?;
    let name = path
        .file_name()
        .ok_or_else(|| io::Error::other("a file without a name"))?;
    let mut temporary = name.to_os_string();
    temporary.push(TEMPORARY);
    let temporary = directory.join(temporary);
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    sync_directory(directory)
}

/// Makes creations, renames and removals in `directory` durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
