//! A registry filled by the very commands that a log carries: agents and running tasks of many frameworks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use master_core::command::{AdmitAgent, AgentFacts, AnnounceLeader, CommandKind, EncodedResources, LaunchTasks};
use master_core::command::{SubscribeFramework, UpdateTaskStatus};
use master_core::outcome::StatusChange;
use master_core::registry::Position;
use master_core::resources::Resources;
use master_core::{AgentId, Command, Encoded, FrameworkId, Outcome, Registry, Timestamp};
use proto::internal::{CheckpointResourcesMessage, StatusUpdate};
use proto::v1::{
    self, AgentInfo, CommandInfo, FrameworkInfo, Label, Labels, MasterInfo, TaskInfo, TaskState, TaskStatus,
    task_status,
};

/// Resources of an agent.
const AGENT_RESOURCES: &str = "cpus:16;mem:65536;disk:1000000;ports:[31000-32000]";
/// Resources of a task.
const TASK_RESOURCES: &str = "cpus:0.1;mem:128";
/// Address of the master in the commands.
const MASTER_PID: &str = "master@10.0.0.1:5050";

/// How large a registry is, as flags of a benchmark.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Size {
    /// Agents
    #[arg(long = "agents", default_value_t = 50_000)]
    pub agents: usize,
    /// Tasks on each agent
    #[arg(long = "tasks_per_agent", default_value_t = 10)]
    pub tasks_per_agent: usize,
    /// Frameworks that own the tasks
    #[arg(long = "frameworks", default_value_t = 100)]
    pub frameworks: usize,
}

impl Size {
    /// Tasks on all agents.
    pub fn tasks(&self) -> usize {
        self.agents * self.tasks_per_agent
    }
}

/// A registry that is built command by command, as a replica that replays its log does.
pub struct Builder {
    /// What the commands made.
    pub registry: Registry,
    /// Commands applied.
    pub index: u64,
    /// Bytes of all commands in the log.
    pub log_bytes: u64,
    /// Time spent on decoding and applying commands.
    pub applying: Duration,
}

impl Builder {
    fn apply(&mut self, kind: impl Into<CommandKind>) -> Result<Outcome> {
        self.index += 1;
        let bytes = Command::new(Timestamp(1_000_000 + self.index), kind).encode();
        self.log_bytes += bytes.len() as u64;
        let position = Position {
            term: 1,
            index: self.index,
        };
        let begin = Instant::now();
        let command = Command::decode(&bytes)?;
        let applied = self.registry.apply(position, &command);
        drop(command);
        self.applying += begin.elapsed();
        match applied.outcome {
            Outcome::Rejected(rejection) => bail!("a command was rejected: {rejection}"),
            outcome => Ok(outcome),
        }
    }

    /// Everything at once.
    pub fn filled(size: &Size) -> Result<Builder> {
        let mut builder = Builder::begin()?;
        let frameworks = builder.frameworks(size.frameworks)?;
        let agents = builder.agents(size.agents)?;
        builder.tasks_on_all(&frameworks, &agents, size.tasks_per_agent)?;
        Ok(builder)
    }

    /// So many tasks on each agent, of a framework chosen in turn.
    pub fn tasks_on_all(
        &mut self,
        frameworks: &[FrameworkId],
        agents: &[AgentId],
        tasks_per_agent: usize,
    ) -> Result<()> {
        for (number, agent) in agents.iter().enumerate() {
            self.tasks(&frameworks[number % frameworks.len()], agent, tasks_per_agent)?;
        }
        Ok(())
    }

    /// An empty registry whose first leader was announced.
    pub fn begin() -> Result<Builder> {
        let mut builder = Builder {
            registry: Registry::default(),
            index: 0,
            log_bytes: 0,
            applying: Duration::ZERO,
        };
        let master = MasterInfo {
            id: "leadership-1".to_owned(),
            ip: 0x0100_000a,
            pid: Some(MASTER_PID.to_owned()),
            ..MasterInfo::default()
        };
        builder.apply(AnnounceLeader {
            node_id: 1,
            term: 1,
            master: Encoded::new(&master),
            cluster_id: "6b9cf8f1-8b0b-4f9b-9d0f-0d5a3e3f7a10".to_owned(),
        })?;
        Ok(builder)
    }

    /// Subscribes frameworks.
    pub fn frameworks(&mut self, count: usize) -> Result<Vec<FrameworkId>> {
        let mut ids = Vec::new();
        for number in 0..count {
            let info = FrameworkInfo {
                user: "root".to_owned(),
                name: format!("framework-{number}"),
                roles: vec!["services".to_owned()],
                failover_timeout: Some(604_800.0),
                checkpoint: Some(true),
                capabilities: vec![v1::framework_info::Capability {
                    r#type: Some(v1::framework_info::capability::Type::MultiRole.into()),
                }],
                ..FrameworkInfo::default()
            };
            let info = Encoded::new(&info);
            match self.apply(SubscribeFramework { info })? {
                Outcome::FrameworkSubscribed { framework_id, .. } => ids.push(framework_id),
                other => bail!("a subscription gave {other:?}"),
            }
        }
        Ok(ids)
    }

