//! The one binary of mesoraft. Each subcommand is one module of `commands`.
//!
//! Nothing of a master, an agent or a client lives here: this crate reads flags, starts the libraries, and prints.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod commands;
mod duration;
mod framework;
mod logging;
mod output;
mod process;
mod shutdown;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A highly available Mesos master, and what belongs to it.
#[derive(Debug, Parser)]
#[command(name = "mesoraft", version, about, max_term_width = 120, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one master replica
    Master(Box<commands::master::Args>),
    /// Run one agent
    Agent(Box<commands::agent::Args>),
    /// Run a whole cluster on this machine
    Local(commands::local::Args),
    /// Run a command as tasks and follow them
    Run(commands::run::Args),
    /// Show who leads, how the replicas stand, and what runs
    Status(commands::status::Args),
    /// Print what happens in the cluster as it happens
    Events(commands::events::Args),
    /// Show and change the members of the replicated log
    Members(commands::members::Args),
    /// Show and change what roles are guaranteed and limited to
    Quota(commands::quota::Args),
    /// Show and change how much more than others roles are offered
    Weights(commands::weights::Args),
    /// Hurt a cluster and check that nothing acknowledged is lost, duplicated or seen out of order
    Chaos(commands::chaos::Args),
    /// What an agent starts for each process it runs; not for people
    #[command(name = agent::SUBCOMMAND, hide = true)]
    AgentExecutor(commands::agent_executor::Args),
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let result = match command {
        Command::Master(args) => commands::master::main(*args),
        Command::Agent(args) => commands::agent::main(*args),
        Command::Local(args) => commands::local::main(args),
        Command::Run(args) => commands::run::main(args),
        Command::Status(args) => commands::status::main(args),
        Command::Events(args) => commands::events::main(args),
        Command::Members(args) => commands::members::main(args),
        Command::Quota(args) => commands::quota::main(args),
        Command::Weights(args) => commands::weights::main(args),
        Command::Chaos(args) => commands::chaos::main(args),
        Command::AgentExecutor(args) => Ok(commands::agent_executor::main(args)),
    };
    result.unwrap_or_else(|error| {
        output::complain(&format!("mesoraft: {error:#}"));
        ExitCode::FAILURE
    })
}
