//! Writing a history. One recorder is shared by all clients, agents and observers of a run.

use std::collections::BTreeMap;
use std::fmt::{Debug, Formatter};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Call, History, Micros, Operation, Outcome, Record, Seen, Sight};

/// Names an open call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId(u64);

/// Takes records in the order in which they happen. Cheap to clone; all clones write the same history.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    clock: Box<dyn Fn() -> Micros + Send + Sync>,
    state: Mutex<State>,
}

struct State {
    next: u64,
    open: BTreeMap<CallId, Open>,
    records: Vec<Record>,
    file: Option<Box<dyn Write + Send>>,
    /// The first failure to write; reported by [`Recorder::finish`].
    failed: Option<io::Error>,
}

struct Open {
    client: String,
    called: Micros,
    operation: Operation,
}

impl Debug for Recorder {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Recorder")
    }
}

impl Recorder {
    /// A recorder whose times come from `clock`: microseconds since the run began, the same clock for everybody.
    pub fn new(clock: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Recorder(Arc::new(Shared {
            clock: Box::new(clock),
            state: Mutex::new(State {
                next: 0,
                open: BTreeMap::new(),
                records: Vec::new(),
                file: None,
                failed: None,
            }),
        }))
    }

    /// Writes every record to `file` too, as it comes: what a crashed run leaves behind.
    #[must_use]
    pub fn with_file(self, file: impl Write + Send + 'static) -> Self {
        self.state().file = Some(Box::new(file));
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time now.
    pub fn now(&self) -> Micros {
        (self.0.clock)()
    }

    /// Takes a record.
    pub fn record(&self, record: Record) {
        self.state().push(record);
    }

    /// `observer` saw something just now.
    pub fn saw(&self, observer: &str, what: Sight) {
        // The clock is read under the lock, so that times rise along the file.
        let mut state = self.state();
        let seen = Seen {
            at: self.now(),
            observer: observer.to_owned(),
            what,
        };
        state.push(Record::Seen(seen));
    }

    /// A call is about to be made.
    pub fn begin(&self, client: &str, operation: Operation) -> CallId {
        let mut state = self.state();
        let id = CallId(state.next);
        state.next += 1;
        let open = Open {
            client: client.to_owned(),
            called: self.now(),
            operation,
        };
        state.open.insert(id, open);
        id
    }

    /// The answer to a call came, or it was given up (an unknown outcome has no time of return).
    pub fn end(&self, id: CallId, outcome: Outcome) {
        let mut state = self.state();
        let returned = match outcome {
            Outcome::Unknown { .. } => None,
            Outcome::Ok { .. } | Outcome::Refused { .. } => Some(self.now()),
        };
        state.close(id, returned, outcome);
    }

    /// Ends the history: open calls become unknown. Returns all of it.
    ///
    /// # Errors
    /// The first failure to write the file.
    pub fn finish(&self) -> io::Result<History> {
        let mut state = self.state();
        let open: Vec<CallId> = state.open.keys().copied().collect();
        for id in open {
            let reason = "still open when the run ended".to_owned();
            state.close(id, None, Outcome::Unknown { reason });
        }
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        if let Some(file) = &mut state.file {
            file.flush()?;
        }
        Ok(History {
            records: std::mem::take(&mut state.records),
        })
    }
}

impl State {
    fn close(&mut self, id: CallId, returned: Option<Micros>, outcome: Outcome) {
        let Some(open) = self.open.remove(&id) else {
            // Ended twice: the first answer counts.
            return;
        };
        self.push(Record::Call(Call {
            id: id.0,
            client: open.client,
            called: open.called,
            returned,
            operation: open.operation,
            outcome,
        }));
    }

    fn push(&mut self, record: Record) {
        if let Some(file) = &mut self.file
            && self.failed.is_none()
        {
            let written = serde_json::to_writer(&mut *file, &record).map_err(io::Error::from);
            if let Err(error) = written.and_then(|()| file.write_all(b"\n")) {
                self.failed = Some(error);
            }
        }
        self.records.push(record);
    }
}
