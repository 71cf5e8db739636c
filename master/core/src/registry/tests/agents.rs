//! Admission, loss and return of agents.

use proto::v1::TaskState::{TaskFinished, TaskGone, TaskGoneByOperator, TaskLost, TaskRunning, TaskUnreachable};
use proto::v1::framework_info::capability::Type::PartitionAware;
use proto::v1::task_status::Reason;
use proto::v1::{self, TaskState};

use super::{forwarded, forwarded_states};
use crate::command::{
    AdmitAgent, AgentRemoval, KillTask, MarkAgentGone, MarkAgentUnreachable, RemoveAgent, ReregisterAgent, ReturnsFrom,
    UpdateAgent,
};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::fixture::{Fixture, agent_facts, allocated, executor_info, framework_info, scalar, uuid_of};
use crate::ids::{AgentId, FrameworkId};
use crate::outcome::{Outcome, Rejection};
use crate::timestamp::Timestamp;

fn unreachable(agent: &AgentId) -> MarkAgentUnreachable {
    MarkAgentUnreachable {
        agent_id: agent.clone(),
        since: Timestamp(42),
    }
}

fn returns(agent: &AgentId, from: ReturnsFrom, tasks: &[v1::Task]) -> ReregisterAgent {
    ReregisterAgent {
        agent_id: agent.clone(),
        returns_from: from,
        facts: Some(agent_facts(0)),
        frameworks: Vec::new(),
        tasks: tasks.iter().map(Encoded::new).collect(),
        executors: Vec::new(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: crate::fixture::MASTER_PID.into(),
    }
}

fn reported(framework: &FrameworkId, agent: &AgentId, id: &str, state: TaskState) -> v1::Task {
    v1::Task {
        name: "n".to_owned(),
        task_id: v1::TaskId { value: id.to_owned() },
        framework_id: framework.to_proto(),
        agent_id: agent.to_proto(),
        state: state as i32,
        resources: vec![allocated("cpus", 1.0)],
        ..v1::Task::default()
    }
}

/// A partition-aware and a legacy framework, each with a running task `t` on one agent.
fn running() -> (Fixture, FrameworkId, FrameworkId, AgentId) {
    let mut fixture = Fixture::new();
    let aware = fixture.framework(&[PartitionAware]);
    let legacy = fixture.framework(&[]);
    let agent = fixture.agent(0);
    for framework in [&aware, &legacy] {
        fixture.launch(framework, &agent, "t");
        fixture.status(framework, &agent, "t", TaskRunning, 1);
    }
    (fixture, aware, legacy, agent)
}

#[test]
fn tasks_of_an_unreachable_agent_are_told_and_may_come_back() {
    let (mut fixture, aware, legacy, agent) = running();
    let applied = fixture.apply(unreachable(&agent));
    assert_eq!(forwarded_states(&applied), [TaskUnreachable, TaskLost]);
    let update = forwarded(&applied)[0];
    assert_eq!(update.uuid, None);
    assert_eq!(update.status.unreachable_time.unwrap().nanoseconds, 42_000);
    assert_eq!(update.status.reason(), Reason::AgentRemoved);
    assert_eq!(
        applied.effects.last(),
        Some(&Effect::AgentLost {
            agent_id: agent.clone()
        })
    );
    assert!(fixture.registry.agent(&agent).is_none());
    assert!(fixture.registry.unreachable_task(&aware, &"t".into()).is_some());

    let tasks = [
        reported(&aware, &agent, "t", TaskRunning),
        reported(&legacy, &agent, "t", TaskRunning),
    ];
    let applied = fixture.apply(returns(&agent, ReturnsFrom::Unreachable, &tasks));
    assert_eq!(forwarded_states(&applied), [TaskRunning, TaskRunning]);
    let update = forwarded(&applied)[0];
    assert_eq!(update.status.reason(), Reason::AgentReregistered);
    assert_eq!(update.status.message(), "Unreachable agent re-reregistered");
    assert_eq!(fixture.registry.tasks_of_agent(&agent).count(), 2);
    assert!(fixture.registry.unreachable_task(&aware, &"t".into()).is_none());
    assert!(fixture.registry.unreachable_agent(&agent).is_none());
}

#[test]
fn what_an_agent_that_returns_no_longer_has_is_gone() {
    let (mut fixture, aware, _, agent) = running();
    fixture.apply(unreachable(&agent));
    let applied = fixture.apply(returns(&agent, ReturnsFrom::Unreachable, &[]));
    assert_eq!(forwarded_states(&applied), [TaskGone, TaskLost]);
    assert!(fixture.registry.unreachable_task(&aware, &"t".into()).is_none());
    assert_eq!(
        fixture.registry.completed_task(&aware, &"t".into()).unwrap().state,
        TaskGone
    );
}

#[test]
fn a_kill_survives_the_loss_of_the_agent() {
    let (mut fixture, aware, _, agent) = running();
    fixture.apply(KillTask {
        framework_id: aware.clone(),
        task_id: "t".into(),
        kill_policy: None,
    });
    fixture.apply(unreachable(&agent));
    let report = [reported(&aware, &agent, "t", TaskRunning)];
    fixture.apply(returns(&agent, ReturnsFrom::Unreachable, &report));
    assert!(fixture.registry.task(&aware, &"t".into()).unwrap().kill.is_some());
}

#[test]
fn a_report_of_differences_is_refused_once_the_agent_was_lost() {
    let (mut fixture, aware, _, agent) = running();
    fixture.apply(unreachable(&agent));
    let applied = fixture.apply(returns(&agent, ReturnsFrom::Admitted, &[]));
    assert_eq!(applied.outcome, Outcome::Rejected(Rejection::AgentNotAdmitted(agent)));
    assert!(fixture.registry.unreachable_task(&aware, &"t".into()).is_some());
}

#[test]
fn an_unacknowledged_end_is_reported_again_after_the_loss() {
    let (mut fixture, aware, _, agent) = running();
    fixture.status(&aware, &agent, "t", TaskFinished, 2);
    fixture.apply(unreachable(&agent));
    fixture.apply(returns(&agent, ReturnsFrom::Unreachable, &[]));
    let late = fixture.status(&aware, &agent, "t", TaskFinished, 2);
    // Not answered in the framework's name: it may never have seen it.
    assert_eq!(forwarded_states(&late), [TaskFinished]);
}

#[test]
fn an_unknown_agent_is_admitted_with_all_it_has() {
    let mut fixture = Fixture::new();
    let known = fixture.framework(&[]);
    let agent = AgentId::from("other-S7");
    let foreign = FrameworkId::from("foreign");
    let mut info = framework_info(&[]);
    info.id = Some(foreign.to_proto());
    let tasks = [
        reported(&known, &agent, "a", TaskRunning),
        reported(&foreign, &agent, "b", TaskRunning),
    ];
    let mut command = returns(&agent, ReturnsFrom::Unknown, &tasks);
    command.frameworks = vec![Encoded::new(&info)];
    command.executors = vec![Encoded::new(&executor_info(&foreign, "e"))];
    let applied = fixture.apply(command);
    assert_eq!(forwarded_states(&applied), [TaskRunning, TaskRunning]);
    assert_eq!(forwarded(&applied)[0].status.message(), "Unknown agent reregistered");
    assert!(fixture.registry.framework(&foreign).unwrap().recovered);
    assert_eq!(fixture.registry.agent(&agent).unwrap().used.scalar("cpus"), 2100);
    // Its id is never minted again.
    let mut own = returns(&AgentId::from("c-S0"), ReturnsFrom::Unknown, &[]);
    own.facts = Some(agent_facts(9));
    fixture.apply(own);
    assert_eq!(fixture.agent(1).as_str(), "c-S1");
}

#[test]
fn a_report_confirms_launches_and_takes_over_states() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let agent = fixture.agent(0);
    fixture.launch(&framework, &agent, "t");
    let mut command = returns(
        &agent,
        ReturnsFrom::Admitted,
        &[reported(&framework, &agent, "t", TaskRunning)],
    );
    command.facts = None;
    let applied = fixture.apply(command);
    assert!(forwarded(&applied).is_empty());
    let task = fixture.registry.task(&framework, &"t".into()).unwrap();
    assert!(task.launch.is_none());
    assert_eq!(task.state, TaskRunning);
}

