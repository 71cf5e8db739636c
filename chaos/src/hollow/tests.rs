//! Hollow agents against scripted messages, and a small fleet against a scripted master.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Links, Message as LibprocessMessage, Server, Service, Upid};
use prost::Message;
use proto::ext::resource::scalar;
use proto::internal::{
    KillTaskMessage, PingSlaveMessage, ReconcileTasksMessage, RegisterSlaveMessage, ReregisterSlaveMessage,
    RunTaskMessage, SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use proto::v1::{AgentId, AgentInfo, FrameworkId, FrameworkInfo, TaskId, TaskInfo, TaskState, TaskStatus};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::agent::{HollowAgent, Outgoing, Surroundings};
use super::observe::Observer;
use super::{Counts, Fleet, FleetConfig};
use crate::history::{Operation, Record, Recorder, Sight};

const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// An agent and the master it talks to, without a network.
struct Scene {
    agent: HollowAgent,
    counts: Counts,
    recorder: Option<Recorder>,
}

impl Scene {
    fn registered() -> Self {
        Scene::registered_before(None)
    }

    fn registered_before(recorder: Option<Recorder>) -> Self {
        let info = AgentInfo {
            hostname: "h-1".to_owned(),
            ..AgentInfo::default()
        };
        let agent = HollowAgent::new("slave(1)".to_owned(), "slave(1)@127.0.0.1:1".to_owned(), info, [1; 16]);
        let mut scene = Scene {
            agent,
            counts: Counts::default(),
            recorder,
        };
        let registered = SlaveRegisteredMessage {
            slave_id: AgentId::from("S0"),
            connection: None,
        };
        let out = scene.tell("SlaveRegisteredMessage", &registered);
        assert_eq!(out[0].name, "mesos.internal.UpdateSlaveMessage");
        scene
    }

    fn tell(&mut self, name: &str, message: &impl Message) -> Vec<Outgoing> {
        let seams = Seams::real();
        let around = Surroundings {
            counts: &self.counts,
            now: 1.0,
            uuid: &|| seams.random_uuid(),
            starting_updates: true,
            heeds_commands: false,
            observer: Observer {
                recorder: self.recorder.as_ref(),
                master: None,
            },
        };
        let body = Bytes::from(message.encode_to_vec());
        self.agent
            .take(&format!("mesos.internal.{name}"), &body, true, &around)
            .unwrap()
    }

    fn launch(&mut self, task: &str) -> Vec<Outgoing> {
        self.tell("RunTaskMessage", &run_task(task))
    }

    fn acknowledge(&mut self, update: &StatusUpdateMessage) -> Vec<Outgoing> {
        let message = StatusUpdateAcknowledgementMessage {
            slave_id: AgentId::from("S0"),
            framework_id: update.update.framework_id.clone(),
            task_id: update.update.status.task_id.clone(),
            uuid: update.update.uuid.clone().unwrap(),
        };
        self.tell("StatusUpdateAcknowledgementMessage", &message)
    }
}

fn run_task(task: &str) -> RunTaskMessage {
    let framework = FrameworkInfo {
        id: Some(FrameworkId::from("F")),
        ..FrameworkInfo::default()
    };
    let task = TaskInfo {
        name: task.to_owned(),
        task_id: TaskId::from(task),
        agent_id: AgentId::from("S0"),
        ..TaskInfo::default()
    };
    RunTaskMessage {
        framework,
        task,
        ..RunTaskMessage::default()
    }
}

/// The only message, which has to be a status update.
fn only_update(out: &[Outgoing]) -> StatusUpdateMessage {
    assert_eq!(out.len(), 1, "{out:?}");
    assert_eq!(out[0].name, "mesos.internal.StatusUpdateMessage");
    StatusUpdateMessage::decode(out[0].body.clone()).unwrap()
}

fn state(update: &StatusUpdateMessage) -> TaskState {
    update.update.status.state()
}

#[test]
fn a_task_sends_one_update_at_a_time_and_is_forgotten_when_its_end_is_acknowledged() {
    let mut scene = Scene::registered();
    let starting = only_update(&scene.launch("t"));
    assert_eq!(state(&starting), TaskState::TaskStarting);
    assert_eq!(starting.update.latest_state, Some(TaskState::TaskStarting.into()));
    assert_eq!(starting.pid.as_deref(), Some("slave(1)@127.0.0.1:1"));
    let running = only_update(&scene.acknowledge(&starting));
    assert_eq!(state(&running), TaskState::TaskRunning);
    assert_eq!(scene.acknowledge(&starting), Vec::new());
    assert_eq!(scene.acknowledge(&running), Vec::new());

    let kill = KillTaskMessage {
        framework_id: "F".into(),
        task_id: "t".into(),
        kill_policy: None,
    };
    let killed = only_update(&scene.tell("KillTaskMessage", &kill));
    assert_eq!(state(&killed), TaskState::TaskKilled);
    assert_eq!(scene.counts.snapshot().tasks, 1);
    scene.acknowledge(&killed);
    let counts = scene.counts.snapshot();
    assert_eq!(
        (counts.tasks, counts.running, counts.launches, counts.acknowledged),
        (0, 0, 1, 3)
    );
}

#[test]
fn a_launch_that_arrives_twice_is_one_task() {
    let mut scene = Scene::registered();
    assert_eq!(scene.launch("t").len(), 1);
    assert_eq!(scene.launch("t"), Vec::new());
    assert_eq!(
        (
            scene.counts.snapshot().launches,
            scene.counts.snapshot().repeated_launches
        ),
        (1, 1)
    );
}

#[test]
fn an_observed_agent_writes_down_what_it_sees_and_remembers_tasks_that_are_over() {
    let recorder = Recorder::new(|| 0);
    let mut scene = Scene::registered_before(Some(recorder.clone()));
    let starting = only_update(&scene.launch("t"));
    let running = only_update(&scene.acknowledge(&starting));
    // Sent again, still the same report.
    assert_eq!(
        scene
            .tell(
                "SlaveRegisteredMessage",
                &SlaveRegisteredMessage {
                    slave_id: "S0".into(),
                    connection: None
                }
            )
            .len(),
        2
    );
    scene.acknowledge(&running);
    let kill = KillTaskMessage {
        framework_id: "F".into(),
        task_id: "t".into(),
        kill_policy: None,
    };
    let killed = only_update(&scene.tell("KillTaskMessage", &kill));
    scene.acknowledge(&killed);
    assert_eq!(scene.launch("t"), Vec::new());
    scene.launch("u");

    let history = recorder.finish().unwrap();
    let mut seen = Vec::new();
    let mut reports = Vec::new();
    for record in history.records {
        match record {
            Record::Seen(seen_record) => seen.push(seen_record.what),
            Record::Call(call) => reports.push((call.operation, call.returned.is_some())),
            other => panic!("{other:?}"),
        }
    }
    let (agent, framework) = ("S0".to_owned(), "F".to_owned());
    let received = |task: &str, repeated| Sight::LaunchReceived {
        agent: agent.clone(),
        framework: framework.clone(),
        task: task.to_owned(),
        master: String::new(),
        repeated,
    };
    let started = |task: &str| Sight::Started {
        agent: agent.clone(),
        framework: framework.clone(),
        task: task.to_owned(),
    };
    let expected = [
        Sight::Registered {
            agent: agent.clone(),
            master: String::new(),
            again: false,
        },
        received("t", false),
        started("t"),
        Sight::KillReceived {
            agent: agent.clone(),
            framework: framework.clone(),
            task: "t".to_owned(),
        },
        received("t", true),
        received("u", false),
        started("u"),
    ];
    assert_eq!(seen, expected);
    let states: Vec<(String, bool)> = reports
        .into_iter()
        .map(|(operation, ended)| match operation {
            Operation::Report { state, .. } => (state, ended),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("TASK_STARTING", true),
        ("TASK_RUNNING", true),
        ("TASK_KILLED", true),
        ("TASK_STARTING", false),
    ];
    assert_eq!(states, expected.map(|(state, ended)| (state.to_owned(), ended)));
}

#[test]
fn a_reregistration_reports_tasks_and_frameworks_and_pending_updates_follow_it() {
    let mut scene = Scene::registered();
    scene.launch("t");
    scene.agent.disconnect(&scene.counts);
    assert_eq!(scene.counts.snapshot().registered, 0);
    let registration = scene.agent.registration();
    assert_eq!(registration.name, "mesos.internal.ReregisterSlaveMessage");
    let report = ReregisterSlaveMessage::decode(registration.body).unwrap();
    assert_eq!(report.slave.id, Some(AgentId::from("S0")));
    assert_eq!(report.frameworks[0].id, Some(FrameworkId::from("F")));
    assert_eq!(report.tasks[0].state(), TaskState::TaskRunning);
    assert_eq!(
        report.tasks[0].status_update_state,
        Some(TaskState::TaskStarting.into())
    );

    // The master asks about one task that is here and one that is not.
    let ask = |task: &str| TaskStatus {
        task_id: task.into(),
        ..TaskStatus::default()
    };
    let reconciliations = vec![ReconcileTasksMessage {
        framework_id: "F".into(),
        statuses: vec![ask("t"), ask("gone")],
        framework: None,
    }];
    let message = SlaveReregisteredMessage {
        slave_id: "S0".into(),
        reconciliations,
        connection: None,
    };
    let out = scene.tell("SlaveReregisteredMessage", &message);
    let updates: Vec<_> = out[1..]
        .iter()
        .map(|out| only_update(std::slice::from_ref(out)))
        .collect();
    assert_eq!(
        updates.iter().map(state).collect::<Vec<_>>(),
        [TaskState::TaskStarting, TaskState::TaskDropped]
    );
    assert_eq!(updates[1].update.status.task_id, TaskId::from("gone"));
}

#[test]
fn pings_are_answered_to_their_sender() {
    let mut scene = Scene::registered();
    let out = scene.tell("PingSlaveMessage", &PingSlaveMessage { connected: true });
    assert_eq!(out.len(), 1);
    assert!(out[0].to_sender && out[0].body.is_empty());
}

/// A master that admits every agent, launches one task on each and acknowledges everything.
struct FakeMaster {
    address: OnceLock<String>,
    /// Whom this master names as the leader.
    leads: Mutex<Option<String>>,
    links: OnceLock<Links>,
    hostnames: Mutex<Vec<String>>,
    reregistered: Mutex<usize>,
}

impl FakeMaster {
    async fn start() -> (Arc<Self>, Server) {
        let master = Arc::new(FakeMaster {
            address: OnceLock::new(),
            leads: Mutex::default(),
            links: OnceLock::new(),
            hostnames: Mutex::default(),
            reregistered: Mutex::default(),
        });
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(Seams::real(), listen, Limits::default(), master.clone())
            .await
            .unwrap();
        let address = server.local_addr().to_string();
        let links = Links::new(Seams::real(), address.parse().unwrap(), mpsc::channel(16).0);
        master.links.set(links).unwrap();
        master.address.set(address).unwrap();
        (master, server)
    }

    fn send(&self, to: &Upid, name: &str, message: &impl Message) {
        let name = format!("mesos.internal.{name}");
        self.links
            .get()
            .unwrap()
            .send("master", to, &name, message.encode_to_vec().into());
    }

    fn admit(&self, to: &Upid, body: Bytes) {
        let hostname = RegisterSlaveMessage::decode(body).unwrap().slave.hostname;
        let slave_id = AgentId::from(format!("S-{hostname}"));
        self.hostnames.lock().unwrap().push(hostname);
        self.send(
            to,
            "SlaveRegisteredMessage",
            &SlaveRegisteredMessage {
                slave_id: slave_id.clone(),
                connection: None,
            },
        );
        let mut launch = run_task("t");
        launch.task.agent_id = slave_id;
        self.send(to, "RunTaskMessage", &launch);
    }
}

impl Service for FakeMaster {
    fn knows_actor(&self, id: &str) -> bool {
        id == "master"
    }

    fn deliver(&self, message: LibprocessMessage) -> BoxFuture<'_, ()> {
        let from = message.from.unwrap();
        match message.name.strip_prefix("mesos.internal.").unwrap() {
            "RegisterSlaveMessage" => self.admit(&from, message.body),
            "ReregisterSlaveMessage" => {
                let report = ReregisterSlaveMessage::decode(message.body).unwrap();
                assert_eq!(report.tasks.len(), 1);
                *self.reregistered.lock().unwrap() += 1;
                let answer = SlaveReregisteredMessage {
                    slave_id: report.slave.id.unwrap(),
                    ..Default::default()
                };
                self.send(&from, "SlaveReregisteredMessage", &answer);
            }
            "StatusUpdateMessage" => {
                let update = StatusUpdateMessage::decode(message.body).unwrap().update;
                let answer = StatusUpdateAcknowledgementMessage {
                    slave_id: update.slave_id.unwrap(),
                    framework_id: update.framework_id,
                    task_id: update.status.task_id,
                    uuid: update.uuid.unwrap(),
                };
                self.send(&from, "StatusUpdateAcknowledgementMessage", &answer);
            }
            _ => {}
        }
        Box::pin(std::future::ready(()))
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        let answer = match (request.path.as_str(), self.leads.lock().unwrap().as_ref()) {
            ("/redirect", Some(address)) => HttpResponse::redirect(format!("//{address}")),
            ("/redirect", None) => HttpResponse::text(503, "No leader elected"),
            _ => HttpResponse::status(404),
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(TEST_TIMEOUT, wait).await.is_ok(), "in vain waited until {what}");
}

#[tokio::test]
async fn a_fleet_registers_runs_tasks_and_reregisters_at_the_next_leader() {
    let (first, first_server) = FakeMaster::start().await;
    let (second, _second_server) = FakeMaster::start().await;
    let masters = [&first, &second]
        .map(|master| master.address.get().unwrap().clone())
        .join(",");
    let config = FleetConfig {
        agents_per_port: 7,
        ..FleetConfig::new(masters.parse().unwrap(), 20, vec![scalar("cpus", 4.0)])
    };
    let leads = |master: &FakeMaster| *master.leads.lock().unwrap() = Some(master.address.get().unwrap().clone());
    leads(&first);
    let fleet = Fleet::start(config, Seams::real()).await.unwrap();
    until("all agents are registered and their tasks run", || {
        let counts = fleet.counts().snapshot();
        counts.registered == 20 && counts.running == 20 && counts.acknowledged == 40
    })
    .await;
    let mut hostnames = first.hostnames.lock().unwrap().clone();
    hostnames.sort();
    hostnames.dedup();
    assert_eq!(hostnames.len(), 20);

    drop(first_server);
    leads(&second);
    until("all agents are back", || *second.reregistered.lock().unwrap() >= 20).await;
    until("all agents are registered again", || {
        fleet.counts().snapshot().registered == 20
    })
    .await;
    fleet.finish_all_tasks().await;
    until("all tasks have ended", || fleet.counts().snapshot().tasks == 0).await;
}

#[tokio::test]
async fn a_host_that_dies_comes_back_with_its_tasks_and_one_that_is_rebooted_without() {
    let (master, _server) = FakeMaster::start().await;
    let address = master.address.get().unwrap().clone();
    *master.leads.lock().unwrap() = Some(address.clone());
    let config = FleetConfig {
        agents_per_port: 1,
        ..FleetConfig::new(address.parse().unwrap(), 2, vec![scalar("cpus", 4.0)])
    };
    let fleet = Fleet::start(config, Seams::real()).await.unwrap();
    let counted = |registered, running| {
        let counts = fleet.counts().snapshot();
        (counts.registered, counts.running) == (registered, running)
    };
    until("both run their tasks", || counted(2, 2)).await;

    fleet.kill(0).await.unwrap();
    assert!(counted(1, 2), "the task of a dead agent runs on");
    fleet.restart(0).await.unwrap();
    until("it is back with its task", || {
        *master.reregistered.lock().unwrap() == 1 && counted(2, 2)
    })
    .await;

    fleet.pause(1).await.unwrap();
    fleet.finish_all_tasks().await;
    until("the other one has finished its task", || {
        fleet.counts().snapshot().tasks == 1
    })
    .await;
    fleet.resume(1).await.unwrap();
    until("this one has too", || fleet.counts().snapshot().tasks == 0).await;

    fleet.reboot(1).await.unwrap();
    until("a new agent has come and got a task", || counted(2, 1)).await;
    assert_eq!(master.hostnames.lock().unwrap().len(), 3);
    assert!(
        fleet
            .kill(2)
            .await
            .unwrap_err()
            .to_string()
            .contains("there is no host 2")
    );
}
