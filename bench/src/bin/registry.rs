//! `bench-registry`: a registry with many agents and tasks, built by the very commands that a log carries: memory per task,
//! replay, snapshot, restart.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bench::fleet::FilledCluster;
use bench::spread::show;
use bench::table::{Table, verdict};
use bench::{machine, masters};
use clap::Parser;
use cluster_tests::wait::wait_until;
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
/// The goal for a running task, in bytes.
const TASK_BYTES_GOAL: f64 = 1024.0;
/// The goal for the restart of a replica.
const RESTART_GOAL: Duration = Duration::from_secs(2);

/// Memory, replay, snapshot and restart of a registry full of agents and tasks
#[derive(Debug, Parser)]
#[command(name = "bench-registry")]
struct Arguments {
    /// Repetitions of writing and reading the snapshot; restarts with --with_processes
    #[arg(long = "trials", default_value_t = 3)]
    trials: usize,
    /// Agents
    #[arg(long = "agents", default_value_t = 50_000)]
    agents: usize,
    /// Tasks on each agent
    #[arg(long = "tasks_per_agent", default_value_t = 10)]
    tasks_per_agent: usize,
    /// Frameworks that own the tasks
    #[arg(long = "frameworks", default_value_t = 100)]
    frameworks: usize,
    /// Restart real masters that hold this data, too
    #[arg(long = "with_processes")]
    with_processes: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::print_facts();
    let restart = in_process(&arguments)?;
    let mut goals = Table::new(&["goal", "figure", "verdict"]);
    let limit = RESTART_GOAL.as_secs_f64() * 1000.0;
    goals.row([
        "memory per running task ≤ 1 KiB".to_owned(),
        format!("{:.0} bytes", restart.bytes_per_task),
        verdict(restart.bytes_per_task, TASK_BYTES_GOAL).to_owned(),
    ]);
    goals.row([
        "restart ≤ 2 s: the part that reads the snapshot".to_owned(),
        format!("{} ms", show(restart.read_millis)),
        verdict(restart.read_millis, limit).to_owned(),
    ]);
    if arguments.with_processes {
        let slowest = with_processes(&arguments)?;
        goals.row([
            "restart ≤ 2 s: a real replica, from its start until it has applied everything (slowest)".to_owned(),
            format!("{} ms", show(slowest)),
            verdict(slowest, limit).to_owned(),
        ]);
    }
    goals.print("goals");
    Ok(())
}

/// What the goals need.
struct Restart {
    bytes_per_task: f64,
    read_millis: f64,
}

/// A registry that is built command by command, as a replica that replays its log does.
struct Builder {
    registry: Registry,
    index: u64,
    log_bytes: u64,
    encoding: Duration,
    applying: Duration,
}

