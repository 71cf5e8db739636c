//! A scripted master for this crate's tests: it leads, follows or knows nobody, as the test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Limits, Message as LibprocessMessage, Server, Service};
use prost::Message;
use proto::v1::master;
use proto::v1::scheduler::call::Type as CallType;
use proto::v1::scheduler::event::{Error, Subscribed, Type as EventType};
use proto::v1::scheduler::{Call, Event};
use proto::v1::{FrameworkId, FrameworkInfo};
use proto::{json, recordio};
use seams::Seams;
use tokio::sync::mpsc;

use crate::encoding::Encoding;
use crate::masters::MasterList;

/// Limit of every wait in tests; far above what any of them needs.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What a scripted master says about the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leads {
    Itself,
    Other(String),
    Nobody,
}

/// What a scripted master answers to SUBSCRIBE of the operator API: these events, and then the clean end.
#[derive(Clone, Debug)]
pub(crate) struct OperatorStream {
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) events: Vec<master::Event>,
}

/// The header fields with which a stream was asked for: position and cluster.
pub(crate) type AskedFor = (Option<String>, Option<String>);

struct State {
    address: String,
    leads: Leads,
    /// Answers nothing any more, as if stopped by SIGSTOP.
    paused: bool,
    heartbeat_seconds: f64,
    refuse_subscribe: Option<(u16, String)>,
    error_event: Option<String>,
    answer: (u16, String),
    calls: Vec<(Call, Option<String>)>,
    stream: Option<(mpsc::Sender<Bytes>, Encoding)>,
    operator_streams: VecDeque<OperatorStream>,
    asked_for: Vec<AskedFor>,
}

/// A scripted master behind a real port. Dropping it closes everything at once, as a crash would.
pub(crate) struct FakeMaster {
    server: Server,
    state: Arc<Mutex<State>>,
}

struct FakeService(Arc<Mutex<State>>);

impl FakeMaster {
    pub(crate) async fn start(leads: Leads) -> Self {
        let state = Arc::new(Mutex::new(State {
            address: String::new(),
            leads,
            paused: false,
            heartbeat_seconds: 15.0,
            refuse_subscribe: None,
            error_event: None,
            answer: (202, String::new()),
            calls: Vec::new(),
            stream: None,
            operator_streams: VecDeque::new(),
            asked_for: Vec::new(),
        }));
        let service = Arc::new(FakeService(Arc::clone(&state)));
        let listen = "127.0.0.1:0".parse().unwrap();
        let server = Server::start(Seams::real(), listen, Limits::default(), service)
            .await
            .unwrap();
        lock(&state).address = server.local_addr().to_string();
        FakeMaster { server, state }
    }

    pub(crate) fn address(&self) -> String {
        self.server.local_addr().to_string()
    }

    pub(crate) fn set_leads(&self, leads: Leads) {
        lock(&self.state).leads = leads;
    }

    pub(crate) fn pause(&self) {
        lock(&self.state).paused = true;
    }

    pub(crate) fn set_heartbeat_seconds(&self, seconds: f64) {
        lock(&self.state).heartbeat_seconds = seconds;
    }

    pub(crate) fn refuse_subscribe(&self, status: u16, text: &str) {
        lock(&self.state).refuse_subscribe = Some((status, text.to_owned()));
    }

    pub(crate) fn answer_subscribe_with_error(&self, message: &str) {
        lock(&self.state).error_event = Some(message.to_owned());
    }

    pub(crate) fn answer_calls_with(&self, status: u16, text: &str) {
        lock(&self.state).answer = (status, text.to_owned());
    }

    /// Adds an answer to SUBSCRIBE of the operator API; each is used once, in order.
    pub(crate) fn script_operator_stream(&self, stream: OperatorStream) {
        lock(&self.state).operator_streams.push_back(stream);
    }

    /// With what operators have subscribed so far.
    pub(crate) fn operator_streams_asked_for(&self) -> Vec<AskedFor> {
        lock(&self.state).asked_for.clone()
    }

    /// The calls so far, SUBSCRIBE included, each with its stream id.
    pub(crate) fn calls(&self) -> Vec<(Call, Option<String>)> {
        lock(&self.state).calls.clone()
    }

    /// Ends the event stream in order.
    pub(crate) fn end_stream(&self) {
        lock(&self.state).stream = None;
    }

