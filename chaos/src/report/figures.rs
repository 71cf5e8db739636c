//! What the page shows, computed from a history.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::Facts;
use crate::history::{Call, Micros, Operation, Outcome, Phase, Run};

/// Steps in which time is drawn: each is a few pixels wide.
const BUCKETS: usize = 240;

/// Gaps that are listed.
const GAPS_MAX: usize = 10;

/// After the end of a fault the cluster may still be recovering from it: a gap until then is put down to it.
const AFTERMATH: Micros = 2_000_000;

/// Calls of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Kind {
    /// `write`, `launch`, …
    pub kind: String,
    /// How many were acknowledged.
    pub acknowledged: u64,
    /// How many were refused.
    pub refused: u64,
    /// How many nobody knows about.
    pub unknown: u64,
    /// Latency of the acknowledged ones in microseconds: median, 90, 99 and 100 of 100.
    pub latency: [Micros; 4],
}

/// Calls that were answered in one step of time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bucket {
    /// Begin of the step.
    pub from: Micros,
    /// Its length.
    pub width: Micros,
    /// Acknowledged reads.
    pub reads: u64,
    /// Acknowledged writes.
    pub writes: u64,
    /// Calls that were refused or given up. One that was given up counts when it was called.
    pub failed: u64,
    /// Latency of the acknowledged ones in microseconds: median and worst.
    pub latency: Option<[Micros; 2]>,
}

/// A time without an acknowledged write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The write before.
    pub from: Micros,
    /// The write after.
    pub to: Micros,
    /// Numbers of the faults that were there, or had been until shortly before.
    pub faults: Vec<u64>,
}

/// A fault from begin to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FaultSpan {
    /// Its number.
    pub number: u64,
    /// What kind.
    pub kind: String,
    /// Whom it was about.
    pub targets: Vec<String>,
    /// How.
    pub detail: String,
    /// Begin.
    pub from: Micros,
    /// End; `None` if the history knows of none.
    pub to: Option<Micros>,
    /// The longest time without an acknowledged write while it was there and shortly after.
    pub longest_gap: Micros,
}

/// A replica that was seen leading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Leadership {
    /// Node id.
    pub node: u64,
    /// Term.
    pub term: u64,
    /// First sight.
    pub from: Micros,
    /// Last sight.
    pub to: Micros,
}

fn kind(call: &Call) -> &'static str {
    match &call.operation {
        Operation::Write { .. } => "write",
        Operation::Read { .. } => "read",
        Operation::Subscribe { .. } => "subscribe",
        Operation::Launch { .. } => "launch",
        Operation::Kill { .. } => "kill",
        Operation::Acknowledge { .. } => "acknowledge",
        Operation::Reconcile { .. } => "reconcile",
        Operation::ReadTask { .. } => "read task",
        Operation::Report { .. } => "report of an agent",
        Operation::Teardown { .. } => "teardown",
        Operation::Membership { .. } => "membership",
    }
}

/// Whether a client calls and waits for the answer. An agent's report waits for its framework's acknowledgement.
fn is_of_client(call: &Call) -> bool {
    !matches!(call.operation, Operation::Report { .. })
}

/// When writes of clients were acknowledged, rising.
pub(super) fn acknowledged_writes(facts: &Facts<'_>) -> Vec<Micros> {
    let counts = |call: &Call| is_of_client(call) && call.is_write() && call.is_acknowledged();
    let mut times: Vec<Micros> = facts
        .calls
        .iter()
        .filter(|call| counts(call.is))
        .map(|call| call.is.latest())
        .collect();
    times.sort_unstable();
    times
}

/// The part of sorted `latencies` that so many of 100 do not exceed.
fn percentile(latencies: &[Micros], percent: usize) -> Micros {
    let index = (latencies.len() * percent).div_ceil(100).max(1) - 1;
    latencies.get(index).or(latencies.last()).copied().unwrap_or(0)
}

pub(super) fn kinds(facts: &Facts<'_>) -> Vec<Kind> {
    let mut kinds: BTreeMap<&str, (Kind, Vec<Micros>)> = BTreeMap::new();
    for call in &facts.calls {
        let (counted, latencies) = kinds.entry(kind(call.is)).or_default();
        match (&call.is.outcome, call.is.returned) {
            (Outcome::Ok { .. }, Some(returned)) => {
                counted.acknowledged += 1;
                latencies.push(returned.saturating_sub(call.is.called));
            }
            (Outcome::Refused { .. }, _) => counted.refused += 1,
            (Outcome::Ok { .. } | Outcome::Unknown { .. }, _) => counted.unknown += 1,
        }
    }
    let finish = |(name, (mut counted, mut latencies)): (&str, (Kind, Vec<Micros>))| {
        latencies.sort_unstable();
        counted.kind = name.to_owned();
        counted.latency = [50, 90, 99, 100].map(|percent| percentile(&latencies, percent));
        counted
    };
    kinds.into_iter().map(finish).collect()
}

