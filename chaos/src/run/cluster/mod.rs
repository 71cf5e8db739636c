//! The cluster under test: masters and agents as processes of the program, each behind proxies.

pub(crate) mod agent;
pub(crate) mod layout;
pub(crate) mod master;
pub(crate) mod process;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{sleep, timeout};

use self::agent::Agent;
use self::layout::{Entry, MasterAddress, SPARE_PLACES};
use self::master::Master;
use self::process::Launch;
use super::config::Config;
use super::network::Switchboard;

/// How often it is looked whether a process has ended by itself.
const KEEP_INTERVAL: Duration = Duration::from_millis(100);
/// Limit of one command of an operator; it has limits of its own, which are shorter.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// Places for masters; none for a cluster that is given.
pub(crate) fn places(config: &Config) -> usize {
    match config.cluster {
        Some(_) => 0,
        None => config.masters + SPARE_PLACES,
    }
}

/// Where the disk of the master at a place is.
pub(crate) fn disk_directory(directory: &Path, place: usize) -> PathBuf {
    directory.join(format!("disk-{}", place + 1))
}

/// What an operator's command said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Whether it ended with success.
    pub(crate) well: bool,
    /// Its output.
    pub(crate) output: String,
    /// What it complained about, or its output.
    pub(crate) text: String,
}

/// The processes.
pub(crate) struct Cluster {
    config: Arc<Config>,
    directory: PathBuf,
    /// Places for masters, the spare ones last.
    pub(crate) masters: Vec<Master>,
    pub(crate) agents: Vec<Agent>,
    founders: Vec<MasterAddress>,
    next_node_id: AtomicU64,
    /// Which of the two programs each place runs.
    programs: Mutex<Vec<PathBuf>>,
    /// Ends that nobody had planned, one sentence each.
    deaths: Mutex<Vec<String>>,
    /// Variables of the environment of the master at each place, beyond those of the configuration.
    extra_environment: Vec<Vec<(String, String)>>,
}

impl Cluster {
    /// Reserves addresses; starts nothing. Of a cluster that is given nothing is known.
    pub(crate) async fn lay_out(
        config: Arc<Config>,
        switchboard: &Arc<Switchboard>,
        extra_environment: Vec<Vec<(String, String)>>,
    ) -> Result<Cluster> {
        let directory = config.directory.clone();
        let places = places(&config);
        let (agent_count, below) = (config.real_agents, directory.clone());
        // Where there is no port left the reservation panics; that is a failure of this harness like any other.
        let reserved = tokio::task::spawn_blocking(move || {
            let masters: Vec<_> = (0..places).map(MasterAddress::reserve).collect();
            let agents: Vec<_> = (0..agent_count)
                .map(|place| layout::AgentAddress::reserve(place, &below))
                .collect();
            (masters, agents)
        });
        let (addresses, agents) = reserved.await.context("no free ports")?;
        let masters: Vec<Master> = (0..)
            .zip(&addresses)
            .map(|(place, address)| {
                Master::new(
                    place,
                    address.clone(),
                    disk_directory(&directory, place),
                    Arc::clone(switchboard),
                )
            })
            .collect();
        let http: Vec<String> = addresses.iter().map(|address| address.http.to_string()).collect();
        let agents = (0..)
            .zip(agents)
            .map(|(place, address)| Agent::new(place, address, &http.join(","), &config, switchboard))
            .collect();
        let programs = vec![config.program.clone(); places];
        let founders = addresses.into_iter().take(config.masters).collect();
        Ok(Cluster {
            next_node_id: AtomicU64::new(config.masters as u64 + 1),
            directory,
            masters,
            agents,
            founders,
            config,
            programs: Mutex::new(programs),
            deaths: Mutex::default(),
            extra_environment,
        })
    }

    /// Starts masters and agents; does not wait for them.
    pub(crate) async fn start(&self) -> Result<()> {
        for (master, node_id) in self.masters.iter().zip(1..).take(self.founders.len()) {
            master.set_node_id(node_id);
            self.start_master(master).await?;
            master.keep(true);
        }
        for agent in &self.agents {
            agent.start().await?;
        }
        Ok(())
    }

