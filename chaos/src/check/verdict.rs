//! What a check found, and what a whole set of verdicts amounts to.

use serde::{Deserialize, Serialize};

use crate::history::{History, Operation, Outcome, Record};

/// Violations of one rule that are written down; the rest is only counted. More help nobody.
pub const VIOLATIONS_MAX: usize = 20;

/// Acknowledged calls below which a run says nothing about the cluster: fewer than one client makes in a second.
pub const ACKNOWLEDGED_MIN: u64 = 10;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Name of the check.
    pub check: String,
    /// What it found.
    #[serde(flatten)]
    pub finding: Finding,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Finding {
    /// The rule held for everything there was to look at.
    Held {
        /// Number of things looked at; never 0.
        looked_at: u64,
    },
    /// The rule was broken.
    Violated {
        /// How often.
        count: u64,
        /// The first ones, [`VIOLATIONS_MAX`] at most.
        violations: Vec<Violation>,
    },
    /// The check gave up before it knew. Never a pass.
    Undecided {
        /// Why.
        why: String,
    },
    /// The history holds nothing that the rule is about. Never a pass.
    NothingToCheck,
}

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// What was wrong, for people.
    pub what: String,
    /// Lines of the history that show it, counted from 1, rising.
    pub evidence: Vec<usize>,
}

/// Collects what a rule looks at and what it finds wrong.
#[derive(Debug, Default)]
pub(super) struct Findings {
    looked_at: u64,
    count: u64,
    violations: Vec<Violation>,
    undecided: Option<String>,
}

impl Findings {
    /// One more thing was looked at.
    pub(super) fn look(&mut self) {
        self.looked_at += 1;
    }

    /// The rule is broken.
    pub(super) fn violated(&mut self, what: String, evidence: impl IntoIterator<Item = usize>) {
        self.count += 1;
        if self.violations.len() < VIOLATIONS_MAX {
            let mut evidence: Vec<usize> = evidence.into_iter().collect();
            evidence.sort_unstable();
            evidence.dedup();
            self.violations.push(Violation { what, evidence });
        }
    }

    /// Something could not be decided; the first reason is kept.
    pub(super) fn undecided(&mut self, why: String) {
        self.undecided.get_or_insert(why);
    }

    /// The verdict: a violation outweighs what stayed undecided.
    pub(super) fn finding(self) -> Finding {
        if self.count > 0 {
            Finding::Violated {
                count: self.count,
                violations: self.violations,
            }
        } else if let Some(why) = self.undecided {
            Finding::Undecided { why }
        } else if self.looked_at == 0 {
            Finding::NothingToCheck
        } else {
            Finding::Held {
                looked_at: self.looked_at,
            }
        }
    }
}

impl Verdict {
    /// Whether the rule was broken.
    pub fn is_violated(&self) -> bool {
        matches!(self.finding, Finding::Violated { .. })
    }
}

/// All verdicts on one history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdicts {
    /// One for each check, in the order of the rules.
    pub verdicts: Vec<Verdict>,
    /// Number of acknowledged calls in the history.
    pub acknowledged: u64,
    /// Why the run does not count, if it does not: one line each.
    pub not_valid: Vec<String>,
}

/// What a set of verdicts amounts to; also an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Conclusion {
    /// Every rule held.
    Held,
    /// A rule was broken.
    Violated,
    /// No rule was broken, but the run says too little, or a check gave up.
    NotDecided,
}

impl Conclusion {
    /// Exit code of a process that was given what is not a history.
    pub const BAD_INPUT: u8 = 2;

    /// Exit code: 0 held, 1 violated, 3 not decided.
    pub fn exit_code(self) -> u8 {
        match self {
            Conclusion::Held => 0,
            Conclusion::Violated => 1,
            Conclusion::NotDecided => 3,
        }
    }
}

impl Verdicts {
    /// Puts verdicts together and says what makes the run too short to count.
    pub fn of(history: &History, verdicts: Vec<Verdict>) -> Verdicts {
        let acknowledged = acknowledged(history);
        let mut not_valid = Vec::new();
        if acknowledged < ACKNOWLEDGED_MIN {
            not_valid.push(format!(
                "too short a run: {acknowledged} acknowledged calls, at least {ACKNOWLEDGED_MIN} are needed"
            ));
        }
        if verdicts
            .iter()
            .all(|verdict| verdict.finding == Finding::NothingToCheck)
        {
            not_valid.push("no check had anything to look at".to_owned());
        }
        Verdicts {
            verdicts,
            acknowledged,
            not_valid,
        }
    }

