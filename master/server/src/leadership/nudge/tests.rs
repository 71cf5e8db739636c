//! Leadership leaves a master and returns to it before its agents look who leads: no agent sees a change.
//!
//! Two leaderships of one master, one after the other, on the same registry; the moments are given to the timers, so that
//! nothing depends on how fast the test runs.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Message, Server, Service};
use master_core::command::{AdmitAgent, AgentFacts, AnnounceLeader};
use master_core::{Command, CommandKind, Encoded, Position, Registry, Timestamp};
use prost::Message as _;
use proto::internal::{StatusUpdate, StatusUpdateMessage};
use proto::v1::{self, AgentInfo, TaskStatus};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::actor::Context;
use crate::{Config, Master};

/// A bound against hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// An agent's port: keeps what it is sent.
#[derive(Debug)]
struct Agent(mpsc::Sender<Message>);

impl Service for Agent {
    fn knows_actor(&self, id: &str) -> bool {
        id == "slave(1)"
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.send(message).await.unwrap() })
    }

    fn handle(&self, _: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(std::future::ready(HttpResponse::status(404)))
    }
}

/// A listening agent: its pid, and what it has received.
struct Listening {
    pid: Upid,
    received: mpsc::Receiver<Message>,
    _server: Server,
}

impl Listening {
    async fn start() -> Listening {
        let (sender, received) = mpsc::channel(64);
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let server = Server::start(Seams::real(), listen, Limits::default(), Arc::new(Agent(sender)));
        let server = server.await.unwrap();
        let pid = Upid::parse(&format!("slave(1)@{}", server.local_addr())).unwrap();
        Listening {
            pid,
            received,
            _server: server,
        }
    }

    /// The `connected` of the next ping.
    async fn ping(&mut self) -> bool {
        let message = timeout(PATIENCE, self.received.recv()).await.unwrap().unwrap();
        assert_eq!(message.name, "mesos.internal.PingSlaveMessage");
        PingSlaveMessage::decode(message.body).unwrap().connected
    }
}

/// A registry in which these agents are admitted, in order, and their ids.
fn registry(agents: &[&Upid]) -> (Registry, Vec<AgentId>) {
    let mut registry = Registry::default();
    let mut index = 0;
    let mut apply = |kind: CommandKind| {
        index += 1;
        registry.apply(Position { term: 1, index }, &Command::new(Timestamp(index), kind));
    };
    apply(CommandKind::AnnounceLeader(AnnounceLeader {
        node_id: 1,
        term: 1,
        master: Encoded::new(&v1::MasterInfo::default()),
        cluster_id: "c".to_owned(),
    }));
    for pid in agents {
        let info = AgentInfo {
            hostname: "h".to_owned(),
            ..AgentInfo::default()
        };
        let facts = AgentFacts {
            info: Encoded::new(&info),
            pid: pid.to_string().into(),
            version: "1.11.0".into(),
            capabilities: Vec::new(),
            checkpointed_resources: Encoded::new(&Default::default()),
            resource_version: None,
            deduplicates_launches: true,
        };
        apply(CommandKind::AdmitAgent(AdmitAgent { facts, replaces: None }));
    }
    let ids = registry.agents().map(|agent| agent.id.clone()).collect();
    (registry, ids)
}

/// What a master shares with its leaderships. Its log never elects anybody in this test: the leaderships are made here.
async fn master() -> Master {
    let raft_port = test_ports::free_port();
    let other = test_ports::free_port();
    let config = Config {
        port: 0,
        raft_port,
        initial_cluster: [(1, raft_port), (2, other)]
            .map(|(id, port)| (id, format!("127.0.0.1:{port}")))
            .into(),
        ..Config::default()
    };
    Master::start(config, Seams::real()).await.unwrap()
}

fn leadership(context: &Arc<Context>, term: u64, registry: &Registry) -> Leadership {
    Leadership::new(Arc::clone(context), term, format!("master-{term}"), registry.clone())
}

fn status_update(agent_id: &AgentId, from: &Upid) -> Message {
    let status = TaskStatus {
        uuid: Some(vec![7; 16].into()),
        ..TaskStatus::default()
    };
    let update = StatusUpdate {
        slave_id: Some(agent_id.to_proto()),
        uuid: Some(vec![7; 16].into()),
        status,
        ..StatusUpdate::default()
    };
    let message = StatusUpdateMessage {
        update,
        pid: Some(from.to_string()),
    };
    Message {
        from: Some(from.clone()),
        to: "master".to_owned(),
        name: "mesos.internal.StatusUpdateMessage".to_owned(),
        body: message.encode_to_vec().into(),
        peer: SocketAddr::from(([127, 0, 0, 1], 1)),
    }
}

#[tokio::test]
async fn agents_that_did_not_see_leadership_leave_and_return_are_asked_to_come_back() {
    let (mut absent, mut back) = (Listening::start().await, Listening::start().await);
    let (registry, ids) = registry(&[&absent.pid, &back.pid]);
    let master = master().await;
    let context = master.context();

    let mut first = leadership(context, 1, &registry);
    first.agent_connected(&ids[0], &absent.pid);
    first.agent_connected(&ids[1], &back.pid);
    first.run_timers(Instant::now());
    assert!(
        absent.ping().await && back.ping().await,
        "the first leadership knows both"
    );
    drop(first);

    // It returns. One agent comes back by itself.
    let mut second = leadership(context, 3, &registry);
    let started = second.started;
    second.agent_connected(&ids[1], &back.pid);
    second.run_timers(started + FIRST_NUDGE - Duration::from_millis(1));
    second.run_timers(started + FIRST_NUDGE);
    assert!(!absent.ping().await, "it is told that this leadership does not know it");
    assert!(back.ping().await, "the agent that is back is pinged as usual");

    // As long as it stays away it is asked again, and whenever it is heard of; the other one never.
    second.run_timers(started + FIRST_NUDGE + ROUND_PAUSE);
    assert!(!absent.ping().await);
    second.message(&status_update(&ids[0], &absent.pid));
    assert!(!absent.ping().await);
    second.agent_connected(&ids[0], &absent.pid);
    second.run_timers(Instant::now());
    assert!(absent.ping().await, "it is back");
    second.run_timers(started + FIRST_NUDGE + 2 * ROUND_PAUSE);
    drop(second);
    // Messages to one agent arrive in order: a late question would come before this.
    for agent in [&mut absent, &mut back] {
        let last = leadership(context, 5, &registry);
        last.nudge(&agent.pid);
        assert!(!agent.ping().await);
        assert!(agent.received.try_recv().is_err(), "nothing else was sent");
    }
    master.shutdown(false).await;
}
