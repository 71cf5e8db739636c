//! The loop behind a [`Scheduler`](super::Scheduler): find the leader, subscribe, read events, start over.
//!
//! The stream is left when it breaks or ends, when `HEARTBEATS_MISSED_MAX` heartbeats stayed away, and when another
//! master is found to lead: a paused leader keeps its connections open and says nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use libprocess::Response;
use proto::v1::scheduler::call::{Subscribe, Type as CallType};
use proto::v1::scheduler::event::{Subscribed, Type as EventType};
use proto::v1::scheduler::{Call, Event};
use seams::Seams;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{Notice, SCHEDULER_PATH, SchedulerConfig, Session};
use crate::backoff::Backoff;
use crate::http::{EventStream, Http, HttpError, error_text};
use crate::leader::LeaderFinder;
use crate::subscribing::{End, GOOD_STREAM, LEADER_CHECK_INTERVAL, heartbeat_timeout, retry, subscribe_at_leader};

/// Longest wait for the answer to SUBSCRIBE: masters hold it while they elect.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Subscription {
    pub(super) finder: LeaderFinder,
    pub(super) http: Http,
    pub(super) seams: Seams,
    pub(super) config: SchedulerConfig,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) torn_down: Arc<AtomicBool>,
    pub(super) subscribed_before: bool,
}

