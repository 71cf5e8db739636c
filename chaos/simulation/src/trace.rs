//! Everything that happens in a run, as a hash and, if asked for, as text: two runs of a seed must agree in all of it.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::Xxh3;

/// Takes what happens, in order. Cheap to clone; all clones are the same trace.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<State>>);

struct State {
    hash: Xxh3,
    events: u64,
    file: Option<BufWriter<File>>,
    failed: Option<io::Error>,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Trace")
    }
}

impl Trace {
    /// A trace; its text goes to `file`.
    pub(crate) fn new(file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(File::create).transpose()?.map(BufWriter::new);
        Ok(Trace(Arc::new(Mutex::new(State {
            hash: Xxh3::new(),
            events: 0,
            file,
            failed: None,
        }))))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened that numbers describe.
    pub(crate) fn numbers(&self, at: u64, what: &'static str, numbers: &[u64]) {
        let mut state = self.state();
        state.events += 1;
        state.hash.update(what.as_bytes());
        state.hash.update(&at.to_le_bytes());
        for number in numbers {
            state.hash.update(&number.to_le_bytes());
        }
        state.line(|file| writeln!(file, "{at} {what} {numbers:?}"));
    }

    /// Something happened that text describes.
    pub(crate) fn text(&self, at: u64, what: &'static str, text: &impl Display) {
        let text = text.to_string();
        let mut state = self.state();
        state.events += 1;
        state.hash.update(what.as_bytes());
        state.hash.update(&at.to_le_bytes());
        state.hash.update(text.as_bytes());
        state.line(|file| writeln!(file, "{at} {what} {text}"));
    }

    /// Ends the trace: its hash and the number of events.
    ///
    /// # Errors
    /// The first failure to write the file.
    pub(crate) fn finish(&self) -> io::Result<(u64, u64)> {
        let mut state = self.state();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        if let Some(file) = &mut state.file {
            file.flush()?;
        }
        Ok((state.hash.digest(), state.events))
    }
}

impl State {
    fn line(&mut self, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = write(file)
            && self.failed.is_none()
        {
            self.failed = Some(error);
        }
    }
}
