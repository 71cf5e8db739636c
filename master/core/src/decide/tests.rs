//! Decisions about agents that register or come back, and about tasks that frameworks ask for.

use proto::internal::{RegisterSlaveMessage, ReregisterSlaveMessage, UpdateSlaveMessage};
use proto::v1::TaskState::{
    TaskFinished, TaskGone, TaskGoneByOperator, TaskLost, TaskRunning, TaskStaging, TaskUnknown, TaskUnreachable,
};
use proto::v1::framework_info::capability::Type::PartitionAware;
use proto::v1::{self, Uuid};

use super::{
    Registration, Reregistration, agent_update, facts_of_registration, facts_of_reregistration, reconcile_explicit,
    reconcile_implicit, registration, reregistration,
};
use crate::command::{
    AdmitAgent, CommandKind, KillTask, LaunchTasks, MarkAgentGone, MarkAgentUnreachable, ReregisterAgent, ReturnsFrom,
    SubscribeFramework,
};
use crate::encoded::Encoded;
use crate::fixture::{
    Fixture, MASTER_PID, agent_facts, executor_info, framework_info, launch, scalar, task_info, task_with_executor,
};
use crate::ids::{AgentId, FrameworkId};
use crate::outcome::Outcome;
use crate::timestamp::Timestamp;

const PID: &str = "slave(1)@10.0.1.1:5051";
const OTHER_MASTER: &str = "master@10.0.0.2:5050";

/// What an agent says that was admitted with [`admit`] and has nothing.
fn empty_report(agent: &AgentId) -> ReregisterSlaveMessage {
    let mut slave = agent_facts(0).info.decode().unwrap();
    slave.id = Some(agent.to_proto());
    ReregisterSlaveMessage {
        slave,
        version: Some("1.11.0".to_owned()),
        resource_version_uuid: Some(Uuid {
            value: vec![7; 16].into(),
        }),
        ..ReregisterSlaveMessage::default()
    }
}

/// What it says when it has everything the registry knows of it, all confirmed.
fn full_report(fixture: &Fixture, agent: &AgentId) -> ReregisterSlaveMessage {
    ReregisterSlaveMessage {
        tasks: fixture
            .registry
            .tasks_of_agent(agent)
            .map(|task| task.to_proto())
            .collect(),
        frameworks: fixture
            .registry
            .frameworks()
            .map(|known| known.info.message().as_ref().clone())
            .collect(),
        executor_infos: fixture
            .registry
            .agent(agent)
            .unwrap()
            .executors
            .values()
            .map(|executor| executor.info.decode().unwrap())
            .collect(),
        ..empty_report(agent)
    }
}

fn cluster() -> (Fixture, FrameworkId, AgentId) {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    (fixture, framework, agent)
}

fn decide(fixture: &Fixture, report: &ReregisterSlaveMessage, master: &str) -> Reregistration {
    reregistration(&fixture.registry, report, PID, master)
}

fn reregister(decision: &Reregistration) -> &ReregisterAgent {
    match &decision.command {
        Some(CommandKind::ReregisterAgent(command)) => command,
        other => panic!("{other:?}"),
    }
}

fn reconciled(decision: &Reregistration) -> Vec<&str> {
    decision
        .reconcile
        .iter()
        .flat_map(|message| message.statuses.iter().map(|status| status.task_id.value.as_str()))
        .collect()
}

#[test]
fn an_unchanged_agent_costs_no_write() {
    let (mut fixture, framework, agent) = cluster();
    let infos = vec![
        task_with_executor(&framework, &agent, "a", "e"),
        task_info(&agent, "b", 1.0),
    ];
    fixture.apply(launch(&framework, &agent, infos));
    for (number, id) in [(1, "a"), (2, "b")] {
        fixture.status(&framework, &agent, id, TaskRunning, number);
    }
    for master in [MASTER_PID, OTHER_MASTER] {
        let decision = decide(&fixture, &full_report(&fixture, &agent), master);
        let expected = Reregistration {
            framework_updates: vec![framework.clone()],
            ..Reregistration::default()
        };
        assert_eq!(decision, expected);
    }
}

#[test]
fn a_launch_that_another_master_sent_is_sent_again_after_that_is_on_record() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    assert_eq!(decision.resend.len(), 1);
    assert_eq!(decision.resend[0].tasks[0].id.as_str(), "t");
    assert!(decision.resend[0].launch_executor);
    assert!(decision.reconcile.is_empty());
    assert_eq!(reregister(&decision).resent, [(framework.clone(), "t".into())]);
    fixture.apply(decision.command.unwrap());
    // From now on neither of the two may send it again: the agent is asked.
    for master in [MASTER_PID, OTHER_MASTER] {
        let decision = decide(&fixture, &empty_report(&agent), master);
        assert!(decision.resend.is_empty());
        assert_eq!(reconciled(&decision), ["t"]);
        assert!(decision.command.is_none());
    }
}

