//! Making names durable: a file survives the loss of power only if its directory was synced after it got its name.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Creates a directory and its missing ancestors, all of which survive the loss of power when this returns.
pub(crate) fn create_directory(directory: &Path) -> io::Result<()> {
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent
        && !parent.exists()
    {
        create_directory(parent)?;
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !directory.is_dir() => return Err(error),
        _ => {}
    }
    // Also when it was there: an earlier run may have died before this.
    sync_directory(parent.unwrap_or(Path::new(".")))
}
