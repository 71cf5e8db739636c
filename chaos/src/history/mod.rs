//! What happened in a run, as its clients, agents and observers saw it: the one thing that verdicts are made from.
//!
//! A history is a file of JSON lines, one [`Record`] each, the first a [`Run`]. Workloads, fault injectors and observers
//! of the simulator and of the real-process runner write it through one [`Recorder`]; checkers and reports only read it.
//! Every time in it is of one clock: microseconds since the run began. A call whose answer nobody got is *unknown*: it
//! may take effect at any time after it was made, or never.
//!
//! Must never depend on how a cluster is run, and must never hold a verdict.

mod reader;
mod recorder;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::reader::{History, HistoryError};
pub use self::recorder::{CallId, Recorder};
use crate::fault::FaultKind;

/// Microseconds since the run began.
pub type Micros = u64;

/// Version of the format; a reader refuses any other.
pub const FORMAT: u32 = 1;

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// What was run; the first line.
    Run(Run),
    /// A phase begins.
    Phase(PhaseBegun),
    /// A call that ended, or was still open when the run did.
    Call(Call),
    /// Something a client, agent or subscriber saw without asking.
    Seen(Seen),
    /// What a replica said of itself.
    Replica(ReplicaSample),
    /// A fault began or ended.
    Fault(FaultRecord),
    /// How often something was reached in the whole run; near the end of the file.
    Coverage(Coverage),
}

/// What was run, and where.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: u32,
    /// `simulation` or `processes`.
    pub harness: String,
    /// From which faults and workloads follow.
    pub seed: u64,
    /// Number of master replicas at the beginning.
    pub masters: usize,
    /// Version and, where known, commit of the binary under test.
    pub version: String,
    /// Cores, memory and kernel; empty in a simulation.
    pub machine: String,
    /// Begin of the run, microseconds since 1970; 0 in a simulation.
    pub started_at: u64,
    /// Names of the workloads that ran.
    pub workloads: Vec<String>,
    /// Names of the faults that could be drawn.
    pub faults: Vec<String>,
}

/// Parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Starting, before the first fault.
    Begin,
    /// Faults and load.
    Faults,
    /// All faults are repaired; the cluster has to become well.
    Healed,
    /// The load has ended; what is left is read.
    End,
}

/// A phase begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseBegun {
    /// When.
    pub at: Micros,
    /// Which.
    pub phase: Phase,
}

/// A call with its answer, if there was one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Unique in the history, in the order in which calls were made.
    pub id: u64,
    /// Who called; a client makes one call at a time, except that one that was given up may still take effect.
    pub client: String,
    /// When it was made.
    pub called: Micros,
    /// When the answer came; `None` for ever unknown.
    pub returned: Option<Micros>,
    /// What was asked.
    pub operation: Operation,
    /// What was answered.
    pub outcome: Outcome,
}

