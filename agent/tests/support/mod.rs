//! A scripted master, and real agents to drive with it. Each test file uses its own part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Links, Message, Server, Service, Upid};
use proto::internal::{
    KillTaskMessage, MasterSlaveConnection, RegisterSlaveMessage, ReregisterSlaveMessage, ResourceVersionUuid,
    RunTaskMessage, SlaveRegisteredMessage, SlaveReregisteredMessage, StatusUpdateAcknowledgementMessage,
    StatusUpdateMessage,
};
use proto::v1::framework_info::{Capability, capability};
use proto::v1::{CommandInfo, FrameworkInfo, TaskInfo, TaskState, TaskStatus, Uuid};
use seams::Seams;
use tokio::sync::mpsc;

/// Longest time any single step may take.
pub(crate) const STEP: Duration = Duration::from_secs(20);

/// What the agents offer.
const RESOURCES: &str = "cpus:4;mem:1024;disk:1000;ports:[31000-31009]";

/// Completed executors kept of a framework where a test does not care.
const KEPT: usize = 1_000;

/// Id of the framework that the tests launch for.
pub(crate) const FRAMEWORK: &str = "f-0000";

/// Id the scripted master gives.
pub(crate) const AGENT: &str = "m-S0";

struct MasterPort {
    messages: mpsc::Sender<Message>,
    leader: std::sync::Mutex<Option<SocketAddrV4>>,
}

impl Service for MasterPort {
    fn knows_actor(&self, id: &str) -> bool {
        id == "master"
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // The test is over when nobody reads.
            self.messages.send(message).await.ok();
        })
    }

    fn handle(&self, _: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        let location = self.leader.lock().unwrap().map(|address| format!("//{address}"));
        Box::pin(async move {
            match location {
                Some(location) => HttpResponse::redirect(location),
                None => HttpResponse::status(503),
            }
        })
    }
}

/// A master that does only what the test says.
pub(crate) struct Master {
    pub(crate) address: SocketAddrV4,
    pub(crate) links: Links,
    pub(crate) agent: Option<Upid>,
    pub(crate) version: Option<Uuid>,
    messages: mpsc::Receiver<Message>,
    port: Arc<MasterPort>,
    _server: Server,
}

impl Master {
    pub(crate) async fn start() -> Master {
        let (sender, messages) = mpsc::channel(1024);
        let port = Arc::new(MasterPort {
            messages: sender,
            leader: Default::default(),
        });
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let server = Server::start(Seams::real(), any, Limits::default(), port.clone())
            .await
            .unwrap();
        let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.local_addr().port());
        *port.leader.lock().unwrap() = Some(address);
        let (exited, _) = mpsc::channel(16);
        let links = Links::new(Seams::real(), address, exited);
        Master {
            address,
            links,
            agent: None,
            version: None,
            messages,
            port,
            _server: server,
        }
    }

    /// Whom this master names as the leader; at first itself.
    pub(crate) fn names(&self, leader: SocketAddrV4) {
        *self.port.leader.lock().unwrap() = Some(leader);
    }

    /// The next message called `name`; others are skipped.
    pub(crate) async fn next<T: prost::Message + Default>(&mut self, name: &str) -> T {
        let full = format!("mesos.internal.{name}");
        let wait = async {
            loop {
                let message = self
                    .messages
                    .recv()
                    .await
                    .expect("the port is open as long as the master lives");
                if message.name == full {
                    return message;
                }
            }
        };
        let message = tokio::time::timeout(STEP, wait)
            .await
            .unwrap_or_else(|_| panic!("no {name} came"));
        self.agent = message.from.clone();
        T::decode(message.body).unwrap()
    }

    pub(crate) fn send_as(&self, sender: &str, name: &str, message: &impl prost::Message) {
        let to = self.agent.clone().expect("the agent has spoken");
        self.links.send(
            sender,
            &to,
            &format!("mesos.internal.{name}"),
            message.encode_to_vec().into(),
        );
    }

    pub(crate) fn send(&self, name: &str, message: &impl prost::Message) {
        self.send_as("master", name, message);
    }

    /// Takes the agent's first registration.
    pub(crate) async fn register(&mut self) -> RegisterSlaveMessage {
        let message: RegisterSlaveMessage = self.next("RegisterSlaveMessage").await;
        self.version = message.resource_version_uuid.clone();
        self.links.link(self.agent.clone().unwrap().address);
        let connection = Some(MasterSlaveConnection {
            total_ping_timeout_seconds: Some(75.0),
        });
        self.send(
            "SlaveRegisteredMessage",
            &SlaveRegisteredMessage {
                slave_id: AGENT.into(),
                connection,
            },
        );
        message
    }

    /// Takes a reregistration.
    pub(crate) async fn reregister(&mut self) -> ReregisterSlaveMessage {
        let message: ReregisterSlaveMessage = self.next("ReregisterSlaveMessage").await;
        self.version = message.resource_version_uuid.clone();
        self.links.link(self.agent.clone().unwrap().address);
        let reply = SlaveReregisteredMessage {
            slave_id: AGENT.into(),
            ..Default::default()
        };
        self.send("SlaveReregisteredMessage", &reply);
        message
    }

    pub(crate) fn run_message(&self, task: TaskInfo) -> RunTaskMessage {
        RunTaskMessage {
            framework: framework(),
            pid: Some("@0.0.0.0:0".into()),
            task,
            resource_version_uuids: vec![ResourceVersionUuid {
                resource_provider_id: None,
                uuid: self.version.clone().unwrap(),
            }],
            launch_executor: Some(true),
            ..Default::default()
        }
    }

    pub(crate) fn run(&self, task: TaskInfo) {
        self.send("RunTaskMessage", &self.run_message(task));
    }

    pub(crate) fn kill(&self, task: &str) {
        let message = KillTaskMessage {
            framework_id: FRAMEWORK.into(),
            task_id: task.into(),
            kill_policy: None,
        };
        self.send("KillTaskMessage", &message);
    }

    pub(crate) fn acknowledge(&self, update: &StatusUpdateMessage) {
        let update = &update.update;
        let message = StatusUpdateAcknowledgementMessage {
            slave_id: AGENT.into(),
            framework_id: FRAMEWORK.into(),
            task_id: update.status.task_id.clone(),
            uuid: update.uuid.clone().unwrap(),
        };
        self.send("StatusUpdateAcknowledgementMessage", &message);
    }

    /// The next status update, not acknowledged.
    pub(crate) async fn update(&mut self) -> StatusUpdateMessage {
        self.next("StatusUpdateMessage").await
    }

    /// Takes and acknowledges updates until one of `task` in `state` came.
    pub(crate) async fn until(&mut self, task: &str, state: TaskState) -> TaskStatus {
        loop {
            let message = self.update().await;
            self.acknowledge(&message);
            let status = message.update.status;
            if status.task_id.value == task && status.state == state as i32 {
                return status;
            }
        }
    }
}

