//! The loop behind [`OperatorEvents`](super::OperatorEvents): find the leader, subscribe, read events, start over.
//!
//! It keeps the position behind the last event it handed on and asks the next master to go on there. An event that does not
//! stand behind that position is never handed on: the stream is left instead.

use std::time::Duration;

use bytes::Bytes;
use libprocess::Response;
use proto::ext::event_position::EventPosition;
use proto::v1::master::event::{Subscribed, Type as EventType};
use proto::v1::master::{Call, Event, call};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use super::EventNotice;
use crate::backoff::Backoff;
use crate::encoding::Encoding;
use crate::http::{EventStream, Http, HttpError, error_text};
use crate::leader::LeaderFinder;
use crate::subscribing::{End, GOOD_STREAM, LEADER_CHECK_INTERVAL, heartbeat_timeout, retry, subscribe_at_leader};

/// Path of the v1 operator API.
const OPERATOR_PATH: &str = "/api/v1";
/// Header fields of the stream, see `docs/events.md`.
const RESUME_FROM: &str = "Mesoraft-Resume-From";
const RESUMED: &str = "Mesoraft-Resumed";
const CLUSTER: &str = "Mesoraft-Cluster";

/// Longest wait for the head of the answer: masters hold the call while they elect.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the first record, which is the state of a large cluster.
const STATE_TIMEOUT: Duration = Duration::from_secs(60);

/// A subscription.
#[derive(Debug)]
pub(crate) struct Following {
    pub(crate) finder: LeaderFinder,
    pub(crate) http: Http,
    pub(crate) seams: Seams,
    pub(crate) encoding: Encoding,
    pub(crate) notices: mpsc::Sender<EventNotice>,
    /// Behind the last event seen.
    pub(crate) position: Option<EventPosition>,
    /// The cluster that position belongs to.
    pub(crate) cluster_id: Option<String>,
}

