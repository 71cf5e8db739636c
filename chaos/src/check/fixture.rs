//! Histories for the tests of rules, told line by line: time advances by one with each.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::Rule;
use super::facts::Facts;
use super::verdict::Finding;
use crate::history::{
    Call, FORMAT, History, Micros, Operation, Outcome, Phase, PhaseBegun, Record, ReplicaSample, Run, Seen, Sight,
};

/// A history being told. Its first line says what was run.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) now: Micros,
    history: History,
    open: BTreeMap<u64, (String, Micros, Operation)>,
    next: Cell<u64>,
}

impl Default for Story {
    fn default() -> Self {
        let run = Run {
            format: FORMAT,
            harness: "simulation".into(),
            masters: 3,
            ..Run::default()
        };
        Story {
            now: 0,
            history: History {
                records: vec![Record::Run(run)],
            },
            open: BTreeMap::new(),
            next: Cell::new(0),
        }
    }
}

impl Story {
    fn tick(&mut self) -> Micros {
        self.now += 1;
        self.now
    }

    pub(crate) fn begin(&mut self, client: &str, operation: Operation) -> u64 {
        let at = self.tick();
        let id = self.next.get();
        self.next.set(id + 1);
        self.open.insert(id, (client.to_owned(), at, operation));
        id
    }

    fn end(&mut self, id: u64, outcome: Outcome) {
        let at = self.tick();
        let (client, called, operation) = self.open.remove(&id).unwrap();
        let returned = (!matches!(outcome, Outcome::Unknown { .. })).then_some(at);
        self.history.records.push(Record::Call(Call {
            id,
            client,
            called,
            returned,
            operation,
            outcome,
        }));
    }

    pub(crate) fn ok(&mut self, id: u64, value: &str) {
        self.end(id, Outcome::Ok { value: value.into() });
    }

    pub(crate) fn refused(&mut self, id: u64) {
        self.end(id, Outcome::Refused { text: "no".into() });
    }

    pub(crate) fn unknown(&mut self, id: u64) {
        self.end(
            id,
            Outcome::Unknown {
                reason: "timeout".into(),
            },
        );
    }

    pub(crate) fn write(&mut self, object: &str, value: &str) -> u64 {
        let (object, value) = (object.to_owned(), value.to_owned());
        self.begin("w", Operation::Write { object, value })
    }

    /// A read that returns at once.
    pub(crate) fn read(&mut self, object: &str, value: &str) {
        let object = object.to_owned();
        let id = self.begin(
            "r",
            Operation::Read {
                object,
                at: String::new(),
            },
        );
        self.ok(id, value);
    }

    /// Agent `agent` reports a task of framework `f`.
    pub(crate) fn report(&mut self, agent: &str, task: &str, state: &str, uuid: &str) -> u64 {
        let operation = Operation::Report {
            agent: agent.into(),
            framework: "f".into(),
            task: task.into(),
            state: state.into(),
            uuid: uuid.into(),
        };
        self.begin(agent, operation)
    }

    /// A read of a task of framework `f` that returns at once.
    pub(crate) fn read_task(&mut self, task: &str, state: &str) {
        let operation = Operation::ReadTask {
            framework: "f".into(),
            task: task.into(),
            at: String::new(),
        };
        let id = self.begin("r", operation);
        self.ok(id, state);
    }

    /// Framework `f` accepts an offer of agent `a` for one task.
    pub(crate) fn launch(&mut self, task: &str, offer: &str) -> u64 {
        let operation = Operation::Launch {
            framework: "f".into(),
            agent: "a".into(),
            offers: vec![offer.into()],
            tasks: vec![task.into()],
        };
        self.begin("s", operation)
    }

    /// Framework `f` is subscribed.
    pub(crate) fn subscribed(leadership: &str, again: bool) -> Sight {
        Sight::Subscribed {
            framework: "f".into(),
            master: "m".into(),
            leadership: leadership.into(),
            again,
        }
    }

    /// Framework `f` gets an update.
    pub(crate) fn updated(task: &str, state: &str, uuid: &str) -> Sight {
        Sight::Updated {
            framework: "f".into(),
            task: task.into(),
            state: state.into(),
            uuid: uuid.into(),
            reason: String::new(),
            source: String::new(),
        }
    }

    /// Agent `a` is registered again.
    pub(crate) fn registered() -> Sight {
        Sight::Registered {
            agent: "a".into(),
            master: "m".into(),
            again: true,
        }
    }

    /// Agent `a` gets the launch of task `t` of framework `f`.
    pub(crate) fn launch_received() -> Sight {
        Sight::LaunchReceived {
            agent: "a".into(),
            framework: "f".into(),
            task: "t".into(),
            master: "m".into(),
            repeated: false,
        }
    }

    /// An event of the operator stream, seen by `o`.
    pub(crate) fn event(&mut self, position: u64, event: &str, subject: &str, state: &str) {
        let (event, subject, state) = (event.to_owned(), subject.to_owned(), state.to_owned());
        self.saw(
            "o",
            Sight::StreamEvent {
                position,
                event,
                subject,
                state,
            },
        );
    }

    pub(crate) fn saw(&mut self, observer: &str, what: Sight) {
        let at = self.tick();
        let observer = observer.to_owned();
        self.history.records.push(Record::Seen(Seen { at, observer, what }));
    }

    /// A sample as it is, or of now if it has no time.
    pub(crate) fn replica(&mut self, mut sample: ReplicaSample) {
        if sample.at == 0 {
            sample.at = self.tick();
        }
        self.history.records.push(Record::Replica(sample));
    }

    pub(crate) fn phase(&mut self, phase: Phase) {
        let at = self.tick();
        self.history.records.push(Record::Phase(PhaseBegun { at, phase }));
    }

    pub(crate) fn history(&self) -> History {
        let mut story = self.clone();
        let open: Vec<u64> = story.open.keys().copied().collect();
        for id in open {
            story.unknown(id);
        }
        story.history
    }

    pub(crate) fn judge(&self, rule: &Rule) -> Finding {
        (rule.judge)(&Facts::of(&self.history()))
    }
}

/// Asserts that the rule held for so many things.
#[track_caller]
pub(crate) fn held(finding: &Finding, looked_at: u64) {
    assert_eq!(*finding, Finding::Held { looked_at });
}

/// The evidence of each violation.
#[track_caller]
pub(crate) fn violated(finding: &Finding) -> Vec<Vec<usize>> {
    match finding {
        Finding::Violated { violations, .. } => violations.iter().map(|one| one.evidence.clone()).collect(),
        other => panic!("not violated: {other:?}"),
    }
}