    /// Admits agents.
    pub fn agents(&mut self, count: usize) -> Result<Vec<AgentId>> {
        let resources = parse(AGENT_RESOURCES)?.to_proto();
        let mut ids = Vec::new();
        for number in 0..count {
            let info = AgentInfo {
                hostname: format!("node-{number}.cluster.example"),
                port: Some(5051),
                resources: resources.clone(),
                ..AgentInfo::default()
            };
            let facts = AgentFacts {
                info: Encoded::new(&info),
                pid: format!(
                    "slave(1)@10.{}.{}.{}:5051",
                    number >> 16,
                    (number >> 8) & 255,
                    number & 255
                )
                .into(),
                version: "1.11.0".into(),
                capabilities: vec![1, 2, 3, 4],
                checkpointed_resources: EncodedResources::new(&CheckpointResourcesMessage::default()),
                resource_version: Some([7; 16]),
                deduplicates_launches: true,
            };
            match self.apply(AdmitAgent { facts, replaces: None })? {
                Outcome::AgentAdmitted { agent_id } => ids.push(agent_id),
                other => bail!("an admission gave {other:?}"),
            }
        }
        Ok(ids)
    }

    /// Launches the tasks of one agent and lets them run.
    pub fn tasks(&mut self, framework: &FrameworkId, agent: &AgentId, count: usize) -> Result<()> {
        let mut resources = parse(TASK_RESOURCES)?.to_proto();
        for resource in &mut resources {
            resource.allocation_info = Some(v1::resource::AllocationInfo {
                role: Some("services".to_owned()),
            });
        }
        let name = |number: usize| format!("service.web-{agent}-{number}");
        let tasks: Vec<_> = (0..count)
            .map(|number| Encoded::new(&task(&name(number), agent, &resources)))
            .collect();
        let launch = LaunchTasks {
            framework_id: framework.clone(),
            agent_id: agent.clone(),
            tasks,
            group: None,
            master_pid: Arc::from(MASTER_PID),
        };
        match self.apply(launch)? {
            Outcome::TasksLaunched { launched, .. } if launched.len() == count => {}
            other => bail!("a launch gave {other:?}"),
        }
        for number in 0..count {
            let update = running_again(&name(number), framework, agent, self.index);
            match self.apply(update)? {
                Outcome::TaskStatusUpdated {
                    change: StatusChange::Recorded,
                } => {}
                other => bail!("an update gave {other:?}"),
            }
        }
        Ok(())
    }
}

fn parse(resources: &str) -> Result<Resources> {
    Resources::parse_flag(resources, "*").map_err(|error| anyhow::anyhow!("{resources}: {error}"))
}

fn task(name: &str, agent: &AgentId, resources: &[v1::Resource]) -> TaskInfo {
    let label = |key: &str, value: &str| Label {
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    TaskInfo {
        name: name.to_owned(),
        task_id: v1::TaskId { value: name.to_owned() },
        agent_id: agent.to_proto(),
        resources: resources.to_vec(),
        command: Some(CommandInfo {
            value: Some("exec /usr/bin/web-server --listen=$PORT0 --config=/etc/web-server.toml".to_owned()),
            ..CommandInfo::default()
        }),
        labels: Some(Labels {
            labels: vec![label("app", "web"), label("version", "2026-11-20")],
        }),
        ..TaskInfo::default()
    }
}

/// The update that a task runs; `number` makes it another one than those before.
pub fn running_again(task: &str, framework: &FrameworkId, agent: &AgentId, number: u64) -> UpdateTaskStatus {
    UpdateTaskStatus {
        agent_id: agent.clone(),
        update: Encoded::new(&running(task, framework, agent, number)),
    }
}

fn running(name: &str, framework: &FrameworkId, agent: &AgentId, index: u64) -> StatusUpdate {
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&index.to_be_bytes());
    let timestamp = 1.0e9 + index as f64;
    StatusUpdate {
        framework_id: framework.to_proto(),
        slave_id: Some(agent.to_proto()),
        status: TaskStatus {
            task_id: v1::TaskId { value: name.to_owned() },
            state: TaskState::TaskRunning.into(),
            agent_id: Some(agent.to_proto()),
            source: Some(task_status::Source::Executor.into()),
            timestamp: Some(timestamp),
            uuid: Some(uuid.to_vec().into()),
            ..TaskStatus::default()
        },
        timestamp,
        uuid: Some(uuid.to_vec().into()),
        ..StatusUpdate::default()
    }
}
