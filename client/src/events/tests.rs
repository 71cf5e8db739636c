//! A stream that breaks, moves and starts anew, against scripted masters.

use proto::v1::AgentId;
use proto::v1::master::Event;
use proto::v1::master::event::{AgentRemoved, Subscribed, Type};
use seams::Seams;
use tokio::time::timeout;

use super::*;
use crate::testing::{FakeMaster, Leads, OperatorStream, TEST_TIMEOUT, list};
use crate::{Encoding, Operator};

fn at(text: &str) -> EventPosition {
    text.parse().unwrap()
}

fn subscribed(position: &str, with_state: bool) -> Event {
    Event {
        r#type: Some(Type::Subscribed.into()),
        subscribed: Some(Subscribed {
            get_state: with_state.then(GetState::default),
            heartbeat_interval_seconds: Some(15.0),
        }),
        position: Some(position.to_owned()),
        ..Event::default()
    }
}

fn heartbeat(position: &str) -> Event {
    Event {
        r#type: Some(Type::Heartbeat.into()),
        position: Some(position.to_owned()),
        ..Event::default()
    }
}

fn removed(position: &str) -> Event {
    let agent_id = AgentId { value: "a".to_owned() };
    Event {
        r#type: Some(Type::AgentRemoved.into()),
        agent_removed: Some(AgentRemoved { agent_id }),
        position: Some(position.to_owned()),
        ..Event::default()
    }
}

fn fresh(events: &[Event]) -> OperatorStream {
    OperatorStream {
        headers: vec![("Mesoraft-Resumed", "false"), ("Mesoraft-Cluster", "c")],
        events: events.to_vec(),
    }
}

fn resumed(events: &[Event]) -> OperatorStream {
    OperatorStream {
        headers: vec![("Mesoraft-Resumed", "true"), ("Mesoraft-Cluster", "c")],
        events: events.to_vec(),
    }
}

async fn next(events: &mut OperatorEvents) -> EventNotice {
    timeout(TEST_TIMEOUT, events.next()).await.unwrap().unwrap()
}

/// The position of the next event; a state, a resumption or an end of the stream in short.
async fn story(events: &mut OperatorEvents, length: usize) -> Vec<String> {
    let mut story = Vec::new();
    for _ in 0..length {
        story.push(match next(events).await {
            EventNotice::State { position, .. } => format!("state {}", position.unwrap()),
            EventNotice::Resumed { position, .. } => format!("resumed {position}"),
            EventNotice::Event { position, .. } => position.unwrap().to_string(),
            EventNotice::Disconnected { .. } => "disconnected".to_owned(),
            EventNotice::Refused { reason } => reason,
        });
    }
    story
}

#[tokio::test]
async fn a_broken_stream_goes_on_behind_what_was_seen_also_at_another_master() {
    for encoding in [Encoding::Json, Encoding::Protobuf] {
        let old = FakeMaster::start(Leads::Itself).await;
        let new = FakeMaster::start(Leads::Other(old.address())).await;
        old.script_operator_stream(fresh(&[subscribed("5.0", true), heartbeat("5.0"), removed("5.1")]));
        old.script_operator_stream(resumed(&[subscribed("5.1", false), heartbeat("7.0")]));
        let operator = Operator::new(&list(&[&new, &old]), encoding, Seams::real());
        let mut events = operator.subscribe(None);
        let begin = story(&mut events, 3).await;
        assert_eq!(begin, ["state 5.0", "5.1", "disconnected"]);
        assert_eq!(story(&mut events, 2).await, ["resumed 5.1", "disconnected"]);
        let at_old = old.operator_streams_asked_for();
        assert_eq!(at_old[0], (None, None));
        assert_eq!(at_old[1], (Some("5.1".to_owned()), Some("c".to_owned())));
        new.script_operator_stream(resumed(&[subscribed("7.0", false), removed("7.1"), removed("7.2")]));
        new.set_leads(Leads::Itself);
        drop(old);
        let rest = story(&mut events, 4).await;
        assert_eq!(rest, ["resumed 7.0", "7.1", "7.2", "disconnected"]);
        let asked = new.operator_streams_asked_for();
        assert_eq!(asked[0], (Some("7.0".to_owned()), Some("c".to_owned())));
    }
}

#[tokio::test]
async fn an_event_out_of_order_is_never_handed_on() {
    let master = FakeMaster::start(Leads::Itself).await;
    master.script_operator_stream(fresh(&[subscribed("5.0", true), removed("5.2"), removed("5.1")]));
    master.script_operator_stream(resumed(&[subscribed("5.2", false), removed("5.2")]));
    master.script_operator_stream(resumed(&[subscribed("4.0", false), removed("5.2")]));
    master.script_operator_stream(fresh(&[subscribed("6.0", true), removed("6.1")]));
    let operator = Operator::new(&list(&[&master]), Encoding::Json, Seams::real());
    let told = story(&mut operator.subscribe(None), 7).await;
    assert_eq!(
        told,
        [
            "state 5.0",
            "5.2",
            "disconnected",
            "resumed 5.2",
            "disconnected",
            "state 6.0",
            "6.1"
        ]
    );
    let asked = master.operator_streams_asked_for();
    assert_eq!(asked[3].0, None, "after a wrong answer only the state will do");
}

#[tokio::test]
async fn a_reader_goes_on_where_an_earlier_one_was() {
    let master = FakeMaster::start(Leads::Itself).await;
    master.script_operator_stream(resumed(&[subscribed("3.1", false), removed("9.1")]));
    let operator = Operator::new(&list(&[&master]), Encoding::Protobuf, Seams::real());
    let told = story(&mut operator.subscribe(Some(at("3.1"))), 2).await;
    assert_eq!(told, ["resumed 3.1", "9.1"]);
    assert_eq!(master.operator_streams_asked_for()[0], (Some("3.1".to_owned()), None));
}

#[tokio::test]
async fn a_master_that_cannot_go_on_starts_anew_and_a_refusal_is_the_end() {
    let master = FakeMaster::start(Leads::Itself).await;
    master.script_operator_stream(fresh(&[subscribed("30.0", true)]));
    master.answer_calls_with(403, "no");
    let operator = Operator::new(&list(&[&master]), Encoding::Json, Seams::real());
    let mut events = operator.subscribe(Some(at("3.1")));
    assert_eq!(story(&mut events, 2).await, ["state 30.0", "disconnected"]);
    let refusal = format!("{} answered SUBSCRIBE with 403: no", master.address());
    assert_eq!(story(&mut events, 1).await, [refusal]);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_mesos_master_without_positions_is_followed_too() {
    let master = FakeMaster::start(Leads::Itself).await;
    let plain = |mut event: Event| {
        event.position = None;
        event
    };
    master.script_operator_stream(OperatorStream {
        headers: Vec::new(),
        events: vec![plain(subscribed("0.0", true)), plain(removed("0.0"))],
    });
    let operator = Operator::new(&list(&[&master]), Encoding::Json, Seams::real());
    let mut events = operator.subscribe(None);
    assert!(matches!(
        next(&mut events).await,
        EventNotice::State { position: None, .. }
    ));
    assert!(matches!(
        next(&mut events).await,
        EventNotice::Event { position: None, .. }
    ));
}
