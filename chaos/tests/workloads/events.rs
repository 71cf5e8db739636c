use std::collections::BTreeMap;
use std::time::Duration;

use chaos::history::{Record, Sight};
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, judge, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subscriber_sees_the_same_events_without_a_gap_through_a_failover() {
    let mut cluster = Cluster::start(3).await;
    let fleet = cluster.agents(3).await;
    let world = cluster.world();
    let events = start(Workload::Events, world.clone(), Workload::Events.options());
    let options = Options {
        rate: 40.0,
        ..Workload::Tasks.options()
    };
    let tasks = start(Workload::Tasks, world, options);
    sleep(Duration::from_secs(4)).await;
    let (_, leader) = cluster.leader().await;
    cluster.masters[leader].take().unwrap().shutdown(false).await;
    sleep(Duration::from_secs(4)).await;
    tasks.stop().await;
    let summary = events.end().await;
    drop(fleet);
    let history = cluster.stop().await;
    for count in ["stream-begun", "stream-event", "subscriber-died"] {
        assert!(summary.count(count) > 0, "no {count}: {summary:?}");
    }

    // All events by position; one position is one event, whoever saw it.
    let mut all: BTreeMap<u64, (String, String, String)> = BTreeMap::new();
    let mut streams: BTreeMap<&str, Vec<(bool, u64)>> = BTreeMap::new();
    for record in &history.records {
        let Record::Seen(seen) = record else { continue };
        match &seen.what {
            Sight::StreamBegun { resumed, position, .. } => {
                streams.entry(&seen.observer).or_default().push((*resumed, *position));
            }
            Sight::StreamEvent {
                position,
                event,
                subject,
                state,
            } => {
                let what = (event.clone(), subject.clone(), state.clone());
                assert_eq!(*all.entry(*position).or_insert_with(|| what.clone()), what);
            }
            _ => {}
        }
    }
    assert!(all.len() > 50, "{summary:?}");
    assert!(streams.values().flatten().any(|(resumed, _)| *resumed), "{streams:?}");

    // What one subscriber saw between two beginnings is everything there was in between.
    let mut behind: BTreeMap<&str, u64> = BTreeMap::new();
    for record in &history.records {
        let Record::Seen(seen) = record else { continue };
        match &seen.what {
            Sight::StreamBegun { resumed, position, .. } => {
                let before = behind.insert(&seen.observer, *position);
                assert!(!resumed || before == Some(*position), "{seen:?} after {before:?}");
            }
            Sight::StreamEvent { position, .. } => {
                let before = behind.insert(&seen.observer, *position).unwrap();
                let missed: Vec<_> = all.range(before + 1..*position).collect();
                assert!(missed.is_empty(), "{} missed {missed:?}", seen.observer);
            }
            _ => {}
        }
    }
    judge(&history);
}
