//! `mesoraft agent-executor`: what an agent starts for each process it runs, to own it and to outlive the agent. Not
//! for people.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::process;

/// Everything after the subcommand is for the agent's library.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Handed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs it to its end.
pub(crate) fn main(args: Args) -> ExitCode {
    process::watch_local_from_executor();
    agent::executor_main(args.args)
}
