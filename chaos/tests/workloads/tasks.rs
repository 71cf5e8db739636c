use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chaos::history::{History, Operation, Outcome, Sight};
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, calls, judge, launched, sights, start, until};

fn options() -> Options {
    Options {
        rate: 60.0,
        ..Workload::Tasks.options()
    }
}

/// Tasks dropped because their offer was void.
fn dropped(history: &History) -> BTreeSet<String> {
    let void = sights(history).filter_map(|sight| match sight {
        Sight::Updated { task, reason, .. } if reason == "REASON_INVALID_OFFERS" => Some(task.clone()),
        _ => None,
    });
    void.collect()
}

/// How often agents got the launch of each task for the first time.
fn received(history: &History) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for sight in sights(history) {
        if let Sight::LaunchReceived {
            task, repeated: false, ..
        } = sight
        {
            *counts.entry(task.clone()).or_default() += 1;
        }
    }
    counts
}

fn every_acknowledged_launch_arrived_once_or_was_dropped(history: &History) {
    let received = received(history);
    let dropped = dropped(history);
    let accepted = launched(history, |outcome| matches!(outcome, Outcome::Ok { .. }));
    assert!(accepted.len() > 10, "only {} launches", accepted.len());
    for (task, _) in &accepted {
        let times = received.get(task).copied().unwrap_or_default();
        let expected = usize::from(!dropped.contains(task));
        assert_eq!(times, expected, "{task} was received {times} times");
    }
    for (task, _) in launched(history, |outcome| matches!(outcome, Outcome::Refused { .. })) {
        assert!(!received.contains_key(&task), "{task} was refused");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_live_and_end_and_all_of_it_is_written_down() {
    let cluster = Cluster::start(1).await;
    let fleet = cluster.agents(3).await;
    let workload = start(Workload::Tasks, cluster.world(), options());
    sleep(Duration::from_secs(6)).await;
    let summary = workload.stop().await;
    until("the agents have heard of every acknowledgement", || {
        fleet.counts().snapshot().tasks == 0
    })
    .await;
    drop(fleet);
    let history = cluster.stop().await;
    for count in [
        "launch/ok",
        "kill/ok",
        "acknowledge/ok",
        "reconcile/ok",
        "read-task/ok",
        "launch-on-gone-offer",
    ] {
        assert!(summary.count(count) > 0, "no {count}: {summary:?}");
    }
    assert_eq!(summary.count("closing-timed-out"), 0, "{summary:?}");
    every_acknowledged_launch_arrived_once_or_was_dropped(&history);
    assert!(
        !dropped(&history).is_empty(),
        "no launch on an offer that is gone was dropped"
    );

    // Every update of an agent was reported, and its report is over.
    let reports: BTreeSet<&str> = calls(&history)
        .filter_map(|call| match (&call.operation, &call.outcome) {
            (Operation::Report { uuid, .. }, Outcome::Ok { .. }) => Some(uuid.as_str()),
            _ => None,
        })
        .collect();
    for sight in sights(&history) {
        if let Sight::Updated { uuid, task, .. } = sight {
            assert!(uuid.is_empty() || reports.contains(uuid.as_str()), "{task}: {uuid}");
        }
    }
    judge(&history);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_survive_a_leader_an_agent_and_a_scheduler() {
    let mut cluster = Cluster::start(3).await;
    let fleet = cluster.agents(3).await;
    let workload = start(Workload::Tasks, cluster.world(), options());
    sleep(Duration::from_secs(3)).await;
    let (_, leader) = cluster.leader().await;
    cluster.masters[leader].take().unwrap().shutdown(false).await;
    sleep(Duration::from_secs(2)).await;
    fleet.kill(0).await.unwrap();
    workload.world.framework_kills.kill(1);
    sleep(Duration::from_secs(1)).await;
    fleet.restart(0).await.unwrap();
    fleet.pause(1).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    fleet.resume(1).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let summary = workload.stop().await;
    assert_eq!(summary.count("closing-timed-out"), 0, "{summary:?}");
    until("the agents have heard of every acknowledgement", || {
        fleet.counts().snapshot().tasks == 0
    })
    .await;
    drop(fleet);
    let history = cluster.stop().await;
    assert_eq!(summary.count("scheduler-killed"), 1);
    let leaderships: BTreeSet<&str> = sights(&history)
        .filter_map(|sight| match sight {
            Sight::Subscribed { leadership, .. } => Some(leadership.as_str()),
            _ => None,
        })
        .collect();
    assert!(leaderships.len() >= 2, "{leaderships:?}");
    every_acknowledged_launch_arrived_once_or_was_dropped(&history);
    judge(&history);
}
