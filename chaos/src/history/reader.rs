//! Reading a history, and what is wrong with a file that is none.

use std::io::{self, BufRead, Write};

use super::{FORMAT, Record, Run};

/// A whole history in memory, in the order in which it was written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// All lines.
    pub records: Vec<Record>,
}

/// Why a file is not a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error("cannot read the history")]
    Read(#[from] io::Error),
    /// A line is not a record.
    #[error("line {line} of the history is not a record: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: serde_json::Error,
    },
    /// It does not begin with the run.
    #[error("the history does not begin with a line that says what was run")]
    NoRun,
    /// It is of another version.
    #[error("the history has format {found}: expected {FORMAT}")]
    Format {
        /// What it says.
        found: u32,
    },
}

impl History {
    /// Reads JSON lines. A last line without its end, as a killed run leaves it, is left out.
    ///
    /// # Errors
    /// The file cannot be read, or is not a history of this version.
    pub fn read(mut input: impl BufRead) -> Result<History, HistoryError> {
        let mut records = Vec::new();
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            if input.read_until(b'\n', &mut text)? == 0 {
                break;
            }
            if text.last() != Some(&b'\n') {
                break;
            }
            let record = serde_json::from_slice(&text).map_err(|problem| HistoryError::Line { line, problem })?;
            records.push(record);
        }
        let history = History { records };
        let run = history.run().ok_or(HistoryError::NoRun)?;
        if run.format != FORMAT {
            return Err(HistoryError::Format { found: run.format });
        }
        Ok(history)
    }

    /// Writes JSON lines.
    ///
    /// # Errors
    /// Those of `output`.
    pub fn write(&self, mut output: impl Write) -> io::Result<()> {
        for record in &self.records {
            serde_json::to_writer(&mut output, record)?;
            output.write_all(b"\n")?;
        }
        output.flush()
    }

    /// What was run.
    pub fn run(&self) -> Option<&Run> {
        match self.records.first() {
            Some(Record::Run(run)) => Some(run),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Operation, Outcome, Recorder, Sight};

    fn recorded() -> History {
        let recorder = Recorder::new(|| 5);
        recorder.record(Record::Run(Run {
            format: FORMAT,
            harness: "simulation".into(),
            seed: u64::MAX,
            ..Run::default()
        }));
        let write = |value: &str| Operation::Write {
            object: "quota/a".into(),
            value: value.into(),
        };
        let first = recorder.begin("c", write("1"));
        recorder.begin("c", write("2"));
        recorder.saw("f", Sight::Rescinded { offer: "o".into() });
        recorder.end(first, Outcome::Ok { value: String::new() });
        recorder.finish().unwrap()
    }

    #[test]
    fn a_history_survives_writing_and_reading() {
        let history = recorded();
        let mut bytes = Vec::new();
        history.write(&mut bytes).unwrap();
        assert_eq!(History::read(&bytes[..]).unwrap(), history);
        // What a killed run leaves is a history too.
        assert_eq!(History::read(&bytes[..bytes.len() - 1]).unwrap().records.len(), 3);
    }

    #[test]
    fn a_call_nobody_answered_is_unknown() {
        let history = recorded();
        let Some(Record::Call(call)) = history.records.last() else {
            panic!("{history:?}")
        };
        assert_eq!((call.id, call.returned), (1, None));
        assert!(matches!(call.outcome, Outcome::Unknown { .. }));
    }

    #[test]
    fn what_is_no_history_is_refused_in_words() {
        let refused = |text: &str| History::read(text.as_bytes()).unwrap_err().to_string();
        assert!(refused("").contains("does not begin"));
        assert!(refused("{}\n").contains("line 1"));
        let other = recorded();
        let mut bytes = Vec::new();
        other.write(&mut bytes).unwrap();
        let text = String::from_utf8(bytes)
            .unwrap()
            .replacen("\"format\":1", "\"format\":9", 1);
        assert!(refused(&text).contains("format 9: expected 1"));
    }
}
