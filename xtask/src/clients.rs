//! Sets up the framework clients that the cluster tests run against: pymesos from PyPI in a Python environment of
//! its own.
//!
//! The environment lies under `target/clients/python/<key>`, where the key is a hash of everything it is made from
//! (pinned requirements, interpreter, this recipe); `target/clients/python/current` points at it. A finished
//! environment is never touched again, a half-finished one is thrown away.
//!
//! pymesos depends on `http-parser` 0.9.0, whose published C file was generated years ago and does not compile for
//! current interpreters. So its source distribution is unpacked, the C file is made again from the Cython source, and
//! the result is installed without build isolation.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{packages, shell};

/// Changes whenever the steps below change, so that environments made by older steps are not reused.
const RECIPE: u32 = 1;

/// Built here from its source instead of being installed as it is.
const REBUILT: &str = "http-parser";

/// Installed after [`REBUILT`] and without its dependencies, which would pull in the unbuildable package again.
const FRAMEWORK_LIBRARY: &str = "pymesos";

/// `http-parser`'s set-up script imports `imp`, which Python 3.12 dropped; this stands in for the one function it uses.
const IMP_STAND_IN: &str = "\
import importlib.util, sys

def load_source(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
";

/// Where the installed clients are.
pub(crate) struct Clients {
    /// The interpreter of the environment that has pymesos.
    pub(crate) python: PathBuf,
}

/// Makes sure that the clients are installed. Idempotent; a second call does nothing and needs no network.
pub(crate) fn install() -> Result<Clients> {
    packages::ensure(packages::PYTHON)?;
    let list = shell::root().join("tests/clients/requirements.txt");
    let requirements = fs::read_to_string(&list).with_context(|| format!("cannot read {}", list.display()))?;
    let interpreter = shell::output(Command::new("python3").args([
        "-c",
        "import sys, sysconfig; print(sys.version, sysconfig.get_platform(), sys.base_prefix)",
    ]))?;
    let mut hasher = DefaultHasher::new();
    (RECIPE, &requirements, &interpreter).hash(&mut hasher);
    let folder = shell::target().join("clients/python");
    let environment = folder.join(format!("{:016x}", hasher.finish()));
    let python = environment.join("bin/python");
    let ready = environment.join("ready");
    if !ready.exists() {
        println!("setting up the Python clients in {}", environment.display());
        if environment.exists() {
            fs::remove_dir_all(&environment)
                .with_context(|| format!("cannot remove the unfinished {}", environment.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        build(&environment, &python, &requirements)?;
        fs::write(&ready, &interpreter).with_context(|| format!("cannot write {}", ready.display()))?;
    }
    point_at(&folder.join("current"), &environment)?;
    Ok(Clients { python })
}

/// Makes the environment from nothing.
fn build(environment: &Path, python: &Path, requirements: &str) -> Result<()> {
    shell::must(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    let pins: Vec<&str> = requirements
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    if let Some(loose) = pins.iter().find(|pin| !pin.contains("==")) {
        bail!("'{loose}' in tests/clients/requirements.txt is not pinned to an exact version");
    }
    let named = |name: &str| {
        pins.iter()
            .find(|pin| pin.split("==").next() == Some(name))
            .copied()
            .with_context(|| format!("tests/clients/requirements.txt does not name {name}"))
    };
    let rebuilt = named(REBUILT)?;
    let library = named(FRAMEWORK_LIBRARY)?;
    let plain: Vec<&str> = pins
        .iter()
        .copied()
        .filter(|pin| *pin != rebuilt && *pin != library)
        .collect();
    shell::must(pip(python).args(["install", "--quiet"]).args(plain))?;

    let sources = environment.join("sources");
    let stand_in = sources.join("stand-in");
    fs::create_dir_all(&stand_in).with_context(|| format!("cannot create {}", stand_in.display()))?;
    fs::write(stand_in.join("imp.py"), IMP_STAND_IN).context("cannot write the stand-in for imp")?;
    shell::must(
        pip(python)
            .args([
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                ":all:",
                "--no-build-isolation",
                "--dest",
            ])
            .arg(&sources)
            .arg(rebuilt)
            .env("PYTHONPATH", &stand_in),
    )?;
    let unpacked = unpack(&sources)?;
    let generated = unpacked.join("http_parser/parser.c");
    if generated.exists() {
        fs::remove_file(&generated).with_context(|| format!("cannot remove {}", generated.display()))?;
    }
    shell::must(
        Command::new(python)
            .args(["-m", "cython", "-w"])
            .arg(&unpacked)
            .arg("http_parser/parser.pyx"),
    )?;
    shell::must(
        pip(python)
            .args(["install", "--quiet", "--no-deps", "--no-build-isolation"])
            .arg(&unpacked)
            .env("PYTHONPATH", &stand_in),
    )?;
    shell::must(pip(python).args(["install", "--quiet", "--no-deps", "--no-build-isolation", library]))?;
    // The compiled parser is what the library is used with; its slow stand-in in Python must not slip in.
    shell::must(
        Command::new(python)
            .args(["-c", "import pymesos, http_parser.parser"])
            .current_dir(environment),
    )
}

fn pip(python: &Path) -> Command {
    let mut command = Command::new(python);
    command.args(["-m", "pip", "--disable-pip-version-check"]);
    command
}

/// Unpacks the only archive in the folder and returns the folder it made.
fn unpack(sources: &Path) -> Result<PathBuf> {
    let archive = entry(sources, |name| name.ends_with(".tar.gz"))?.context("pip downloaded no source archive")?;
    shell::must(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(sources))?;
    entry(sources, |name| name.starts_with("http") && !name.ends_with(".tar.gz"))?
        .with_context(|| format!("{} holds no folder of sources", archive.display()))
}

fn entry(folder: &Path, matches: impl Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(&matches) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// Makes `link` a symbolic link to `destination`, whatever it was before.
fn point_at(link: &Path, destination: &Path) -> Result<()> {
    if fs::read_link(link).is_ok_and(|old| old == destination) {
        return Ok(());
    }
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    std::os::unix::fs::symlink(destination, link).with_context(|| format!("cannot create {}", link.display()))
}
