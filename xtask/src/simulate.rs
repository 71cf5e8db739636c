//! The seeded simulation, which is a workspace of its own because it is built with flags of its own.

use anyhow::{Context, Result, bail};

use crate::shell;

/// The folder of that workspace.
const FOLDER: &str = "chaos/simulation";
/// Its profile: as fast as a release, with every assertion.
const PROFILE: &str = "simulation";
/// What the simulator can do by name; anything else is meant for `many`.
const COMMANDS: [&str; 3] = ["run", "many", "planted"];

/// Builds the simulator and hands it the arguments. Ends this process with its exit code: 0 held, 1 a rule was broken,
/// 2 the arguments make no sense, 3 the simulation itself failed.
pub(crate) fn simulate(arguments: &[String]) -> Result<bool> {
    if arguments.is_empty() {
        bail!(
            "say how many: cargo xtask simulate --seeds=1000 [--seed=1] [--minutes=5], or one: cargo xtask simulate run --seed=1"
        );
    }
    let target = shell::target().join("simulation");
    let mut build = shell::cargo(["build", "--quiet", "--profile", PROFILE, "--target-dir"]);
    // A variable would silently take the place of the flags in the folder's own configuration.
    build.arg(&target).current_dir(shell::root().join(FOLDER));
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_RUSTFLAGS"] {
        build.env_remove(variable);
    }
    shell::must(&mut build)?;
    let program = target.join(PROFILE).join("simulate");
    let mut command = std::process::Command::new(&program);
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
