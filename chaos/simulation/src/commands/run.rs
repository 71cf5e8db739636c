//! `simulate run`: one seed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use chaos::fault::FaultKind;
use planted::Bug;

use super::{HARNESS, HELD, VIOLATED};
use crate::alone::run_alone;
use crate::run::{Report, Request};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// From which everything follows
    #[arg(long)]
    seed: u64,
    /// Number of masters, if the seed is not to decide
    #[arg(long, value_parser = clap::value_parser!(u8).range(3..=5))]
    masters: Option<u8>,
    /// A planted bug
    #[arg(long)]
    planted: Option<Bug>,
    /// Kinds of faults to draw from; all by default
    #[arg(long, value_delimiter = ',')]
    faults: Vec<FaultKind>,
    /// Numbers of the only faults to inject
    #[arg(long, value_delimiter = ',')]
    only_faults: Option<Vec<u64>>,
    /// Writes the history here
    #[arg(long)]
    history: Option<PathBuf>,
    /// Writes everything that happens here
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Runs the seed twice in this process and compares
    #[arg(long)]
    twice: bool,
    /// Prints the report as one line of JSON
    #[arg(long)]
    json: bool,
    /// Writes the product's log to standard error, as in RUST_LOG
    #[arg(long)]
    log: Option<String>,
}

/// Runs it; the exit code.
pub(super) fn main(arguments: Arguments) -> u8 {
    if let Some(filter) = &arguments.log {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .without_time()
            .with_writer(std::io::stderr)
            .init();
    }
    match report(&arguments) {
        Ok(report) if report.violations.is_empty() => HELD,
        Ok(_) => VIOLATED,
        Err(error) => {
            eprintln!("simulate: {error:#}");
            HARNESS
        }
    }
}

fn report(arguments: &Arguments) -> Result<Report> {
    let request = Request {
        seed: arguments.seed,
        masters: arguments.masters.map(usize::from),
        kinds: arguments.faults.clone(),
        only: arguments.only_faults.clone(),
        history: arguments.history.clone(),
        trace: arguments.trace.clone(),
    };
    let (report, _) = run_alone(&request, arguments.planted)?;
    if arguments.twice {
        let second = |path: &PathBuf| path.with_added_extension("second");
        let again = Request {
            history: request.history.as_ref().map(second),
            trace: request.trace.as_ref().map(second),
            ..request
        };
        let (again, _) = run_alone(&again, arguments.planted)?;
        anyhow::ensure!(
            again == report,
            "the seed {} gave two different runs: {report:?} and {again:?}",
            arguments.seed
        );
    }
    if arguments.json {
        println!(
            "{}",
            serde_json::to_string(&report).context("the report cannot be written")?
        );
    } else {
        print(&report);
    }
    Ok(report)
}

fn print(report: &Report) {
    for fault in &report.faults {
        println!(
            "fault {:>2} at {:>6} ms for {:>5} ms: {}",
            fault.number, fault.at, fault.lasts, fault.kind
        );
    }
    for (name, count) in &report.coverage {
        println!("{count:>8} {name}");
    }
    for violation in &report.violations {
        println!("VIOLATION {}: {}", violation.rule, violation.what);
    }
    println!(
        "seed {}: {} s simulated, {} events, trace {}, history {}: {}",
        report.seed,
        report.simulated / 1_000,
        report.events,
        report.trace,
        report.history,
        if report.violations.is_empty() {
            "held"
        } else {
            "VIOLATED"
        }
    );
}
