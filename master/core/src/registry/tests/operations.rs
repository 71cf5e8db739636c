//! Operations on reservations and volumes: what they change, and how agents and registry come to one list.

use proto::internal::CheckpointResourcesMessage;
use proto::v1::offer::Operation;
use proto::v1::{OperationId, OperationState, Resource};

use crate::command::{
    AcknowledgeOperationStatus, AdmitAgent, AgentFacts, ApplyOperation, ReregisterAgent, ReturnsFrom,
};
use crate::command::{MarkAgentUnreachable, UpdateOperationStatus};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::fixture::{
    Fixture, agent_facts, create, dynamic, operation_status, reserve, understanding, uuid_of, volume,
};
use crate::ids::{AgentId, FrameworkId};
use crate::outcome::{Applied, Outcome, Rejection};
use crate::timestamp::Timestamp;

fn admitted(fixture: &mut Fixture, facts: AgentFacts) -> AgentId {
    let Outcome::AgentAdmitted { agent_id } = fixture.apply(AdmitAgent { facts, replaces: None }).outcome else {
        panic!("not admitted");
    };
    agent_id
}

fn apply(fixture: &mut Fixture, agent: &AgentId, by: Option<&FrameworkId>, info: &Operation, uuid: u8) -> Applied {
    fixture.apply(ApplyOperation {
        agent_id: agent.clone(),
        framework_id: by.cloned(),
        operation: Encoded::new(info),
        uuid: uuid_of(uuid),
    })
}

fn status(fixture: &mut Fixture, agent: &AgentId, operation: u8, state: OperationState, uuid: u8) -> Applied {
    fixture.apply(UpdateOperationStatus {
        agent_id: agent.clone(),
        update: Encoded::new(&operation_status(agent, operation, state, Some(uuid))),
    })
}

fn with_list(facts: AgentFacts, resources: Vec<Resource>) -> AgentFacts {
    AgentFacts {
        checkpointed_resources: Encoded::new(&CheckpointResourcesMessage { resources }),
        ..facts
    }
}

fn back(fixture: &mut Fixture, agent: &AgentId, facts: AgentFacts, from: ReturnsFrom) {
    fixture.apply(ReregisterAgent {
        agent_id: agent.clone(),
        returns_from: from,
        facts: Some(facts),
        frameworks: Vec::new(),
        tasks: Vec::new(),
        executors: Vec::new(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: "master@10.0.0.2:5050".into(),
    });
}

fn total(fixture: &Fixture, agent: &AgentId) -> String {
    fixture.registry.agent(agent).unwrap().total.to_string()
}

const PLAIN: &str = "cpus:4; mem:4096; disk:10000";

#[test]
fn an_operation_changes_the_total_at_once_and_stays_until_its_agent_has_confirmed_it() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, understanding(0));
    let applied = apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("disk", 100.0, "web")], false),
        1,
    );
    assert!(matches!(applied.outcome, Outcome::OperationApplied { .. }));
    assert!(matches!(&applied.effects[..], [Effect::SendOperation { .. }]));
    assert!(total(&fixture, &agent).contains("disk(reservations: [(DYNAMIC,web)]):100"));
    assert_eq!(fixture.registry.operations().count(), 1);
    // Nobody waits for it: the agent is acknowledged at once.
    let applied = status(&mut fixture, &agent, 1, OperationState::OperationFinished, 9);
    assert!(matches!(&applied.effects[..], [Effect::AcknowledgeOperation { .. }]));
    assert_eq!(fixture.registry.operations().count(), 0);
}

#[test]
fn an_agent_that_does_not_understand_operations_gets_the_whole_list_and_the_masters_view_stays() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, agent_facts(0));
    let applied = apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("cpus", 1.0, "web")], false),
        1,
    );
    assert!(matches!(&applied.effects[..], [Effect::CheckpointResources { .. }]));
    assert_eq!(fixture.registry.operations().count(), 0);
    let reserved = total(&fixture, &agent);
    back(&mut fixture, &agent, agent_facts(0), ReturnsFrom::Admitted);
    assert_eq!(total(&fixture, &agent), reserved);
}

#[test]
fn what_is_in_use_or_not_there_is_refused_and_changes_nothing() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let agent = admitted(&mut fixture, understanding(0));
    fixture.launch(&framework, &agent, "t");
    let before = fixture.registry.state_hash();
    let mut wanted = reserve(vec![dynamic("cpus", 4.0, "web")], false);
    wanted.id = Some(OperationId { value: "o".to_owned() });
    let applied = apply(&mut fixture, &agent, Some(&framework), &wanted, 1);
    assert!(matches!(
        &applied.outcome,
        Outcome::Rejected(Rejection::OperationRefused(text)) if text.ends_with("does not contain cpus:4")
    ));
    let [Effect::ForwardOperationStatus { status, .. }] = &applied.effects[..] else {
        panic!("{:?}", applied.effects);
    };
    assert_eq!(status.state(), OperationState::OperationError);
    assert_eq!(fixture.registry.agent(&agent).unwrap().total.to_string(), PLAIN);
    assert_ne!(fixture.registry.state_hash(), before, "the clock goes on");
}