impl Subscription {
    /// Runs until the framework has ended or nobody reads the notices any more.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.seams.clone());
        let mut lost: Option<String> = None;
        let mut next: Option<String> = None;
        loop {
            let master = match next.take() {
                Some(master) => master,
                None => self.finder.find(lost.as_deref()).await,
            };
            let started = Instant::now();
            let (end, was_subscribed) = self.follow(&master).await;
            match end {
                End::Final(reason) => {
                    info!(%reason, "the framework's subscription has ended");
                    self.notify(Notice::Ended { reason }).await;
                    return;
                }
                End::Retry { reason, next: named } => {
                    info!(%master, %reason, "left the master");
                    if !self.config.resubscribes {
                        self.notify(Notice::Ended { reason }).await;
                        return;
                    }
                    if was_subscribed && started.elapsed() >= GOOD_STREAM {
                        backoff.reset();
                    } else {
                        sleep(backoff.next_pause()).await;
                    }
                    lost = Some(master);
                    next = named;
                }
            }
        }
    }

    /// Subscribes at `master` and reads its stream to the end; also says whether it was subscribed.
    async fn follow(&mut self, master: &str) -> (End, bool) {
        let (master, response) = match self.subscribe(master).await {
            Ok(subscribed) => subscribed,
            Err(end) => return (end, false),
        };
        let stream_id = response.headers.get("mesos-stream-id").map(str::to_owned);
        let mut events = EventStream::new(response, self.config.encoding);
        let subscribed = match timeout(SUBSCRIBE_TIMEOUT, self.first_event(&mut events)).await {
            Ok(Ok(subscribed)) => subscribed,
            Ok(Err(end)) => return (end, false),
            Err(_) => return (retry("no SUBSCRIBED event came"), false),
        };
        let heartbeat_timeout = heartbeat_timeout(subscribed.heartbeat_interval_seconds);
        let doubt = self.enter(&master, stream_id, subscribed).await;
        let end = self.read_events(&master, &mut events, heartbeat_timeout, &doubt).await;
        self.session.send_replace(None);
        if let End::Retry { reason, .. } = &end {
            self.notify(Notice::Disconnected {
                master,
                reason: reason.clone(),
            })
            .await;
        }
        (end, true)
    }

    /// Posts SUBSCRIBE to whoever leads, `master` first.
    async fn subscribe(&self, master: &str) -> Result<(String, Response), End> {
        let post = |master: String| async move { self.post_subscribe(&master).await };
        let (master, response) = subscribe_at_leader(&self.finder, master, SUBSCRIBE_TIMEOUT, post).await?;
        match response.status {
            200 => Ok((master, response)),
            status @ (400 | 401 | 403 | 406 | 415) => Err(End::Final(format!(
                "SUBSCRIBE refused with {status}: {}",
                error_text(response).await
            ))),
            status => Err(retry(format!(
                "SUBSCRIBE answered {status}: {}",
                error_text(response).await
            ))),
        }
    }

    async fn post_subscribe(&self, master: &str) -> Result<Response, HttpError> {
        let encoding = self.config.encoding;
        let subscribe = Subscribe {
            framework_info: self.config.framework.clone(),
            suppressed_roles: self.config.suppressed_roles.clone(),
            offer_constraints: None,
        };
        let call = Call {
            framework_id: self.config.framework.id.clone(),
            r#type: Some(CallType::Subscribe.into()),
            subscribe: Some(subscribe),
            ..Call::default()
        };
        let body = encoding.encode(&call);
        self.http.subscribe(master, SCHEDULER_PATH, encoding, body).await
    }

    /// The SUBSCRIBED event every good stream begins with.
    async fn first_event(&self, events: &mut EventStream) -> Result<Subscribed, End> {
        let event: Event = match events.next().await {
            Ok(Some(event)) => event,
            Ok(None) => return Err(retry("the stream ended before SUBSCRIBED")),
            Err(error) => return Err(retry(error.to_string())),
        };
        match (event.r#type(), event.subscribed, event.error) {
            (EventType::Subscribed, Some(subscribed), _) => Ok(subscribed),
            (EventType::Error, _, Some(error)) => Err(End::Final(error.message)),
            (other, ..) => Err(retry(format!("the stream began with {other:?} instead of SUBSCRIBED"))),
        }
    }

    /// Publishes the new session; returns its doubt.
    async fn enter(&mut self, master: &str, stream_id: Option<String>, subscribed: Subscribed) -> CancellationToken {
        let framework_id = subscribed.framework_id;
        info!(%master, framework_id = %framework_id.value, again = self.subscribed_before, "subscribed");
        self.config.framework.id = Some(framework_id.clone());
        let again = std::mem::replace(&mut self.subscribed_before, true);
        let session = Session {
            master: master.to_owned(),
            framework_id: framework_id.clone(),
            stream_id,
            doubt: CancellationToken::new(),
        };
        let doubt = session.doubt.clone();
        self.session.send_replace(Some(Arc::new(session)));
        let master_info = subscribed.master_info.map(Box::new);
        self.notify(Notice::Subscribed {
            framework_id,
            master: master.to_owned(),
            master_info,
            again,
        })
        .await;
        doubt
    }

    /// Hands events on until the stream is to be left. While the reader of the notices is slow nothing more is read, but
    /// a master that is gone is noticed all the same.
    async fn read_events(
        &self,
        master: &str,
        events: &mut EventStream,
        heartbeat_timeout: Duration,
        doubt: &CancellationToken,
    ) -> End {
        let mut turn = 0;
        let mut check = Box::pin(self.finder.next_check(master, LEADER_CHECK_INTERVAL, &mut turn));
        let mut waiting: Option<Notice> = None;
        loop {
            tokio::select! {
                // What has arrived is handed on before anything else is decided.
                biased;
                permit = self.notices.reserve(), if waiting.is_some() => match (permit, waiting.take()) {
                    (Ok(permit), Some(notice)) => permit.send(notice),
                    _ => return retry("nobody reads the notices any more"),
                },
                next = timeout(heartbeat_timeout, events.next::<Event>()), if waiting.is_none() => match next {
                    Err(_) => return retry(format!("nothing was heard for {heartbeat_timeout:?}")),
                    Ok(next) => match self.take(next) {
                        Ok(notice) => waiting = notice,
                        Err(end) => return end,
                    },
                },
                () = doubt.cancelled() => return retry("a call did not find it leading"),
                other = &mut check => {
                    if let Some(other) = other {
                        return End::Retry { reason: format!("{other} leads now"), next: Some(other) };
                    }
                    drop(check);
                    check = Box::pin(self.finder.next_check(master, LEADER_CHECK_INTERVAL, &mut turn));
                }
            }
        }
    }

    /// What to make of the next item of the stream: a notice, nothing, or its end.
    fn take(&self, next: Result<Option<Event>, HttpError>) -> Result<Option<Notice>, End> {
        let event = match next {
            Err(error) => return Err(retry(error.to_string())),
            Ok(None) if self.torn_down.load(Ordering::Acquire) => {
                return Err(End::Final("the framework was torn down".to_owned()));
            }
            Ok(None) => return Err(retry("the master ended the stream")),
            Ok(Some(event)) => event,
        };
        match event.r#type() {
            EventType::Heartbeat => Ok(None),
            EventType::Error => Err(End::Final(event.error.map(|error| error.message).unwrap_or_default())),
            EventType::Subscribed | EventType::Unknown => {
                warn!(?event, "ignored an event out of place");
                Ok(None)
            }
            _ => Ok(Some(Notice::Event(Box::new(event)))),
        }
    }

    /// Waits for room; a reader that is gone is noticed by the task that runs this loop.
    async fn notify(&self, notice: Notice) {
        if self.notices.send(notice).await.is_err() {
            debug!("nobody reads the notices any more");
        }
    }
}
