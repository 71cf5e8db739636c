//! Prints what a running task costs in memory, beside its limit: `cargo run -p master-core --example memory_per_task
//! --features fixture [--release]`. Linux only (reads `/proc/self/statm`).

use master_core::command::{AdmitAgent, Command, CommandKind, SubscribeFramework};
use master_core::fixture::{agent_facts, allocated, framework_info, launch, status, task_info};
use master_core::{AgentId, Encoded, FrameworkId, Outcome, Position, Registry, Timestamp};
use proto::v1::{ContainerStatus, NetworkInfo, TaskState, network_info::IpAddress};

/// As many as a small cluster has; enough to tell one task's share.
const TASKS: u64 = 200_000;
/// Typical of a large fleet.
const TASKS_PER_AGENT: u64 = 20;
/// Kilobyte of the budget.
const LIMIT_BYTES: u64 = 1024;
/// What `/proc` counts in.
const PAGE_BYTES: u64 = 4096;

fn resident_bytes() -> Result<u64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    Ok(statm
        .split_whitespace()
        .nth(1)
        .ok_or("no resident size")?
        .parse::<u64>()?
        * PAGE_BYTES)
}

fn apply(registry: &mut Registry, kind: impl Into<CommandKind>) -> Result<Outcome, Box<dyn std::error::Error>> {
    // As from the log: nothing is shared with what built the command.
    let command = Command::decode(&Command::new(Timestamp(1), kind).encode())?;
    Ok(registry.apply(Position::default(), &command).outcome)
}

fn run_task(
    registry: &mut Registry,
    framework: &FrameworkId,
    agent: &AgentId,
    number: u64,
) -> Result<(), Box<dyn std::error::Error>> {
    let id = format!("web-frontend-{number:08}-7e3fd0a2-8f0c-4a41-9f4b");
    let mut info = task_info(agent, &id, 0.1);
    info.resources.push(allocated("disk", 64.0));
    apply(registry, launch(framework, agent, vec![info]))?;
    for (uuid, state) in [(1, TaskState::TaskStarting), (2, TaskState::TaskRunning)] {
        let mut command = status(framework, agent, &id, state, uuid);
        let mut update = command.update.decode()?;
        update.status.container_status = Some(ContainerStatus {
            network_infos: vec![NetworkInfo {
                ip_addresses: vec![IpAddress {
                    ip_address: Some("10.17.3.4".to_owned()),
                    ..IpAddress::default()
                }],
                ..NetworkInfo::default()
            }],
            ..ContainerStatus::default()
        });
        command.update = Encoded::new(&update);
        apply(registry, command)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut registry = master_core::fixture::Fixture::new().registry;
    let subscribe = SubscribeFramework {
        info: Encoded::new(&framework_info(&[])),
    };
    let Outcome::FrameworkSubscribed { framework_id, .. } = apply(&mut registry, subscribe)? else {
        return Err("not subscribed".into());
    };
    let mut agents = Vec::new();
    for number in 0..TASKS / TASKS_PER_AGENT {
        let facts = agent_facts(u16::try_from(number)?);
        let Outcome::AgentAdmitted { agent_id } = apply(&mut registry, AdmitAgent { facts, replaces: None })? else {
            return Err("not admitted".into());
        };
        agents.push(agent_id);
    }
    let before = resident_bytes()?;
    let started = registry.task_count();
    for number in 0..TASKS {
        let agent = &agents[usize::try_from(number / TASKS_PER_AGENT)?];
        run_task(&mut registry, &framework_id, agent, number)?;
    }
    let running = u64::try_from(registry.task_count() - started)?;
    let each = (resident_bytes()? - before) / running.max(1);
    println!("{running} running tasks: {each} bytes each, limit {LIMIT_BYTES}");

    let mut snapshot = Vec::new();
    registry.write_to(&mut snapshot)?;
    let before = resident_bytes()?;
    let read = Registry::read_from(&mut &snapshot[..])?;
    let each = (resident_bytes()? - before) / running.max(1);
    println!(
        "{} tasks read from a snapshot of {} bytes: {each} bytes each",
        read.task_count(),
        snapshot.len()
    );
    Ok(())
}