impl Builder {
    fn apply(&mut self, kind: impl Into<CommandKind>) -> Result<Outcome> {
        self.index += 1;
        let begin = Instant::now();
        let bytes = Command::new(Timestamp(1_000_000 + self.index), kind).encode();
        self.encoding += begin.elapsed();
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

    fn begin() -> Result<Builder> {
        let mut builder = Builder {
            registry: Registry::default(),
            index: 0,
            log_bytes: 0,
            encoding: Duration::ZERO,
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

    fn frameworks(&mut self, count: usize) -> Result<Vec<FrameworkId>> {
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

    fn agents(&mut self, count: usize) -> Result<Vec<AgentId>> {
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
    fn tasks(&mut self, framework: &FrameworkId, agent: &AgentId, count: usize) -> Result<()> {
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
            let update = Encoded::new(&running(&name(number), framework, agent, self.index));
            let agent_id = agent.clone();
            match self.apply(UpdateTaskStatus { agent_id, update })? {
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

fn in_process(arguments: &Arguments) -> Result<Restart> {
    let before = machine::resident_bytes();
    let mut builder = Builder::begin()?;
    let frameworks = builder.frameworks(arguments.frameworks)?;
    let agents = builder.agents(arguments.agents)?;
    let with_agents = machine::resident_bytes();
    for (number, agent) in agents.iter().enumerate() {
        builder.tasks(&frameworks[number % frameworks.len()], agent, arguments.tasks_per_agent)?;
    }
    let with_tasks = machine::resident_bytes();
    let tasks = (arguments.agents * arguments.tasks_per_agent) as f64;
    ensure!(builder.registry.task_count() as f64 == tasks, "some tasks are missing");
    let bytes_per_task = (with_tasks - with_agents) as f64 / tasks;

    let mut table = Table::new(&["what", "figure"]);
    table.row(["commands applied".to_owned(), builder.index.to_string()]);
    table.row([
        "decode and apply".to_owned(),
        format!(
            "{} ms in all, {:.0} commands/s",
            builder.applying.as_millis(),
            builder.index as f64 / builder.applying.as_secs_f64()
        ),
    ]);
    table.row([
        "size of these commands in the log".to_owned(),
        mebibytes(builder.log_bytes),
    ]);
    table.row([
        "resident memory, agents and frameworks".to_owned(),
        format!(
            "{}, {:.0} bytes per agent",
            mebibytes(with_agents - before),
            (with_agents - before) as f64 / arguments.agents as f64
        ),
    ]);
    table.row([
        "resident memory, tasks".to_owned(),
        format!(
            "{}, {bytes_per_task:.0} bytes per task",
            mebibytes(with_tasks - with_agents)
        ),
    ]);
    let (read_millis, size) = snapshots(arguments, &builder.registry, &mut table)?;
    table.row([
        "snapshot bytes per task, agents included".to_owned(),
        format!("{:.0}", size as f64 / tasks),
    ]);
    let begin = Instant::now();
    builder
        .registry
        .check_invariants()
        .map_err(|broken| anyhow::anyhow!("invariant broken: {broken}"))?;
    table.row([
        "checking every invariant and recomputing the state hash".to_owned(),
        format!("{} ms", begin.elapsed().as_millis()),
    ]);
    table.print(&format!(
        "a registry with {} agents and {tasks} running tasks of {} frameworks, in this process",
        arguments.agents, arguments.frameworks
    ));
    println!("load average now {}", machine::load_average());
    Ok(Restart {
        bytes_per_task,
        read_millis,
    })
}

/// Writes and reads the snapshot; returns the slowest reading in milliseconds, and the snapshot's size.
fn snapshots(arguments: &Arguments, registry: &Registry, table: &mut Table) -> Result<(f64, u64)> {
    let folder = tempfile::Builder::new().prefix("mesoraft-bench-").tempdir()?;
    let path = folder.path().join("snapshot");
    let (mut writing, mut reading) = (Vec::new(), Vec::new());
    for _ in 0..arguments.trials.max(1) {
        let begin = Instant::now();
        let clone = registry.clone();
        let frozen = begin.elapsed();
        let mut out = BufWriter::new(File::create(&path)?);
        clone.write_to(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        writing.push(begin.elapsed().as_secs_f64() * 1000.0);
        ensure!(frozen < Duration::from_secs(1), "a clone copied the registry");
        let begin = Instant::now();
        let read = Registry::read_from(&mut BufReader::new(File::open(&path)?)).context("cannot read the snapshot")?;
        reading.push(begin.elapsed().as_secs_f64() * 1000.0);
        ensure!(
            read.state_hash() == registry.state_hash(),
            "the snapshot holds another state"
        );
    }
    let list = |values: &[f64]| values.iter().map(|value| show(*value)).collect::<Vec<_>>().join(", ");
    let size = std::fs::metadata(&path)?.len();
    table.row(["size of the snapshot".to_owned(), mebibytes(size)]);
    table.row(["writing it, synced, ms".to_owned(), list(&writing)]);
    table.row(["reading it, state hash verified, ms".to_owned(), list(&reading)]);
    Ok((reading.iter().copied().fold(0.0, f64::max), size))
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

/// Restarts a follower of a real cluster that holds this data; returns the slowest restart in milliseconds.
fn with_processes(arguments: &Arguments) -> Result<f64> {
    let tasks = (arguments.agents * arguments.tasks_per_agent) as u64;
    let mut filled = FilledCluster::start(arguments.agents, tasks, arguments.frameworks)?;
    let mut table = Table::new(&[
        "restart",
        "answers after ms",
        "everything applied after ms",
        "resident MiB",
    ]);
    let mut slowest: f64 = 0.0;
    for trial in 0..arguments.trials {
        let leader = masters::settle(&mut filled.cluster)?;
        let follower = (leader + 1) % filled.cluster.masters.len();
        let target = masters::metric(filled.cluster.port(leader), "raft/commit_index")?;
        filled.cluster.masters[follower].kill9()?;
        let begin = Instant::now();
        filled.cluster.masters[follower].start()?;
        filled.cluster.wait_for_answer(follower)?;
        let answers = begin.elapsed();
        let port = filled.cluster.port(follower);
        wait_until("the replica has applied everything", masters::CATCH_UP_MAX, || {
            Ok(masters::metric(port, "raft/applied_index").unwrap_or(0.0) >= target)
        })?;
        let applied = begin.elapsed().as_secs_f64() * 1000.0;
        slowest = slowest.max(applied);
        let memory = masters::memory(&filled.cluster);
        table.row([
            (trial + 1).to_string(),
            answers.as_millis().to_string(),
            show(applied),
            memory.get(follower).map(u64::to_string).unwrap_or_default(),
        ]);
    }
    table.print("restart of a follower of a real cluster with this data");
    println!("load average now {}", machine::load_average());
    filled.cluster.passed()?;
    Ok(slowest)
}
