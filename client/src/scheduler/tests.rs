//! The scheduler client against scripted masters.

use std::sync::Arc;

use proto::v1::scheduler::Event;
use proto::v1::scheduler::call::Type as CallType;
use proto::v1::scheduler::event::{Rescind, Type as EventType};
use proto::v1::{AgentId, FrameworkId, OfferId, TaskId, TaskStatus};
use seams::Seams;
use tokio::time::timeout;

use super::{Notice, Notices, Scheduler, SchedulerConfig};
use crate::encoding::Encoding;
use crate::outcome::CallOutcome;
use crate::testing::{FakeMaster, Leads, TEST_TIMEOUT, framework, list};

fn start(masters: &[&FakeMaster], encoding: Encoding) -> (Scheduler, Notices) {
    let config = SchedulerConfig {
        encoding,
        ..SchedulerConfig::new(list(masters), framework())
    };
    Scheduler::start(config, Seams::real()).unwrap()
}

async fn next(notices: &mut Notices) -> Notice {
    timeout(TEST_TIMEOUT, notices.next()).await.unwrap().unwrap()
}

/// Expects a subscription and returns the master and whether it was a repeated one.
async fn subscribed(notices: &mut Notices) -> (String, bool) {
    match next(notices).await {
        Notice::Subscribed {
            framework_id,
            master,
            again,
            ..
        } => {
            assert_eq!(framework_id.value, "f-0000");
            (master, again)
        }
        other => panic!("expected a subscription, got {other:?}"),
    }
}

async fn disconnected(notices: &mut Notices) -> String {
    match next(notices).await {
        Notice::Disconnected { reason, .. } => reason,
        other => panic!("expected a disconnection, got {other:?}"),
    }
}

fn rescind(offer: &str) -> Event {
    Event {
        r#type: Some(EventType::Rescind.into()),
        rescind: Some(Rescind {
            offer_id: OfferId {
                value: offer.to_owned(),
            },
        }),
        ..Event::default()
    }
}

#[tokio::test]
async fn a_follower_leads_the_scheduler_to_the_leader_and_events_arrive_in_both_encodings() {
    for encoding in [Encoding::Protobuf, Encoding::Json] {
        let leader = FakeMaster::start(Leads::Itself).await;
        let follower = FakeMaster::start(Leads::Other(leader.address())).await;
        let (scheduler, mut notices) = start(&[&follower], encoding);
        assert_eq!(subscribed(&mut notices).await, (leader.address(), false));
        assert_eq!(scheduler.master(), Some(leader.address()));
        for offer in ["o1", "o2"] {
            leader.send(&rescind(offer)).await;
            assert_eq!(next(&mut notices).await, Notice::Event(Box::new(rescind(offer))));
        }
    }
}

#[tokio::test]
async fn after_the_death_of_the_leader_the_framework_is_subscribed_again_under_its_id() {
    let first = FakeMaster::start(Leads::Itself).await;
    let second = FakeMaster::start(Leads::Other(first.address())).await;
    let third = FakeMaster::start(Leads::Other(first.address())).await;
    let (scheduler, mut notices) = start(&[&first, &second, &third], Encoding::Protobuf);
    assert_eq!(subscribed(&mut notices).await, (first.address(), false));

    // The followers go on naming the dead leader until they have elected another.
    drop(first);
    disconnected(&mut notices).await;
    assert_eq!(scheduler.master(), None);
    // The offers are gone with the leader.
    let outcome = scheduler.decline(Vec::new(), None).await;
    assert_eq!(
        outcome,
        CallOutcome::NotSent {
            reason: "not subscribed".to_owned()
        }
    );
    second.set_leads(Leads::Nobody);
    third.set_leads(Leads::Itself);
    second.set_leads(Leads::Other(third.address()));

    assert_eq!(subscribed(&mut notices).await, (third.address(), true));
    let calls = third.calls();
    let (call, stream_id) = calls.last().unwrap();
    assert_eq!(
        call.framework_id,
        Some(FrameworkId {
            value: "f-0000".to_owned()
        })
    );
    assert_eq!(call.subscribe.as_ref().unwrap().framework_info.id, call.framework_id);
    assert_eq!(*stream_id, None);
}

#[tokio::test]
async fn a_leader_that_ends_the_stream_and_goes_on_leading_is_subscribed_at_again() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let (_scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    leader.end_stream();
    assert_eq!(disconnected(&mut notices).await, "the master ended the stream");
    assert_eq!(subscribed(&mut notices).await, (leader.address(), true));
}