#[test]
fn the_master_that_may_have_sent_a_launch_asks_instead() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let decision = decide(&fixture, &empty_report(&agent), MASTER_PID);
    assert!(decision.resend.is_empty());
    assert_eq!(reconciled(&decision), ["t"]);
    let message = &decision.reconcile[0];
    assert_eq!(message.framework_id, framework.to_proto());
    assert!(message.framework.is_some());
    assert_eq!(message.statuses[0].message(), "Reconciliation request");
}

#[test]
fn an_agent_that_deduplicates_gets_launches_again_from_anybody_behind_a_commit() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let mut facts = agent_facts(0);
    facts.deduplicates_launches = true;
    let Outcome::AgentAdmitted { agent_id } = fixture.apply(AdmitAgent { facts, replaces: None }).outcome else {
        panic!("not admitted");
    };
    fixture.launch(&framework, &agent_id, "t");
    let report = ReregisterSlaveMessage {
        deduplicates_launches: Some(true),
        ..empty_report(&agent_id)
    };
    for master in [MASTER_PID, OTHER_MASTER] {
        let decision = decide(&fixture, &report, master);
        assert_eq!(decision.resend.len(), 1);
        let Some(CommandKind::ReregisterAgent(command)) = decision.command else {
            panic!("what the agent said before has to be committed first");
        };
        assert!(command.resent.is_empty(), "nobody has to remember who may have sent it");
    }
}

#[test]
fn a_task_the_agent_had_confirmed_is_never_sent_again() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskRunning, 1);
    let decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    assert!(decision.resend.is_empty());
    assert_eq!(reconciled(&decision), ["t"]);
}

#[test]
fn an_ended_task_the_agent_forgot_is_asked_for() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskFinished, 1);
    assert_eq!(
        reconciled(&decide(&fixture, &empty_report(&agent), OTHER_MASTER)),
        ["t"]
    );
    // Its answer can be acknowledged, and the task is not kept for ever.
    fixture.status(&framework, &agent, "t", TaskLost, 2);
    fixture.acknowledge(&framework, &agent, "t", 2);
    assert_eq!(fixture.registry.task_count(), 0);
}

#[test]
fn a_queued_task_in_the_report_confirms_its_launch() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let report = full_report(&fixture, &agent);
    let decision = decide(&fixture, &report, OTHER_MASTER);
    assert!(decision.resend.is_empty());
    assert!(decision.reconcile.is_empty());
    assert_eq!(reregister(&decision).tasks.len(), 1);
    fixture.apply(decision.command.unwrap());
    assert!(decide(&fixture, &report, OTHER_MASTER).command.is_none());
}

#[test]
fn a_group_is_sent_again_as_a_whole_or_not_at_all() {
    let (mut fixture, framework, agent) = cluster();
    let tasks = vec![task_info(&agent, "b", 0.5), task_info(&agent, "a", 0.5)];
    fixture.apply(LaunchTasks {
        group: Some(Encoded::new(&executor_info(&framework, "g"))),
        ..launch(&framework, &agent, tasks)
    });
    let decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    assert_eq!(decision.resend.len(), 1);
    let sent: Vec<_> = decision.resend[0].tasks.iter().map(|task| task.id.as_str()).collect();
    assert_eq!(sent, ["b", "a"]);
    assert!(decision.resend[0].group.is_some());
    assert!(decision.resend[0].launch_executor);
    // The executor it needs stays on the books.
    assert!(reregister(&decision).executors_gone.is_empty());

    fixture.status(&framework, &agent, "a", TaskRunning, 1);
    let mut report = full_report(&fixture, &agent);
    report.tasks.retain(|task| task.task_id.value == "a");
    let decision = decide(&fixture, &report, OTHER_MASTER);
    assert!(decision.resend.is_empty());
    assert_eq!(reconciled(&decision), ["b"]);
}

#[test]
fn the_first_of_several_launches_sent_again_starts_their_executor() {
    let (mut fixture, framework, agent) = cluster();
    let infos = ["a", "b"]
        .map(|id| task_with_executor(&framework, &agent, id, "e"))
        .to_vec();
    fixture.apply(launch(&framework, &agent, infos));
    let decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    let flags: Vec<_> = decision.resend.iter().map(|launch| launch.launch_executor).collect();
    assert_eq!(flags, [true, false]);
}

