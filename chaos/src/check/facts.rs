//! A history sorted by what its lines are, with their numbers: what the rules read.

use crate::history::{
    Call, Coverage, FaultRecord, History, Micros, Operation, Outcome, Phase, Record, ReplicaSample, Run, Seen, Sight,
};

/// Something of a history, and the number of its line, counted from 1.
#[derive(Debug)]
pub struct At<'a, T> {
    /// Number of the line.
    pub line: usize,
    /// What the line says.
    pub is: &'a T,
}

impl<T> Clone for At<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for At<'_, T> {}

/// A history sorted by kinds of lines; the order within a kind is that of the file.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// What was run.
    pub run: Option<&'a Run>,
    /// Phases with their begin.
    pub phases: Vec<(Micros, Phase)>,
    /// Calls, in the order in which they ended.
    pub calls: Vec<At<'a, Call>>,
    /// Sights, in the order in which they were seen.
    pub seen: Vec<At<'a, Seen>>,
    /// Samples of replicas, in the order in which they were taken.
    pub replicas: Vec<At<'a, ReplicaSample>>,
    /// Begins and ends of faults.
    pub faults: Vec<At<'a, FaultRecord>>,
    /// Counters.
    pub coverage: Vec<&'a Coverage>,
    /// The latest time in the history.
    pub end: Micros,
}

impl<'a> Facts<'a> {
    /// Sorts a history.
    pub fn of(history: &'a History) -> Facts<'a> {
        let mut facts = Facts::default();
        for (index, record) in history.records.iter().enumerate() {
            let line = index + 1;
            let at = match record {
                Record::Run(run) => {
                    facts.run.get_or_insert(run);
                    0
                }
                Record::Phase(begun) => {
                    facts.phases.push((begun.at, begun.phase));
                    begun.at
                }
                Record::Call(call) => {
                    facts.calls.push(At { line, is: call });
                    call.returned.unwrap_or(call.called)
                }
                Record::Seen(seen) => {
                    facts.seen.push(At { line, is: seen });
                    seen.at
                }
                Record::Replica(sample) => {
                    facts.replicas.push(At { line, is: sample });
                    sample.at
                }
                Record::Fault(fault) => {
                    facts.faults.push(At { line, is: fault });
                    fault.at
                }
                Record::Coverage(coverage) => {
                    facts.coverage.push(coverage);
                    0
                }
            };
            facts.end = facts.end.max(at);
        }
        facts
    }

    /// When a phase began.
    pub fn began(&self, phase: Phase) -> Option<Micros> {
        self.phases.iter().find(|(_, found)| *found == phase).map(|(at, _)| *at)
    }

    /// Number of calls that were made, as their ids say, and are not in the history.
    pub fn missing_calls(&self) -> u64 {
        let made = self.calls.iter().map(|call| call.is.id + 1).max().unwrap_or(0);
        made.saturating_sub(self.calls.len() as u64)
    }

    /// Sights with their time, observer and line.
    pub(super) fn sights(&self) -> impl Iterator<Item = (usize, &'a Seen, &'a Sight)> {
        self.seen.iter().map(|seen| (seen.line, seen.is, &seen.is.what))
    }
}

/// A call as a checker sees it.
impl Call {
    /// What was read, if the call was acknowledged.
    pub fn value(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Ok { value } => Some(value),
            Outcome::Refused { .. } | Outcome::Unknown { .. } => None,
        }
    }

    /// Whether it was acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        self.value().is_some()
    }

    /// Whether it certainly had no effect.
    pub fn is_refused(&self) -> bool {
        matches!(self.outcome, Outcome::Refused { .. })
    }

    /// When it can have had its effect at the latest; the end of time for one whose answer nobody got.
    pub fn latest(&self) -> Micros {
        match (&self.outcome, self.returned) {
            (Outcome::Unknown { .. }, _) | (_, None) => Micros::MAX,
            (_, Some(returned)) => returned,
        }
    }

    /// Whether it changes what the masters hold.
    pub fn is_write(&self) -> bool {
        !matches!(
            self.operation,
            Operation::Read { .. } | Operation::ReadTask { .. } | Operation::Reconcile { .. }
        )
    }
}
