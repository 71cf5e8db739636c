//! The most recent operator events, in log order: kept by every replica, read by the event streams of the leading one.
//!
//! Apply appends what each entry gave rise to; a stream is nothing but a position up to which it has read. A stream has no
//! queue of its own that could lose or repeat an event: it gets the events behind its position without a gap, or is told that
//! they are gone. Memory is bounded by bytes, however many streams read and however slow they are.
//!
//! Only committed entries are applied, so that nothing in here is ever taken back; every replica applies the same entries and
//! holds the same events at the same positions, which is why a stream can go on at another master.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use master_core::Event;
use proto::ext::event_position::EventPosition;
use tokio::sync::watch;

use crate::leadership::stream::MediaType;

/// Memory the events of one replica may take, in bytes: those of about 25,000 short tasks. That is several seconds of a
/// cluster that launches as fast as it can and longer than a failover takes, which is what resuming is for.
pub(crate) const EVENT_BYTES_MAX: usize = 128 << 20;

/// An event counts for its own memory and, from the start, for both encodings: protobuf takes about as much as the event's
/// parts, JSON two to three times as much.
const ENCODINGS_FACTOR: usize = 4;

/// What an event counts for beside that: pointers, allocations, envelopes.
const EVENT_OVERHEAD_BYTES: usize = 512;

/// An event and where it stands.
#[derive(Debug)]
pub(crate) struct LoggedEvent {
    /// Right behind the event.
    pub(crate) position: EventPosition,
    /// What happened.
    pub(crate) event: Event,
    json: OnceLock<Bytes>,
    protobuf: OnceLock<Bytes>,
}

impl LoggedEvent {
    pub(crate) fn new(position: EventPosition, event: Event) -> LoggedEvent {
        LoggedEvent {
            position,
            event,
            json: OnceLock::new(),
            protobuf: OnceLock::new(),
        }
    }

    /// The event as streams send it: encoded once, for all streams.
    pub(crate) fn record(&self, media_type: MediaType, encode: impl FnOnce() -> Bytes) -> Bytes {
        let record = match media_type {
            MediaType::Json => &self.json,
            MediaType::Protobuf => &self.protobuf,
        };
        record.get_or_init(encode).clone()
    }

    fn bytes(&self) -> usize {
        let parts = self.event.bytes_estimate().saturating_mul(ENCODINGS_FACTOR);
        EVENT_OVERHEAD_BYTES.saturating_add(parts)
    }
}

/// The events behind this position are not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Forgotten;

/// What a reader gets in one go.
#[derive(Debug)]
pub(crate) struct Read {
    /// In order.
    pub(crate) events: Vec<Arc<LoggedEvent>>,
    /// How far the reader has got with them; at the end of the log behind the last applied entry.
    pub(crate) position: EventPosition,
}

#[derive(Debug, Default)]
struct Recent {
    /// Ordered by position.
    events: VecDeque<Arc<LoggedEvent>>,
    bytes: usize,
    /// Every event behind this position is here.
    from: EventPosition,
    /// Behind the last applied entry.
    upto: EventPosition,
}

/// The events of one replica.
#[derive(Debug)]
pub(crate) struct EventLog {
    recent: Mutex<Recent>,
    bytes_max: usize,
    appended: watch::Sender<EventPosition>,
}