#[test]
fn an_executor_the_agent_no_longer_has_leaves_the_books() {
    let (mut fixture, framework, agent) = cluster();
    fixture.apply(launch(
        &framework,
        &agent,
        vec![task_with_executor(&framework, &agent, "t", "e")],
    ));
    fixture.status(&framework, &agent, "t", TaskFinished, 1);
    fixture.acknowledge(&framework, &agent, "t", 1);
    let decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    assert_eq!(reregister(&decision).executors_gone, [(framework, "e".into())]);
    fixture.apply(decision.command.unwrap());
    assert!(fixture.registry.agent(&agent).unwrap().used.is_empty());
}

#[test]
fn kills_are_sent_again_and_no_launch_behind_its_kill() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let mut decision = decide(&fixture, &empty_report(&agent), OTHER_MASTER);
    assert!(decision.kill_again.is_empty());
    fixture.apply(decision.command.clone().unwrap());
    // Asked for while the command was on its way.
    fixture.apply(KillTask {
        framework_id: framework.clone(),
        task_id: "t".into(),
        kill_policy: None,
    });
    decision.bring_up_to_date(&fixture.registry, &agent);
    assert_eq!((decision.resend.len(), decision.kill_again.len()), (1, 1));
    fixture.status(&framework, &agent, "t", TaskFinished, 1);
    decision.bring_up_to_date(&fixture.registry, &agent);
    assert_eq!((decision.resend.len(), decision.kill_again.len()), (0, 0));
}

#[test]
fn another_machine_with_the_same_id_is_refused() {
    let (fixture, _, agent) = cluster();
    let report = empty_report(&agent);
    let text = Some("Agent attempted to reregister with different IP / hostname".to_owned());
    assert_eq!(
        reregistration(&fixture.registry, &report, "slave(1)@10.0.1.2:5051", MASTER_PID).refuse,
        text
    );
    let mut renamed = report.clone();
    renamed.slave.hostname = "elsewhere".to_owned();
    assert_eq!(decide(&fixture, &renamed, MASTER_PID).refuse, text);
    // Another port of the same machine is the same agent.
    let decision = reregistration(&fixture.registry, &report, "slave(1)@10.0.1.1:6000", MASTER_PID);
    assert_eq!(
        &*reregister(&decision).facts.as_ref().unwrap().pid,
        "slave(1)@10.0.1.1:6000"
    );
}

#[test]
fn a_gone_agent_is_refused() {
    let (mut fixture, _, agent) = cluster();
    fixture.apply(MarkAgentGone {
        agent_id: agent.clone(),
    });
    let decision = decide(&fixture, &empty_report(&agent), MASTER_PID);
    assert_eq!(decision.refuse.as_deref(), Some("Agent has been marked gone"));
    assert!(decision.command.is_none());
}

#[test]
fn an_unreachable_and_an_unknown_agent_report_everything() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskRunning, 1);
    let report = full_report(&fixture, &agent);
    fixture.apply(KillTask {
        framework_id: framework.clone(),
        task_id: "t".into(),
        kill_policy: None,
    });
    fixture.apply(MarkAgentUnreachable {
        agent_id: agent.clone(),
        since: Timestamp(1),
    });
    let mut decision = decide(&fixture, &report, MASTER_PID);
    assert_eq!(reregister(&decision).returns_from, ReturnsFrom::Unreachable);
    assert_eq!(reregister(&decision).tasks.len(), 1);
    fixture.apply(decision.command.clone().unwrap());
    decision.bring_up_to_date(&fixture.registry, &agent);
    assert_eq!(decision.kill_again.len(), 1);

    let mut elsewhere = Fixture::new();
    let decision = decide(&elsewhere, &report, MASTER_PID);
    assert_eq!(reregister(&decision).returns_from, ReturnsFrom::Unknown);
    assert_eq!(reregister(&decision).frameworks.len(), 1);
    elsewhere.apply(decision.command.unwrap());
    assert!(elsewhere.registry.task(&framework, &"t".into()).is_some());
    // The framework subscribes with its id and is no longer merely recovered.
    let mut info = framework_info(&[PartitionAware]);
    info.id = Some(framework.to_proto());
    elsewhere.apply(SubscribeFramework {
        info: Encoded::new(&info),
    });
    assert!(!elsewhere.registry.framework(&framework).unwrap().recovered);
}

#[test]
fn removed_frameworks_are_shut_down_on_the_agent() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskRunning, 1);
    let report = full_report(&fixture, &agent);
    fixture.apply(crate::command::RemoveFramework {
        framework_id: framework.clone(),
        reason: crate::command::FrameworkRemoval::Teardown,
    });
    let decision = decide(&fixture, &report, MASTER_PID);
    assert_eq!(decision.shutdown_frameworks, [framework]);
    assert!(decision.command.is_none());
}