pub(crate) fn framework() -> FrameworkInfo {
    let capabilities = [capability::Type::PartitionAware, capability::Type::TaskKillingState];
    FrameworkInfo {
        user: "root".into(),
        name: "test".into(),
        id: Some(FRAMEWORK.into()),
        checkpoint: Some(true),
        capabilities: capabilities
            .iter()
            .map(|one| Capability {
                r#type: Some(*one as i32),
            })
            .collect(),
        ..Default::default()
    }
}

pub(crate) fn shell(id: &str, text: &str) -> TaskInfo {
    TaskInfo {
        name: id.into(),
        task_id: id.into(),
        agent_id: AGENT.into(),
        command: Some(CommandInfo {
            value: Some(text.into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// A real agent process; it and everything it started end with this value.
pub(crate) struct AgentProcess {
    child: Child,
    pub(crate) work_dir: PathBuf,
}

impl AgentProcess {
    pub(crate) fn start(work_dir: &Path, master: SocketAddrV4) -> AgentProcess {
        AgentProcess::start_on(work_dir, master, 0)
    }

    pub(crate) fn start_on(work_dir: &Path, master: SocketAddrV4, port: u16) -> AgentProcess {
        AgentProcess::spawn(work_dir, &master.to_string(), RESOURCES, port, KEPT)
    }

    /// Keeps the sandboxes of the newest `kept` completed tasks only.
    pub(crate) fn start_keeping(work_dir: &Path, master: SocketAddrV4, kept: usize) -> AgentProcess {
        AgentProcess::spawn(work_dir, &master.to_string(), RESOURCES, 0, kept)
    }

    pub(crate) fn start_with(work_dir: &Path, masters: &str, resources: &str) -> AgentProcess {
        AgentProcess::spawn(work_dir, masters, resources, 0, KEPT)
    }

    fn spawn(work_dir: &Path, masters: &str, resources: &str, port: u16, kept: usize) -> AgentProcess {
        let mut child = Command::new(env!("CARGO_BIN_EXE_agent-for-tests"))
            .args([
                "agent",
                &work_dir.display().to_string(),
                masters,
                resources,
                &port.to_string(),
                &kept.to_string(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        AgentProcess {
            child,
            work_dir: work_dir.to_path_buf(),
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Gives up the guard of an agent that was killed: its tasks belong to its successor.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }

    /// How it ended by itself.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // May have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        for pid in process_ids(&self.work_dir.join("meta/frameworks")) {
            nix::sys::signal::killpg(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).ok();
        }
    }
}

/// Process ids in all status files of processes that were running below `directory`.
fn process_ids(directory: &Path) -> Vec<i32> {
    let mut ids = Vec::new();
    for path in status_files(directory) {
        if let Ok(text) = std::fs::read(&path)
            && let Ok(status) = serde_json::from_slice::<serde_json::Value>(&text)
            && status["phase"] == "running"
        {
            ids.extend(status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()));
        }
    }
    ids
}

/// The status files of all processes below `directory`.
pub(crate) fn status_files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            files.extend(status_files(&path));
        } else if path.ends_with("status.json") {
            files.push(path);
        }
    }
    files
}

/// Waits for a fact of the operating system, which tells nobody when it changes.
pub(crate) async fn wait_until(fact: impl Fn() -> bool) {
    let wait = async {
        while !fact() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(STEP, wait).await.unwrap();
}
