//! A framework that writes without end: it subscribes and then updates itself with a new label, again and again. Both are
//! durable writes: SUBSCRIBED and `200` come only after the commit.
//!
//! A writer is pinned to one master, to which it keeps trying to subscribe (the one that wins the election is thereby
//! noticed within a millisecond or two), or it roams: after a failure it tries the next master.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use libprocess::{BodyReader, HttpClient, Request};
use prost::Message;
use proto::recordio::Decoder;
use proto::v1::scheduler::{Call, Event, call, event};
use proto::v1::{FrameworkId, FrameworkInfo, Label, Labels, framework_info};
use seams::Seams;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::journal::Journal;

const PATH: &str = "/api/v1/scheduler";
const PROTOBUF: &str = "application/x-protobuf";
/// Role of the writers; never offered anything.
const ROLE: &str = "writers";
/// Pause after an attempt that did not lead to a subscription.
const PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for an answer; a paused master gives none.
const ANSWER: Duration = Duration::from_millis(250);
/// Longest wait of a pinned writer: nobody else can answer in its master's stead.
const ANSWER_PINNED: Duration = Duration::from_secs(10);
/// Largest event.
const EVENT_BYTES_MAX: usize = 1 << 20;
/// Largest answer to a call.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// One writer.
pub struct Writer {
    http: HttpClient,
    masters: Vec<String>,
    /// Which of `masters` is tried.
    at: usize,
    pinned: bool,
    journal: Arc<Journal>,
    name: String,
    id: Option<FrameworkId>,
    writes: u64,
}

/// How a subscription or call ended that was not acknowledged.
enum Unacknowledged {
    /// Certainly not carried out: try elsewhere, or subscribe again.
    NotNow,
    /// Refused although nothing was wrong with the call; certainly not carried out.
    Refused(String),
    /// Failed or unknown; the text says how.
    Failed(String),
}

/// A subscription: the stream is read to its end by a loop of its own, so that it never blocks the master.
struct Session {
    stream_id: String,
    drain: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.drain.abort();
    }
}

impl Writer {
    /// A writer pinned to `masters[at]`, or one that begins there and roams.
    pub fn new(name: String, masters: Vec<String>, at: usize, pinned: bool, journal: Arc<Journal>) -> Self {
        Writer {
            http: HttpClient::new(Seams::real()),
            masters,
            at,
            pinned,
            journal,
            name,
            id: None,
            writes: 0,
        }
    }

    /// Writes until the task is aborted.
    pub async fn run(mut self) {
        loop {
            match self.subscribe().await {
                Ok(session) => {
                    self.journal.acknowledged(&self.masters[self.at]);
                    self.update_until_failure(&session).await;
                }
                Err(Unacknowledged::NotNow) => {}
                Err(Unacknowledged::Refused(_) | Unacknowledged::Failed(_)) => {
                    // Not counted: what matters are calls of a subscribed framework.
                }
            }
            if !self.pinned {
                self.at = (self.at + 1) % self.masters.len();
            }
            sleep(PAUSE).await;
        }
    }

    async fn update_until_failure(&mut self, session: &Session) {
        loop {
            let master = self.masters[self.at].clone();
            match self.update(session).await {
                Ok(()) => self.journal.acknowledged(&master),
                Err(Unacknowledged::NotNow) => return,
                Err(Unacknowledged::Refused(what)) => {
                    self.journal.failed(true, &what);
                    return;
                }
                Err(Unacknowledged::Failed(what)) => {
                    self.journal.failed(false, &what);
                    return;
                }
            }
        }
    }

    fn patience(&self) -> Duration {
        if self.pinned { ANSWER_PINNED } else { ANSWER }
    }

    fn info(&mut self) -> FrameworkInfo {
        self.writes += 1;
        FrameworkInfo {
            user: "root".to_owned(),
            name: self.name.clone(),
            id: self.id.clone(),
            roles: vec![ROLE.to_owned()],
            failover_timeout: Some(3600.0),
            checkpoint: Some(true),
            capabilities: vec![framework_info::Capability {
                r#type: Some(framework_info::capability::Type::MultiRole.into()),
            }],
            labels: Some(Labels {
                labels: vec![Label {
                    key: "write".to_owned(),
                    value: Some(self.writes.to_string()),
                }],
            }),
            ..FrameworkInfo::default()
        }
    }