#[test]
fn a_repeated_registration_gets_its_id_back() {
    let mut fixture = Fixture::new();
    let message = RegisterSlaveMessage {
        slave: agent_facts(0).info.decode().unwrap(),
        version: Some("1.11.0".to_owned()),
        resource_version_uuid: Some(Uuid {
            value: vec![7; 16].into(),
        }),
        ..RegisterSlaveMessage::default()
    };
    let facts = facts_of_registration(&message, PID);
    assert_eq!(facts, agent_facts(0));
    assert_eq!(
        registration(&fixture.registry, &facts),
        Registration::Admit { replaces: None }
    );
    let framework = fixture.framework(&[]);
    let agent = fixture.agent(0);
    assert_eq!(
        registration(&fixture.registry, &facts),
        Registration::Known(agent.clone())
    );
    // A new process at that address, with other facts: the old one is gone.
    let mut other = facts.clone();
    other.resource_version = Some([8; 16]);
    let replaces = Some(agent.clone());
    assert_eq!(
        registration(&fixture.registry, &other),
        Registration::Admit {
            replaces: replaces.clone()
        }
    );
    fixture.launch(&framework, &agent, "t");
    assert_eq!(
        registration(&fixture.registry, &facts),
        Registration::Admit { replaces }
    );
    assert_eq!(facts_of_reregistration(&empty_report(&agent), PID), facts);
}

fn explicit(fixture: &Fixture, framework: &FrameworkId, task: &str, agent: Option<&str>) -> v1::TaskStatus {
    let agent = agent.map(AgentId::from);
    reconcile_explicit(&fixture.registry, framework, &task.into(), agent.as_ref())
}

#[test]
fn every_live_task_is_answered_at_once() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "a");
    fixture.launch(&framework, &agent, "b");
    fixture.status(&framework, &agent, "b", TaskRunning, 1);
    let answers = reconcile_implicit(&fixture.registry, &framework);
    let states: Vec<_> = answers
        .iter()
        .map(|status| (status.task_id.value.as_str(), status.state()))
        .collect();
    assert_eq!(states, [("a", TaskStaging), ("b", TaskRunning)]);
    assert!(
        answers
            .iter()
            .all(|status| status.uuid.is_none() && status.agent_id == Some(agent.to_proto()))
    );
    let one = explicit(&fixture, &framework, "b", Some("wrong"));
    assert_eq!(
        (one.state(), one.message()),
        (TaskRunning, "Reconciliation: Latest task state")
    );
}

#[test]
fn a_task_nobody_knows_is_answered_by_where_its_agent_is() {
    let (mut fixture, framework, admitted) = cluster();
    let legacy = fixture.framework(&[]);
    let (lost, gone) = (fixture.agent(1), fixture.agent(2));
    fixture.apply(MarkAgentUnreachable {
        agent_id: lost.clone(),
        since: Timestamp(5),
    });
    fixture.apply(MarkAgentGone { agent_id: gone.clone() });
    for (agent, state) in [
        (Some(admitted.as_str()), TaskGone),
        (Some(lost.as_str()), TaskUnreachable),
        (Some(gone.as_str()), TaskGoneByOperator),
        (Some("nobody"), TaskUnknown),
        (None, TaskUnknown),
    ] {
        assert_eq!(explicit(&fixture, &framework, "t", agent).state(), state);
        assert_eq!(explicit(&fixture, &legacy, "t", agent).state(), TaskLost);
    }
    let answer = explicit(&fixture, &framework, "t", Some(lost.as_str()));
    assert_eq!(answer.unreachable_time.unwrap().nanoseconds, 5000);
}

#[test]
fn only_news_of_an_agent_are_proposed() {
    let (mut fixture, _, agent) = cluster();
    let mut message = UpdateSlaveMessage {
        slave_id: agent.to_proto(),
        resource_version_uuid: Some(Uuid {
            value: vec![7; 16].into(),
        }),
        update_oversubscribed_resources: Some(false),
        ..UpdateSlaveMessage::default()
    };
    assert!(agent_update(&fixture.registry, &agent, &message).is_none());
    let mut revocable = scalar("cpus", 1.0);
    revocable.revocable = Some(v1::resource::RevocableInfo::default());
    message.oversubscribed_resources = vec![revocable];
    assert!(
        agent_update(&fixture.registry, &agent, &message).is_none(),
        "the flag says that they do not count"
    );
    message.update_oversubscribed_resources = Some(true);
    let update = agent_update(&fixture.registry, &agent, &message).unwrap();
    fixture.apply(update);
    assert_eq!(fixture.registry.agent(&agent).unwrap().total.scalar("cpus"), 5000);
    assert!(agent_update(&fixture.registry, &agent, &message).is_none());
}
