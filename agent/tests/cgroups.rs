//! A supervisor on a real cgroup v2 hierarchy. Limits are not tested here: hosts differ in the controllers they offer.
#![allow(missing_docs, clippy::unwrap_used)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A group of its own for a test, removed with what is in it at the end.
struct Group(PathBuf);

impl Group {
    /// `Err` says why this host does not have one for this user.
    fn new(name: &str) -> Result<Group, String> {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts
            .lines()
            .find_map(|line| {
                let mut fields = line.split(' ').skip(1);
                let (path, kind) = (fields.next()?, fields.next()?);
                (kind == "cgroup2").then(|| PathBuf::from(path))
            })
            .ok_or("no cgroup v2 hierarchy is mounted")?;
        let path = mount.join(format!("mesoraft-test-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        // Moving a process takes more rights than making a group does.
        let mut probe = Command::new("sh");
        probe.arg("-c").arg("echo 0 > cgroup.procs").current_dir(&path);
        let group = Group(path);
        match probe.output().unwrap() {
            output if output.status.success() => Ok(group),
            output => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in [self.0.join("task"), self.0.join("supervisors"), self.0.clone()] {
            // Not there when all went well.
            std::fs::write(path.join("cgroup.kill"), "1").ok();
            std::fs::remove_dir(path).ok();
        }
    }
}

/// Runs a shell text under a supervisor in the group; returns the supervisor's last word.
fn supervise(directory: &Path, group: &Path, text: &str) -> Value {
    let sandbox = directory.join("sandbox");
    std::fs::create_dir(&sandbox).unwrap();
    let spec = json!({
        "version": 1,
        "container_id": "c",
        "shell": true,
        "value": text,
        "arguments": [],
        "environment": [["PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]],
        "user": null,
        "sandbox": sandbox,
        "fetch": [],
        "links": [],
        "max_completion_ms": 10_000,
        "kill_grace_ms": 100,
        "cgroup": {"path": group.join("task"), "memory_bytes": null, "cpu_weight": null, "pids_max": null},
        "notify": directory.join("notify"),
    });
    std::fs::write(directory.join("spec.json"), spec.to_string()).unwrap();
    nix::unistd::mkfifo(&directory.join("control"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_agent-for-tests"))
        .arg("agent-executor")
        .arg(directory)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "",
        "a supervisor has nothing to complain of"
    );
    assert!(output.status.success());
    serde_json::from_slice(&std::fs::read(directory.join("status.json")).unwrap()).unwrap()
}

#[test]
fn a_task_lives_in_a_group_of_its_own_which_dies_with_everything_in_it() {
    let group = match Group::new("life") {
        Ok(group) => group,
        Err(reason) => {
            // Past the capture of the test program, so that it is seen.
            writeln!(
                std::io::stderr(),
                "NOT TESTED, control groups cannot be used here: {reason}"
            )
            .unwrap();
            return;
        }
    };
    let directory = tempfile::tempdir().unwrap();
    // The second process leaves session, process group and parent.
    let text = "cat /proc/self/cgroup > group; (setsid sleep 1000 & echo $! > pid); \
                until grep -q /supervisors$ /proc/$PPID/cgroup; do :; done; cat /proc/$PPID/cgroup > supervisor";
    let status = supervise(directory.path(), &group.0, text);
    assert_eq!(status["phase"], "exited", "{status}");
    assert_eq!(status["exit"], json!({"code": 0}), "{status}");
    let read = |name: &str| std::fs::read_to_string(directory.path().join("sandbox").join(name)).unwrap();
    let name = group.0.file_name().unwrap().to_str().unwrap();
    assert!(read("group").contains(&format!("/{name}/task\n")), "{}", read("group"));
    assert!(
        read("supervisor").contains(&format!("/{name}/supervisors\n")),
        "{}",
        read("supervisor")
    );
    assert!(
        !Path::new("/proc").join(read("pid").trim()).exists(),
        "what the task left behind is dead"
    );
    assert!(!group.0.join("task").exists(), "its group is gone");
}
