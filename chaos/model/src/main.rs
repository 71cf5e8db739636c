//! `cargo run -p model --release`: checks every case and prints state counts; with `--show` one, with its counter-example.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use clap::builder::PossibleValuesParser;
use model::cases::{Case, cases};
use model::{check, search};

/// Checks launch, failover and reregistration exhaustively for small bounds.
#[derive(Debug, Parser)]
struct Args {
    /// Only this case, with its counter-example
    #[arg(long = "show", value_name = "CASE", value_parser = PossibleValuesParser::new(cases().into_iter().map(|case| case.name)))]
    show: Option<String>,

    /// Threads of the checker where everything is looked at; a counter-example is searched by one
    #[arg(long = "threads", value_name = "N", default_value_t = 4)]
    threads: usize,
}

/// Exit code 0 when every case shows what it must.
fn main() -> ExitCode {
    let args = Args::parse();
    let wanted = |case: &Case| args.show.as_deref().is_none_or(|name| name == case.name);
    let mut is_as_expected = true;
    for case in cases().into_iter().filter(wanted) {
        is_as_expected &= run(&case, args.threads);
    }
    if is_as_expected {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(case: &Case, threads: usize) -> bool {
    let started = Instant::now();
    let found = match case.violates {
        None => check(case.model.clone(), threads),
        Some(property) => search(&case.model, property),
    };
    let seconds = started.elapsed().as_secs_f64();
    println!("{}: {}", case.name, case.about);
    println!(
        "  {} states, {} steps, depth {}, {seconds:.1} s",
        found.states, found.steps, found.depth
    );
    for (property, story) in &found.violated {
        println!("  VIOLATED: {property}");
        for (number, sentence) in story.iter().enumerate() {
            println!("    {:>2}. {sentence}", number + 1);
        }
    }
    if found.violated.is_empty() {
        println!("  everything holds");
    }
    for unreached in found.unreached.iter().filter(|_| case.violates.is_none()) {
        println!("  NOT REACHED: {unreached}");
    }
    match case.violates {
        None => found.violated.is_empty() && found.unreached.is_empty(),
        Some(property) => found.violated.iter().any(|(name, _)| *name == property),
    }
}