pub(super) fn buckets(facts: &Facts<'_>) -> Vec<Bucket> {
    let width = (facts.end / BUCKETS as u64 + 1).max(1);
    let mut buckets: Vec<(Bucket, Vec<Micros>)> = (0..=facts.end / width)
        .map(|index| {
            let from = index * width;
            let bucket = Bucket {
                from,
                width,
                ..Bucket::default()
            };
            (bucket, Vec::new())
        })
        .collect();
    for call in facts.calls.iter().filter(|call| is_of_client(call.is)) {
        let at = call.is.returned.unwrap_or(call.is.called);
        let Some((bucket, latencies)) = buckets.get_mut((at / width) as usize) else {
            continue;
        };
        if !call.is.is_acknowledged() {
            bucket.failed += 1;
            continue;
        }
        latencies.push(at.saturating_sub(call.is.called));
        if call.is.is_write() {
            bucket.writes += 1;
        } else {
            bucket.reads += 1;
        }
    }
    let finish = |(mut bucket, mut latencies): (Bucket, Vec<Micros>)| {
        latencies.sort_unstable();
        let worst = latencies.last().copied();
        bucket.latency = worst.map(|worst| [percentile(&latencies, 50), worst]);
        bucket
    };
    buckets.into_iter().map(finish).collect()
}

/// The longest pauses between acknowledged writes, while faults were injected and until the load ended.
pub(super) fn gaps(facts: &Facts<'_>, writes: &[Micros]) -> Vec<Gap> {
    let until = facts.began(Phase::End).unwrap_or(facts.end);
    let spans = spans(facts);
    let mut gaps: Vec<Gap> = writes
        .windows(2)
        .filter(|pair| pair[0] < until)
        .map(|pair| Gap {
            from: pair[0],
            to: pair[1],
            faults: Vec::new(),
        })
        .collect();
    gaps.sort_by_key(|gap| std::cmp::Reverse(gap.to - gap.from));
    gaps.truncate(GAPS_MAX);
    for gap in &mut gaps {
        let there = |span: &&FaultSpan| span.from <= gap.to && span.to.unwrap_or(facts.end) + AFTERMATH >= gap.from;
        gap.faults = spans.iter().filter(there).map(|span| span.number).collect();
    }
    gaps
}

/// Faults by number, without their gaps.
fn spans(facts: &Facts<'_>) -> Vec<FaultSpan> {
    let mut spans: BTreeMap<u64, FaultSpan> = BTreeMap::new();
    for fault in &facts.faults {
        let span = spans.entry(fault.is.number).or_insert_with(|| FaultSpan {
            number: fault.is.number,
            kind: fault.is.kind.name().to_owned(),
            targets: fault.is.targets.clone(),
            detail: fault.is.detail.clone(),
            from: fault.is.at,
            to: None,
            longest_gap: 0,
        });
        if fault.is.ended {
            span.to = Some(fault.is.at);
        }
    }
    let mut spans: Vec<FaultSpan> = spans.into_values().collect();
    spans.sort_by_key(|span| (span.from, span.number));
    spans
}

pub(super) fn faults(facts: &Facts<'_>, writes: &[Micros]) -> Vec<FaultSpan> {
    let mut spans = spans(facts);
    for span in &mut spans {
        let until = span.to.unwrap_or(facts.end) + AFTERMATH;
        // From the write before its begin to the first one after the aftermath.
        let first = writes.partition_point(|at| *at < span.from).saturating_sub(1);
        let last = (writes.partition_point(|at| *at <= until) + 1).min(writes.len());
        let during = writes.get(first..last).unwrap_or_default();
        span.longest_gap = during.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    }
    spans
}

pub(super) fn leaderships(facts: &Facts<'_>) -> Vec<Leadership> {
    let mut found: BTreeMap<(u64, u64), Leadership> = BTreeMap::new();
    for sample in facts.replicas.iter().filter(|sample| sample.is.role == "leader") {
        let at = sample.is.at;
        let leadership = found.entry((sample.is.term, sample.is.node)).or_insert(Leadership {
            node: sample.is.node,
            term: sample.is.term,
            from: at,
            to: at,
        });
        leadership.to = leadership.to.max(at);
    }
    found.into_values().collect()
}

pub(super) fn coverage(facts: &Facts<'_>, run: &Run) -> Vec<(String, u64)> {
    // What could be drawn and never was is counted too.
    let mut counters: BTreeMap<String, u64> = run.faults.iter().map(|name| (format!("fault/{name}"), 0)).collect();
    for fault in facts.faults.iter().filter(|fault| !fault.is.ended) {
        let injected = counters.entry(format!("fault/{}", fault.is.kind)).or_default();
        *injected += 1;
    }
    for counter in &facts.coverage {
        counters.insert(counter.name.clone(), counter.count);
    }
    counters.into_iter().collect()
}
