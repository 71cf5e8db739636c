//! `simulate planted`: the test of the tests. Seeds of each planted bug until one finds it.

use anyhow::Result;
use chaos::fault::FaultKind;
use planted::Bug;

use super::children::{Child, Outcome, Pool, wall_seconds};
use super::{HARNESS, HELD, VIOLATED};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Bugs; all by default
    names: Vec<Bug>,
    /// Seeds after which a bug counts as not found
    #[arg(long, default_value_t = 200)]
    seeds_max: u64,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Kinds of faults to draw from; all by default
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// Seeds at once; as many as there are cores by default
    #[arg(long)]
    jobs: Option<usize>,
}

/// What found a bug.
struct Found {
    seeds: u64,
    seed: u64,
    rule: String,
    what: String,
}

/// Looks for them; exit code 0 when all were found.
pub(super) fn main(arguments: &Arguments) -> u8 {
    match planted(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            HARNESS
        }
    }
}

fn planted(arguments: &Arguments) -> Result<u8> {
    let bugs = match arguments.names.is_empty() {
        true => Bug::ALL,
        false => &arguments.names,
    };
    println!("| planted bug | found by | seeds | first seed | wall seconds |\n| --- | --- | --- | --- | --- |");
    let mut missed = 0;
    for bug in bugs {
        let began = wall_seconds()?;
        let found = find(arguments, *bug)?;
        let took = wall_seconds()? - began;
        match found {
            Some(found) => {
                println!(
                    "| {bug} | {} | {} | {} | {took:.0} |",
                    found.rule, found.seeds, found.seed
                );
                eprintln!("{bug}: {}", found.what);
            }
            None => {
                missed += 1;
                println!("| {bug} | not found | {} | | {took:.0} |", arguments.seeds_max);
            }
        }
    }
    println!("\n{} of {} found", bugs.len() - missed, bugs.len());
    Ok(if missed == 0 { HELD } else { VIOLATED })
}

/// Runs seeds until one shows the bug.
fn find(arguments: &Arguments, bug: Bug) -> Result<Option<Found>> {
    let mut pool = Pool::new(arguments.jobs)?;
    let end = arguments.seed.saturating_add(arguments.seeds_max);
    let mut next = arguments.seed;
    let mut seeds = 0;
    loop {
        while next < end && pool.has_room() {
            pool.start(Child {
                seed: next,
                masters: None,
                faults: arguments.faults.clone(),
                planted: Some(bug),
                only: None,
            })?;
            next += 1;
        }
        let Some((child, outcome)) = pool.next()? else {
            return Ok(None);
        };
        seeds += 1;
        match outcome {
            Outcome::Report(report) => {
                if let Some(violation) = report.violations.into_iter().next() {
                    let Child { seed, .. } = child;
                    let (rule, what) = (violation.rule, violation.what);
                    return Ok(Some(Found {
                        seeds,
                        seed,
                        rule,
                        what,
                    }));
                }
            }
            // A broken harness finds nothing.
            Outcome::Broken(reason) => eprintln!("{bug}, seed {}: {reason}", child.seed),
        }
    }
}
