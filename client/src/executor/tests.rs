//! The executor client against a scripted agent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Message as LibprocessMessage, Server, Service};
use prost::Message as _;
use proto::recordio;
use proto::v1::executor::call::Type as CallType;
use proto::v1::executor::event::{Acknowledged, Launch, Type as EventType};
use proto::v1::executor::{Call, Event};
use proto::v1::{ExecutorId, FrameworkId, TaskId, TaskInfo, TaskStatus};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Executor, ExecutorConfig, ExecutorConfigError, ExecutorEvents, ExecutorNotice};
use crate::encoding::Encoding;
use crate::testing::TEST_TIMEOUT;

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    stream: Option<mpsc::Sender<Bytes>>,
    refuse: bool,
}

#[derive(Clone, Default)]
struct FakeAgent(Arc<Mutex<State>>);

impl Service for FakeAgent {
    fn knows_actor(&self, _id: &str) -> bool {
        false
    }

    fn deliver(&self, _message: LibprocessMessage) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        assert_eq!(request.path, "/api/v1/executor");
        let call = Call::decode(request.body).unwrap();
        let mut state = self.0.lock().unwrap();
        let is_subscribe = call.r#type() == CallType::Subscribe;
        state.calls.push(call);
        let answer = if is_subscribe && state.refuse {
            HttpResponse::text(400, "unknown executor")
        } else if is_subscribe {
            let (sender, receiver) = mpsc::channel(16);
            let subscribed = Event {
                r#type: Some(EventType::Subscribed.into()),
                ..Event::default()
            };
            sender.try_send(recordio::encode(&subscribed.encode_to_vec())).unwrap();
            state.stream = Some(sender);
            HttpResponse::stream("application/x-protobuf", receiver)
        } else {
            HttpResponse::new(202)
        };
        Box::pin(std::future::ready(answer))
    }
}

impl FakeAgent {
    async fn send(&self, event: &Event) {
        let stream = self.0.lock().unwrap().stream.clone().unwrap();
        stream.send(recordio::encode(&event.encode_to_vec())).await.unwrap();
    }

    fn last_call(&self) -> Call {
        self.0.lock().unwrap().calls.last().cloned().unwrap()
    }
}

async fn start(recovery_timeout: Option<Duration>) -> (FakeAgent, Server, Executor, ExecutorEvents) {
    let agent = FakeAgent::default();
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(Seams::real(), listen, Limits::default(), Arc::new(agent.clone()))
        .await
        .unwrap();
    let config = ExecutorConfig {
        agent: server.local_addr().to_string(),
        framework_id: FrameworkId::from("f"),
        executor_id: ExecutorId::from("e"),
        recovery_timeout,
        encoding: Encoding::Protobuf,
    };
    let (executor, events) = Executor::start(config, Seams::real());
    (agent, server, executor, events)
}

async fn next(events: &mut ExecutorEvents) -> ExecutorNotice {
    timeout(TEST_TIMEOUT, events.next()).await.unwrap().unwrap()
}

async fn next_event(events: &mut ExecutorEvents) -> Event {
    match next(events).await {
        ExecutorNotice::Event(event) => *event,
        other => panic!("expected an event, got {other:?}"),
    }
}

#[tokio::test]
async fn what_the_agent_has_not_acknowledged_is_told_again_when_it_comes_back() {
    let (agent, _server, executor, mut events) = start(Some(Duration::from_secs(60))).await;
    assert_eq!(next_event(&mut events).await.r#type(), EventType::Subscribed);
    let task = TaskInfo {
        task_id: TaskId::from("t"),
        ..TaskInfo::default()
    };
    let launch = Event {
        r#type: Some(EventType::Launch.into()),
        launch: Some(Launch { task }),
        ..Event::default()
    };
    agent.send(&launch).await;
    assert_eq!(next_event(&mut events).await, launch);
    let status = TaskStatus {
        task_id: TaskId::from("t"),
        uuid: Some(vec![1; 16].into()),
        ..TaskStatus::default()
    };
    assert!(executor.update(status.clone()).await.is_accepted());
    assert_eq!(agent.last_call().update.unwrap().status, status);

    agent.0.lock().unwrap().stream = None;
    assert!(matches!(next(&mut events).await, ExecutorNotice::Disconnected(_)));
    assert_eq!(next_event(&mut events).await.r#type(), EventType::Subscribed);
    let subscribe = agent.last_call().subscribe.unwrap();
    assert_eq!(subscribe.unacknowledged_tasks.len(), 1);
    assert_eq!(subscribe.unacknowledged_updates[0].status, status);

    let acknowledged = Acknowledged {
        task_id: TaskId::from("t"),
        uuid: vec![1; 16].into(),
    };
    let event = Event {
        r#type: Some(EventType::Acknowledged.into()),
        acknowledged: Some(acknowledged),
        ..Event::default()
    };
    agent.send(&event).await;
    assert_eq!(next_event(&mut events).await, event);
    assert!(executor.all_acknowledged());
}

#[tokio::test]
async fn an_executor_without_checkpointing_ends_with_its_agent_and_a_refused_one_at_once() {
    let (agent, server, _executor, mut events) = start(None).await;
    assert_eq!(next_event(&mut events).await.r#type(), EventType::Subscribed);
    drop((agent, server));
    assert!(matches!(next(&mut events).await, ExecutorNotice::Disconnected(_)));
    assert!(matches!(next(&mut events).await, ExecutorNotice::Ended(_)));

    let (agent, _server, _executor, mut events) = start(Some(Duration::from_secs(60))).await;
    next_event(&mut events).await;
    agent.0.lock().unwrap().refuse = true;
    agent.0.lock().unwrap().stream = None;
    assert!(matches!(next(&mut events).await, ExecutorNotice::Disconnected(_)));
    let expected = "SUBSCRIBE refused with 400: unknown executor".to_owned();
    assert_eq!(next(&mut events).await, ExecutorNotice::Ended(expected));
}

#[test]
fn the_environment_of_an_agent_describes_the_executor() {
    let environment = |name: &str| match name {
        "MESOS_AGENT_ENDPOINT" => Some("127.0.0.1:5051".to_owned()),
        "MESOS_FRAMEWORK_ID" => Some("f".to_owned()),
        "MESOS_EXECUTOR_ID" => Some("e".to_owned()),
        _ => None,
    };
    let config = ExecutorConfig::from_env(environment).unwrap();
    assert_eq!(
        (config.agent.as_str(), config.recovery_timeout),
        ("127.0.0.1:5051", None)
    );
    assert_eq!(
        ExecutorConfig::from_env(|_| None),
        Err(ExecutorConfigError("MESOS_AGENT_ENDPOINT"))
    );
}
