use std::collections::BTreeMap;
use std::time::Duration;

use chaos::history::{Operation, Outcome};
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, calls, judge, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_and_weights_are_registers_at_every_master() {
    let mut cluster = Cluster::start(3).await;
    let options = Options {
        rate: 80.0,
        ..Workload::Registers.options()
    };
    let workload = start(Workload::Registers, cluster.world(), options);
    sleep(Duration::from_secs(3)).await;
    let (_, leader) = cluster.leader().await;
    cluster.masters[leader].take().unwrap().shutdown(false).await;
    sleep(Duration::from_secs(3)).await;
    let summary = workload.stop().await;
    let history = cluster.stop().await;
    assert!(
        summary.count("write/ok") > 20 && summary.count("read/ok") > 20,
        "{summary:?}"
    );
    assert_eq!(summary.count("closing-timed-out"), 0, "{summary:?}");
    // Quotas that are there are not set, and those that are not there not removed.
    assert!(summary.count("write/refused") > 0, "{summary:?}");

    let mut read: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for call in calls(&history) {
        if let (Operation::Read { object, at }, Outcome::Ok { value }) = (&call.operation, &call.outcome)
            && !value.is_empty()
        {
            let kind = object.split('/').next().unwrap();
            *read.entry((kind, at.is_empty())).or_default() += 1;
        }
    }
    for kind in ["quota", "weight"] {
        for at_leader in [true, false] {
            assert!(read.contains_key(&(kind, at_leader)), "{read:?}");
        }
    }
    judge(&history);
}