#[tokio::test]
async fn a_paused_leader_is_left_when_another_master_leads() {
    let paused = FakeMaster::start(Leads::Itself).await;
    let other = FakeMaster::start(Leads::Other(paused.address())).await;
    let (_scheduler, mut notices) = start(&[&paused, &other], Encoding::Protobuf);
    subscribed(&mut notices).await;
    paused.pause();
    other.set_leads(Leads::Itself);
    assert_eq!(
        disconnected(&mut notices).await,
        format!("{} leads now", other.address())
    );
    assert_eq!(subscribed(&mut notices).await, (other.address(), true));
}

#[tokio::test]
async fn a_follower_that_lags_behind_does_not_break_a_good_subscription() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let gone = FakeMaster::start(Leads::Nobody).await;
    let lagging = FakeMaster::start(Leads::Other(gone.address())).await;
    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    let finder = crate::LeaderFinder::new(&list(&[&leader, &lagging]), Seams::real());
    assert_eq!(finder.check_for_other_leader(&leader.address(), 0).await, None);
    // A deposed leader that has just woken up still names itself.
    gone.set_leads(Leads::Itself);
    assert_eq!(finder.check_for_other_leader(&leader.address(), 0).await, None);
    assert_eq!(scheduler.master(), Some(leader.address()));
}

#[tokio::test]
async fn a_master_whose_heartbeats_stay_away_is_left() {
    let silent = FakeMaster::start(Leads::Itself).await;
    silent.set_heartbeat_seconds(0.02);
    let (_scheduler, mut notices) = start(&[&silent], Encoding::Protobuf);
    subscribed(&mut notices).await;
    let reason = disconnected(&mut notices).await;
    assert!(reason.starts_with("nothing was heard for"), "{reason}");
    subscribed(&mut notices).await;
}

#[tokio::test]
async fn a_refusal_ends_the_subscription_with_the_masters_text() {
    for by_event in [true, false] {
        let leader = FakeMaster::start(Leads::Itself).await;
        let expected = if by_event {
            leader.answer_subscribe_with_error("Framework has been removed");
            "Framework has been removed"
        } else {
            leader.refuse_subscribe(400, "Failed to validate scheduler::Call");
            "SUBSCRIBE refused with 400: Failed to validate scheduler::Call"
        };
        let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
        assert_eq!(
            next(&mut notices).await,
            Notice::Ended {
                reason: expected.to_owned()
            }
        );
        assert_eq!(timeout(TEST_TIMEOUT, notices.next()).await.unwrap(), None);
        assert!(!timeout(TEST_TIMEOUT, scheduler.subscribed()).await.unwrap());
    }
}

#[tokio::test]
async fn calls_carry_stream_and_framework_id_and_their_outcome_says_what_is_known() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    let task_id = TaskId { value: "t".to_owned() };

    assert_eq!(scheduler.kill(task_id.clone(), None, None).await, CallOutcome::Accepted);
    let (call, stream_id) = leader.calls().pop().unwrap();
    assert_eq!(call.r#type(), CallType::Kill);
    assert_eq!(call.kill.unwrap().task_id, task_id);
    assert_eq!(call.framework_id.unwrap().value, "f-0000");
    assert_eq!(stream_id, Some(format!("stream-{}", leader.address())));

    leader.answer_calls_with(400, "Framework cannot be found");
    let refused = CallOutcome::Refused {
        status: 400,
        text: "Framework cannot be found".to_owned(),
    };
    assert_eq!(scheduler.revive(Vec::new()).await, refused);
    leader.answer_calls_with(503, "");
    assert!(matches!(
        scheduler.revive(Vec::new()).await,
        CallOutcome::Unknown { .. }
    ));
    leader.set_leads(Leads::Other("127.0.0.1:1".to_owned()));
    assert!(matches!(
        scheduler.decline(Vec::new(), None).await,
        CallOutcome::NotSent { .. }
    ));
}

