use std::collections::BTreeSet;
use std::time::Duration;

use chaos::history::{Operation, Outcome, Sight};
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, calls, judge, sights, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frameworks_fight_and_their_info_is_a_register() {
    let mut cluster = Cluster::start(3).await;
    let options = Options {
        rate: 60.0,
        teardown: true,
        ..Workload::Frameworks.options()
    };
    let workload = start(Workload::Frameworks, cluster.world(), options);
    sleep(Duration::from_secs(4)).await;
    let (_, leader) = cluster.leader().await;
    cluster.masters[leader].take().unwrap().shutdown(false).await;
    sleep(Duration::from_secs(4)).await;
    workload.world.framework_kills.kill(0);
    let summary = workload.stop().await;
    let history = cluster.stop().await;
    for count in ["subscribe/ok", "write/ok", "read/ok", "teardown/ok", "ended"] {
        assert!(summary.count(count) > 0, "no {count}: {summary:?}");
    }
    assert_eq!(summary.count("subscribed-after-teardown"), 0, "{summary:?}");
    assert_eq!(summary.count("closing-timed-out"), 0, "{summary:?}");

    // An instance that was replaced is told so, and every subscription is that of a call.
    assert!(sights(&history).any(|sight| matches!(
        sight,
        Sight::Ended { reason, .. } if reason == "Framework failed over"
    )));
    let answered: BTreeSet<&str> = calls(&history)
        .filter_map(|call| match (&call.operation, &call.outcome) {
            (Operation::Subscribe { .. }, Outcome::Ok { value }) => Some(value.as_str()),
            _ => None,
        })
        .collect();
    for sight in sights(&history) {
        if let Sight::Subscribed { framework, .. } = sight {
            assert!(answered.contains(framework.as_str()));
        }
    }
    // What is read was written.
    let written: BTreeSet<&str> = calls(&history)
        .filter_map(|call| match &call.operation {
            Operation::Write { value, .. } => Some(value.as_str()),
            _ => None,
        })
        .collect();
    for call in calls(&history) {
        if let (Operation::Read { .. }, Outcome::Ok { value }) = (&call.operation, &call.outcome) {
            assert!(written.contains(value.as_str()), "{call:?}");
        }
    }
    judge(&history);
}