#[test]
fn a_report_brings_no_ended_task_back_to_life() {
    let (mut fixture, aware, _, agent) = running();
    fixture.status(&aware, &agent, "t", TaskFinished, 2);
    let report = [reported(&aware, &agent, "t", TaskRunning)];
    fixture.apply(returns(&agent, ReturnsFrom::Admitted, &report));
    let task = fixture.registry.task(&aware, &"t".into()).unwrap();
    assert_eq!((task.state, task.status_update_uuid), (TaskFinished, Some(uuid_of(2))));
}

#[test]
fn a_removed_agent_loses_its_tasks_also_for_partition_aware_frameworks() {
    let (mut fixture, aware, _, agent) = running();
    let applied = fixture.apply(RemoveAgent {
        agent_id: agent.clone(),
        reason: AgentRemoval::Unregistered,
    });
    assert_eq!(forwarded_states(&applied), [TaskLost, TaskLost]);
    assert!(fixture.registry.agent(&agent).is_none());
    assert_eq!(
        fixture.registry.completed_task(&aware, &"t".into()).unwrap().state,
        TaskLost
    );
    let again = fixture.apply(RemoveAgent {
        agent_id: agent.clone(),
        reason: AgentRemoval::Unregistered,
    });
    assert_eq!(again.outcome, Outcome::Rejected(Rejection::AgentNotAdmitted(agent)));
}