#[tokio::test]
async fn a_call_that_the_old_leader_sends_on_is_repeated_with_the_new_subscription() {
    let first = FakeMaster::start(Leads::Itself).await;
    let second = FakeMaster::start(Leads::Other(first.address())).await;
    let (scheduler, mut notices) = start(&[&first, &second], Encoding::Protobuf);
    assert_eq!(subscribed(&mut notices).await, (first.address(), false));
    second.set_leads(Leads::Itself);
    first.set_leads(Leads::Other(second.address()));
    let task_id = TaskId { value: "t".to_owned() };
    assert!(scheduler.kill(task_id, None, None).await.is_accepted());
    let calls: Vec<_> = second.calls();
    let kinds: Vec<_> = calls.iter().map(|(call, _)| call.r#type()).collect();
    assert_eq!(kinds, [CallType::Subscribe, CallType::Kill]);
    assert_eq!(calls[1].1, Some(format!("stream-{}", second.address())));
}

#[tokio::test]
async fn a_leader_that_forgot_the_subscription_gets_a_new_one_and_then_the_call_only_so_often() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    leader.answer_calls_with(403, "Framework is not subscribed");
    let refused = CallOutcome::Refused {
        status: 403,
        text: "Framework is not subscribed".to_owned(),
    };
    assert_eq!(scheduler.revive(Vec::new()).await, refused);
    let revived = |call: &CallType| *call == CallType::Revive;
    let kinds: Vec<_> = leader.calls().iter().map(|(call, _)| call.r#type()).collect();
    assert_eq!(kinds.iter().filter(|kind| revived(kind)).count(), 4, "{kinds:?}");
    assert!(
        kinds.windows(2).all(|two| !(revived(&two[0]) && revived(&two[1]))),
        "{kinds:?}"
    );
}

#[tokio::test]
async fn only_updates_with_a_uuid_are_acknowledged() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    let mut status = TaskStatus {
        task_id: TaskId { value: "t".to_owned() },
        agent_id: Some(AgentId { value: "a".to_owned() }),
        ..TaskStatus::default()
    };
    assert!(scheduler.acknowledge(&status).await.is_accepted());
    assert_eq!(leader.calls().len(), 1);
    status.uuid = Some(vec![7; 16].into());
    assert!(scheduler.acknowledge(&status).await.is_accepted());
    let (call, _) = leader.calls().pop().unwrap();
    assert_eq!(call.acknowledge.unwrap().uuid, vec![7; 16]);
}

#[tokio::test]
async fn teardown_ends_the_subscription_and_dropping_the_notices_closes_the_stream() {
    let leader = Arc::new(FakeMaster::start(Leads::Itself).await);
    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    assert!(scheduler.teardown().await.is_accepted());
    leader.end_stream();
    assert!(matches!(next(&mut notices).await, Notice::Ended { .. }));

    let (scheduler, mut notices) = start(&[&leader], Encoding::Protobuf);
    subscribed(&mut notices).await;
    drop(notices);
    let mut session = scheduler.session.clone();
    timeout(TEST_TIMEOUT, async { while session.changed().await.is_ok() {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slow_reader_of_notices_does_not_keep_calls_at_a_dead_master() {
    let first = FakeMaster::start(Leads::Itself).await;
    let second = FakeMaster::start(Leads::Other(first.address())).await;
    let config = SchedulerConfig {
        notices_max: 1,
        ..SchedulerConfig::new(list(&[&first, &second]), framework())
    };
    let (scheduler, mut notices) = Scheduler::start(config, Seams::real()).unwrap();
    assert!(timeout(TEST_TIMEOUT, scheduler.subscribed()).await.unwrap());
    for _ in 0..4 {
        first.send(&rescind("o")).await;
    }
    drop(first);
    second.set_leads(Leads::Itself);
    // Nothing has been read so far. The calls notice it themselves, and then are not even tried.
    let not_subscribed = CallOutcome::NotSent {
        reason: "not subscribed".to_owned(),
    };
    let noticed = async { while scheduler.decline(Vec::new(), None).await != not_subscribed {} };
    timeout(TEST_TIMEOUT, noticed).await.unwrap();
    loop {
        if let Notice::Subscribed {
            master, again: true, ..
        } = next(&mut notices).await
        {
            assert_eq!(master, second.address());
            break;
        }
    }
}

#[tokio::test]
async fn a_scheduler_that_does_not_resubscribe_ends_with_its_subscription() {
    let leader = FakeMaster::start(Leads::Itself).await;
    let config = SchedulerConfig {
        resubscribes: false,
        ..SchedulerConfig::new(list(&[&leader]), framework())
    };
    let (scheduler, mut notices) = Scheduler::start(config, Seams::real()).unwrap();
    assert_eq!(subscribed(&mut notices).await, (leader.address(), false));
    leader.end_stream();
    disconnected(&mut notices).await;
    assert!(matches!(next(&mut notices).await, Notice::Ended { .. }));
    assert_eq!(timeout(TEST_TIMEOUT, notices.next()).await.unwrap(), None);
    assert!(!scheduler.subscribed().await);
    let subscribes = leader
        .calls()
        .iter()
        .filter(|(call, _)| call.r#type() == CallType::Subscribe)
        .count();
    assert_eq!(subscribes, 1);
}
