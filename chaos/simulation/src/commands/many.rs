//! `simulate many`: seeds on all cores, a process for each, with what failed made small.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chaos::fault::FaultKind;
use planted::Bug;

use super::children::{Child, Outcome, Pool, wall_seconds};
use super::{HARNESS, HELD, VIOLATED, shrink};
use crate::expected;

/// Seeds from which on a run is long: everything has to have been reached.
const LONG: u64 = 1_000;
/// Failures that are made small; others are only named.
const SHRUNK_MAX: usize = 5;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds; without it, as many as there is time for
    #[arg(long, required_unless_present = "minutes")]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begins no further seed after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Seeds at once; as many as there are cores by default
    #[arg(long)]
    jobs: Option<usize>,
    /// Number of masters, if the seeds are not to decide
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=5))]
    masters: Option<u8>,
    /// Kinds of faults to draw from; all by default
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// A planted bug
    #[arg(long)]
    planted: Option<Bug>,
    /// Goes on after violations and makes none small
    #[arg(long)]
    keep_going: bool,
    /// Time in which a failure is made small, seconds
    #[arg(long, default_value_t = 60)]
    shrink_seconds: u64,
}

impl Arguments {
    fn child(&self, seed: u64) -> Child {
        Child {
            seed,
            masters: self.masters,
            faults: self.faults.clone(),
            planted: self.planted,
            only: None,
        }
    }
}

/// Runs them; the exit code.
pub(super) fn main(arguments: &Arguments) -> u8 {
    match many(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            HARNESS
        }
    }
}

fn many(arguments: &Arguments) -> Result<u8> {
    let began = wall_seconds()?;
    let deadline = arguments.minutes.map(|minutes| began + minutes * 60.0);
    let end = arguments
        .seeds
        .map_or(u64::MAX, |seeds| arguments.seed.saturating_add(seeds));
    let mut pool = Pool::new(arguments.jobs)?;
    let mut next = arguments.seed;
    let mut done = 0_u64;
    let mut simulated = 0_u64;
    let mut coverage: BTreeMap<String, u64> = BTreeMap::new();
    let (mut violated, mut broken) = (Vec::new(), Vec::new());
    loop {
        let late = match deadline {
            Some(deadline) => wall_seconds()? > deadline,
            None => false,
        };
        let enough = !arguments.keep_going && violated.len() >= SHRUNK_MAX;
        while next < end && !late && !enough && pool.has_room() {
            pool.start(arguments.child(next))?;
            next += 1;
        }
        let Some((child, outcome)) = pool.next()? else { break };
        done += 1;
        match outcome {
            Outcome::Report(report) => {
                simulated += report.simulated;
                for (name, count) in &report.coverage {
                    *coverage.entry(name.clone()).or_default() += count;
                }
                if let Some(violation) = report.violations.first() {
                    println!("seed {}: VIOLATION {}: {}", child.seed, violation.rule, violation.what);
                    println!("  reproduce: {}", child.command());
                    violated.push((child, *report));
                }
            }
            Outcome::Broken(reason) => {
                println!("seed {}: the simulation itself failed: {reason}", child.seed);
                println!("  reproduce: {}", child.command());
                broken.push(child);
            }
        }
    }
    let took = wall_seconds()? - began;
    if !arguments.keep_going {
        let budget = Duration::from_secs(arguments.shrink_seconds);
        for (child, report) in violated.iter().take(SHRUNK_MAX) {
            let small = shrink::shrink(&mut pool, child, report, budget)?;
            println!(
                "seed {}: the smallest set of faults found that breaks '{}':",
                child.seed, report.violations[0].rule
            );
            for fault in &small.faults {
                println!(
                    "  fault {} at {} ms for {} ms: {}",
                    fault.number, fault.at, fault.lasts, fault.kind
                );
            }
            println!("  reproduce: {}", small.child.command());
        }
    }
    println!();
    for (name, count) in &coverage {
        println!("{count:>12} {name}");
    }
    let missing = expected::missing(&coverage, &arguments.faults);
    if done >= LONG && arguments.planted.is_none() {
        for name in &missing {
            println!("NOT VALID: never reached {name}");
        }
    }
    // Wall-clock times and counts far below 2^53, up to which a double is exact.
    let per_second = done as f64 / took.max(0.01);
    println!(
        "\n{done} seeds, {} violated, {} broken; {took:.0} s, {per_second:.1} seeds per second ({:.0} per hour), {:.0} s of simulated time per second",
        violated.len(),
        broken.len(),
        per_second * 3_600.0,
        simulated as f64 / 1_000.0 / took.max(0.01)
    );
    let not_valid = done >= LONG && arguments.planted.is_none() && !missing.is_empty();
    Ok(
        match (violated.is_empty(), broken.is_empty() && !not_valid && done > 0) {
            (false, _) => VIOLATED,
            (true, false) => HARNESS,
            (true, true) => HELD,
        },
    )
}
