//! SUBSCRIBE: the stream of operator events.
//!
//! A stream is a position in this replica's [`EventLog`]. It starts behind the last entry of the state it is given, taken in
//! one turn of the actor, or behind the position a reader names that was here, or at another master, before; from then on it
//! sends what follows. It ends with its final chunk when the leadership is over, when too many newer streams were opened, or
//! when its reader has fallen so far behind that the events it would need are gone.
//!
//! Two header fields of the request are ours; whoever does not send them gets what Mesos sends. See `docs/events.md`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libprocess::{HttpRequest, HttpResponse};
use proto::ext::event_position::EventPosition;
use proto::recordio;
use proto::v1::master::Event;
use proto::v1::master::event::{Subscribed, Type};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::MissedTickBehavior;

use super::{event_message, reads, writer};
use crate::actor::{Context, Input};
use crate::event_log::EventLog;
use crate::http::service::confirm_lead;
use crate::http::view::View;
use crate::leadership::reply::Answer;
use crate::leadership::stream::MediaType;
use crate::leadership::{SoftState, StreamStart};
use crate::metrics::Metrics;

/// Request: the position behind which the stream is to go on.
const RESUME_FROM: &str = "Mesoraft-Resume-From";
/// Response and request: the cluster a position belongs to.
const CLUSTER: &str = "Mesoraft-Cluster";
/// Response: the position at which the stream starts.
const POSITION: &str = "Mesoraft-Position";
/// Response: `true` when the stream goes on where the request said, `false` when it starts with a state.
const RESUMED: &str = "Mesoraft-Resumed";

/// Records on their way to one connection; what waits longer stays in the event log, where all streams share it.
const RECORDS_QUEUED: usize = 16;

/// Events taken out of the log in one go.
const PORTION: usize = 256;

/// Where a reader wants to go on.
#[derive(Debug, PartialEq, Eq)]
struct ResumeFrom {
    position: EventPosition,
    /// Of which cluster, if it says so.
    cluster_id: Option<String>,
}

/// Answers with a stream.
pub(super) async fn subscribe(context: &Context, request: &HttpRequest, media_type: MediaType) -> Answer {
    let resume_from = match resume_from(request) {
        Ok(resume_from) => resume_from,
        Err(response) => return response.into(),
    };
    if let Err(answer) = confirm_lead(context).await {
        return answer;
    }
    let Some(start) = stream_start(context).await else {
        return Answer::AskLeader;
    };
    let cluster_id = start.state.registry.cluster().id.clone().unwrap_or_default();
    let resumed = resume_from
        .filter(|from| from.cluster_id.as_deref().is_none_or(|id| *id == *cluster_id))
        .map(|from| from.position)
        .filter(|position| context.event_log.can_resume(*position));
    let position = resumed.unwrap_or(EventPosition::behind(start.applied_index));
    let heartbeat_interval = context.config.heartbeat_interval;
    let (sender, body) = mpsc::channel(RECORDS_QUEUED);
    let stream = Stream {
        log: Arc::clone(&context.event_log),
        appended: context.event_log.appended(),
        media_type,
        position,
        sender: sender.clone(),
        heartbeat_interval,
    };
    let mut ticket = context
        .event_streams
        .admit(context.config.max_operator_event_stream_subscribers);
    let StreamStart { state, leadership, .. } = start;
    let (seams, metrics) = (context.seams.clone(), Arc::clone(&context.metrics));
    tokio::spawn(async move {
        let sending = async {
            let first = if resumed.is_some() {
                Ok(record(
                    media_type,
                    &event_message::resumed(position, heartbeat_interval.as_secs_f64()),
                ))
            } else {
                let encode = move || recordio::encode(&subscribed(media_type, &state, position, heartbeat_interval));
                seams.blocking.run(encode).await
            };
            match first {
                Ok(first) => stream.run(first, &metrics).await,
                Err(error) => tracing::error!(%error, "the state for a stream of events could not be encoded"),
            }
        };
        tokio::select! {
            biased;
            () = over(leadership) => {}
            () = ticket.superseded() => tracing::info!("a stream of events makes room for a newer one"),
            () = sender.closed() => {}
            () = sending => {}
        }
    });
    HttpResponse::stream(media_type.as_str(), body)
        .header(CLUSTER, &*cluster_id)
        .header(POSITION, position.to_string())
        .header(RESUMED, resumed.is_some().to_string())
        .into()
}

