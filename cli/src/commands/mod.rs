//! The subcommands, one module each: its flags (`Args`) and its `main`.

pub(crate) mod agent;
pub(crate) mod agent_executor;
pub(crate) mod chaos;
pub(crate) mod events;
pub(crate) mod local;
pub(crate) mod master;
pub(crate) mod members;
pub(crate) mod quota;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod weights;

use std::process::ExitCode;

use anyhow::Context;
use tokio::runtime::Runtime;

use crate::logging::{self, LogFlags};
use crate::process;

/// The runtime every subcommand runs on, one thread per processor.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Runs a member of a cluster, a master or an agent, to its end: `prepare` checks the flags and says what is to run.
/// It logs as its flags say, and dies with the local cluster that started it, if one did.
fn run_member<F>(log: &LogFlags, prepare: impl FnOnce() -> anyhow::Result<F>) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    logging::start(log)?;
    process::die_with_local()?;
    let member = prepare()?;
    let runtime = runtime()?;
    let code = runtime.block_on(member);
    // Answers still on their way to slow readers do not hold the process up.
    runtime.shutdown_background();
    code
}

/// Whether a text is `<host>:<port>`.
fn has_port(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