    /// Also demands that each of the checks named `expected` had something to look at, as a long run must.
    #[must_use]
    pub fn expecting<'a>(mut self, expected: impl IntoIterator<Item = &'a str>) -> Verdicts {
        for name in expected {
            let found = self.verdicts.iter().find(|verdict| verdict.check == name);
            if found.is_none_or(|verdict| verdict.finding == Finding::NothingToCheck) {
                self.not_valid
                    .push(format!("the check '{name}' had nothing to look at"));
            }
        }
        self
    }

    /// The verdicts of rules that were broken.
    pub fn violated(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| verdict.is_violated())
    }

    /// What they amount to: a violation counts even in a run that is too short.
    pub fn conclusion(&self) -> Conclusion {
        let undecided = |verdict: &Verdict| matches!(verdict.finding, Finding::Undecided { .. });
        if self.violated().next().is_some() {
            Conclusion::Violated
        } else if !self.not_valid.is_empty() || self.verdicts.iter().any(undecided) {
            Conclusion::NotDecided
        } else {
            Conclusion::Held
        }
    }
}

/// Calls of clients that were acknowledged; reports of agents are not calls of clients.
fn acknowledged(history: &History) -> u64 {
    let counts = |record: &&Record| match record {
        Record::Call(call) => {
            matches!(call.outcome, Outcome::Ok { .. }) && !matches!(call.operation, Operation::Report { .. })
        }
        _ => false,
    };
    history.records.iter().filter(counts).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Call;

    fn acknowledged_calls(count: u64) -> History {
        let call = |id| {
            Record::Call(Call {
                id,
                client: "c".into(),
                called: id,
                returned: Some(id),
                operation: Operation::Teardown { framework: "f".into() },
                outcome: Outcome::Ok { value: String::new() },
            })
        };
        History {
            records: (0..count).map(call).collect(),
        }
    }

    fn verdict(check: &str, finding: Finding) -> Verdict {
        Verdict {
            check: check.into(),
            finding,
        }
    }

    const HELD: Finding = Finding::Held { looked_at: 1 };

    fn violated() -> Finding {
        let mut findings = Findings::default();
        for line in 0..VIOLATIONS_MAX + 5 {
            findings.violated("w".into(), [line + 1, line]);
        }
        findings.finding()
    }

    #[test]
    fn a_violation_outweighs_everything_and_what_says_nothing_is_no_pass() {
        let long = acknowledged_calls(ACKNOWLEDGED_MIN);
        let concluded = |history: &History, findings: Vec<Finding>| {
            let verdicts = findings.into_iter().map(|finding| verdict("a", finding)).collect();
            Verdicts::of(history, verdicts).conclusion()
        };
        let undecided = Finding::Undecided { why: "w".into() };
        assert_eq!(concluded(&long, vec![HELD, Finding::NothingToCheck]), Conclusion::Held);
        assert_eq!(concluded(&long, vec![Finding::NothingToCheck]), Conclusion::NotDecided);
        assert_eq!(concluded(&long, vec![HELD, undecided.clone()]), Conclusion::NotDecided);
        assert_eq!(concluded(&long, vec![violated(), undecided]), Conclusion::Violated);
        let short = acknowledged_calls(ACKNOWLEDGED_MIN - 1);
        assert_eq!(concluded(&short, vec![HELD]), Conclusion::NotDecided);
        assert_eq!(concluded(&short, vec![violated()]), Conclusion::Violated);
        assert_eq!(
            [Conclusion::Held, Conclusion::Violated, Conclusion::NotDecided].map(Conclusion::exit_code),
            [0, 1, 3]
        );
    }

    #[test]
    fn a_check_that_was_expected_and_looked_at_nothing_makes_a_run_not_valid() {
        let verdicts = vec![verdict("a", HELD), verdict("b", Finding::NothingToCheck)];
        let all = Verdicts::of(&acknowledged_calls(ACKNOWLEDGED_MIN), verdicts);
        assert_eq!(all.clone().expecting(["a"]).conclusion(), Conclusion::Held);
        let strict = all.expecting(["a", "b", "c"]);
        assert_eq!(strict.conclusion(), Conclusion::NotDecided);
        assert_eq!(strict.not_valid.len(), 2);
    }

    #[test]
    fn violations_are_counted_beyond_those_that_are_kept_and_evidence_rises() {
        let Finding::Violated { count, violations } = violated() else {
            panic!("held")
        };
        assert_eq!((count, violations.len()), (VIOLATIONS_MAX as u64 + 5, VIOLATIONS_MAX));
        assert_eq!(violations[3].evidence, [3, 4]);
    }

    #[test]
    fn verdicts_are_read_as_written() {
        for finding in [HELD, violated(), Finding::NothingToCheck] {
            let verdict = verdict("a", finding);
            let text = serde_json::to_string(&verdict).unwrap();
            assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict, "{text}");
        }
    }
}
