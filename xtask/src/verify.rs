//! `verify` checks everything that needs no cluster and never writes to the sources; `fix` repairs what can be
//! repaired by a tool.

use std::process::Command;

use anyhow::Result;

use crate::shell;
use crate::test::Tally;

/// Runs every check, also after one has failed, and says at the end which failed.
pub(crate) fn verify() -> Result<bool> {
    let mut failed = Vec::new();
    let mut check = |name: &'static str, passed: bool| {
        if !passed {
            failed.push(name);
        }
    };
    check(
        "format",
        shell::succeeds(&mut shell::cargo(["fmt", "--all", "--check"]))?,
    );
    check(
        "clippy",
        shell::succeeds(&mut shell::cargo([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))?,
    );
    check("format and clippy of the simulation", crate::simulate::is_tidy()?);
    let mut tally = Tally::default();
    check("unit tests", crate::test::unit(&mut tally)?);
    check(
        "documentation",
        shell::succeeds(documentation().env("RUSTDOCFLAGS", "-D warnings"))?,
    );
    if shell::quietly(&mut shell::cargo(["deny", "--version"])) {
        check("deny", shell::succeeds(&mut shell::cargo(["deny", "check"]))?);
    } else {
        println!("cargo-deny is not installed: licences and advisories were not checked");
    }
    if failed.is_empty() {
        println!("verify: everything passed, {tally}");
    } else {
        println!("verify: failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn documentation() -> Command {
    shell::cargo(["doc", "--workspace", "--no-deps", "--document-private-items"])
}

/// Formats the sources and lets clippy repair what it can.
pub(crate) fn fix() -> Result<bool> {
    shell::must(&mut shell::cargo(["fmt", "--all"]))?;
    shell::must(&mut shell::cargo([
        "clippy",
        "--workspace",
        "--all-targets",
        "--fix",
        "--allow-dirty",
        "--allow-staged",
    ]))?;
    shell::must(&mut shell::cargo(["fmt", "--all"]))?;
    Ok(true)
}