/// What a call asks for.
///
/// Objects are named `kind/key`, for example `quota/role-a`, `weight/role-a`, `reservation/<agent>/role-a`,
/// `framework/<id>`, `agent/<id>`; values are canonical text, so that equal values have equal text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Operation {
    /// Sets a register.
    Write {
        /// `kind/key`.
        object: String,
        /// What it is to be.
        value: String,
    },
    /// Reads a register; the outcome holds the value, empty text for one that was never written.
    Read {
        /// `kind/key`.
        object: String,
        /// The master that was asked, `host:port`; empty for whoever leads.
        at: String,
    },
    /// SUBSCRIBE of a framework; the outcome holds the framework's id.
    Subscribe {
        /// Its id if it knows one, else empty.
        framework: String,
    },
    /// ACCEPT with tasks to launch.
    Launch {
        /// Framework id.
        framework: String,
        /// Agent id of the offers.
        agent: String,
        /// Offer ids.
        offers: Vec<String>,
        /// Task ids.
        tasks: Vec<String>,
    },
    /// KILL.
    Kill {
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
    },
    /// ACKNOWLEDGE of one status update.
    Acknowledge {
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
        /// The update's UUID, 32 hexadecimal digits.
        uuid: String,
    },
    /// RECONCILE; the answers are updates that are seen.
    Reconcile {
        /// Framework id.
        framework: String,
        /// Task ids; none for all.
        tasks: Vec<String>,
    },
    /// Reads the state of a task (GET_TASKS); the outcome holds `TASK_…`, empty text when the master knows no such task.
    ReadTask {
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
        /// The master that was asked, `host:port`; empty for whoever leads.
        at: String,
    },
    /// An agent reports the state of a task: from the first message that tells of it to the acknowledgement. (An update and a
    /// registration tell the latest state of the task too, before its own update is sent.)
    Report {
        /// Agent id.
        agent: String,
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
        /// `TASK_…`.
        state: String,
        /// The update's UUID, 32 hexadecimal digits.
        uuid: String,
    },
    /// TEARDOWN, by the framework or by an operator.
    Teardown {
        /// Framework id.
        framework: String,
    },
    /// A change of the members of the cluster: `add`, `promote`, `remove`, `transfer`.
    Membership {
        /// Which change.
        change: String,
        /// Node id.
        node: u64,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Outcome {
    /// Acknowledged; holds what was read, for calls that read.
    Ok {
        /// Empty for calls that read nothing.
        #[serde(default)]
        value: String,
    },
    /// Certainly not carried out.
    Refused {
        /// Why, verbatim.
        text: String,
    },
    /// Nobody knows whether it was, or will be, carried out.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Something that was seen. The order of lines is the order in which one observer saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// When.
    pub at: Micros,
    /// Who saw it; the same name as in its calls.
    pub observer: String,
    /// What.
    pub what: Sight,
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "sight", rename_all = "snake_case")]
pub enum Sight {
    /// A framework is subscribed.
    Subscribed {
        /// Framework id.
        framework: String,
        /// The master, `host:port`.
        master: String,
        /// Id of the leadership: a fresh one each time a master begins to lead (`MasterInfo.id`).
        leadership: String,
        /// Whether this scheduler was subscribed before.
        again: bool,
    },
    /// A framework's stream broke.
    Disconnected {
        /// Framework id.
        framework: String,
    },
    /// A framework was refused, removed or replaced.
    Ended {
        /// Framework id.
        framework: String,
        /// The master's text.
        reason: String,
    },
    /// A framework got an offer.
    Offered {
        /// Framework id.
        framework: String,
        /// Offer id.
        offer: String,
        /// Agent id.
        agent: String,
        /// Id of the leadership that made it.
        leadership: String,
    },
    /// A framework lost an offer.
    Rescinded {
        /// Offer id.
        offer: String,
    },
    /// A framework got a status update, or an answer to RECONCILE (no `uuid`).
    Updated {
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
        /// `TASK_…`.
        state: String,
        /// 32 hexadecimal digits; empty for one that asks for no acknowledgement.
        uuid: String,
        /// `REASON_…` or empty.
        reason: String,
        /// `SOURCE_…` or empty.
        source: String,
    },
    /// An agent is registered.
    Registered {
        /// Agent id.
        agent: String,
        /// The master's pid.
        master: String,
        /// Whether it had that id before.
        again: bool,
    },
    /// An agent got the message that launches a task.
    LaunchReceived {
        /// Agent id.
        agent: String,
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
        /// The master's pid.
        master: String,
        /// Whether it had got it before and ignored this one.
        repeated: bool,
    },
    /// A task's process began.
    Started {
        /// Agent id.
        agent: String,
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
    },
    /// An agent got the message that kills a task.
    KillReceived {
        /// Agent id.
        agent: String,
        /// Framework id.
        framework: String,
        /// Task id.
        task: String,
    },
    /// An agent was told to stop, or died with its tasks.
    AgentEnded {
        /// Agent id.
        agent: String,
        /// Why.
        reason: String,
    },
    /// A subscriber of the operator event stream is subscribed.
    StreamBegun {
        /// Whether the master resumed after the position the subscriber named.
        resumed: bool,
        /// Position of the state, or after which it resumes.
        position: u64,
        /// For a fresh state: every task, `framework/task`, with its state `TASK_…`.
        tasks: BTreeMap<String, String>,
    },
    /// An event of the operator event stream.
    StreamEvent {
        /// Its position.
        position: u64,
        /// `TASK_ADDED`, …
        event: String,
        /// What it is about: `framework/task`, a framework id or an agent id.
        subject: String,
        /// The state of a task, else empty.
        state: String,
    },
}

/// What a replica said of itself, or its host of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplicaSample {
    /// When it was asked.
    pub at: Micros,
    /// Node id.
    pub node: u64,
    /// Counts the starts of this replica; a wiped one begins with a new `disk`.
    pub start: u64,
    /// Counts the wipes of its disk: what never goes back may begin again with the next.
    pub disk: u64,
    /// Raft term.
    pub term: u64,
    /// `leader`, `follower`, `candidate` or `learner`.
    pub role: String,
    /// Whom it holds for the leader.
    pub leader: Option<u64>,
    /// Index of the last entry stored.
    pub last_log: Option<u64>,
    /// Index of the last entry it knows to be committed.
    pub committed: Option<u64>,
    /// Index of the last entry applied.
    pub applied: Option<u64>,
    /// Index of the last entry in its snapshot.
    pub snapshot: Option<u64>,
    /// Hash of the state after `hash_index`, 32 hexadecimal digits.
    pub hash: Option<String>,
    /// Index at which `hash` was taken.
    pub hash_index: Option<u64>,
    /// Resident memory in bytes; real processes only.
    pub resident_bytes: Option<u64>,
    /// Open file descriptors; real processes only.
    pub descriptors: Option<u64>,
}

/// A fault began or ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// When.
    pub at: Micros,
    /// Number of the fault in the run; its end has the same.
    pub number: u64,
    /// What kind.
    pub kind: FaultKind,
    /// Names of the hosts or links it is about.
    pub targets: Vec<String>,
    /// Durations, amounts, shapes.
    pub detail: String,
    /// Whether it ends here.
    pub ended: bool,
}

/// How often something was reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// `fault/kill`, `command/launch_tasks`, `election/takeover`, `log/truncation` …
    pub name: String,
    /// How often.
    pub count: u64,
}