    /// Where clients find all masters, `host:port,…`.
    pub(crate) fn master_list(&self) -> String {
        let addresses: Vec<String> = self
            .masters
            .iter()
            .map(|master| master.address.http.to_string())
            .collect();
        addresses.join(",")
    }

    /// Masters that are members, by their places.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Master> {
        self.masters.iter().filter(|master| master.is_member())
    }

    /// A place without a member.
    pub(crate) fn spare(&self) -> Option<&Master> {
        self.masters.iter().find(|master| !master.is_member())
    }

    /// A node id that was never used.
    pub(crate) fn fresh_node_id(&self) -> u64 {
        self.next_node_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Which program the master at this place runs from its next start on.
    pub(crate) fn set_program(&self, place: usize, program: &Path) {
        if let Some(slot) = lock(&self.programs).get_mut(place) {
            *slot = program.to_path_buf();
        }
    }

    /// Which program the master at this place runs.
    pub(crate) fn program(&self, place: usize) -> PathBuf {
        lock(&self.programs).get(place).unwrap_or(&self.config.program).clone()
    }

    /// Starts the master at its place as the member it is: a founder, or one that joins.
    pub(crate) async fn start_master(&self, master: &Master) -> Result<()> {
        let node_id = master.node_id();
        let entry = match node_id <= self.founders.len() as u64 {
            true => Entry::Founding(&self.founders),
            false => Entry::Joining(self.contact_of(master)?),
        };
        let mut environment = self.config.environment.clone();
        environment.extend(self.extra_environment.get(master.place).into_iter().flatten().cloned());
        let launch = Launch {
            name: master.name(),
            program: self.program(master.place),
            arguments: layout::master_arguments(&self.config, &master.address, node_id, &master.data(), entry),
            environment,
            log: self.directory.join(format!("{}.log", master.name())),
        };
        master.start(&launch).await
    }

    /// A member other than this one to join at.
    fn contact_of(&self, joining: &Master) -> Result<SocketAddr> {
        let mut others = self.members().filter(|other| other.place != joining.place);
        let other = others.next().context("there is no other member to join at")?;
        Ok(other.address.raft)
    }

    /// Runs `mesoraft members` with these arguments, as an operator would.
    pub(crate) async fn members_command(&self, arguments: &[&str]) -> Result<Said> {
        let raft: Vec<String> = self.members().map(|member| member.address.raft.to_string()).collect();
        let mut command = process::command(&self.config.program);
        command
            .arg("members")
            .arg(format!("--raft={}", raft.join(",")))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let running = command
            .spawn()
            .context("cannot start 'mesoraft members'")?
            .wait_with_output();
        let Ok(output) = timeout(COMMAND_LIMIT, running).await else {
            bail!("'mesoraft members {}' does not end", arguments.join(" "));
        };
        let output = output.context("cannot wait for 'mesoraft members'")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (said, complained) = (text(&output.stdout), text(&output.stderr));
        Ok(Said {
            well: output.status.success(),
            text: if complained.is_empty() {
                said.clone()
            } else {
                complained
            },
            output: said,
        })
    }

    /// Starts again, for ever, what ends although nobody planned it, and keeps a sentence about it.
    pub(crate) async fn keep(&self) {
        loop {
            sleep(KEEP_INTERVAL).await;
            for master in self.masters.iter().filter(|master| master.is_kept()) {
                if let Some((status, words)) = master.take_ended().await {
                    let sentence = format!("{} ended by itself with {status}: {words}", master.name());
                    tracing::warn!("{sentence}");
                    lock(&self.deaths).push(sentence);
                    if let Err(error) = self.start_master(master).await {
                        tracing::error!("{error:#}");
                    }
                }
            }
        }
    }

    /// The sentences about ends that nobody had planned.
    pub(crate) fn deaths(&self) -> Vec<String> {
        lock(&self.deaths).clone()
    }

    /// Ends every process.
    pub(crate) async fn end(&self) -> Result<()> {
        let mut result = Ok(());
        for master in &self.masters {
            master.keep(false);
            result = result.and(master.kill().await);
        }
        for agent in &self.agents {
            result = result.and(agent.kill().await);
        }
        result
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
