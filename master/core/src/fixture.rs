//! Registries for tests, built by the same commands as real ones. Every step checks every invariant.

use proto::internal::{CheckpointResourcesMessage, StatusUpdate, UpdateOperationStatusMessage};
use proto::v1::OperationState;
use proto::v1::framework_info::Capability;
use proto::v1::framework_info::capability::Type;
use proto::v1::offer::{Operation, operation};
use proto::v1::resource::AllocationInfo;
use proto::v1::task_status::Source;
use proto::v1::{
    AgentInfo, CommandInfo, ExecutorInfo, FrameworkInfo, MasterInfo, Resource, TaskInfo, TaskState, TaskStatus, value,
};

use crate::command::{
    AcknowledgeStatus, AdmitAgent, AgentFacts, AnnounceLeader, Command, CommandKind, LaunchTasks, SubscribeFramework,
    UpdateTaskStatus, UuidBytes,
};
use crate::encoded::Encoded;
use crate::ids::{AgentId, FrameworkId, TaskId};
use crate::outcome::{Applied, Outcome};
use crate::registry::{Position, Registry};
use crate::timestamp::Timestamp;

/// libprocess pid of the master that leads in fixtures.
pub const MASTER_PID: &str = "master@10.0.0.1:5050";

/// A registry and the log position it stands at.
#[derive(Clone, Debug)]
pub struct Fixture {
    /// What the commands made.
    pub registry: Registry,
    /// Index of the last command; its time is as many seconds.
    pub index: u64,
}

impl Default for Fixture {
    fn default() -> Self {
        Self::new()
    }
}

impl Fixture {
    /// A cluster named `c` with a leader and nothing else.
    pub fn new() -> Self {
        let mut fixture = Self {
            registry: Registry::default(),
            index: 0,
        };
        fixture.apply(AnnounceLeader {
            node_id: 1,
            term: 1,
            master: Encoded::new(&MasterInfo {
                id: "m1".to_owned(),
                port: 5050,
                ..MasterInfo::default()
            }),
            cluster_id: "c".to_owned(),
        });
        fixture
    }

    /// Applies a command, as read from the log. Panics: an invariant does not hold.
    pub fn apply(&mut self, kind: impl Into<CommandKind>) -> Applied {
        self.index += 1;
        let command = Command::new(Timestamp(self.index * 1_000_000), kind);
        let command = Command::decode(&command.encode()).expect("a command survives the log");
        let applied = self.registry.apply(
            Position {
                term: 1,
                index: self.index,
            },
            &command,
        );
        if let Err(broken) = self.registry.check_invariants() {
            panic!("after {}: {broken}", command.kind.name());
        }
        applied
    }

    /// Subscribes a new framework in role `*`.
    pub fn framework(&mut self, capabilities: &[Type]) -> FrameworkId {
        match self
            .apply(SubscribeFramework {
                info: Encoded::new(&framework_info(capabilities)),
            })
            .outcome
        {
            Outcome::FrameworkSubscribed { framework_id, .. } => framework_id,
            other => panic!("not subscribed: {other:?}"),
        }
    }

