//! The agent's port: libprocess messages, the executor API, reads for operators, sandbox files.
//!
//! Must never hold state: everything is asked of the actor, or read from sandboxes.

mod files;

use bytes::Bytes;
use client::Encoding;
use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Message, Routes, Service};
use proto::json::JsonMessage;
use proto::v1::VersionInfo;
use proto::v1::agent::{Call as OperatorCall, Response, call as operator_call, response};
use proto::v1::executor::{Call, call};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use crate::ACTOR_ID;
use crate::actor::{Input, OpenStream};
use crate::book::view::Question;
use crate::config::MESOS_VERSION;
use crate::store::Layout;
use files::Files;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Executor,
    Operator,
    State,
    Health,
    Version,
    Metrics,
    Browse,
    Read,
    Download,
}

/// What stands behind the port.
#[derive(Debug)]
pub(crate) struct Port {
    routes: Routes<Endpoint>,
    inputs: mpsc::Sender<Input>,
    files: Files,
}

impl Port {
    /// A port that asks the actor behind `inputs`.
    pub(crate) fn new(layout: Layout, inputs: mpsc::Sender<Input>) -> Self {
        let own = |path: &str| format!("/{ACTOR_ID}{path}");
        let routes = Routes::new(ACTOR_ID)
            .route(&own("/api/v1/executor"), Endpoint::Executor)
            .route(&own("/api/v1"), Endpoint::Operator)
            .route(&own("/state"), Endpoint::State)
            .route(&own("/health"), Endpoint::Health)
            .route(&own("/version"), Endpoint::Version)
            .route("/version", Endpoint::Version)
            .route("/metrics/snapshot", Endpoint::Metrics)
            .route("/files/browse", Endpoint::Browse)
            .route("/files/browse.json", Endpoint::Browse)
            .route("/files/read", Endpoint::Read)
            .route("/files/read.json", Endpoint::Read)
            .route("/files/download", Endpoint::Download)
            .route("/files/download.json", Endpoint::Download);
        Port {
            routes,
            inputs,
            files: Files::new(layout),
        }
    }

    async fn route(&self, request: HttpRequest) -> HttpResponse {
        let Some((endpoint, _)) = self.routes.lookup(&request.path) else {
            return HttpResponse::status(404);
        };
        let endpoint = *endpoint;
        let expected = if matches!(endpoint, Endpoint::Executor | Endpoint::Operator) {
            "POST"
        } else {
            "GET"
        };
        if request.method != expected && !(expected == "GET" && request.method == "HEAD") {
            return HttpResponse::method_not_allowed(&[expected], request.method);
        }
        match endpoint {
            Endpoint::Executor => self.executor(request).await,
            Endpoint::Operator => self.operator(request).await,
            Endpoint::State => self.ask(Question::State).await,
            Endpoint::Metrics => self.ask(Question::Metrics).await,
            Endpoint::Health => HttpResponse::new(200),
            Endpoint::Version => HttpResponse::ok(JSON, json!({"version": MESOS_VERSION}).to_string()),
            Endpoint::Browse => self.files.browse(request.query.as_deref()).await,
            Endpoint::Read => self.files.read(request.query.as_deref()).await,
            Endpoint::Download => self.files.download(request.query.as_deref()).await,
        }
    }

    async fn ask(&self, question: Question) -> HttpResponse {
        let (reply, answer) = oneshot::channel();
        self.put(Input::View { question, reply }).await;
        answer.await.unwrap_or_else(|_| stopping())
    }

    async fn put(&self, input: Input) {
        if self.inputs.send(input).await.is_err() {
            tracing::debug!("the agent is stopping; dropped an input");
        }
    }

