//! An agent that is a process, behind a proxy.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tokio::sync::Mutex;

use super::layout::AgentAddress;
use super::process::{Launch, Process};
use crate::run::config::Config;
use crate::run::network::{Host, Proxy, Switchboard};

/// One agent.
pub(crate) struct Agent {
    pub(crate) place: usize,
    address: AgentAddress,
    launch: Launch,
    proxy: Proxy,
    switchboard: Arc<Switchboard>,
    process: Mutex<Option<Process>>,
}

impl Agent {
    pub(super) fn new(
        place: usize,
        address: AgentAddress,
        masters: &str,
        config: &Config,
        switchboard: &Arc<Switchboard>,
    ) -> Agent {
        let host = Host::Agent(place);
        let launch = Launch {
            name: host.to_string(),
            program: config.program.clone(),
            arguments: address.arguments(masters),
            environment: config.environment.clone(),
            log: config.directory.join(format!("{host}.log")),
        };
        let inner = (address.ip, address.outward.port()).into();
        Agent {
            place,
            proxy: Proxy::new(Arc::clone(switchboard), host, address.outward, inner),
            address,
            launch,
            switchboard: Arc::clone(switchboard),
            process: Mutex::new(None),
        }
    }

    pub(crate) fn name(&self) -> String {
        Host::Agent(self.place).to_string()
    }

    /// Starts it, unless it runs. Its proxy is open from then on: what arrives too early is reset.
    pub(crate) async fn start(&self) -> Result<()> {
        let mut process = self.process.lock().await;
        if process.is_some() {
            return Ok(());
        }
        let data = &self.address.data;
        fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
        let started = self.launch.spawn()?;
        self.switchboard
            .identities
            .started(started.pid(), Host::Agent(self.place));
        *process = Some(started);
        self.proxy
            .open()
            .await
            .with_context(|| format!("cannot listen for {}", self.name()))
    }

    /// `kill -9`; its executors live on.
    pub(crate) async fn kill(&self) -> Result<()> {
        let Some(process) = self.process.lock().await.take() else {
            return Ok(());
        };
        self.proxy.close();
        self.switchboard.identities.ended(process.pid());
        process.kill().await
    }

    /// SIGSTOP or SIGCONT.
    pub(crate) async fn signal(&self, signal: Signal) -> Result<()> {
        match self.process.lock().await.as_ref() {
            Some(process) => process.signal(signal),
            None => Ok(()),
        }
    }
}
