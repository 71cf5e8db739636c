//! `mesoraft chaos`: faults and consistency checks against a cluster started here, or against one that is there.
//!
//! Exit codes, the same for all of it: 0 everything held, 1 a violation was found, 2 bad usage or input, 3 nothing is
//! known: the run does not count or the harness failed. A failure of the harness is neither a pass nor a violation.

mod check;
mod lists;
mod report;
mod run;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::output::complain;

/// Exit code of bad usage or input, as of flags that cannot be read.
const BAD_INPUT: u8 = 2;
/// Exit code when nothing is known.
const NOT_DECIDED: u8 = 3;

/// Flags of `chaos`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start a cluster (or use one that is there), load it, hurt it, and judge what its clients saw
    Run(Box<run::Args>),
    /// Judge histories that earlier runs have left
    Check(check::Args),
    /// Write one page about a run, as HTML and as JSON, from the history it has left
    Report(report::Args),
    /// List the faults, and which of them work on this machine
    Faults,
    /// List the workloads
    Workloads,
    /// Serve a file system that loses power on demand; what a run starts for the disks of its masters, not for people
    #[command(hide = true)]
    Volume {
        /// Where it is mounted
        directory: PathBuf,
    },
}

/// How a command failed before there was a verdict.
enum Failure {
    /// What was asked for makes no sense.
    BadInput(String),
    /// The harness failed.
    Harness(anyhow::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Harness(error)
    }
}

/// Does what is asked.
pub(crate) fn main(args: Args) -> anyhow::Result<ExitCode> {
    let done = match args.action {
        Action::Run(args) => run::main(*args),
        Action::Check(args) => check::main(&args),
        Action::Report(args) => report::main(&args),
        Action::Faults => {
            lists::faults();
            Ok(ExitCode::SUCCESS)
        }
        Action::Workloads => {
            lists::workloads();
            Ok(ExitCode::SUCCESS)
        }
        Action::Volume { directory } => ::chaos::run::serve_volume(&directory)
            .map(|()| ExitCode::SUCCESS)
            .map_err(Failure::Harness),
    };
    Ok(done.unwrap_or_else(|failure| match failure {
        Failure::BadInput(text) => {
            complain(&format!("mesoraft chaos: {text}"));
            ExitCode::from(BAD_INPUT)
        }
        Failure::Harness(error) => {
            complain(&format!(
                "mesoraft chaos: nothing is known about the cluster: {error:#}"
            ));
            ExitCode::from(NOT_DECIDED)
        }
    }))
}
