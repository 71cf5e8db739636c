//! Developer commands: `cargo xtask <verb>`. One verb per module; the same commands run here and in continuous integration.
//!
//! Must never be needed to build or run the product itself, and must not depend on any crate of the workspace: it has
//! to work when they do not compile.

mod bench;
mod chaos;
mod clients;
mod packages;
mod shell;
mod simulate;
mod test;
mod verify;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask <verb>

  verify          formatting, clippy, unit tests, documentation; writes nothing to the sources
  fix             format and apply what clippy can repair
  test [NAME]     every test: installs the clients it needs, builds, runs unit tests and whole clusters;
                  with NAME only the cluster test file tests/tests/NAME.rs
  clients         set up the framework clients (a Python environment under target/clients) and print where they are
  bench [NAME]    run the benchmarks (or one of them) with release binaries and print their tables, with all goals at
                  the end; --quick runs them small and short
  chaos [--minutes M] [ARGUMENTS]
                  clusters of real processes under faults, with 3 and with 5 masters in turn, for M minutes (60); further
                  arguments go to `mesoraft chaos run`; histories are left under target/chaos
  simulate        many seeds of the simulation on all cores: --seeds N [--seed S] [--minutes M]; one of them again:
                  simulate run --seed S [...]; the test of the tests: simulate planted [BUG...] [--seeds-max N]
  help            this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the verb. `Ok(false)` means that it ran and found failures, which it has already printed.
fn run(arguments: &[String]) -> Result<bool> {
    let (verb, rest) = match arguments.split_first() {
        Some((verb, rest)) => (verb.as_str(), rest),
        None => ("help", arguments),
    };
    match verb {
        "verify" => verify::verify(),
        "fix" => verify::fix(),
        "test" => test::test(rest),
        "clients" => {
            let clients = clients::install()?;
            println!("{}", clients.python.display());
            Ok(true)
        }
        "bench" => bench::bench(rest),
        "chaos" => chaos::chaos(rest),
        "simulate" => simulate::simulate(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(true)
        }
        unknown => {
            eprint!("{USAGE}");
            bail!("there is no verb '{unknown}'")
        }
    }
}
