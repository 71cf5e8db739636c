//! The command line.

mod children;
mod many;
mod planted;
mod run;
mod shrink;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// All rules held.
pub(crate) const HELD: u8 = 0;
/// A rule was broken.
pub(crate) const VIOLATED: u8 = 1;
/// The command makes no sense.
pub(crate) const USAGE: u8 = 2;
/// The simulation itself failed: neither a pass nor a violation.
pub(crate) const HARNESS: u8 = 3;

#[derive(Debug, Parser)]
#[command(name = "simulate", about = "Runs seeds of the simulation", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one seed
    Run(run::Arguments),
    /// Runs many seeds on all cores
    Many(many::Arguments),
    /// Shows that planted bugs are found
    Planted(planted::Arguments),
}

/// Parses and runs.
pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { HELD };
            drop(error.print());
            return ExitCode::from(code);
        }
    };
    let code = match arguments.command {
        Command::Run(arguments) => run::main(arguments),
        Command::Many(arguments) => many::main(&arguments),
        Command::Planted(arguments) => planted::main(&arguments),
    };
    ExitCode::from(code)
}
