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
mod leaderships_in_order;
mod linearizable;
mod offers;
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
    leaderships_in_order::RULE,
    replica_never_goes_back::RULE,
    same_state::RULE,
    heals::RULE,
    resources_return::RULE,
];

/// Rules that missing calls cannot mislead: they rest on what was seen, or lose only evidence.
const WITHOUT_CALLS: [&str; 4] = [
    leaderships_in_order::RULE.name,
    replica_never_goes_back::RULE.name,
    same_state::RULE.name,
    launch_once::RULE.name,
];

/// Judges a history by every rule of this crate. Of one that was cut off, as a killed run leaves it, most rules know
/// nothing: calls that were open are not in it, and any of them may be the reason for what was seen.
pub fn check(history: &History) -> Vec<Verdict> {
    let facts = Facts::of(history);
    let missing = facts.missing_calls();
    let judge = |rule: &Rule| Verdict {
        check: rule.name.to_owned(),
        finding: match missing {
            1.. if !WITHOUT_CALLS.contains(&rule.name) => cut_off(missing),
            _ => (rule.judge)(&facts),
        },
    };
    RULES.iter().map(judge).collect()
}

fn cut_off(missing: u64) -> Finding {
    Finding::Undecided {
        why: format!("the history was cut off: {missing} calls that were open are not in it"),
    }
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
        let missing = Facts::of(history).missing_calls();
        match porcupine::run(path, cache, timeout) {
            _ if missing > 0 => verdicts.push(Verdict {
                check: "porcupine".to_owned(),
                finding: cut_off(missing),
            }),
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

#[cfg(test)]
mod tests {
    use super::fixture::Story;
    use super::*;
    use crate::history::Record;

    #[test]
    fn of_a_history_that_was_cut_off_only_what_was_seen_is_judged() {
        let mut story = Story::default();
        let open = story.write("r", "1");
        story.read("r", "1");
        let mut history = story.history();
        let judged = |history: &History, name: &str| {
            let found = check(history).into_iter().find(|verdict| verdict.check == name);
            found.unwrap().finding
        };
        assert_eq!(
            judged(&history, "linearizable-registers"),
            Finding::Held { looked_at: 1 }
        );
        // The write that was open is gone, and with it the reason for what was read.
        history
            .records
            .retain(|record| !matches!(record, Record::Call(call) if call.id == open));
        assert!(matches!(
            judged(&history, "linearizable-registers"),
            Finding::Undecided { .. }
        ));
        assert_eq!(judged(&history, "leaderships-in-order"), Finding::NothingToCheck);
    }
}
