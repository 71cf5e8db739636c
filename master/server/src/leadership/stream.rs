//! The event stream of one subscribed framework.

use bytes::Bytes;
use proto::v1::scheduler::{self, Event, event};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Events a slow framework may lag behind before its stream is closed; it resubscribes and reconciles.
const EVENTS_QUEUED: usize = 65_536;

/// How bodies are encoded on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`
    Json,
    /// `application/x-protobuf`
    Protobuf,
}

impl MediaType {
    /// The header value.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            MediaType::Json => "application/json",
            MediaType::Protobuf => "application/x-protobuf",
        }
    }

    /// Encodes one message.
    pub(crate) fn encode<M: prost::Message + proto::json::JsonMessage>(self, message: &M) -> Vec<u8> {
        match self {
            MediaType::Json => proto::json::to_vec(message),
            MediaType::Protobuf => message.encode_to_vec(),
        }
    }
}

/// The master's end of an event stream. Dropping it ends the stream cleanly.
#[derive(Debug)]
pub(crate) struct EventStream {
    /// `Mesos-Stream-Id`.
    pub(crate) id: Uuid,
    /// The id as the peer must repeat it.
    pub(crate) id_text: String,
    media_type: MediaType,
    events: mpsc::Sender<Bytes>,
}

/// The framework does not read: its queue is full, or its connection is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotReading;

impl EventStream {
    /// A stream and the receiving end that becomes the response's body, one record per chunk.
    pub(crate) fn new(id: Uuid, media_type: MediaType) -> (EventStream, mpsc::Receiver<Bytes>) {
        let (events, body) = mpsc::channel(EVENTS_QUEUED);
        (
            EventStream {
                id,
                id_text: id.to_string(),
                media_type,
                events,
            },
            body,
        )
    }

    /// Queues one event.
    ///
    /// Errors: [`NotReading`]; the caller disconnects the framework.
    pub(crate) fn send(&self, event: &Event) -> Result<(), NotReading> {
        let record = proto::recordio::encode(&self.media_type.encode(event));
        self.events.try_send(record).map_err(|_| NotReading)
    }
}

/// An event with its sub-message left to the caller.
pub(crate) fn event(r#type: event::Type) -> Event {
    Event {
        r#type: Some(r#type as i32),
        ..Event::default()
    }
}

/// `ERROR` with a text.
pub(crate) fn error_event(message: &str) -> Event {
    Event {
        error: Some(scheduler::event::Error {
            message: message.to_owned(),
        }),
        ..event(event::Type::Error)
    }
}
