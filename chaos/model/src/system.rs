//! What there is: the committed registry, proposals on their way, two masters, connections, one agent.

use std::collections::VecDeque;
use std::fmt;

/// Most tasks of a model; each needs room in every state.
pub const TASKS_MAX: usize = 2;

/// Masters: enough for leadership to leave one and to return to it.
pub const MASTERS: usize = 2;

/// Number of a task.
pub type TaskId = usize;

/// Which tasks.
pub type TaskSet = [bool; TASKS_MAX];

/// A master's process by its address, which survives a restart: what an agent knows a master by (its libprocess pid).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterId(pub usize);

impl fmt::Display for MasterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0 == 0 { "A" } else { "B" })
    }
}

/// A task as the registry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Task {
    /// Latest state on record.
    pub state: TaskState,
    /// The launch is kept until the agent has confirmed that it knows the task; for each master, whether it may have sent it.
    pub launch: Option<[bool; MASTERS]>,
    /// A kill was accepted.
    pub kill: bool,
}

/// A state on record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Accepted; nothing was heard of it.
    Staging,
    /// The agent said so.
    Running,
    /// Ended or killed.
    Ended,
    /// The agent said that it does not know the task: it never started, as far as the framework is told.
    Dropped,
}

impl TaskState {
    /// The framework was told that this was all.
    pub fn is_terminal(self) -> bool {
        matches!(self, TaskState::Ended | TaskState::Dropped)
    }
}

/// What is committed, the same for whoever has applied it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Registry {
    /// By task.
    pub tasks: [Option<Task>; TASKS_MAX],
    /// Who announced itself last.
    pub leader: MasterId,
}

/// A command on its way through the log of the leader that proposed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// An offer was accepted.
    Launch(TaskId),
    /// A kill was asked for.
    Kill(TaskId),
    /// The agent reports a state.
    Update(TaskId, TaskState),
    /// The agent reregisters: what it reported, what it has to answer for, and what is sent again.
    Reregister(Reregistration),
}

/// What a leader makes of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reregistration {
    /// Whom the report names, with its state.
    pub reported: [Option<TaskState>; TASKS_MAX],
    /// Launches to be sent again.
    pub resend: TaskSet,
    /// Tasks the agent is asked about.
    pub reconcile: TaskSet,
}

/// A message to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// RunTaskMessage.
    Run(TaskId),
    /// KillTaskMessage.
    Kill(TaskId),
    /// SlaveReregisteredMessage with the tasks the agent is asked about.
    Reregistered(TaskSet),
}

/// A master that believes it leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// The registry as this master knows it; `None` while it really leads: then it knows all that is committed.
    pub stale_view: Option<Registry>,
    /// The agent has reregistered with this leadership: it can be written to.
    pub has_met_agent: bool,
    /// The agent is registered and its connection has not broken since: it is offered.
    pub knows_agent: bool,
    /// What committed commands have it send; lost when it dies first.
    pub outbox: Vec<Message>,
}

/// A connection from a master to the agent. What is in it arrives in order, also after its master has died; nothing orders it
/// with what is in another one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Connection {
    /// Who opened it.
    pub master: MasterId,
    /// Sent and not read yet.
    pub messages: VecDeque<Message>,
    /// Its master can still send on it.
    pub is_open: bool,
}

/// A report (ReregisterSlaveMessage) on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Report {
    /// To whom.
    pub to: MasterId,
    /// The tasks as they were when it was made.
    pub tasks: [Option<TaskState>; TASKS_MAX],
}

/// A task at the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentTask {
    /// Never heard of.
    Absent,
    /// Its process runs.
    Running,
    /// Its process has ended; reported until that is acknowledged.
    Ended,
    /// The agent was asked about it and did not know it; said until that is acknowledged.
    Denied,
    /// Acknowledged: not reported any more.
    Forgotten,
}

