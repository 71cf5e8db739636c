//! The machine a run takes place on, and what its processes left in their logs.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// What a program of this workspace prints when a thread of it panics.
const PANIC: &str = "panicked at";

/// Cores, memory and kernel in one line.
pub(crate) fn describe() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes = memory.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let gibibytes = kilobytes.unwrap_or(0) >> 20;
    format!("{cores} cores, {gibibytes} GiB of memory, Linux {}", kernel.trim())
}

/// As root, gives this process a name space of its own for mounts, which end with its last process, however it ends. To
/// be called before there is another thread. Without root nothing is mounted that would need it.
pub fn enter_name_space() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let none: Option<&str> = None;
    let entered = unshare(CloneFlags::CLONE_NEWNS)
        .and_then(|()| mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none));
    if let Err(error) = entered {
        // In a container without the right to: what is mounted is unmounted at the end as well.
        tracing::info!(%error, "no name space of its own for mounts");
    }
}

/// A sentence for each panic in a log of the directory.
pub(crate) fn panics(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let logs = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let mut found = Vec::new();
    for log in logs {
        let bytes = fs::read(&log).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let name = log.file_stem().unwrap_or_default().to_string_lossy();
        found.extend(
            text.lines()
                .filter(|line| line.contains(PANIC))
                .map(|line| format!("{name}: {line}")),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_cores_memory_and_a_kernel() {
        let text = describe();
        assert!(
            text.contains(" cores, ") && !text.starts_with("0 ") && text.contains("Linux "),
            "{text}"
        );
    }
}
