//! Registers: each holds one value, empty before the first write.
//!
//! The instant of a write is its commit: the register holds its value from then on. The instant of a read is when the
//! leader has confirmed that it leads: it returns what the register holds. An unknown write may have its instant at any
//! time after it was called, or never.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Rule;
use super::super::facts::{At, Facts};
use super::super::verdict::{Finding, Findings};
use super::search::{Model, Operation, Searched, search};
use crate::history::{Call, Operation as Asked};

pub(crate) const RULE: Rule = Rule {
    name: "linearizable-registers",
    what: "the reads and writes of each register have an order that explains every answer",
    judge,
};

/// A register whose values are numbered; 0 is the empty text.
pub(crate) struct Register;

/// What is done to a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It becomes this.
    Write(usize),
    /// It is this.
    Read(usize),
}

impl Model for Register {
    type State = usize;
    type Action = Action;

    fn initial(&self) -> usize {
        0
    }

    fn step(&self, state: &usize, action: &Action) -> Vec<usize> {
        match action {
            Action::Write(value) => vec![*value],
            Action::Read(value) if value == state => vec![*state],
            Action::Read(_) => Vec::new(),
        }
    }

    fn is_read(&self, action: &Action) -> bool {
        matches!(action, Action::Read(_))
    }

    fn overwrites(&self) -> bool {
        true
    }
}

fn judge(facts: &Facts<'_>) -> Finding {
    let mut findings = Findings::default();
    let mut registers: BTreeMap<&str, Vec<At<'_, Call>>> = BTreeMap::new();
    for call in &facts.calls {
        if let Asked::Write { object, .. } | Asked::Read { object, .. } = &call.is.operation {
            registers.entry(object).or_default().push(*call);
        }
    }
    for (object, calls) in registers {
        let operations = operations(&calls);
        if !operations
            .iter()
            .any(|operation| matches!(operation.action, Action::Read(_)))
        {
            continue;
        }
        findings.look();
        match search(&Register, &operations, super::STEPS_MAX) {
            Searched::Linearizable => {}
            Searched::Not { stuck, among } => {
                let what = format!("no order of the calls on {object} explains the answer in line {stuck}");
                findings.violated(what, among.into_iter().chain([stuck]));
            }
            Searched::Undecided => findings.undecided(format!(
                "gave up on {object} after {} steps with {} calls",
                super::STEPS_MAX,
                operations.len()
            )),
        }
    }
    findings.finding()
}

/// What the search needs: no refused writes, no unanswered reads, and no unknown writes whose value was never read (they
/// can be taken to have never happened).
fn operations(calls: &[At<'_, Call>]) -> Vec<Operation<Action>> {
    let read: BTreeSet<&str> = calls
        .iter()
        .filter(|call| matches!(call.is.operation, Asked::Read { .. }))
        .filter_map(|call| call.is.value())
        .collect();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::from([("", 0)]);
    let mut operations = Vec::new();
    for call in calls {
        let (is_write, value) = match (&call.is.operation, call.is.value()) {
            (Asked::Write { value, .. }, _) if !call.is.is_refused() => (true, value.as_str()),
            (Asked::Read { .. }, Some(value)) => (false, value),
            _ => continue,
        };
        let returned = call.is.is_acknowledged().then(|| call.is.latest());
        if returned.is_none() && !read.contains(value) {
            continue;
        }
        let count = numbers.len();
        let number = *numbers.entry(value).or_insert(count);
        operations.push(Operation {
            line: call.line,
            called: call.is.called,
            returned,
            action: if is_write {
                Action::Write(number)
            } else {
                Action::Read(number)
            },
        });
    }
    operations
}

#[cfg(test)]
#[path = "registers_tests.rs"]
mod tests;
