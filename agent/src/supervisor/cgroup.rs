//! Control groups (version 2) of one process: limits before it starts, a sure kill at its end.
//!
//! Must never be required: without a writable unified hierarchy the supervisor falls back to process groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::spec::CgroupSpec;

/// Controllers the agent asks for; each is optional.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Finds a place for the groups of this agent, creating `<mount>/mesoraft-agent-<name>`.
///
/// Answers `Err` with the reason when the host has no writable unified hierarchy with at least one useful controller.
pub(crate) fn prepare(mount: &Path, name: &str) -> Result<PathBuf, String> {
    let offered = fs::read_to_string(mount.join("cgroup.controllers"))
        .map_err(|error| format!("{} is not a cgroup v2 hierarchy: {error}", mount.display()))?;
    let wanted: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|name| offered.split_whitespace().any(|have| have == *name))
        .collect();
    if wanted.is_empty() {
        return Err(format!(
            "{} offers none of the controllers {CONTROLLERS:?}",
            mount.display()
        ));
    }
    let root = mount.join(format!("mesoraft-agent-{name}"));
    fs::create_dir_all(&root).map_err(|error| format!("cannot create {}: {error}", root.display()))?;
    for directory in [mount, &root] {
        for controller in &wanted {
            fs::write(directory.join("cgroup.subtree_control"), format!("+{controller}"))
                .map_err(|error| format!("cannot enable {controller} in {}: {error}", directory.display()))?;
        }
    }
    Ok(root)
}

/// The group of one process, while its supervisor lives.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Creates the group and sets its limits.
    pub(crate) fn create(spec: &CgroupSpec) -> io::Result<Self> {
        fs::create_dir_all(&spec.path)?;
        let set = |file: &str, value: Option<u64>| match value {
            Some(value) => fs::write(spec.path.join(file), value.to_string()),
            None => Ok(()),
        };
        set("memory.max", spec.memory_bytes)?;
        set("cpu.weight", spec.cpu_weight)?;
        set("pids.max", spec.pids_max)?;
        Ok(Cgroup {
            path: spec.path.clone(),
        })
    }

    /// Moves the calling process into the group, so that what it starts is born there.
    pub(crate) fn enter(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    /// Moves the calling process out again, into a neighbour that has no limits.
    pub(crate) fn leave(&self) -> io::Result<()> {
        let neighbour = self.path.with_file_name("supervisors");
        fs::create_dir_all(&neighbour)?;
        fs::write(neighbour.join("cgroup.procs"), "0")
    }

    /// Kills every process in the group.
    pub(crate) fn kill(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")
    }

    /// Whether the kernel killed something in the group for want of memory.
    pub(crate) fn memory_limit_reached(&self) -> bool {
        fs::read_to_string(self.path.join("memory.events")).is_ok_and(|events| {
            events
                .lines()
                .any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
        })
    }

    /// Removes the group; fails while something still lives in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_dir(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Plain files stand in for the kernel's: what is written where. `agent/tests/cgroups.rs` uses a real hierarchy.

    #[test]
    fn controllers_that_are_offered_are_enabled_for_the_groups_of_the_agent() {
        let mount = tempfile::tempdir().unwrap();
        fs::write(mount.path().join("cgroup.controllers"), "cpuset cpu io\n").unwrap();
        let root = prepare(mount.path(), "5051").unwrap();
        assert_eq!(root, mount.path().join("mesoraft-agent-5051"));
        for directory in [mount.path(), &root] {
            let enabled = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap();
            assert_eq!(enabled, "+cpu");
        }
    }

    #[test]
    fn a_host_without_a_useful_hierarchy_is_told_why() {
        let mount = tempfile::tempdir().unwrap();
        let error = prepare(mount.path(), "5051").unwrap_err();
        assert!(error.contains("is not a cgroup v2 hierarchy"), "{error}");
        fs::write(mount.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        let error = prepare(mount.path(), "5051").unwrap_err();
        assert!(error.contains("offers none of the controllers"), "{error}");
    }

    #[test]
    fn limits_that_are_given_are_set_and_no_others() {
        let root = tempfile::tempdir().unwrap();
        let spec = CgroupSpec {
            path: root.path().join("task"),
            memory_bytes: Some(1 << 25),
            cpu_weight: None,
            pids_max: Some(100),
        };
        let cgroup = Cgroup::create(&spec).unwrap();
        let read = |name: &str| fs::read_to_string(spec.path.join(name)).ok();
        assert_eq!(read("memory.max").as_deref(), Some("33554432"));
        assert_eq!(read("pids.max").as_deref(), Some("100"));
        assert_eq!(read("cpu.weight"), None);
        for (events, expected) in [
            ("max 3\noom 1\noom_kill 0\n", false),
            ("max 3\noom 1\noom_kill 1\n", true),
        ] {
            fs::write(spec.path.join("memory.events"), events).unwrap();
            assert_eq!(cgroup.memory_limit_reached(), expected, "{events}");
        }
    }
}
