//! What operators are told.

use proto::v1::TaskState::{self, TaskFinished, TaskKilled, TaskRunning, TaskStarting, TaskUnreachable};
use proto::v1::framework_info::capability::Type::PartitionAware;
use proto::v1::task_status::Reason;

use crate::command::{
    FrameworkRemoval, MarkAgentGone, MarkAgentUnreachable, RemoveFramework, ReregisterAgent, ReturnsFrom,
    UpdateTaskStatus,
};
use crate::encoded::Encoded;
use crate::event::Event;
use crate::fixture::{Fixture, MASTER_PID, agent_facts, launch, status, task_info};
use crate::ids::AgentId;
use crate::outcome::Applied;
use crate::timestamp::Timestamp;

fn told(applied: &Applied) -> Vec<String> {
    let name = |event: &Event| match event {
        Event::TaskAdded { task } => format!("task added {}", task.id),
        Event::TaskUpdated { status, state, .. } => format!("{} {}", status.task_id.value, state.as_str_name()),
        Event::AgentAdded { agent } => format!("agent added {}", agent.id),
        Event::AgentRemoved { agent_id } => format!("agent removed {agent_id}"),
        Event::FrameworkAdded { framework } => format!("framework added {}", framework.id),
        Event::FrameworkUpdated { framework } => format!("framework updated {}", framework.id),
        Event::FrameworkRemoved { framework } => format!("framework removed {}", framework.id),
    };
    applied.events.iter().map(name).collect()
}

fn unreachable(agent: &AgentId) -> MarkAgentUnreachable {
    MarkAgentUnreachable {
        agent_id: agent.clone(),
        since: Timestamp(1),
    }
}

/// The update as it would be with a reason.
fn because(mut update: UpdateTaskStatus, reason: Reason) -> UpdateTaskStatus {
    let mut decoded = update.update.decode().unwrap();
    decoded.status.reason = Some(reason as i32);
    update.update = Encoded::new(&decoded);
    update
}

#[test]
fn a_task_is_told_of_when_it_starts_and_when_its_state_or_health_changes() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    // The second one does not fit.
    let tasks = vec![task_info(&agent, "a", 1.0), task_info(&agent, "b", 9.0)];
    assert_eq!(
        told(&fixture.apply(launch(&framework, &agent, tasks))),
        ["task added a"]
    );
    let mut uuid = 0;
    let mut update = |fixture: &mut Fixture, state: TaskState, reason: Option<Reason>| {
        uuid += 1;
        let update = status(&framework, &agent, "a", state, uuid);
        let update = reason.map_or(update.clone(), |reason| because(update, reason));
        told(&fixture.apply(update))
    };
    assert_eq!(update(&mut fixture, TaskStarting, None), ["a TASK_STARTING"]);
    assert_eq!(update(&mut fixture, TaskRunning, None), ["a TASK_RUNNING"]);
    assert!(update(&mut fixture, TaskRunning, None).is_empty());
    let healthy = Some(Reason::TaskHealthCheckStatusUpdated);
    assert_eq!(update(&mut fixture, TaskRunning, healthy), ["a TASK_RUNNING"]);
    assert_eq!(update(&mut fixture, TaskFinished, None), ["a TASK_FINISHED"]);
    assert!(update(&mut fixture, TaskFinished, None).is_empty());
    // Repeated by the agent.
    assert!(told(&fixture.status(&framework, &agent, "a", TaskFinished, 6)).is_empty());
    assert!(told(&fixture.acknowledge(&framework, &agent, "a", 6)).is_empty());
}

