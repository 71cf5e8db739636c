//! The subcommands, one module each: its flags (`Args`) and its `main`.

pub(crate) mod agent;
pub(crate) mod agent_executor;
pub(crate) mod local;
pub(crate) mod master;
pub(crate) mod members;
pub(crate) mod run;
pub(crate) mod status;

use anyhow::Context;
use tokio::runtime::Runtime;

/// The runtime every subcommand runs on, one thread per processor.
fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Whether a text is `<host>:<port>`.
fn has_port(address: &str) -> bool {
    let parts = address.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