#[test]
fn an_agent_replaces_the_one_at_its_address() {
    let (mut fixture, _, _, agent) = running();
    let applied = fixture.apply(AdmitAgent {
        facts: agent_facts(0),
        replaces: Some(agent.clone()),
    });
    let Outcome::AgentAdmitted { agent_id } = &applied.outcome else {
        panic!("{:?}", applied.outcome)
    };
    assert_ne!(agent_id, &agent);
    assert_eq!(forwarded_states(&applied), [TaskLost, TaskLost]);
    assert!(fixture.registry.agent(&agent).is_none());
}

#[test]
fn a_gone_agent_never_comes_back() {
    let (mut fixture, aware, _, agent) = running();
    let applied = fixture.apply(MarkAgentGone {
        agent_id: agent.clone(),
    });
    assert_eq!(forwarded_states(&applied), [TaskGoneByOperator, TaskLost]);
    assert!(
        applied
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::ShutdownAgent { .. }))
    );
    let back = fixture.apply(returns(&agent, ReturnsFrom::Unknown, &[]));
    assert_eq!(back.outcome, Outcome::Rejected(Rejection::AgentGone));
    assert!(fixture.registry.tasks_of_framework(&aware).next().is_none());
}

#[test]
fn an_unreachable_agent_may_be_marked_gone() {
    let (mut fixture, aware, _, agent) = running();
    fixture.apply(unreachable(&agent));
    let applied = fixture.apply(MarkAgentGone {
        agent_id: agent.clone(),
    });
    assert_eq!(forwarded_states(&applied), [TaskGoneByOperator, TaskLost]);
    assert!(fixture.registry.unreachable_agent(&agent).is_none());
    assert!(fixture.registry.unreachable_task(&aware, &"t".into()).is_none());
}

#[test]
fn oversubscribed_resources_are_part_of_the_total() {
    let mut fixture = Fixture::new();
    let agent = fixture.agent(0);
    let mut revocable = scalar("cpus", 2.0);
    revocable.revocable = Some(v1::resource::RevocableInfo::default());
    let update = UpdateAgent {
        agent_id: agent.clone(),
        resource_version: Some([9; 16]),
        oversubscribed: Some(Encoded::new(&proto::internal::CheckpointResourcesMessage {
            resources: vec![revocable],
        })),
        provider_resources: None,
        checkpointed_resources: None,
    };
    let applied = fixture.apply(update.clone());
    assert_eq!(
        applied.outcome,
        Outcome::AgentUpdated {
            agent_id: agent.clone(),
            total_changed: true
        }
    );
    assert_eq!(fixture.registry.agent(&agent).unwrap().total.scalar("cpus"), 6000);
    assert!(matches!(
        fixture.apply(update).outcome,
        Outcome::AgentUpdated {
            total_changed: false,
            ..
        }
    ));
}
