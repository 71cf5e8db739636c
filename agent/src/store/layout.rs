//! Where everything lies below `work_dir`. Ids chosen by frameworks become safe file names here and nowhere else.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Longest id that is taken as it is; file systems end names at 255 bytes.
const NAME_BYTES_MAX: usize = 180;

/// A file name for an id: bytes that file systems or readers could misunderstand are percent-encoded, a name that
/// gets too long ends in a checksum instead.
pub(crate) fn file_name(id: &str) -> String {
    if id.is_empty() {
        return "%".into();
    }
    let mut name = String::with_capacity(id.len());
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b':' | b'@' | b',' | b'=' => name.push(byte.into()),
            b'.' if !name.is_empty() => name.push('.'),
            // Writing to a string cannot fail.
            _ => write!(name, "%{byte:02x}").unwrap_or_default(),
        }
    }
    if name.len() > NAME_BYTES_MAX {
        let checksum = crc32fast::hash(id.as_bytes());
        let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        name.truncate(NAME_BYTES_MAX);
        write!(name, "%{checksum:08x}{hash:016x}").unwrap_or_default();
    }
    name
}

/// Directories between a sandbox and the `frameworks` of its agent: framework, `executors`, executor, `runs`.
pub(crate) const SANDBOX_LEVELS: usize = 4;

/// All paths of one agent.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    work_dir: PathBuf,
}

impl Layout {
    /// Paths below `work_dir`, which must be absolute: supervisors and tasks have other working directories.
    pub(crate) fn new(work_dir: PathBuf) -> Self {
        Layout { work_dir }
    }

    /// `--work_dir` itself.
    pub(crate) fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// Everything the agent needs to recover.
    pub(crate) fn meta(&self) -> PathBuf {
        self.work_dir.join("meta")
    }

    /// See [`crate::store`].
    pub(crate) fn lock(&self) -> PathBuf {
        self.meta().join("lock")
    }

    /// See [`crate::store`].
    pub(crate) fn notify(&self) -> PathBuf {
        self.meta().join("notify")
    }

    /// See [`crate::store`].
    pub(crate) fn boot_id(&self) -> PathBuf {
        self.meta().join("boot_id")
    }

    /// See [`crate::store`].
    pub(crate) fn agent(&self) -> PathBuf {
        self.meta().join("agent")
    }

    /// Directory of every framework.
    pub(crate) fn frameworks(&self) -> PathBuf {
        self.meta().join("frameworks")
    }

    /// Directory of one framework.
    pub(crate) fn framework(&self, framework: &str) -> PathBuf {
        self.frameworks().join(file_name(framework))
    }

    /// Directory of one run of an executor.
    pub(crate) fn executor(&self, framework: &str, container: &str) -> PathBuf {
        self.framework(framework).join("executors").join(file_name(container))
    }

    /// Record of one task.
    pub(crate) fn task(&self, framework: &str, container: &str, task: &str) -> PathBuf {
        self.executor(framework, container).join("tasks").join(file_name(task))
    }

    /// Directory of one process of an executor.
    pub(crate) fn process(&self, framework: &str, container: &str, process: &str) -> PathBuf {
        self.executor(framework, container)
            .join("processes")
            .join(file_name(process))
    }

    /// Sandbox of one run of an executor, at the place where Mesos tools look for it.
    pub(crate) fn sandbox(&self, agent: &str, framework: &str, executor: &str, container: &str) -> PathBuf {
        self.work_dir
            .join("slaves")
            .join(file_name(agent))
            .join("frameworks")
            .join(file_name(framework))
            .join("executors")
            .join(file_name(executor))
            .join("runs")
            .join(file_name(container))
    }

    /// Directory of a persistent volume.
    pub(crate) fn volume(&self, role: &str, id: &str) -> PathBuf {
        self.work_dir
            .join("volumes")
            .join("roles")
            .join(file_name(role))
            .join(file_name(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_id_leaves_its_directory_and_different_ids_get_different_names() {
        let long = "x".repeat(400);
        let other = format!("{long}y");
        let ids = ["..", ".", "", "a/b", "a%2fb", "ordinary-task.1", &long, &other];
        let mut names: Vec<String> = ids.iter().map(|id| file_name(id)).collect();
        for name in &names {
            assert!(
                !name.contains('/') && name != "." && name != ".." && name.len() < 250,
                "{name}"
            );
        }
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ids.len());
        assert_eq!(file_name("ordinary-task.1"), "ordinary-task.1");
    }
}
