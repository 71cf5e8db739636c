//! Makes a failure small: which of its faults does it take? Delta debugging (Zeller, Hildebrandt 2002) over the plan.

use std::time::Duration;

use anyhow::Result;

use super::children::{Child, Outcome, Pool, wall_seconds};
use crate::plan::Fault;
use crate::run::Report;

/// What is left.
pub(super) struct Small {
    /// How to run it.
    pub(super) child: Child,
    /// Its faults.
    pub(super) faults: Vec<Fault>,
}

/// Leaves out faults for as long as the same rule is broken and there is time.
pub(super) fn shrink(pool: &mut Pool, child: &Child, report: &Report, budget: Duration) -> Result<Small> {
    let rule = report
        .violations
        .first()
        .map(|violation| violation.rule.clone())
        .unwrap_or_default();
    let deadline = wall_seconds()? + budget.as_secs_f64();
    let mut kept: Vec<u64> = report.faults.iter().map(|fault| fault.number).collect();
    let mut pieces = 2;
    // None of the faults at all, first: some failures need none.
    if breaks(pool, child, &[], &rule)? {
        kept.clear();
    }
    while kept.len() > 1 && wall_seconds()? < deadline {
        let length = kept.len().div_ceil(pieces);
        let candidates: Vec<Vec<u64>> = kept
            .chunks(length)
            .map(|out| kept.iter().copied().filter(|number| !out.contains(number)).collect())
            .collect();
        let mut smaller = None;
        for candidate in candidates {
            if wall_seconds()? > deadline {
                break;
            }
            if breaks(pool, child, &candidate, &rule)? {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(candidate) => {
                kept = candidate;
                pieces = pieces.saturating_sub(1).max(2);
            }
            None if length == 1 => break,
            None => pieces = (pieces * 2).min(kept.len()),
        }
    }
    Ok(Small {
        child: Child {
            only: Some(kept.clone()),
            ..child.clone()
        },
        faults: report
            .faults
            .iter()
            .filter(|fault| kept.contains(&fault.number))
            .cloned()
            .collect(),
    })
}

fn breaks(pool: &mut Pool, child: &Child, only: &[u64], rule: &str) -> Result<bool> {
    pool.start(Child {
        only: Some(only.to_vec()),
        ..child.clone()
    })?;
    Ok(match pool.next()? {
        Some((_, Outcome::Report(report))) => report.violations.iter().any(|violation| violation.rule == rule),
        Some((_, Outcome::Broken(_))) | None => false,
    })
}
