//! What the tests need from the operating system, and how a Debian machine gets it.
//!
//! Installs only when something is missing, and only where that is possible without asking (as root or with a
//! `sudo` that needs no password); otherwise says which command installs it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// One thing the machine must have.
pub(crate) struct Need {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// The Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
    /// Whether the machine has it already.
    pub(crate) present: fn() -> bool,
}

/// What the Python clients need: an interpreter that can make environments, its headers and a C compiler (for
/// pymesos's parser).
pub(crate) const PYTHON: &[Need] = &[
    Need {
        what: "python3",
        packages: &["python3"],
        present: || has("python3"),
    },
    Need {
        what: "Python's venv module",
        packages: &["python3-venv"],
        present: || shell::quietly(Command::new("python3").args(["-c", "import ensurepip, venv"])),
    },
    Need {
        what: "Python's C headers",
        packages: &["python3-dev"],
        present: has_python_headers,
    },
    Need {
        what: "a C compiler",
        packages: &["gcc", "libc6-dev"],
        present: || has("cc") || has("gcc"),
    },
];

/// The rival of the write benchmark.
pub(crate) const ETCD: &[Need] = &[Need {
    what: "etcd",
    packages: &["etcd-server"],
    present: || has("etcd") || Path::new("/usr/bin/etcd").exists(),
}];

/// What builds Porcupine, the independent checker of histories.
pub(crate) const GO: &[Need] = &[Need {
    what: "the Go toolchain",
    packages: &["golang-go"],
    present: || shell::quietly(Command::new("go").arg("version")),
}];

fn has(program: &str) -> bool {
    shell::quietly(Command::new(program).arg("--version"))
}

fn has_python_headers() -> bool {
    let script = "import os, sysconfig, sys; \
                  sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()['include'], 'Python.h')))";
    shell::quietly(Command::new("python3").args(["-c", script]))
}

/// Makes sure that everything in `needs` is there.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    let advice = format!(
        "missing: {}; install with: apt-get install {}",
        names.join(", "),
        packages.join(" ")
    );
    let Some(prefix) = administrator() else {
        bail!("{advice}")
    };
    println!("installing what is missing: {}", names.join(", "));
    let apt = |arguments: &[&str]| {
        let mut words: Vec<&str> = prefix.to_vec();
        words.push("apt-get");
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    shell::must(&mut apt(&["update", "-q"]))?;
    let mut arguments = vec!["install", "-q", "-y", "--no-install-recommends"];
    arguments.extend(&packages);
    shell::must(&mut apt(&arguments))?;
    let still: Vec<&str> = missing
        .iter()
        .filter(|need| !(need.present)())
        .map(|need| need.what)
        .collect();
    if !still.is_empty() {
        bail!(
            "still missing after installing {}: {}",
            packages.join(" "),
            still.join(", ")
        );
    }
    Ok(())
}

/// The words before `apt-get` that make it run as administrator without a question, or `None` if that is impossible.
fn administrator() -> Option<&'static [&'static str]> {
    if !shell::quietly(Command::new("apt-get").arg("--version")) {
        return None;
    }
    let uid = shell::output(Command::new("id").arg("-u")).ok()?;
    if uid == "0" {
        Some(&[])
    } else if shell::quietly(Command::new("sudo").args(["-n", "true"])) {
        Some(&["sudo", "-n"])
    } else {
        None
    }
}
