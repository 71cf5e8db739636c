//! Masters and hollow agents in this process, and a history of what happens to them.

use std::collections::BTreeMap;
use std::time::Duration;

use chaos::check;
use chaos::history::{Call, FORMAT, History, Operation, Outcome, Record, Recorder, Run, Sight};
use chaos::hollow::Fleet;
use chaos::workload::{self, Options, Summary, Workload, World};
use client::MasterList;
use master_server::{Config, Master};
use seams::Seams;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// For everything that is waited for.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    pub(crate) masters: Vec<Option<Master>>,
    pub(crate) list: MasterList,
    pub(crate) recorder: Recorder,
}

impl Cluster {
    pub(crate) async fn start(count: u64) -> Self {
        let ports: Vec<u16> = (0..count).map(|_| test_ports::free_port()).collect();
        let members: BTreeMap<u64, String> = (1..)
            .zip(ports.iter().map(|port| format!("127.0.0.1:{port}")))
            .collect();
        let mut masters = Vec::new();
        for (node_id, raft_port) in (1..).zip(ports) {
            let config = Config {
                node_id,
                port: 0,
                ip: std::net::Ipv4Addr::LOCALHOST,
                raft_port,
                initial_cluster: members.clone(),
                allocation_interval: Duration::from_millis(100),
                ..Config::default()
            };
            masters.push(Some(Master::start(config, Seams::real()).await.unwrap()));
        }
        let addresses: Vec<String> = masters
            .iter()
            .flatten()
            .map(|master| master.local_addr().to_string())
            .collect();
        let start = Instant::now();
        let recorder = Recorder::new(move || u64::try_from(start.elapsed().as_micros()).unwrap());
        recorder.record(Record::Run(Run {
            format: FORMAT,
            harness: "processes".into(),
            ..Run::default()
        }));
        Cluster {
            masters,
            list: addresses.join(",").parse().unwrap(),
            recorder,
        }
    }

    pub(crate) async fn agents(&self, count: usize) -> Fleet {
        let config = workload::fleet(&self.world(), &Workload::Agents.options(), count);
        Fleet::start(config, Seams::real()).await.unwrap()
    }

    pub(crate) fn world(&self) -> World {
        World::new(self.list.clone(), Seams::real(), self.recorder.clone(), 7)
    }

    /// The address of the leading master, and its place in `masters`.
    pub(crate) async fn leader(&self) -> (String, usize) {
        let finder = client::LeaderFinder::new(&self.list, Seams::real());
        let leader = timeout(TEST_TIMEOUT, finder.find(None)).await.unwrap();
        let is_leader = |master: &Option<Master>| {
            master
                .as_ref()
                .is_some_and(|master| master.local_addr().to_string() == leader)
        };
        let place = self.masters.iter().position(is_leader).unwrap();
        (leader, place)
    }

    pub(crate) async fn stop(self) -> History {
        for master in self.masters.into_iter().flatten() {
            timeout(TEST_TIMEOUT, master.shutdown(false)).await.unwrap();
        }
        let history = self.recorder.finish().unwrap();
        if let Ok(folder) = std::env::var("WORKLOAD_HISTORIES") {
            let name = std::thread::current().name().unwrap_or("test").replace("::", "-");
            history
                .write(std::fs::File::create(format!("{folder}/{name}.jsonl")).unwrap())
                .unwrap();
        }
        history
    }
}

/// A workload that runs beside the test.
pub(crate) struct Started {
    pub(crate) world: World,
    running: JoinHandle<Result<Summary, chaos::workload::HarnessError>>,
}

pub(crate) fn start(workload: Workload, world: World, options: Options) -> Started {
    Started {
        running: tokio::spawn(workload.run(world.clone(), options)),
        world,
    }
}

impl Started {
    pub(crate) async fn stop(self) -> Summary {
        self.world.stop.cancel();
        self.end().await
    }

    /// Waits for the end after a stop.
    pub(crate) async fn end(self) -> Summary {
        timeout(TEST_TIMEOUT, self.running).await.unwrap().unwrap().unwrap()
    }
}

/// Waits for what other tasks of this process bring about.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(TEST_TIMEOUT, wait).await.is_ok(), "in vain waited until {what}");
}

pub(crate) fn calls(history: &History) -> impl Iterator<Item = &Call> {
    history.records.iter().filter_map(|record| match record {
        Record::Call(call) => Some(call),
        _ => None,
    })
}

pub(crate) fn sights(history: &History) -> impl Iterator<Item = &Sight> {
    history.records.iter().filter_map(|record| match record {
        Record::Seen(seen) => Some(&seen.what),
        _ => None,
    })
}

/// Task ids of the launches that ended so; with the first offer of each.
pub(crate) fn launched(history: &History, how: impl Fn(&Outcome) -> bool) -> Vec<(String, String)> {
    let mut tasks = Vec::new();
    for call in calls(history) {
        if let Operation::Launch { tasks: ids, offers, .. } = &call.operation
            && how(&call.outcome)
        {
            tasks.extend(ids.iter().map(|id| (id.clone(), offers[0].clone())));
        }
    }
    tasks
}

/// No rule is violated.
pub(crate) fn judge(history: &History) {
    for verdict in check::check(history) {
        assert!(
            !matches!(verdict.finding, check::Finding::Violated { .. }),
            "{verdict:#?}"
        );
    }
}
