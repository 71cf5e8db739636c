//! Workloads: clients that use a cluster through its public APIs and write down everything they do and see.
//!
//! Each runs unchanged in the simulator and against real processes: network, clock and randomness come from the
//! [`World`], choices from its seed. A workload runs until it is stopped, then finishes what it has open within
//! [`Options::closing`]. What the cluster refuses or leaves unknown is in the history and never an error; a
//! [`HarnessError`] means that the run says nothing about the cluster.
//!
//! Names in a history: a framework, agent or subscriber sees under its own name, such as `tasks-0`; each of its calls that
//! can be under way beside others is made by a lane of it, such as `tasks-0/lane-1`.
//!
//! Must never judge what it sees, and never retry a call under the id of the first.

mod agents;
mod draw;
mod events;
mod frameworks;
mod reads;
mod registers;
mod reservations;
mod scribe;
mod sights;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::{Display, Formatter};
use std::future::Future;
use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use client::{MasterList, SchedulerConfigError};
use seams::Seams;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

pub use self::agents::fleet;
pub(crate) use self::sights::hex;

use crate::history::Recorder;

/// Without progress for so long others have ended: longer than an election, and than they pause between two tries.
const QUIET: Duration = Duration::from_secs(3);

/// Where a workload runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    /// Members of the cluster.
    pub masters: MasterList,
    /// Network, clock and randomness of the host the workload runs on.
    pub seams: Seams,
    /// Takes what happens.
    pub recorder: Recorder,
    /// From which every choice follows.
    pub seed: u64,
    /// Cancelled when the workload is to end.
    pub stop: CancellationToken,
    /// Where fault injectors kill frameworks.
    pub framework_kills: FrameworkKills,
}

impl World {
    /// A world that nobody has stopped yet and no frameworks are killed in.
    pub fn new(masters: MasterList, seams: Seams, recorder: Recorder, seed: u64) -> Self {
        World {
            masters,
            seams,
            recorder,
            seed,
            stop: CancellationToken::new(),
            framework_kills: FrameworkKills::default(),
        }
    }
}

/// Kills schedulers: one of each workload that listens dies at once, and another takes its framework over.
#[derive(Clone, Debug)]
pub struct FrameworkKills(watch::Sender<u64>);

impl Default for FrameworkKills {
    fn default() -> Self {
        FrameworkKills(watch::Sender::new(0))
    }
}

impl FrameworkKills {
    /// The scheduler of framework `number`, modulo how many there are, dies.
    pub fn kill(&self, number: u64) {
        self.0.send_replace(number);
    }

    /// Kills from now on.
    fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

/// How much of a workload runs. What a workload does not have it ignores.
#[derive(Clone, Debug)]
pub struct Options {
    /// Beginning of the names of all its clients; unique among the workloads of a run.
    pub name: String,
    /// Frameworks, agents, subscribers, or readers and writers.
    pub clients: usize,
    /// Operations per second, all clients together; acknowledgements and what agents do come on top.
    pub rate: f64,
    /// Objects: registers, or tasks alive at once per framework.
    pub objects: usize,
    /// Longest time to finish what is open after the stop.
    pub closing: Duration,
    /// Whether frameworks are torn down at the end.
    pub teardown: bool,
    /// Address that agents tell the masters, and listen at.
    pub ip: Ipv4Addr,
    /// Address that agents listen at, where that is another one.
    pub listen_ip: Option<Ipv4Addr>,
}

/// What a workload has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Which.
    pub workload: &'static str,
    /// How often: `launch/ok`, `launch/refused`, `launch/unknown`, `updated`, …
    pub counts: BTreeMap<String, u64>,
}

impl Summary {
    /// How often something happened.
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or_default()
    }
}