    async fn executor(&self, request: HttpRequest) -> HttpResponse {
        let call: Call = match decode(&request) {
            Ok(call) => call,
            Err(response) => return response,
        };
        if call.r#type != Some(call::Type::Subscribe as i32) {
            let (reply, answer) = oneshot::channel();
            self.put(Input::ExecutorCall {
                call: Box::new(call),
                reply,
            })
            .await;
            return match answer.await {
                Ok(Ok(())) => HttpResponse::new(202),
                Ok(Err(refusal)) => HttpResponse::text(refusal.0, refusal.1),
                Err(_) => stopping(),
            };
        }
        let (encoding, content_type) = match (
            request.headers.accepts_media_type(JSON),
            request.headers.accepts_media_type(PROTOBUF),
        ) {
            (true, _) => (Encoding::Json, JSON),
            (false, true) => (Encoding::Protobuf, PROTOBUF),
            (false, false) => {
                return HttpResponse::text(406, format!("Expecting 'Accept' to allow '{PROTOBUF}' or '{JSON}'"));
            }
        };
        let (reply, answer) = oneshot::channel();
        self.put(Input::Subscribe {
            framework: call.framework_id.value,
            executor: call.executor_id.value,
            subscribe: call.subscribe.unwrap_or_default(),
            encoding,
            reply,
        })
        .await;
        match answer.await {
            Ok(Ok(OpenStream {
                container,
                number,
                records,
            })) => {
                let inputs = self.inputs.clone();
                tokio::spawn(async move {
                    request.closed.closed().await;
                    // Closed only when the agent stops.
                    inputs.send(Input::StreamClosed { container, number }).await.ok();
                });
                HttpResponse::stream(content_type, records)
            }
            Ok(Err(refusal)) => HttpResponse::text(refusal.0, refusal.1),
            Err(_) => stopping(),
        }
    }

    async fn operator(&self, request: HttpRequest) -> HttpResponse {
        let call: OperatorCall = match decode(&request) {
            Ok(call) => call,
            Err(response) => return response,
        };
        let is_json = request.headers.accepts_media_type(JSON);
        let mut answer = Response::default();
        match call
            .r#type
            .and_then(|number| operator_call::Type::try_from(number).ok())
        {
            Some(operator_call::Type::GetHealth) => {
                answer.r#type = Some(response::Type::GetHealth as i32);
                answer.get_health = Some(response::GetHealth { healthy: true });
            }
            Some(operator_call::Type::GetVersion) => {
                answer.r#type = Some(response::Type::GetVersion as i32);
                let version_info = VersionInfo {
                    version: MESOS_VERSION.to_owned(),
                    ..Default::default()
                };
                answer.get_version = Some(response::GetVersion { version_info });
            }
            Some(operator_call::Type::ListFiles) => {
                let path = call.list_files.map(|list| list.path).unwrap_or_default();
                match self.files.list(&path).await {
                    Ok(file_infos) => {
                        answer.r#type = Some(response::Type::ListFiles as i32);
                        answer.list_files = Some(response::ListFiles { file_infos });
                    }
                    Err(refused) => return refused,
                }
            }
            Some(operator_call::Type::ReadFile) => {
                let Some(read) = call.read_file else {
                    return HttpResponse::text(400, "Expecting 'read_file' to be present");
                };
                match self.files.read_part(&read.path, read.offset, read.length).await {
                    Ok((size, data)) => {
                        answer.r#type = Some(response::Type::ReadFile as i32);
                        answer.read_file = Some(response::ReadFile { size, data });
                    }
                    Err(refused) => return refused,
                }
            }
            _ => return self.ask(Question::Operator(Box::new(call), is_json)).await,
        }
        respond(&answer, is_json)
    }
}

impl Service for Port {
    fn knows_actor(&self, id: &str) -> bool {
        id == ACTOR_ID
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        Box::pin(self.put(Input::Message(message)))
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(self.route(request))
    }
}

/// A message as the body of an answer.
pub(crate) fn respond(message: &(impl prost::Message + JsonMessage), is_json: bool) -> HttpResponse {
    if is_json {
        HttpResponse::ok(JSON, proto::json::to_vec(message))
    } else {
        HttpResponse::ok(PROTOBUF, message.encode_to_vec())
    }
}

fn stopping() -> HttpResponse {
    HttpResponse::text(503, "Agent is stopping")
}

/// Reads a call in the form its `Content-Type` says.
fn decode<T: prost::Message + Default + JsonMessage>(request: &HttpRequest) -> Result<T, HttpResponse> {
    let content_type = request.headers.get("Content-Type").unwrap_or_default();
    let body: &Bytes = &request.body;
    let refuse = |text: String| HttpResponse::text(400, text);
    match content_type.split(';').next().unwrap_or_default().trim() {
        JSON => proto::json::from_slice(body, "Call").map_err(|error| refuse(error.to_string())),
        PROTOBUF => proto::wire::decode(body, "Call").map_err(|error| refuse(error.to_string())),
        "" => Err(refuse("Expecting 'Content-Type' to be present".into())),
        _ => Err(HttpResponse::text(
            415,
            format!("Expecting 'Content-Type' of {JSON} or {PROTOBUF}"),
        )),
    }
}
