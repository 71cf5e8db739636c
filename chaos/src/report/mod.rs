//! One page about a run: what was tried, what was seen, what held. As HTML for people and as JSON for programs.
//!
//! [`Report::of`] computes everything from a history and its verdicts; [`Report::json`] and [`Report::html`] only write it
//! down, so that both say the same. The page needs no network and no script, and escapes all text of the history.
//!
//! Must never judge: that is what the checks do.

mod figures;
mod html;
mod svg;

use serde::Serialize;

pub use self::figures::{Bucket, FaultSpan, Gap, Kind, Leadership};
use crate::check::{Conclusion, Facts, RULES, Verdict, Verdicts};
use crate::history::{History, Micros, Phase, Run};

/// Everything the page says. Times are microseconds since the run began.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was run.
    pub run: Run,
    /// The command that runs it again.
    pub reproduce: String,
    /// End of the run.
    pub end: Micros,
    /// Number of lines of the history.
    pub records: usize,
    /// What the verdicts amount to.
    pub conclusion: Conclusion,
    /// Why the run does not count, if it does not.
    pub not_valid: Vec<String>,
    /// What else went wrong, as the harness saw it.
    pub defects: Vec<String>,
    /// Acknowledged calls.
    pub acknowledged: u64,
    /// The checks, in their order.
    pub checks: Vec<Checked>,
    /// Begin of each phase.
    pub phases: Vec<(Micros, Phase)>,
    /// Calls by kind.
    pub kinds: Vec<Kind>,
    /// Calls over time.
    pub buckets: Vec<Bucket>,
    /// The longest times without an acknowledged write, longest first.
    pub gaps: Vec<Gap>,
    /// Faults in the order of their begin.
    pub faults: Vec<FaultSpan>,
    /// Who led when.
    pub leaderships: Vec<Leadership>,
    /// Counters, sorted by name; 0 is what was never reached.
    pub coverage: Vec<(String, u64)>,
}

/// A check and what it found.
#[derive(Clone, Debug, Serialize)]
pub struct Checked {
    /// What must hold.
    pub rule: String,
    /// What was found.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl Report {
    /// Computes the page. `defects` is what the harness saw going wrong besides.
    pub fn of(history: &History, verdicts: &Verdicts, defects: &[String]) -> Report {
        let facts = Facts::of(history);
        let run = history.run().cloned().unwrap_or_default();
        let conclusion = match defects {
            [] => verdicts.conclusion(),
            _ => Conclusion::Violated,
        };
        let writes = figures::acknowledged_writes(&facts);
        let faults = figures::faults(&facts, &writes);
        Report {
            reproduce: reproduce(&run),
            end: facts.end,
            records: history.records.len(),
            conclusion,
            not_valid: verdicts.not_valid.clone(),
            defects: defects.to_vec(),
            acknowledged: verdicts.acknowledged,
            checks: verdicts.verdicts.iter().map(checked).collect(),
            phases: facts.phases.clone(),
            kinds: figures::kinds(&facts),
            buckets: figures::buckets(&facts),
            gaps: figures::gaps(&facts, &writes),
            faults,
            leaderships: figures::leaderships(&facts),
            coverage: figures::coverage(&facts, &run),
            run,
        }
    }

    /// The JSON twin.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("texts and numbers can always be written as JSON")
    }

    /// The page.
    pub fn html(&self) -> String {
        html::page(self)
    }
}

fn checked(verdict: &Verdict) -> Checked {
    let rule = RULES.iter().find(|rule| rule.name == verdict.check);
    let porcupine = "Porcupine finds an order of the calls that explains every answer";
    Checked {
        rule: rule.map_or(porcupine, |rule| rule.what).to_owned(),
        verdict: verdict.clone(),
    }
}

fn reproduce(run: &Run) -> String {
    if run.harness == "simulation" {
        return format!("cargo xtask simulate --seed {}", run.seed);
    }
    let mut command = format!("mesoraft chaos run --seed {} --masters {}", run.seed, run.masters);
    for (flag, names) in [("workloads", &run.workloads), ("faults", &run.faults)] {
        if !names.is_empty() {
            command.push_str(&format!(" --{flag} {}", names.join(",")));
        }
    }
    command
}

#[cfg(test)]
mod tests;
