//! The small framework fed with notices by hand; its calls go to a port where nobody listens, so that none is sent.

use proto::ext::resource::scalar;
use proto::v1::scheduler::event::{Offers, Type as EventType, Update};

use proto::v1::OfferId;

use super::*;

fn framework() -> Framework {
    Framework::start("127.0.0.1:1".parse().unwrap(), "test").unwrap()
}

fn spec(id: &str) -> TaskSpec {
    let resources = Resources::parse_flag("cpus:1;mem:10", "*").unwrap();
    TaskSpec {
        id: id.to_owned(),
        command: "true".to_owned(),
        resources,
    }
}

fn offers(cpus: f64) -> Notice {
    let offer = Offer {
        id: OfferId::from("o"),
        agent_id: AgentId::from("a"),
        hostname: "h".to_owned(),
        resources: vec![scalar("cpus", cpus), scalar("mem", 100.0)],
        ..Offer::default()
    };
    let offers = Offers { offers: vec![offer] };
    Notice::Event(Box::new(Event {
        r#type: Some(EventType::Offers.into()),
        offers: Some(offers),
        ..Event::default()
    }))
}

fn update(task: &str, state: TaskState, uuid: Option<u8>) -> Notice {
    let status = TaskStatus {
        task_id: TaskId::from(task),
        state: state.into(),
        agent_id: Some(AgentId::from("a")),
        uuid: uuid.map(|byte| vec![byte; 16].into()),
        ..TaskStatus::default()
    };
    let update = Update { status };
    Notice::Event(Box::new(Event {
        r#type: Some(EventType::Update.into()),
        update: Some(update),
        ..Event::default()
    }))
}

/// A framework whose task `t` was launched and accepted.
async fn launched() -> Framework {
    let mut framework = framework();
    framework.submit(spec("t"));
    framework.take(offers(4.0));
    // The call is not going to be sent; pretend that it was accepted.
    framework.calls.abort_all();
    let spec = spec("t");
    let record = TaskRecord {
        task_id: "t".to_owned(),
        agent_address: "h:1".to_owned(),
        agent_id: AgentId::from("a"),
        accepted: true,
        state: TaskState::TaskStaging,
        terminal_updates: 0,
        end_is_an_answer: false,
        seen: BTreeSet::new(),
        spec,
    };
    framework.tasks.insert("t".to_owned(), record);
    framework.happenings.clear();
    framework
}

#[tokio::test]
async fn a_launch_that_was_not_sent_waits_for_the_next_offer_under_a_new_id() {
    let mut framework = framework();
    framework.submit(spec("t"));
    framework.take(offers(0.5));
    assert_eq!(framework.pending.len(), 1, "it does not fit");
    framework.take(offers(4.0));
    assert!(matches!(framework.next().await, Some(Happening::Again { id, .. }) if id == "t"));
    assert_eq!(
        framework
            .pending
            .front()
            .map(|(spec, attempt)| (spec.id.as_str(), *attempt)),
        Some(("t", 2))
    );
    assert!(framework.tasks.is_empty());
}

#[tokio::test]
async fn an_update_that_comes_twice_counts_once_and_a_second_end_is_noticed() {
    let mut framework = launched().await;
    for _ in 0..2 {
        framework.take(update("t", TaskState::TaskRunning, Some(1)));
    }
    for _ in 0..2 {
        framework.take(update("t", TaskState::TaskFinished, Some(2)));
    }
    assert_eq!(framework.happenings.len(), 2);
    assert_eq!(framework.tasks["t"].terminal_updates, 1);
    framework.take(update("t", TaskState::TaskFinished, None));
    assert_eq!(
        framework.tasks["t"].terminal_updates, 1,
        "a reconciliation's answer is no further end"
    );
    framework.take(update("t", TaskState::TaskFinished, Some(3)));
    assert_eq!(framework.tasks["t"].terminal_updates, 2);
}

#[tokio::test]
async fn an_end_that_a_reconciliation_answered_and_its_update_are_one_end() {
    let mut framework = launched().await;
    framework.take(update("t", TaskState::TaskFinished, None));
    for _ in 0..2 {
        framework.take(update("t", TaskState::TaskFinished, Some(1)));
    }
    assert_eq!(framework.tasks["t"].terminal_updates, 1);
    framework.take(update("t", TaskState::TaskFinished, Some(2)));
    assert_eq!(framework.tasks["t"].terminal_updates, 2);
}

#[tokio::test]
async fn an_accepted_task_that_nobody_knows_is_lost_and_a_dropped_one_is_launched_again() {
    let mut framework = launched().await;
    framework.take(update("t", TaskState::TaskGone, None));
    assert!(matches!(framework.next().await, Some(Happening::Lost { id, .. }) if id == "t"));

    let mut framework = launched().await;
    framework.take(update("t", TaskState::TaskDropped, None));
    assert!(matches!(framework.next().await, Some(Happening::Again { id, .. }) if id == "t"));
}