#[test]
fn a_state_that_a_task_went_through_unseen_is_told_of_once() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    let ahead = |state: TaskState, latest: TaskState, uuid: u8| {
        let mut update = status(&framework, &agent, "a", state, uuid);
        let mut decoded = update.update.decode().unwrap();
        decoded.latest_state = Some(latest as i32);
        update.update = Encoded::new(&decoded);
        update
    };
    let mut same = fixture.clone();
    // The task has ended before its framework hears that it runs.
    fixture.launch(&framework, &agent, "a");
    let running = fixture.apply(ahead(TaskRunning, TaskFinished, 1));
    assert_eq!(told(&running), ["a TASK_FINISHED"]);
    assert_eq!(
        told(&fixture.apply(ahead(TaskFinished, TaskFinished, 2))),
        ["a TASK_FINISHED"]
    );
    assert!(told(&fixture.apply(ahead(TaskFinished, TaskFinished, 3))).is_empty());
    // The agent reports both to a new leader, and then sends its updates again.
    same.launch(&framework, &agent, "a");
    let mut report = fixture.registry.task(&framework, &"a".into()).unwrap().to_proto();
    report.state = TaskRunning as i32;
    report.statuses.truncate(1);
    let mut starting = report.statuses[0].clone();
    starting.state = TaskStarting as i32;
    report.statuses.insert(0, starting);
    let returned = same.apply(ReregisterAgent {
        agent_id: agent.clone(),
        returns_from: ReturnsFrom::Admitted,
        facts: None,
        frameworks: Vec::new(),
        tasks: vec![Encoded::new(&report)],
        executors: Vec::new(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: MASTER_PID.into(),
    });
    assert_eq!(told(&returned), ["a TASK_RUNNING", "a TASK_RUNNING"]);
    let states: Vec<TaskState> = returned
        .events
        .iter()
        .map(|event| match event {
            Event::TaskUpdated { status, .. } => status.state(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(states, [TaskStarting, TaskRunning]);
    assert!(told(&same.apply(ahead(TaskStarting, TaskRunning, 4))).is_empty());
    assert!(told(&same.apply(ahead(TaskRunning, TaskRunning, 5))).is_empty());
}

#[test]
fn a_task_whose_agent_reports_a_new_state_without_its_history_is_told_of_by_name() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    fixture.launch(&framework, &agent, "a");
    let mut report = fixture.registry.task(&framework, &"a".into()).unwrap().to_proto();
    report.state = TaskRunning as i32;
    report.statuses.clear();
    let returned = fixture.apply(ReregisterAgent {
        agent_id: agent.clone(),
        returns_from: ReturnsFrom::Admitted,
        facts: None,
        frameworks: Vec::new(),
        tasks: vec![Encoded::new(&report)],
        executors: Vec::new(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: MASTER_PID.into(),
    });
    assert_eq!(told(&returned), ["a TASK_RUNNING"]);
    let Event::TaskUpdated { status, .. } = &returned.events[0] else {
        panic!("{:?}", returned.events);
    };
    assert_eq!(
        (status.state(), status.agent_id.as_ref()),
        (TaskRunning, Some(&agent.to_proto()))
    );
}

#[test]
fn an_agent_is_told_of_when_it_comes_and_returns_but_not_when_it_is_out_of_reach_or_gone() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    fixture.launch(&framework, &agent, "a");
    fixture.status(&framework, &agent, "a", TaskRunning, 1);
    let running = fixture.registry.task(&framework, &"a".into()).unwrap().to_proto();
    let lost = told(&fixture.apply(unreachable(&agent)));
    assert_eq!(lost, [format!("a {}", TaskUnreachable.as_str_name())]);
    let returned = fixture.apply(ReregisterAgent {
        agent_id: agent.clone(),
        returns_from: ReturnsFrom::Unreachable,
        facts: Some(agent_facts(0)),
        frameworks: Vec::new(),
        tasks: vec![Encoded::new(&running)],
        executors: Vec::new(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: MASTER_PID.into(),
    });
    assert_eq!(
        told(&returned),
        [format!("agent added {agent}"), "task added a".to_owned()]
    );
    let gone = fixture.apply(MarkAgentGone { agent_id: agent });
    assert_eq!(told(&gone), ["a TASK_GONE_BY_OPERATOR"]);
}

#[test]
fn the_tasks_of_a_removed_framework_end_before_it() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let agent = fixture.agent(0);
    for task in ["a", "b"] {
        fixture.launch(&framework, &agent, task);
    }
    let removed = fixture.apply(RemoveFramework {
        framework_id: framework.clone(),
        reason: FrameworkRemoval::Teardown,
    });
    let killed = |task: &str| format!("{task} {}", TaskKilled.as_str_name());
    assert_eq!(
        told(&removed),
        [killed("a"), killed("b"), format!("framework removed {framework}")]
    );
}
