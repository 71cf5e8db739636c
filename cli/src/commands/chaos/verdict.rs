//! Verdicts as lines for people and programs, and the exit code that follows from them.

use std::path::{Path, PathBuf};

use chaos::check::{self, Conclusion, Finding, Porcupine, Verdicts, porcupine};
use chaos::history::History;

use crate::output::{say, table};

/// Violations of one check that are printed; the report has more.
const SHOWN_MAX: usize = 3;

/// Whether an independent checker is asked too.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PorcupineFlags {
    /// Let Porcupine, an independent checker, judge the history too; needs Go, and builds it at the first time
    #[arg(long = "porcupine")]
    porcupine: bool,

    /// Folder in which Porcupine is built and kept [default: a folder for temporary files]
    #[arg(long = "porcupine_cache", value_name = "DIR", requires = "porcupine")]
    porcupine_cache: Option<PathBuf>,
}

impl PorcupineFlags {
    /// Judges a history, which `file` holds.
    pub(super) fn judge(&self, history: &History, file: &Path) -> Verdicts {
        let cache = self.porcupine_cache.clone();
        let cache = cache.unwrap_or_else(|| std::env::temp_dir().join("mesoraft-porcupine"));
        let asked = match self.porcupine {
            false => Porcupine::No,
            true => Porcupine::Yes {
                history: file,
                cache: &cache,
                timeout: porcupine::TIMEOUT,
            },
        };
        check::all(history, &asked)
    }
}

/// What one history amounts to, with what the harness saw itself.
pub(super) struct Judgement {
    /// Of the checks.
    pub(super) verdicts: Verdicts,
    /// What the cluster did that it must not do, seen by the harness.
    pub(super) defects: Vec<String>,
}

impl Judgement {
    /// What it amounts to.
    pub(super) fn conclusion(&self) -> Conclusion {
        match self.defects.is_empty() {
            true => self.verdicts.conclusion(),
            false => Conclusion::Violated,
        }
    }

    /// Prints a line for each check and defect, and what they amount to.
    pub(super) fn print(&self) {
        let mut rows = Vec::new();
        let mut details = Vec::new();
        for verdict in &self.verdicts.verdicts {
            let (word, detail) = match &verdict.finding {
                Finding::Held { looked_at } => ("held", format!("{looked_at} looked at")),
                Finding::Violated { count, violations } => {
                    let shown = violations.iter().take(SHOWN_MAX);
                    details.extend(shown.map(|violation| {
                        format!(
                            "  {}: {} (lines {:?})",
                            verdict.check, violation.what, violation.evidence
                        )
                    }));
                    ("VIOLATED", format!("{count} times"))
                }
                Finding::Undecided { why } => ("undecided", why.clone()),
                Finding::NothingToCheck => ("-", "nothing to look at".to_owned()),
            };
            rows.push(vec![word.to_owned(), verdict.check.clone(), detail]);
        }
        table(&rows).iter().for_each(|line| say(line));
        details.iter().for_each(|line| say(line));
        for defect in &self.defects {
            say(&format!("VIOLATED  {defect}"));
        }
        for reason in &self.verdicts.not_valid {
            say(&format!("not valid: {reason}"));
        }
        let calls = self.verdicts.acknowledged;
        say(&match self.conclusion() {
            Conclusion::Held => format!("verdict: everything held ({calls} acknowledged calls)"),
            Conclusion::Violated => format!("verdict: VIOLATED ({calls} acknowledged calls)"),
            Conclusion::NotDecided => format!("verdict: not decided ({calls} acknowledged calls)"),
        });
    }
}

/// The gravest of several.
pub(super) fn gravest(conclusions: impl IntoIterator<Item = Conclusion>) -> Conclusion {
    let gravity = |conclusion: &Conclusion| match conclusion {
        Conclusion::Held => 0,
        Conclusion::NotDecided => 1,
        Conclusion::Violated => 2,
    };
    conclusions
        .into_iter()
        .max_by_key(gravity)
        .unwrap_or(Conclusion::NotDecided)
}