    async fn subscribe(&mut self) -> Result<Session, Unacknowledged> {
        let framework_info = self.info();
        let call = Call {
            r#type: Some(call::Type::Subscribe.into()),
            framework_id: self.id.clone(),
            subscribe: Some(call::Subscribe {
                framework_info,
                suppressed_roles: vec![ROLE.to_owned()],
                ..call::Subscribe::default()
            }),
            ..Call::default()
        };
        let answer = self.patience();
        let exchange = self.open_stream(&call);
        match timeout(answer, exchange).await {
            Ok(Ok(Some((session, id)))) => {
                self.id = Some(id);
                Ok(session)
            }
            Ok(Ok(None)) => Err(Unacknowledged::NotNow),
            Ok(Err(error)) => Err(Unacknowledged::Failed(format!("{error:#}"))),
            Err(_) => Err(Unacknowledged::Failed(format!(
                "no answer to SUBSCRIBE within {answer:?}"
            ))),
        }
    }

    /// `None`: this master does not lead.
    async fn open_stream(&self, call: &Call) -> Result<Option<(Session, FrameworkId)>> {
        let response = self.http.request(&self.masters[self.at], request(call, None)).await?;
        if response.status != 200 {
            let status = response.status;
            let text = response.body.collect(ANSWER_BYTES_MAX).await?;
            if matches!(status, 307 | 503) {
                return Ok(None);
            }
            bail!("SUBSCRIBE was answered {status}: {}", String::from_utf8_lossy(&text));
        }
        let stream_id = response
            .headers
            .get("mesos-stream-id")
            .context("SUBSCRIBE was answered without a stream id")?
            .to_owned();
        let mut body = response.body;
        let id = first_event(&mut body).await?;
        let drain = tokio::spawn(async move { while let Ok(Some(_)) = body.chunk().await {} });
        Ok(Some((Session { stream_id, drain }, id)))
    }

    async fn update(&mut self, session: &Session) -> Result<(), Unacknowledged> {
        let framework_info = self.info();
        let call = Call {
            r#type: Some(call::Type::UpdateFramework.into()),
            framework_id: self.id.clone(),
            update_framework: Some(call::UpdateFramework {
                framework_info,
                suppressed_roles: vec![ROLE.to_owned()],
                ..call::UpdateFramework::default()
            }),
            ..Call::default()
        };
        let exchange = async {
            let response = self
                .http
                .request(&self.masters[self.at], request(&call, Some(&session.stream_id)))
                .await?;
            let status = response.status;
            let text = response.body.collect(ANSWER_BYTES_MAX).await?;
            anyhow::Ok((status, text))
        };
        match timeout(
            ANSWER_PINNED.min(if self.pinned { ANSWER_PINNED } else { ANSWER }),
            exchange,
        )
        .await
        {
            Ok(Ok((200..=299, _))) => Ok(()),
            // Does not lead any more; or leads anew and wants a subscription first: certainly not carried out.
            Ok(Ok((307 | 403, _))) => Err(Unacknowledged::NotNow),
            Ok(Ok((400, text))) if String::from_utf8_lossy(&text).contains("stream ID") => Err(Unacknowledged::NotNow),
            Ok(Ok((503, text))) if String::from_utf8_lossy(&text).contains("not carried out") => {
                Err(Unacknowledged::Refused(String::from_utf8_lossy(&text).into_owned()))
            }
            Ok(Ok((status, text))) => Err(Unacknowledged::Failed(format!(
                "UPDATE_FRAMEWORK was answered {status}: {}",
                String::from_utf8_lossy(&text)
            ))),
            Ok(Err(error)) if refused(&error) => Err(Unacknowledged::NotNow),
            Ok(Err(error)) => Err(Unacknowledged::Failed(format!("{error:#}"))),
            Err(_) => Err(Unacknowledged::Failed(
                "no answer to UPDATE_FRAMEWORK in time".to_owned(),
            )),
        }
    }
}

/// Whether the call certainly did not reach anybody.
fn refused(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<libprocess::ClientError>()
        .is_some_and(libprocess::ClientError::was_not_sent)
}

fn request(call: &Call, stream_id: Option<&str>) -> Request {
    let request = Request::post(PATH, PROTOBUF, Bytes::from(call.encode_to_vec())).header("Accept", PROTOBUF);
    match stream_id {
        Some(id) => request.header("Mesos-Stream-Id", id),
        None => request,
    }
}

/// Reads the stream to its first event, which names the framework.
async fn first_event(body: &mut BodyReader) -> Result<FrameworkId> {
    let mut records = Decoder::new(EVENT_BYTES_MAX);
    loop {
        if let Some(record) = records.next()? {
            let event = Event::decode(record)?;
            return match (event.r#type(), event.subscribed, event.error) {
                (event::Type::Subscribed, Some(subscribed), _) => Ok(subscribed.framework_id),
                (_, _, Some(error)) => bail!("the master refused: {}", error.message),
                (other, _, _) => bail!("the first event is {}", other.as_str_name()),
            };
        }
        let chunk = body.chunk().await?.context("the stream ended before its first event")?;
        records.push(&chunk);
    }
}