/// What the request says about resuming. Errors: a position that is none.
fn resume_from(request: &HttpRequest) -> Result<Option<ResumeFrom>, HttpResponse> {
    let Some(text) = request.headers.get(RESUME_FROM) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(position) => Ok(Some(ResumeFrom {
            position,
            cluster_id: request.headers.get(CLUSTER).map(str::to_owned),
        })),
        Err(error) => Err(HttpResponse::text(400, format!("{RESUME_FROM}: {error}"))),
    }
}

async fn stream_start(context: &Context) -> Option<StreamStart> {
    let (sender, receiver) = oneshot::channel();
    context.mailbox.send(Input::OperatorStream(sender)).await.ok()?;
    receiver.await.ok()
}

/// Resolves when the leadership has ended.
async fn over(mut leadership: watch::Receiver<()>) {
    while leadership.changed().await.is_ok() {}
}

/// SUBSCRIBED with the state behind `position`.
fn subscribed(
    media_type: MediaType,
    state: &SoftState,
    position: EventPosition,
    heartbeat_interval: Duration,
) -> Vec<u8> {
    writer::whole(media_type, |to| {
        to.fields(&event_message::typed(Type::Subscribed, position));
        to.message(2, "subscribed", |to| {
            let view = View::new(state);
            to.message(1, "get_state", |to| reads::stream_state(to, &view));
            to.fields(&Subscribed {
                get_state: None,
                heartbeat_interval_seconds: Some(heartbeat_interval.as_secs_f64()),
            });
        });
    })
}

fn record(media_type: MediaType, event: &Event) -> Bytes {
    recordio::encode(&media_type.encode(event))
}

/// One stream.
struct Stream {
    log: Arc<EventLog>,
    appended: watch::Receiver<EventPosition>,
    media_type: MediaType,
    /// Behind the last event sent.
    position: EventPosition,
    sender: mpsc::Sender<Bytes>,
    heartbeat_interval: Duration,
}

/// Why a stream cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The reader is gone, or the master stops.
    Gone,
    /// The events the reader needs next are forgotten.
    TooSlow,
}

impl Stream {
    /// Sends `first` and what follows, until the reader is gone or too slow.
    async fn run(mut self, first: Bytes, metrics: &Metrics) {
        if let Err(End::TooSlow) = self.follow(first).await {
            tracing::info!(position = %self.position, "closed a stream of events whose reader did not keep up");
            metrics.slow_event_stream();
        }
    }

    async fn follow(&mut self, first: Bytes) -> Result<(), End> {
        self.send(first).await?;
        // The first one at once, as in Mesos.
        let mut heartbeats = tokio::time::interval(self.heartbeat_interval);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let had_events = self.send_events().await?;
            tokio::select! {
                biased;
                _ = heartbeats.tick() => {
                    let heartbeat = record(self.media_type, &event_message::heartbeat(self.position));
                    self.send(heartbeat).await?;
                }
                // There may be more.
                () = std::future::ready(()), if had_events => {}
                changed = self.appended.changed() => changed.map_err(|_| End::Gone)?,
            }
        }
    }

    /// Sends the next events; says whether there were any.
    async fn send_events(&mut self) -> Result<bool, End> {
        let read = self.log.read(self.position, PORTION).map_err(|_| End::TooSlow)?;
        for logged in &read.events {
            let encode = || record(self.media_type, &event_message::event(&logged.event, logged.position));
            self.send(logged.record(self.media_type, encode)).await?;
            self.position = logged.position;
        }
        self.position = read.position;
        Ok(!read.events.is_empty())
    }

    /// Waits for room, but not for a reader that has fallen too far behind.
    async fn send(&mut self, record: Bytes) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                permit = self.sender.reserve() => {
                    permit.map_err(|_| End::Gone)?.send(record);
                    return Ok(());
                }
                changed = self.appended.changed() => {
                    changed.map_err(|_| End::Gone)?;
                    if self.log.has_forgotten(self.position) {
                        return Err(End::TooSlow);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
