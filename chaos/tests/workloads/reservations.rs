use std::time::Duration;

use chaos::history::{Operation, Outcome};
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, calls, judge, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reservations_are_registers_that_survive_a_leader_and_an_agent() {
    let mut cluster = Cluster::start(3).await;
    let fleet = cluster.agents(3).await;
    let options = Options {
        rate: 60.0,
        ..Workload::Reservations.options()
    };
    let workload = start(Workload::Reservations, cluster.world(), options);
    sleep(Duration::from_secs(3)).await;
    let (_, leader) = cluster.leader().await;
    cluster.masters[leader].take().unwrap().shutdown(false).await;
    fleet.kill(0).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    fleet.restart(0).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let summary = workload.stop().await;
    drop(fleet);
    let history = cluster.stop().await;
    assert!(summary.count("write/ok") > 20, "{summary:?}");
    assert_eq!(summary.count("closing-timed-out"), 0, "{summary:?}");
    let read = calls(&history).filter(|call| {
        matches!(&call.operation, Operation::Read { .. })
            && matches!(&call.outcome, Outcome::Ok { value } if !value.is_empty())
    });
    assert!(read.count() > 5, "{summary:?}");
    judge(&history);
}
