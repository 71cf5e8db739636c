//! Every test: unit tests of all crates, whole clusters of real processes with real clients, and some minutes of simulation.
//!
//! The last line is always `N passed, N failed`.

use std::fmt;
use std::time::Instant;

use anyhow::Result;

use crate::{clients, packages, shell, simulate};

/// The package whose tests start whole clusters.
const CLUSTER_PACKAGE: &str = "cluster-tests";

/// How many tests passed and failed, counted from the summaries of the test programs.
#[derive(Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
}

impl Tally {
    /// Counts a line such as `test result: ok. 12 passed; 0 failed; 1 ignored; …`; other lines are ignored.
    fn see(&mut self, line: &str) {
        let Some(summary) = line.trim_start().strip_prefix("test result:") else {
            return;
        };
        let mut previous = "";
        for word in summary.split_whitespace() {
            match word.trim_end_matches(';') {
                "passed" => self.passed += previous.parse().unwrap_or(0),
                "failed" => self.failed += previous.parse().unwrap_or(0),
                _ => {}
            }
            previous = word;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs all tests, or with one argument only the cluster test file of that name. Returns whether everything passed.
pub(crate) fn test(arguments: &[String]) -> Result<bool> {
    let start = Instant::now();
    let mut tally = Tally::default();
    let passed = everything(arguments.first().map(String::as_str), &mut tally);
    match &passed {
        Ok(true) => {}
        Ok(false) => println!("\nsome tests failed, see above"),
        Err(error) => println!("\nthe tests could not be completed: {error:#}"),
    }
    println!("took {} s", start.elapsed().as_secs());
    // A run that could not be completed is never a run without failures.
    if !matches!(passed, Ok(true)) && tally.failed == 0 {
        tally.failed = 1;
    }
    println!("{tally}");
    Ok(matches!(passed, Ok(true)))
}

fn everything(only: Option<&str>, tally: &mut Tally) -> Result<bool> {
    let clients = clients::install()?;
    packages::ensure(packages::GO)?;
    let mut passed = true;
    // Everything in one go, so that each dependency is compiled once, with the features of the whole workspace. It also
    // makes the binary that the clusters run.
    shell::must(&mut shell::cargo(["build", "--workspace", "--all-targets"]))?;
    if only.is_none() {
        passed &= unit(tally)?;
    }
    let mut command = shell::cargo(["test", "--package", CLUSTER_PACKAGE, "--no-fail-fast"]);
    if let Some(name) = only {
        command.args(["--test", name]);
    }
    command
        .args(["--", "--test-threads=1"])
        .env("MESORAFT_BIN", shell::target().join("debug/mesoraft"))
        .env("MESORAFT_PYTHON", &clients.python);
    passed &= shell::watched(&mut command, |line| tally.see(line))?;
    if only.is_none() {
        let (held, broken) = simulate::bounded()?;
        tally.passed += held;
        tally.failed += broken;
        passed &= broken == 0;
    }
    Ok(passed)
}

/// The tests of every crate that need no cluster.
pub(crate) fn unit(tally: &mut Tally) -> Result<bool> {
    let mut command = shell::cargo(["test", "--workspace", "--exclude", CLUSTER_PACKAGE, "--no-fail-fast"]);
    shell::watched(&mut command, |line| tally.see(line))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn summaries_of_several_test_programs_add_up() {
        let mut tally = Tally::default();
        tally.see("running 3 tests");
        tally.see("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.see("test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.see("test failed_is_only_a_word ... ok");
        assert_eq!(tally.to_string(), "14 passed, 3 failed");
    }
}
