//! The seeded simulation: whole masters, agents and frameworks in one process on simulated time, network and disks.
//!
//! One seed decides everything; the same seed gives the same run to the last byte. `run` is one seed, `many` all cores
//! full of them, `planted` shows that defects are found.
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(tokio_unstable))]
compile_error!(
    "build this in its own folder: the order in which tokio runs what is ready follows the seed only with --cfg tokio_unstable"
);

mod alone;
mod cluster;
mod commands;
mod coverage;
mod expected;
mod faults;
mod jobs;
mod load;
mod network;
mod oracle;
mod plan;
mod random;
mod run;
mod time;
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    commands::main()
}