#[test]
fn two_volumes_of_one_id_are_one_too_many() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, understanding(0));
    apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("disk", 200.0, "web")], false),
        1,
    );
    apply(&mut fixture, &agent, None, &create(vec![volume(64.0, "v")], false), 2);
    for again in [
        create(vec![volume(64.0, "v")], false),
        create(vec![volume(32.0, "v")], false),
    ] {
        let applied = apply(&mut fixture, &agent, None, &again, 3);
        let Outcome::Rejected(Rejection::OperationRefused(text)) = applied.outcome else {
            panic!("{:?}", applied.outcome);
        };
        assert_eq!(text, "Persistence ID 'v' is not unique");
    }
}

#[test]
fn feedback_goes_to_the_framework_that_asked_until_it_acknowledges() {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[]);
    let agent = admitted(&mut fixture, understanding(0));
    let mut info = reserve(vec![dynamic("disk", 100.0, "web")], false);
    info.id = Some(OperationId { value: "o".to_owned() });
    apply(&mut fixture, &agent, Some(&framework), &info, 1);
    let applied = status(&mut fixture, &agent, 1, OperationState::OperationFinished, 9);
    assert!(matches!(&applied.effects[..], [Effect::ForwardOperationStatus { .. }]));
    assert_eq!(fixture.registry.operations().count(), 1);
    for (uuid, left) in [(8, 1), (9, 0)] {
        fixture.apply(AcknowledgeOperationStatus {
            framework_id: framework.clone(),
            agent_id: agent.clone(),
            status_uuid: uuid_of(uuid),
        });
        assert_eq!(fixture.registry.operations().count(), left);
    }
}

#[test]
fn an_operation_the_agent_could_not_carry_out_is_undone() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, understanding(0));
    apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("disk", 100.0, "web")], false),
        1,
    );
    status(&mut fixture, &agent, 1, OperationState::OperationDropped, 9);
    assert_eq!(total(&fixture, &agent), PLAIN);
    assert_eq!(fixture.registry.operations().count(), 0);
}

#[test]
fn operations_an_agent_has_missed_stay_to_be_sent_and_those_it_has_are_settled() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, understanding(0));
    apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("disk", 100.0, "web")], false),
        1,
    );
    apply(&mut fixture, &agent, None, &create(vec![volume(64.0, "v")], false), 2);
    let whole = total(&fixture, &agent);
    let missing = |fixture: &Fixture| -> Vec<[u8; 16]> {
        fixture
            .registry
            .operations_of_agent(&agent)
            .map(|operation| operation.uuid)
            .collect()
    };
    // Nothing has arrived.
    back(&mut fixture, &agent, understanding(0), ReturnsFrom::Admitted);
    assert_eq!(missing(&fixture), [uuid_of(1), uuid_of(2)]);
    assert_eq!(total(&fixture, &agent), whole);
    // The first has.
    let reserved = with_list(understanding(0), vec![dynamic("disk", 100.0, "web")]);
    fixture.apply(MarkAgentUnreachable {
        agent_id: agent.clone(),
        since: Timestamp(1),
    });
    back(&mut fixture, &agent, reserved, ReturnsFrom::Unreachable);
    assert_eq!(missing(&fixture), [uuid_of(2)]);
    assert_eq!(total(&fixture, &agent), whole);
    // Both have.
    let both = with_list(understanding(0), vec![dynamic("disk", 36.0, "web"), volume(64.0, "v")]);
    back(&mut fixture, &agent, both, ReturnsFrom::Admitted);
    assert_eq!(missing(&fixture), [[0; 16]; 0]);
    assert_eq!(total(&fixture, &agent), whole);
}

#[test]
fn reservations_the_registry_does_not_know_are_taken_over() {
    let mut fixture = Fixture::new();
    let agent = admitted(&mut fixture, understanding(0));
    let own = with_list(understanding(0), vec![dynamic("mem", 512.0, "old")]);
    back(&mut fixture, &agent, own, ReturnsFrom::Admitted);
    assert!(total(&fixture, &agent).contains("mem(reservations: [(DYNAMIC,old)]):512"));
    // What was under way goes on top of them, if it fits.
    apply(
        &mut fixture,
        &agent,
        None,
        &reserve(vec![dynamic("disk", 9_000.0, "web")], false),
        1,
    );
    let other = with_list(understanding(0), vec![dynamic("disk", 2_000.0, "old")]);
    back(&mut fixture, &agent, other, ReturnsFrom::Admitted);
    assert_eq!(fixture.registry.operations().count(), 0);
    assert!(total(&fixture, &agent).contains("disk(reservations: [(DYNAMIC,old)]):2000"));
}