    /// Sends an event to the subscriber.
    pub(crate) async fn send(&self, event: &Event) {
        let (sender, encoding) = lock(&self.state).stream.clone().unwrap();
        sender.send(recordio::encode(&encoding.encode(event))).await.unwrap();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service for FakeService {
    fn knows_actor(&self, _id: &str) -> bool {
        false
    }

    fn deliver(&self, _message: LibprocessMessage) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(async move {
            if lock(&self.0).paused {
                std::future::pending::<()>().await;
            }
            self.answer(&request)
        })
    }
}

impl FakeService {
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let mut state = lock(&self.0);
        if request.path == "/redirect" {
            return match &state.leads {
                Leads::Itself => HttpResponse::redirect(format!("//{}", state.address)),
                Leads::Other(address) => HttpResponse::redirect(format!("//{address}")),
                Leads::Nobody => HttpResponse::text(503, "No leader elected"),
            };
        }
        match &state.leads {
            Leads::Itself => {}
            Leads::Other(address) => return HttpResponse::redirect(format!("//{address}/master{}", request.path)),
            Leads::Nobody => return HttpResponse::text(503, "No leader elected"),
        }
        if request.path == "/api/v1"
            && let Some(stream) = state.operator_streams.pop_front()
        {
            return operator_stream(&mut state, request, stream);
        }
        if request.path != "/api/v1/scheduler" {
            let (status, text) = state.answer.clone();
            return HttpResponse::with_body(status, "application/json", text);
        }
        let json = request.headers.get("content-type") == Some("application/json");
        assert_eq!(request.headers.get("accept"), request.headers.get("content-type"));
        let call: Call = if json {
            json::from_slice(&request.body, "Call").unwrap()
        } else {
            Call::decode(request.body.clone()).unwrap()
        };
        let stream_id = request.headers.get("mesos-stream-id").map(str::to_owned);
        state.calls.push((call.clone(), stream_id));
        if call.r#type() == CallType::Subscribe {
            return subscribe(
                &mut state,
                &call,
                if json { Encoding::Json } else { Encoding::Protobuf },
            );
        }
        let (status, text) = state.answer.clone();
        if status == 202 {
            HttpResponse::new(202)
        } else {
            HttpResponse::text(status, text)
        }
    }
}

fn operator_stream(state: &mut State, request: &HttpRequest, stream: OperatorStream) -> HttpResponse {
    let header = |name| request.headers.get(name).map(str::to_owned);
    state
        .asked_for
        .push((header("mesoraft-resume-from"), header("mesoraft-cluster")));
    let encoding = match request.headers.get("accept") {
        Some("application/json") => Encoding::Json,
        _ => Encoding::Protobuf,
    };
    let (sender, receiver) = mpsc::channel(stream.events.len());
    for event in &stream.events {
        sender.try_send(recordio::encode(&encoding.encode(event))).unwrap();
    }
    let mut response = HttpResponse::stream(encoding.media_type(), receiver);
    for (name, value) in stream.headers {
        response = response.header(name, value);
    }
    response
}

fn subscribe(state: &mut State, call: &Call, encoding: Encoding) -> HttpResponse {
    if let Some((status, text)) = &state.refuse_subscribe {
        return HttpResponse::text(*status, text.clone());
    }
    let (sender, receiver) = mpsc::channel(16);
    let event = match &state.error_event {
        Some(message) => Event {
            r#type: Some(EventType::Error.into()),
            error: Some(Error {
                message: message.clone(),
            }),
            ..Event::default()
        },
        None => {
            let framework_id = call.framework_id.clone().unwrap_or(FrameworkId {
                value: "f-0000".to_owned(),
            });
            let subscribed = Subscribed {
                framework_id,
                heartbeat_interval_seconds: Some(state.heartbeat_seconds),
                master_info: None,
            };
            Event {
                r#type: Some(EventType::Subscribed.into()),
                subscribed: Some(subscribed),
                ..Event::default()
            }
        }
    };
    sender.try_send(recordio::encode(&encoding.encode(&event))).unwrap();
    if state.error_event.is_none() {
        state.stream = Some((sender, encoding));
    }
    HttpResponse::stream(encoding.media_type(), receiver).header("Mesos-Stream-Id", format!("stream-{}", state.address))
}

/// The list of these masters, in order.
pub(crate) fn list(masters: &[&FakeMaster]) -> MasterList {
    let addresses: Vec<_> = masters.iter().map(|master| master.address()).collect();
    addresses.join(",").parse().unwrap()
}

pub(crate) fn framework() -> FrameworkInfo {
    FrameworkInfo {
        user: "nobody".to_owned(),
        name: "test".to_owned(),
        ..FrameworkInfo::default()
    }
}
