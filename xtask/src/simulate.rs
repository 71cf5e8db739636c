//! The seeded simulation, which is a workspace of its own because it is built with flags of its own.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// The folder of that workspace.
const FOLDER: &str = "chaos/simulation";
/// Its profile: as fast as a release, with every assertion.
const PROFILE: &str = "simulation";
/// Always the same seeds, so that a failure is one of the change; fewer on a slow machine. They
/// all hold; those that do not yet are named in `docs/testing.md`.
const SEEDS: &[&str] = &["--seed=174", "--seeds=150", "--minutes=5"];
/// Planted bugs that few seeds find, and how many seeds they get.
const CHEAP_BUGS: &[&str] = &[
    "acknowledge-before-sync",
    "snapshot-not-synced",
    "truncate-too-much",
    "purge-too-much",
    "snapshot-claims-less",
    "snapshot-skips-task",
    "skip-term-check",
    "wiped-votes",
    "stale-read",
    "nondeterministic-apply",
    "send-before-commit",
    "update-before-commit",
    "acknowledge-for-framework",
    "task-update-dropped",
    "reuse-offer-id",
    "old-offer-honoured",
    "reply-to-wrong-caller",
];
const CHEAP_SEEDS: &[&str] = &["--seeds-max=200"];
/// What the simulator can do by name; anything else is meant for `many`.
const COMMANDS: [&str; 3] = ["run", "many", "planted"];

/// What the tests of every change run: some hundred seeds, always the same ones, and the planted
/// bugs that few seeds find. Returns how many of these checks passed and failed.
pub(crate) fn bounded() -> Result<(u64, u64)> {
    let program = build()?;
    let unit = shell::succeeds(&mut cargo(&["test", "--quiet", "--profile", PROFILE]))?;
    let seeds = shell::succeeds(Command::new(&program).arg("many").args(SEEDS))?;
    let planted = shell::succeeds(Command::new(&program).arg("planted").args(CHEAP_SEEDS).args(CHEAP_BUGS))?;
    let results = [unit, seeds, planted];
    let passed = results.iter().filter(|passed| **passed).count() as u64;
    Ok((passed, results.len() as u64 - passed))
}

/// Whether the sources of that workspace are formatted and clippy finds nothing.
pub(crate) fn is_tidy() -> Result<bool> {
    let formatted = shell::succeeds(&mut cargo(&["fmt", "--check"]))?;
    let clippy = ["clippy", "--profile", PROFILE, "--all-targets", "--", "-D", "warnings"];
    Ok(shell::succeeds(&mut cargo(&clippy))? && formatted)
}

/// Builds the simulator and says where it is.
fn build() -> Result<PathBuf> {
    shell::must(&mut cargo(&["build", "--quiet", "--profile", PROFILE]))?;
    Ok(target().join(PROFILE).join("simulate"))
}

fn target() -> PathBuf {
    shell::target().join("simulation")
}

/// Cargo in that workspace.
fn cargo(arguments: &[&str]) -> Command {
    let mut command = shell::cargo(arguments);
    command
        .current_dir(shell::root().join(FOLDER))
        .env("CARGO_TARGET_DIR", target());
    // A variable would silently take the place of the flags in the folder's own configuration.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        command.env_remove(variable);
    }
    command
}

/// Builds the simulator and hands it the arguments. Ends this process with its exit code: 0 held, 1 a rule was broken,
/// 2 the arguments make no sense, 3 the simulation itself failed.
pub(crate) fn simulate(arguments: &[String]) -> Result<bool> {
    if arguments.is_empty() {
        bail!(
            "say how many: cargo xtask simulate --seeds=1000 [--seed=1] [--minutes=5], or one: cargo xtask simulate run --seed=1"
        );
    }
    let program = build()?;
    let mut command = Command::new(&program);
    let named = arguments
        .first()
        .is_some_and(|first| COMMANDS.contains(&first.as_str()));
    if !named {
        command.arg("many");
    }
    command.args(arguments);
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(code) => std::process::exit(code),
        None => bail!("the simulator was killed: {status}"),
    }
}