impl EventLog {
    /// Without events; `bytes_max` as [`EVENT_BYTES_MAX`].
    pub(crate) fn new(bytes_max: usize) -> EventLog {
        EventLog {
            recent: Mutex::default(),
            bytes_max,
            appended: watch::Sender::new(EventPosition::default()),
        }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in the events of the entries up to `index`, in order; the oldest make room.
    pub(crate) fn append(&self, events: impl Iterator<Item = LoggedEvent>, index: u64) {
        let upto = EventPosition::behind(index);
        let mut recent = self.recent();
        for event in events {
            recent.bytes += event.bytes();
            recent.events.push_back(Arc::new(event));
        }
        recent.upto = upto;
        while recent.bytes > self.bytes_max {
            let Some(oldest) = recent.events.pop_front() else { break };
            recent.bytes -= oldest.bytes();
            recent.from = oldest.position;
        }
        drop(recent);
        self.appended.send_replace(upto);
    }

    /// The replica's state was replaced by the one after entry `index`: what happened on the way there is not known.
    pub(crate) fn start_over(&self, index: u64) {
        let upto = EventPosition::behind(index);
        *self.recent() = Recent {
            from: upto,
            upto,
            ..Recent::default()
        };
        self.appended.send_replace(upto);
    }

    /// At most `count` events behind `position`.
    pub(crate) fn read(&self, position: EventPosition, count: usize) -> Result<Read, Forgotten> {
        let recent = self.recent();
        if position < recent.from {
            return Err(Forgotten);
        }
        let first = recent.events.partition_point(|event| event.position <= position);
        let events: Vec<_> = recent.events.range(first..).take(count).cloned().collect();
        let at_end = first + events.len() == recent.events.len();
        let position = match events.last() {
            Some(last) if !at_end => last.position,
            _ => recent.upto.max(position),
        };
        Ok(Read { events, position })
    }

    /// Whether a stream can go on behind `position`: nothing that follows is forgotten, and this log has come so far.
    pub(crate) fn can_resume(&self, position: EventPosition) -> bool {
        let recent = self.recent();
        (recent.from..=recent.upto).contains(&position)
    }

    /// Whether events behind `position` are forgotten.
    pub(crate) fn has_forgotten(&self, position: EventPosition) -> bool {
        position < self.recent().from
    }

    /// Changes with each applied batch: the position behind it.
    pub(crate) fn appended(&self) -> watch::Receiver<EventPosition> {
        self.appended.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(index: u64, number: u32) -> LoggedEvent {
        let agent_id = format!("{index}.{number}").as_str().into();
        LoggedEvent::new(EventPosition { index, number }, Event::AgentRemoved { agent_id })
    }

    fn at(text: &str) -> EventPosition {
        text.parse().unwrap()
    }

    fn positions(read: &Read) -> Vec<String> {
        read.events.iter().map(|event| event.position.to_string()).collect()
    }

    /// Entries 3, 4 (two events), 6; entries 5 and 7 have none.
    fn log() -> EventLog {
        let log = EventLog::new(EVENT_BYTES_MAX);
        log.append([event(3, 1), event(4, 1), event(4, 2)].into_iter(), 5);
        log.append([event(6, 1)].into_iter(), 7);
        log
    }

    #[test]
    fn a_reader_gets_every_event_behind_its_position_once_and_in_order() {
        let log = log();
        let all = ["3.1", "4.1", "4.2", "6.1"];
        for (from, seen) in [
            ("0.0", 0),
            ("3.0", 0),
            ("3.1", 1),
            ("4.0", 1),
            ("4.1", 2),
            ("4.2", 3),
            ("5.0", 3),
            ("6.1", 4),
            ("8.0", 4),
        ] {
            for count in 1..6 {
                let mut position = at(from);
                let mut got = Vec::new();
                loop {
                    let read = log.read(position, count).unwrap();
                    if read.events.is_empty() {
                        break;
                    }
                    assert!(read.position > position);
                    got.extend(positions(&read));
                    position = read.position;
                }
                assert_eq!(got, all[seen..], "behind {from} in portions of {count}");
                assert_eq!(log.read(position, count).unwrap().position, at("8.0"));
            }
        }
    }

    #[test]
    fn old_events_make_room_and_a_reader_that_misses_them_is_told() {
        let cost = event(1, 1).bytes();
        let log = EventLog::new(3 * cost);
        log.append((1..=4).map(|index| event(index, 1)), 4);
        assert_eq!(log.read(at("1.0"), 9).unwrap_err(), Forgotten);
        assert!(!log.can_resume(at("1.0")) && log.has_forgotten(at("1.0")));
        // The first is gone; who has seen it misses nothing.
        assert_eq!(positions(&log.read(at("1.1"), 9).unwrap()), ["2.1", "3.1", "4.1"]);
        assert!(log.can_resume(at("1.1")) && log.can_resume(at("5.0")));
        // Of another cluster, or of a log that was lost.
        assert!(!log.can_resume(at("5.1")));
        log.append([event(9, 1), event(9, 2), event(9, 3)].into_iter(), 9);
        assert_eq!(log.read(at("4.0"), 9).unwrap_err(), Forgotten);
        assert_eq!(positions(&log.read(at("4.1"), 9).unwrap()), ["9.1", "9.2", "9.3"]);
        assert!(log.recent().bytes <= 3 * cost);
    }

    #[test]
    fn after_a_snapshot_only_what_follows_it_is_known() {
        let log = log();
        log.start_over(20);
        assert_eq!(log.read(at("8.0"), 9).unwrap_err(), Forgotten);
        assert!(log.can_resume(at("21.0")) && !log.can_resume(at("20.5")));
        log.append([event(21, 1)].into_iter(), 21);
        assert_eq!(positions(&log.read(at("21.0"), 9).unwrap()), ["21.1"]);
    }
}