    /// Admits an agent with 4 cpus, 4096 MB and 10 GB of disk at port `5051 + number`.
    pub fn agent(&mut self, number: u16) -> AgentId {
        match self
            .apply(AdmitAgent {
                facts: agent_facts(number),
                replaces: None,
            })
            .outcome
        {
            Outcome::AgentAdmitted { agent_id } => agent_id,
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// Launches a command task with 1 cpu.
    pub fn launch(&mut self, framework_id: &FrameworkId, agent_id: &AgentId, task_id: &str) -> Applied {
        self.apply(launch(framework_id, agent_id, vec![task_info(agent_id, task_id, 1.0)]))
    }

    /// The agent reports a state.
    pub fn status(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        task_id: &str,
        state: TaskState,
        uuid: u8,
    ) -> Applied {
        self.apply(status(framework_id, agent_id, task_id, state, uuid))
    }

    /// The framework acknowledges.
    pub fn acknowledge(&mut self, framework_id: &FrameworkId, agent_id: &AgentId, task_id: &str, uuid: u8) -> Applied {
        self.apply(AcknowledgeStatus {
            framework_id: framework_id.clone(),
            task_id: TaskId::from(task_id),
            agent_id: agent_id.clone(),
            uuid: uuid_of(uuid),
        })
    }
}

/// The UUID that repeats one byte.
pub fn uuid_of(byte: u8) -> UuidBytes {
    [byte; 16]
}

/// A framework in role `*` with a failover timeout.
pub fn framework_info(capabilities: &[Type]) -> FrameworkInfo {
    FrameworkInfo {
        user: "user".to_owned(),
        name: "framework".to_owned(),
        failover_timeout: Some(60.0),
        checkpoint: Some(true),
        capabilities: capabilities
            .iter()
            .map(|held| Capability {
                r#type: Some(*held as i32),
            })
            .collect(),
        ..FrameworkInfo::default()
    }
}

/// Facts of an agent with 4 cpus, 4096 MB and 10 GB of disk at port `5051 + number`.
pub fn agent_facts(number: u16) -> AgentFacts {
    let info = AgentInfo {
        hostname: format!("host{number}"),
        port: Some(i32::from(number) + 5051),
        resources: vec![scalar("cpus", 4.0), scalar("mem", 4096.0), scalar("disk", 10_000.0)],
        checkpoint: Some(true),
        ..AgentInfo::default()
    };
    AgentFacts {
        info: Encoded::new(&info),
        pid: format!("slave(1)@10.0.1.1:{}", u32::from(number) + 5051).into(),
        version: "1.11.0".into(),
        capabilities: Vec::new(),
        checkpointed_resources: Encoded::new(&CheckpointResourcesMessage::default()),
        resource_version: Some([7; 16]),
        deduplicates_launches: false,
    }
}

/// An unallocated amount.
pub fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        ..Resource::default()
    }
}

/// An amount allocated to role `*`.
pub fn allocated(name: &str, value: f64) -> Resource {
    Resource {
        allocation_info: Some(AllocationInfo {
            role: Some("*".to_owned()),
        }),
        ..scalar(name, value)
    }
}