/// The agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    /// By task.
    pub tasks: [AgentTask; TASKS_MAX],
    /// Launches it has seen; only an agent that deduplicates remembers them.
    pub seen: TaskSet,
    /// Tasks it has said it does not know; only an agent that deduplicates remembers them.
    pub denied: TaskSet,
    /// Messages of any other master are dropped.
    pub follows: Option<MasterId>,
    /// The master it follows has answered its report.
    pub is_registered: bool,
}

/// What is left of each kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Elections that nobody's death calls for.
    pub elections: u8,
    /// Deaths of a master's process; it is back at once, at its address, and knows what is committed.
    pub crashes: u8,
    /// Restarts of the agent's process.
    pub agent_restarts: u8,
    /// Connections that break.
    pub breaks: u8,
    /// Times the agent takes a deposed leader that has not noticed for the leader.
    pub wrong_detections: u8,
    /// Reports that are made once more although one is on its way.
    pub repeats: u8,
}

/// What happened, as somebody who sees everything knows it; nobody in the system does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Witness {
    /// Processes started, by task.
    pub starts: [u8; TASKS_MAX],
    /// Tasks whose end was on record once.
    pub ended: TaskSet,
    /// Leaders so far, the first included; three stands for more as well.
    pub leaders: u8,
    /// Tasks the agent has ever said it does not know.
    pub denied: TaskSet,
    /// A launch was sent again.
    pub resent: bool,
}

/// One state of the whole system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct System {
    /// What is committed.
    pub registry: Registry,
    /// Proposals of the present leader, in order. What is left of them when another leads was never proposed.
    pub proposals: VecDeque<Command>,
    /// Who believes it leads.
    pub leaderships: [Option<Leadership>; MASTERS],
    /// Oldest first.
    pub connections: Vec<Connection>,
    /// In the order they were made.
    pub reports: VecDeque<Report>,
    /// The agent.
    pub agent: Agent,
    /// Faults to come.
    pub faults: Faults,
    /// Kills the framework has asked for.
    pub kills_asked: TaskSet,
    /// What happened.
    pub witness: Witness,
}

impl System {
    /// Master A leads, the agent is registered with it, nothing has been launched.
    pub fn new(faults: Faults) -> Self {
        let leader = MasterId(0);
        System {
            registry: Registry {
                tasks: [None; TASKS_MAX],
                leader,
            },
            proposals: VecDeque::new(),
            leaderships: [
                Some(Leadership {
                    has_met_agent: true,
                    knows_agent: true,
                    ..Leadership::new()
                }),
                None,
            ],
            connections: Vec::new(),
            reports: VecDeque::new(),
            agent: Agent {
                tasks: [AgentTask::Absent; TASKS_MAX],
                seen: [false; TASKS_MAX],
                denied: [false; TASKS_MAX],
                follows: Some(leader),
                is_registered: true,
            },
            faults,
            kills_asked: [false; TASKS_MAX],
            witness: Witness {
                leaders: 1,
                ..Witness::default()
            },
        }
    }

    /// The leadership that really leads, if its master lives.
    pub fn leading(&self) -> Option<&Leadership> {
        self.leaderships[self.registry.leader.0].as_ref()
    }

    /// The tasks as a report made now would name them.
    pub fn reported(&self) -> [Option<TaskState>; TASKS_MAX] {
        self.agent.tasks.map(|task| match task {
            AgentTask::Running => Some(TaskState::Running),
            AgentTask::Ended => Some(TaskState::Ended),
            AgentTask::Absent | AgentTask::Denied | AgentTask::Forgotten => None,
        })
    }
}

impl Leadership {
    /// One that has just begun.
    pub fn new() -> Self {
        Leadership {
            stale_view: None,
            has_met_agent: false,
            knows_agent: false,
            outbox: Vec::new(),
        }
    }
}

impl Default for Leadership {
    fn default() -> Self {
        Self::new()
    }
}
