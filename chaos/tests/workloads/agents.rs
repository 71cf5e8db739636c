use std::collections::BTreeSet;
use std::time::Duration;

use chaos::history::Sight;
use chaos::workload::{Options, Workload};
use tokio::time::sleep;

use crate::cluster::{Cluster, judge, sights, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_that_die_come_back_with_their_tasks_and_rebooted_ones_as_new_agents() {
    let cluster = Cluster::start(1).await;
    let world = cluster.world();
    let agents = start(
        Workload::Agents,
        world.clone(),
        Options {
            clients: 12,
            rate: 6.0,
            ..Workload::Agents.options()
        },
    );
    let tasks = start(
        Workload::Tasks,
        world.clone(),
        Options {
            rate: 60.0,
            ..Workload::Tasks.options()
        },
    );
    sleep(Duration::from_secs(12)).await;
    let done = tasks.stop().await;
    assert_eq!(done.count("closing-timed-out"), 0, "{done:?}");
    let summary = agents.end().await;
    let history = cluster.stop().await;
    for count in ["agent-killed", "agent-paused", "agent-rebooted", "agent-replaced"] {
        assert!(summary.count(count) > 0, "no {count}: {summary:?}");
    }

    let mut ended = BTreeSet::new();
    let mut came_back = 0;
    let mut known = BTreeSet::new();
    for sight in sights(&history) {
        match sight {
            Sight::AgentEnded { agent, .. } => {
                ended.insert(agent.clone());
            }
            Sight::Registered { agent, again, .. } => {
                assert!(!ended.contains(agent), "{agent} has ended");
                assert_eq!(*again, !known.insert(agent.clone()), "{agent}");
                came_back += usize::from(*again);
            }
            Sight::LaunchReceived { agent, .. } | Sight::KillReceived { agent, .. } => {
                assert!(!ended.contains(agent), "{agent} has ended");
            }
            _ => {}
        }
    }
    assert!(!ended.is_empty() && came_back > 0);
    judge(&history);
}