/// A command task.
pub fn task_info(agent_id: &AgentId, task_id: &str, cpus: f64) -> TaskInfo {
    TaskInfo {
        name: format!("name of {task_id}"),
        task_id: TaskId::from(task_id).to_proto(),
        agent_id: agent_id.to_proto(),
        resources: vec![allocated("cpus", cpus), allocated("mem", 32.0)],
        command: Some(CommandInfo {
            value: Some("true".to_owned()),
            ..CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}

/// An executor with a tenth of a cpu.
pub fn executor_info(framework_id: &FrameworkId, executor_id: &str) -> ExecutorInfo {
    ExecutorInfo {
        executor_id: proto::v1::ExecutorId {
            value: executor_id.to_owned(),
        },
        framework_id: Some(framework_id.to_proto()),
        resources: vec![allocated("cpus", 0.1)],
        ..ExecutorInfo::default()
    }
}

/// A task for an executor of its own kind.
pub fn task_with_executor(framework_id: &FrameworkId, agent_id: &AgentId, task_id: &str, executor: &str) -> TaskInfo {
    TaskInfo {
        command: None,
        executor: Some(executor_info(framework_id, executor)),
        ..task_info(agent_id, task_id, 0.5)
    }
}

/// A launch of plain tasks.
pub fn launch(framework_id: &FrameworkId, agent_id: &AgentId, tasks: Vec<TaskInfo>) -> LaunchTasks {
    LaunchTasks {
        framework_id: framework_id.clone(),
        agent_id: agent_id.clone(),
        tasks: tasks.iter().map(Encoded::new).collect(),
        group: None,
        master_pid: MASTER_PID.into(),
    }
}

/// An agent's status update.
pub fn status(
    framework_id: &FrameworkId,
    agent_id: &AgentId,
    task_id: &str,
    state: TaskState,
    uuid: u8,
) -> UpdateTaskStatus {
    let update = StatusUpdate {
        framework_id: framework_id.to_proto(),
        slave_id: Some(agent_id.to_proto()),
        status: TaskStatus {
            task_id: TaskId::from(task_id).to_proto(),
            state: state as i32,
            source: Some(Source::Executor as i32),
            timestamp: Some(f64::from(uuid)),
            uuid: Some(uuid_of(uuid).to_vec().into()),
            ..TaskStatus::default()
        },
        timestamp: f64::from(uuid),
        uuid: Some(uuid_of(uuid).to_vec().into()),
        latest_state: Some(state as i32),
        ..StatusUpdate::default()
    };
    UpdateTaskStatus {
        agent_id: agent_id.clone(),
        update: Encoded::new(&update),
    }
}

/// Facts of an agent that understands operations and reports what came of them.
pub fn understanding(number: u16) -> AgentFacts {
    use proto::v1::agent_info::capability::Type;
    let mut capabilities = vec![
        Type::MultiRole as i32,
        Type::HierarchicalRole as i32,
        Type::ReservationRefinement as i32,
        Type::ResourceProvider as i32,
        Type::AgentOperationFeedback as i32,
    ];
    capabilities.sort_unstable();
    AgentFacts {
        capabilities,
        ..agent_facts(number)
    }
}

/// A dynamically reserved amount.
pub fn dynamic(name: &str, value: f64, role: &str) -> Resource {
    use proto::v1::resource::{ReservationInfo, reservation_info};
    Resource {
        reservations: vec![ReservationInfo {
            role: Some(role.to_owned()),
            r#type: Some(reservation_info::Type::Dynamic.into()),
            ..ReservationInfo::default()
        }],
        ..scalar(name, value)
    }
}

/// A persistent volume reserved for role `web`.
pub fn volume(megabytes: f64, id: &str) -> Resource {
    use proto::v1::resource::{DiskInfo, disk_info::Persistence};
    Resource {
        disk: Some(DiskInfo {
            persistence: Some(Persistence {
                id: id.to_owned(),
                principal: None,
            }),
            volume: Some(proto::v1::Volume {
                mode: proto::v1::volume::Mode::Rw.into(),
                container_path: "data".to_owned(),
                ..proto::v1::Volume::default()
            }),
            ..DiskInfo::default()
        }),
        ..dynamic("disk", megabytes, "web")
    }
}

/// RESERVE, or the reverse.
pub fn reserve(resources: Vec<Resource>, back: bool) -> Operation {
    if back {
        return Operation {
            r#type: Some(operation::Type::Unreserve.into()),
            unreserve: Some(operation::Unreserve { resources }),
            ..Operation::default()
        };
    }
    Operation {
        r#type: Some(operation::Type::Reserve.into()),
        reserve: Some(operation::Reserve {
            resources,
            source: Vec::new(),
        }),
        ..Operation::default()
    }
}

/// CREATE, or the reverse.
pub fn create(volumes: Vec<Resource>, back: bool) -> Operation {
    if back {
        return Operation {
            r#type: Some(operation::Type::Destroy.into()),
            destroy: Some(operation::Destroy { volumes }),
            ..Operation::default()
        };
    }
    Operation {
        r#type: Some(operation::Type::Create.into()),
        create: Some(operation::Create { volumes }),
        ..Operation::default()
    }
}

/// What an agent reports of the operation with this uuid; `uuid` names the status.
pub fn operation_status(
    agent_id: &AgentId,
    operation: u8,
    state: OperationState,
    uuid: Option<u8>,
) -> UpdateOperationStatusMessage {
    let of = |byte: u8| proto::v1::Uuid {
        value: uuid_of(byte).to_vec().into(),
    };
    UpdateOperationStatusMessage {
        slave_id: Some(agent_id.to_proto()),
        status: proto::v1::OperationStatus {
            state: state.into(),
            uuid: uuid.map(of),
            ..proto::v1::OperationStatus::default()
        },
        operation_uuid: Some(of(operation)),
        ..UpdateOperationStatusMessage::default()
    }
}