/// Why a run says nothing about the cluster.
#[derive(Debug, thiserror::Error)]
pub enum HarnessError {
    /// The options make no sense.
    #[error("workload '{workload}': {problem}")]
    Options {
        /// Which workload.
        workload: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// The scheduler client refuses its configuration.
    #[error("the scheduler client cannot start")]
    Scheduler(#[from] SchedulerConfigError),
    /// Agents cannot listen.
    #[error("agents cannot start")]
    Agents(#[source] io::Error),
    /// A client of the workload panicked.
    #[error("a client of workload '{workload}' broke down: {problem}")]
    Broken {
        /// Which workload.
        workload: &'static str,
        /// What it said.
        problem: String,
    },
}

/// A workload under way.
pub type Running = Pin<Box<dyn Future<Output = Result<Summary, HarnessError>> + Send>>;

macro_rules! workloads {
    ($($kind:ident = $name:literal, $run:path, $what:literal;)*) => {
        /// A kind of workload.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Workload {
            $(#[doc = $what] $kind,)*
        }

        impl Workload {
            /// All of them.
            pub const ALL: &'static [Workload] = &[$(Workload::$kind,)*];

            /// As it is typed and recorded.
            pub const fn name(self) -> &'static str {
                match self { $(Workload::$kind => $name,)* }
            }

            /// One line for people.
            pub const fn what(self) -> &'static str {
                match self { $(Workload::$kind => $what,)* }
            }

            /// Runs until `world.stop` is cancelled and what is open then is finished.
            ///
            /// Errors: see [`HarnessError`].
            /// Cancel safety: when dropped, its clients die at once; calls under way are unknown.
            pub fn run(self, world: World, options: Options) -> Running {
                match self { $(Workload::$kind => Box::pin($run(world, options)),)* }
            }
        }
    };
}

workloads! {
    Tasks = "tasks", tasks::run, "frameworks launch, acknowledge, kill, reconcile and read tasks, also on offers that are gone";
    Frameworks = "frameworks", frameworks::run, "frameworks register, fail over, fight over their id, change their info and are torn down";
    Agents = "agents", agents::run, "hollow agents die and come back, with their tasks or as new ones, and stand still";
    Events = "events", events::run, "subscribers of operator events reconnect and go on where they were, or anew";
    Registers = "registers", registers::run, "quotas and weights are written and read, at the leader and at followers";
    Reservations = "reservations", reservations::run, "operators reserve disk of agents for roles, give it back and read it";
}

impl Workload {
    /// Some clients at a rate that a simulation and a small machine bear.
    pub fn options(self) -> Options {
        let (clients, rate, objects) = match self {
            Workload::Tasks => (2, 20.0, 20),
            Workload::Frameworks => (2, 10.0, 1),
            Workload::Agents => (4, 0.5, 1),
            Workload::Events => (3, 1.0, 1),
            Workload::Registers => (4, 20.0, 4),
            Workload::Reservations => (3, 10.0, 1),
        };
        Options {
            name: self.name().to_owned(),
            clients,
            rate,
            objects,
            closing: Duration::from_secs(15),
            teardown: false,
            ip: Ipv4Addr::LOCALHOST,
            listen_ip: None,
        }
    }
}

impl Display for Workload {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no workload has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no workload '{name}'; there are: {}", names())]
pub struct UnknownWorkload {
    /// What was asked for.
    pub name: String,
}

fn names() -> String {
    let names: Vec<_> = Workload::ALL.iter().map(|kind| kind.name()).collect();
    names.join(", ")
}

impl FromStr for Workload {
    type Err = UnknownWorkload;

    fn from_str(name: &str) -> Result<Self, UnknownWorkload> {
        let found = Workload::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| UnknownWorkload { name: name.to_owned() })
    }
}

/// Checks what every workload needs of its options.
fn check(workload: Workload, options: &Options) -> Result<(), HarnessError> {
    let problem = if options.clients == 0 {
        "clients is 0: expected at least 1"
    } else if !(options.rate.is_finite() && options.rate > 0.0) {
        "rate is not above 0 operations per second"
    } else if options.objects == 0 {
        "objects is 0: expected at least 1"
    } else {
        return Ok(());
    };
    Err(HarnessError::Options {
        workload: workload.name(),
        problem: problem.to_owned(),
    })
}

/// Mean time between two operations of each of `lanes` that share a rate.
fn mean_pause(options: &Options, lanes: usize) -> Duration {
    // Counts are far below 2^53, up to which a double is exact.
    let seconds = lanes as f64 / options.rate;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(3600))
}

/// Waits until what others do has come to an end: `progress` stays the same for a while, or `limit` is over.
async fn quiet(limit: Duration, progress: impl Fn() -> u64) {
    let deadline = Instant::now() + limit;
    let mut before = (progress(), Instant::now());
    while before.1.elapsed() < QUIET && Instant::now() < deadline {
        sleep(QUIET / 10).await;
        let now = progress();
        if now != before.0 {
            before = (now, Instant::now());
        }
    }
}

/// Waits for all; the first failure ends the others.
async fn join(workload: Workload, mut clients: JoinSet<Result<(), HarnessError>>) -> Result<(), HarnessError> {
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| HarnessError::Broken {
            workload: workload.name(),
            problem: error.to_string(),
        })??;
    }
    Ok(())
}
