//! The stream of one master, over its port: commands go straight into its log, as those of a leadership would.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::{BodyReader, HttpClient, Request, Response};
use master_core::command::{AdmitAgent, AgentFacts, SubscribeFramework};
use master_core::{Command, CommandKind, Encoded, Event as Happened, Timestamp};
use prost::Message;
use proto::v1::master::Call;
use proto::v1::master::call;
use proto::v1::{AgentInfo, FrameworkInfo};
use seams::Seams;
use tokio::time::timeout;

use super::*;
use crate::event_log::{EVENT_BYTES_MAX, LoggedEvent};
use crate::leader::LeaderView;
use crate::{Config, Master, log_entry};

/// A bound against hanging.
const PATIENCE: Duration = Duration::from_secs(30);

/// A single master that leads.
async fn master(config: Config) -> Master {
    let raft_port = test_ports::free_port();
    let config = Config {
        port: 0,
        raft_port,
        initial_cluster: BTreeMap::from([(1, format!("127.0.0.1:{raft_port}"))]),
        ..config
    };
    let master = Master::start(config, Seams::real()).await.unwrap();
    let mut leader = master.context().leader.subscribe();
    let leads = leader.wait_for(|view| *view == LeaderView::Here);
    timeout(PATIENCE, leads).await.unwrap().unwrap();
    master
}

async fn commit(master: &Master, kind: impl Into<CommandKind>) {
    let command = Command::new(Timestamp(1), kind);
    master.context().log.propose(log_entry(&command)).await.unwrap();
}

async fn add_framework(master: &Master, name: &str) {
    let info = FrameworkInfo {
        user: "nobody".to_owned(),
        name: name.to_owned(),
        ..FrameworkInfo::default()
    };
    let info = Encoded::new(&info);
    commit(master, SubscribeFramework { info }).await;
}

async fn add_agent(master: &Master, hostname: &str) {
    let info = AgentInfo {
        hostname: hostname.to_owned(),
        ..AgentInfo::default()
    };
    let facts = AgentFacts {
        info: Encoded::new(&info),
        pid: format!("slave(1)@{hostname}").into(),
        version: "1.11.0".into(),
        capabilities: Vec::new(),
        checkpointed_resources: Encoded::new(&Default::default()),
        resource_version: None,
        deduplicates_launches: true,
    };
    commit(master, AdmitAgent { facts, replaces: None }).await;
}

/// A subscriber.
struct Reader {
    body: BodyReader,
    records: recordio::Decoder,
    media_type: MediaType,
    headers: [Option<String>; 3],
}

