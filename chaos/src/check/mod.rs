//! From a history to verdicts: pure functions, one file for each rule.
//!
//! [`check`] runs every rule of this crate; [`all`] asks Porcupine too and says whether the run counts. A rule that found
//! nothing to look at says so, and one that gave up says that: neither is ever taken for a pass. Evidence is the numbers
//! of lines of the history, counted from 1.
//!
//! Must never look at anything but the history: not at logs, not at the cluster, not at the clock.

mod acknowledged_launches;
mod event_stream;
mod facts;
#[cfg(test)]
mod fixture;
mod frameworks_kept;
mod heals;
mod kills_arrive;
mod launch_once;
mod linearizable;
mod offers;
mod one_leader_per_term;
pub mod porcupine;
mod registers;
mod replica_never_goes_back;
mod resources_return;
mod same_state;
mod tasks;
mod terminal_stays;
mod updates_after_commit;
mod updates_delivered;
mod updates_in_order;
mod verdict;

use std::path::Path;
use std::time::Duration;

pub use self::facts::Facts;
pub use self::verdict::{ACKNOWLEDGED_MIN, Conclusion, Finding, VIOLATIONS_MAX, Verdict, Verdicts, Violation};
use crate::history::History;

/// A rule: its name, what it says in one line, and how it is judged.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// As verdicts name it.
    pub name: &'static str,
    /// What must hold.
    pub what: &'static str,
    /// Judges a history.
    pub judge: fn(&Facts<'_>) -> Finding,
}

/// Every rule of this crate, in the order of reports.
pub const RULES: &[Rule] = &[
    registers::RULE,
    acknowledged_launches::RULE,
    launch_once::RULE,
    offers::RULE,
    terminal_stays::RULE,
    updates_in_order::RULE,
    updates_after_commit::RULE,
    updates_delivered::RULE,
    kills_arrive::RULE,
    frameworks_kept::RULE,
    event_stream::RULE,
    linearizable::REGISTERS,
    linearizable::TASKS,
    one_leader_per_term::RULE,
    replica_never_goes_back::RULE,
    same_state::RULE,
    heals::RULE,
    resources_return::RULE,
];

/// Judges a history by every rule of this crate.
pub fn check(history: &History) -> Vec<Verdict> {
    let facts = Facts::of(history);
    let judge = |rule: &Rule| Verdict {
        check: rule.name.to_owned(),
        finding: (rule.judge)(&facts),
    };
    RULES.iter().map(judge).collect()
}

/// Whether Porcupine, the independent checker, judges the history too.
#[derive(Clone, Copy, Debug)]
pub enum Porcupine<'a> {
    /// No: quick runs.
    No,
    /// Yes.
    Yes {
        /// The file that holds the history.
        history: &'a Path,
        /// Folder below which the program is built and kept.
        cache: &'a Path,
        /// How long it may search.
        timeout: Duration,
    },
}

/// Judges a history by every rule, and says whether it was long enough to count. That Porcupine could not be asked is an
/// undecided check, not a verdict on the cluster.
pub fn all(history: &History, porcupine: &Porcupine<'_>) -> Verdicts {
    let mut verdicts = check(history);
    if let Porcupine::Yes {
        history: path,
        cache,
        timeout,
    } = *porcupine
    {
        match porcupine::run(path, cache, timeout) {
            Ok(more) => verdicts.extend(more),
            Err(error) => verdicts.push(Verdict {
                check: "porcupine".to_owned(),
                finding: Finding::Undecided {
                    why: with_sources(&error),
                },
            }),
        }
    }
    Verdicts::of(history, verdicts)
}

fn with_sources(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", with_sources(source)),
        None => error.to_string(),
    }
}