impl Following {
    /// Runs until the subscription is refused or nobody reads the notices any more.
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
                    self.notify(EventNotice::Refused { reason }).await;
                    return;
                }
                End::Retry { reason, next: named } => {
                    info!(%master, %reason, "left the master");
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
        let header = |name| response.headers.get(name).map(str::to_owned);
        let (resumed, cluster_id) = (header(RESUMED), header(CLUSTER));
        let mut events = EventStream::new(response, self.encoding);
        let (position, subscribed) = match timeout(STATE_TIMEOUT, first_event(&mut events)).await {
            Ok(Ok(first)) => first,
            Ok(Err(end)) => return (end, false),
            Err(_) => return (retry("no SUBSCRIBED event came"), false),
        };
        let heartbeat_timeout = heartbeat_timeout(subscribed.heartbeat_interval_seconds);
        let entered = self.enter(
            &master,
            resumed.as_deref() == Some("true"),
            cluster_id,
            position,
            subscribed,
        );
        if let Err(end) = entered.await {
            return (end, false);
        }
        let end = self.read_events(&master, &mut events, heartbeat_timeout).await;
        if let End::Retry { reason, .. } = &end {
            let reason = reason.clone();
            self.notify(EventNotice::Disconnected { master, reason }).await;
        }
        (end, true)
    }

    /// Posts SUBSCRIBE to whoever leads, `master` first.
    async fn subscribe(&self, master: &str) -> Result<(String, Response), End> {
        let post = |master: String| async move { self.post_subscribe(&master).await };
        let (master, response) = subscribe_at_leader(&self.finder, master, SUBSCRIBE_TIMEOUT, post).await?;
        let status = response.status;
        if status == 200 {
            return Ok((master, response));
        }
        let text = format!(
            "{master} answered SUBSCRIBE with {status}: {}",
            error_text(response).await
        );
        let is_final = (400..500).contains(&status) || status == 501;
        Err(if is_final { End::Final(text) } else { retry(text) })
    }

    async fn post_subscribe(&self, master: &str) -> Result<Response, HttpError> {
        let call = Call {
            r#type: Some(call::Type::Subscribe.into()),
            ..Call::default()
        };
        let body: Bytes = self.encoding.encode(&call);
        let position = self.position.map(|position| position.to_string());
        let mut headers = Vec::new();
        if let Some(position) = &position {
            headers.push((RESUME_FROM, position.as_str()));
            if let Some(cluster_id) = &self.cluster_id {
                headers.push((CLUSTER, cluster_id.as_str()));
            }
        }
        self.http
            .post(master, OPERATOR_PATH, self.encoding, &headers, body)
            .await
    }

    /// Takes note of where the stream starts and says so.
    async fn enter(
        &mut self,
        master: &str,
        resumed: bool,
        cluster_id: Option<String>,
        position: Option<EventPosition>,
        subscribed: Subscribed,
    ) -> Result<(), End> {
        let master = master.to_owned();
        self.cluster_id = cluster_id;
        if resumed {
            let Some(position) = self.position.filter(|asked| position == Some(*asked)) else {
                // Nothing but the state can put this right.
                let asked = self.position.take();
                return Err(retry(format!(
                    "it goes on at {position:?} although {asked:?} was asked for"
                )));
            };
            self.notify(EventNotice::Resumed { master, position }).await;
        } else {
            self.position = position;
            let state = Box::new(subscribed.get_state.unwrap_or_default());
            self.notify(EventNotice::State {
                master,
                state,
                position,
            })
            .await;
        }
        Ok(())
    }

    /// Hands events on until the stream is to be left. While the reader of the notices is slow nothing more is read, but
    /// a master that is gone is noticed all the same.
    async fn read_events(&mut self, master: &str, events: &mut EventStream, heartbeat_timeout: Duration) -> End {
        let finder = self.finder.clone();
        let notices = self.notices.clone();
        let mut turn = 0;
        let mut check = Box::pin(finder.next_check(master, LEADER_CHECK_INTERVAL, &mut turn));
        let mut waiting: Option<EventNotice> = None;
        loop {
            tokio::select! {
                // What has arrived is handed on before anything else is decided.
                biased;
                permit = notices.reserve(), if waiting.is_some() => match (permit, waiting.take()) {
                    (Ok(permit), Some(notice)) => permit.send(notice),
                    _ => return retry("nobody reads the notices any more"),
                },
                next = timeout(heartbeat_timeout, events.next::<Event>()), if waiting.is_none() => match next {
                    Err(_) => return retry(format!("nothing was heard for {heartbeat_timeout:?}")),
                    Ok(Err(error)) => return retry(error.to_string()),
                    Ok(Ok(None)) => return retry("the master ended the stream"),
                    Ok(Ok(Some(event))) => match self.take(event) {
                        Ok(notice) => waiting = notice,
                        Err(end) => return end,
                    },
                },
                other = &mut check => {
                    if let Some(other) = other {
                        return End::Retry { reason: format!("{other} leads now"), next: Some(other) };
                    }
                    drop(check);
                    check = Box::pin(finder.next_check(master, LEADER_CHECK_INTERVAL, &mut turn));
                }
            }
        }
    }

    /// What to make of an event: a notice, nothing, or the end of the stream.
    fn take(&mut self, event: Event) -> Result<Option<EventNotice>, End> {
        let position = position_of(&event)?;
        let is_heartbeat = event.r#type() == EventType::Heartbeat;
        match (self.position, position) {
            // A heartbeat may repeat it.
            (Some(seen), Some(position)) if position < seen || (position == seen && !is_heartbeat) => {
                return Err(retry(format!("an event at {position} came behind {seen}")));
            }
            (Some(seen), None) => return Err(retry(format!("an event without a position came behind {seen}"))),
            _ => {}
        }
        self.position = position;
        Ok(match event.r#type() {
            EventType::Heartbeat | EventType::Subscribed | EventType::Unknown => None,
            _ => Some(EventNotice::Event {
                event: Box::new(event),
                position,
            }),
        })
    }

    /// Waits for room; a reader that is gone is noticed by the task that runs this loop.
    async fn notify(&self, notice: EventNotice) {
        if self.notices.send(notice).await.is_err() {
            debug!("nobody reads the notices any more");
        }
    }
}

/// The SUBSCRIBED event every stream begins with.
async fn first_event(events: &mut EventStream) -> Result<(Option<EventPosition>, Subscribed), End> {
    let event: Event = match events.next().await {
        Ok(Some(event)) => event,
        Ok(None) => return Err(retry("the stream ended before SUBSCRIBED")),
        Err(error) => return Err(retry(error.to_string())),
    };
    let position = position_of(&event)?;
    match (event.r#type(), event.subscribed) {
        (EventType::Subscribed, Some(subscribed)) => Ok((position, subscribed)),
        (other, _) => Err(retry(format!("the stream began with {other:?} instead of SUBSCRIBED"))),
    }
}

fn position_of(event: &Event) -> Result<Option<EventPosition>, End> {
    let parsed = event.position.as_deref().map(str::parse::<EventPosition>).transpose();
    parsed.map_err(|error| retry(error.to_string()))
}