async fn ask(master: &Master, media_type: MediaType, headers: &[(&'static str, &str)]) -> Response {
    let call = Call {
        r#type: Some(call::Type::Subscribe as i32),
        ..Call::default()
    };
    let kind = media_type.as_str();
    let mut request = Request::post("/api/v1", kind, media_type.encode(&call)).header("Accept", kind);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = HttpClient::new(Seams::real());
    client.request(&master.local_addr().to_string(), request).await.unwrap()
}

impl Reader {
    async fn open(master: &Master, media_type: MediaType, headers: &[(&'static str, &str)]) -> Reader {
        let response = ask(master, media_type, headers).await;
        assert_eq!(response.status, 200);
        assert_eq!(response.headers.get("content-type"), Some(media_type.as_str()));
        let header = |name| response.headers.get(name).map(str::to_owned);
        let headers = [header(POSITION), header(RESUMED), header(CLUSTER)];
        Reader {
            body: response.body,
            records: recordio::Decoder::new(1 << 20),
            media_type,
            headers,
        }
    }

    /// The next event but HEARTBEAT; `None` at the clean end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = timeout(PATIENCE, self.any()).await.unwrap()?;
            if event.r#type() != Type::Heartbeat {
                return Some(event);
            }
        }
    }

    async fn any(&mut self) -> Option<Event> {
        loop {
            if let Some(record) = self.records.next().unwrap() {
                return Some(match self.media_type {
                    MediaType::Json => proto::json::from_slice(&record, "Event").unwrap(),
                    MediaType::Protobuf => Event::decode(record).unwrap(),
                });
            }
            self.records.push(&self.body.chunk().await.unwrap()?);
        }
    }

    fn resumed(&self) -> bool {
        self.headers[1].as_deref() == Some("true")
    }
}

fn hostnames(subscribed: &Event) -> Vec<String> {
    let state = subscribed.subscribed.clone().unwrap().get_state.unwrap();
    let agents = state.get_agents.unwrap().agents;
    agents.into_iter().map(|agent| agent.agent_info.hostname).collect()
}

fn position(event: &Event) -> EventPosition {
    event.position().parse().unwrap()
}

#[tokio::test]
async fn a_stream_starts_with_the_state_and_goes_on_with_what_follows_it_in_either_encoding() {
    let master = master(Config::default()).await;
    add_agent(&master, "before").await;
    let mut seen = Vec::new();
    let mut readers = [
        Reader::open(&master, MediaType::Json, &[]).await,
        Reader::open(&master, MediaType::Protobuf, &[]).await,
    ];
    assert_eq!(master.context().event_streams.len(), 2);
    for reader in &mut readers {
        let first = reader.any().await.unwrap();
        assert_eq!(first.r#type(), Type::Subscribed);
        assert_eq!(hostnames(&first), ["before"]);
        assert_eq!(
            first.subscribed.as_ref().unwrap().heartbeat_interval_seconds,
            Some(15.0)
        );
        assert_eq!(first.position, reader.headers[0]);
        assert!(!reader.resumed());
        let second = reader.any().await.unwrap();
        assert_eq!(second.r#type(), Type::Heartbeat, "a heartbeat follows at once");
        assert_eq!(position(&second), position(&first));
    }
    add_framework(&master, "shop").await;
    add_agent(&master, "after").await;
    for reader in &mut readers {
        let events = [reader.next().await.unwrap(), reader.next().await.unwrap()];
        assert_eq!(events[0].r#type(), Type::FrameworkAdded);
        let added = events[0].framework_added.clone().unwrap().framework;
        assert_eq!(added.framework_info.name, "shop");
        assert!(added.active && added.connected && !added.recovered);
        assert_eq!(events[1].r#type(), Type::AgentAdded);
        let added = events[1].agent_added.clone().unwrap().agent;
        assert_eq!(added.agent_info.hostname, "after");
        assert!(position(&events[0]) < position(&events[1]));
        // JSON spells defaults out.
        seen.push(events.map(|event| String::from_utf8(proto::json::to_vec(&event)).unwrap()));
    }
    assert_eq!(seen[0], seen[1]);
    master.shutdown(false).await;
}

#[tokio::test]
async fn a_stream_goes_on_behind_a_position_or_says_that_it_cannot() {
    let master = master(Config::default()).await;
    add_agent(&master, "first").await;
    let mut reader = Reader::open(&master, MediaType::Json, &[]).await;
    let start = reader.next().await.unwrap().position.unwrap();
    let cluster = reader.headers[2].clone().unwrap();
    for hostname in ["a", "b", "c"] {
        add_agent(&master, hostname).await;
    }
    let mut events = Vec::new();
    for _ in 0..3 {
        events.push(reader.next().await.unwrap());
    }
    // Behind each position exactly what followed it then.
    let behind = |seen: usize| {
        if seen == 0 {
            start.clone()
        } else {
            events[seen - 1].position().to_owned()
        }
    };
    for seen in 0..=3 {
        let from = behind(seen);
        let mut again = Reader::open(&master, MediaType::Json, &[(RESUME_FROM, &from), (CLUSTER, &cluster)]).await;
        assert!(again.resumed());
        assert_eq!(again.headers[0].as_ref(), Some(&from));
        let first = again.next().await.unwrap();
        assert_eq!((first.r#type(), first.position()), (Type::Subscribed, &*from));
        assert_eq!(first.subscribed.unwrap().get_state, None);
        for expected in &events[seen..] {
            assert_eq!(again.next().await.as_ref(), Some(expected));
        }
    }
    // A position of another cluster, one this log has not come to, none at all.
    let from = behind(1);
    for headers in [
        [(RESUME_FROM, &*from), (CLUSTER, "another")],
        [(RESUME_FROM, "999999.0"), (CLUSTER, &cluster)],
    ] {
        let mut fresh = Reader::open(&master, MediaType::Json, &headers).await;
        assert!(!fresh.resumed());
        let first = fresh.next().await.unwrap();
        assert_eq!(hostnames(&first), ["first", "a", "b", "c"]);
        assert!(position(&first) > position(&events[2]));
    }
    assert_eq!(
        ask(&master, MediaType::Json, &[(RESUME_FROM, "yesterday")])
            .await
            .status,
        400
    );
    master.shutdown(false).await;
}

#[tokio::test]
async fn streams_end_in_order_when_too_many_are_open_and_when_the_master_stops_leading() {
    let config = Config {
        max_operator_event_stream_subscribers: 2,
        ..Config::default()
    };
    let master = master(config).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut reader = Reader::open(&master, MediaType::Protobuf, &[]).await;
        assert_eq!(reader.next().await.unwrap().r#type(), Type::Subscribed);
        readers.push(reader);
    }
    assert_eq!(readers[0].next().await, None, "the oldest made room");
    add_agent(&master, "a").await;
    for reader in &mut readers[1..] {
        assert_eq!(reader.next().await.unwrap().r#type(), Type::AgentAdded);
    }
    let stopping = tokio::spawn(master.shutdown(false));
    for reader in &mut readers[1..] {
        assert_eq!(reader.next().await, None);
    }
    stopping.await.unwrap();
}

fn stream(log: &Arc<EventLog>) -> (Stream, mpsc::Receiver<Bytes>) {
    let (sender, body) = mpsc::channel(RECORDS_QUEUED);
    let stream = Stream {
        log: Arc::clone(log),
        appended: log.appended(),
        media_type: MediaType::Json,
        position: EventPosition::default(),
        sender,
        heartbeat_interval: Duration::from_secs(15),
    };
    (stream, body)
}

fn happened(index: u64) -> LoggedEvent {
    let agent_id = "a".into();
    LoggedEvent::new(EventPosition { index, number: 1 }, Happened::AgentRemoved { agent_id })
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_is_left_when_its_events_are_forgotten() {
    let log = Arc::new(EventLog::new(64 << 10));
    let metrics = Metrics::default();
    let (stream, mut body) = stream(&log);
    let filling = async {
        for index in 1..1_000 {
            log.append([happened(index)].into_iter(), index);
            tokio::task::yield_now().await;
        }
    };
    let first = Bytes::from_static(b"first");
    tokio::join!(stream.run(first, &metrics), filling);
    assert_eq!(metrics.snapshot().get(crate::metrics::SLOW_EVENT_STREAMS), Some(&1));
    // What it still gets are the first records, without a gap.
    let mut records = Vec::new();
    while let Some(record) = body.recv().await {
        records.push(record);
    }
    assert_eq!(records.len(), RECORDS_QUEUED);
    let expected = (1..).map(|index| format!("\"position\":\"{index}.1\""));
    for (record, position) in records.iter().skip(2).zip(expected) {
        assert!(String::from_utf8_lossy(record).contains(&position), "{record:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_has_heartbeats_that_tell_how_far_it_has_come() {
    let log = Arc::new(EventLog::new(EVENT_BYTES_MAX));
    let (stream, mut body) = stream(&log);
    let metrics = Metrics::default();
    let reading = async {
        let mut heartbeats = Vec::new();
        let started = tokio::time::Instant::now();
        assert_eq!(body.recv().await.as_deref(), Some(&b"first"[..]));
        for index in [0, 5, 9] {
            heartbeats.push((body.recv().await.unwrap(), started.elapsed().as_secs()));
            // Entries without events.
            log.append(std::iter::empty(), index + 4);
        }
        heartbeats
    };
    let heartbeats = tokio::select! {
        () = stream.run(Bytes::from_static(b"first"), &metrics) => panic!("it goes on"),
        heartbeats = reading => heartbeats,
    };
    let expected = [("0.0", 0), ("5.0", 15), ("10.0", 30)];
    for ((record, seconds), (position, at)) in heartbeats.into_iter().zip(expected) {
        let text = format!("{{\"type\":\"HEARTBEAT\",\"position\":\"{position}\"}}");
        assert!(record.ends_with(text.as_bytes()), "{record:?}");
        assert_eq!(seconds, at);
    }
}
