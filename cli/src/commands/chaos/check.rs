//! `mesoraft chaos check`: judges histories.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use chaos::history::History;

use super::Failure;
use super::verdict::{Judgement, PorcupineFlags, gravest};
use crate::output::say;

/// Flags of `chaos check`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Histories (JSON lines) of earlier runs
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    porcupine: PorcupineFlags,
}

/// Judges each; the exit code is that of the gravest verdict.
pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    // All are read first, so that a wrong file costs nobody the time of judging the others.
    let histories: Vec<History> = args.files.iter().map(|file| read(file)).collect::<Result<_, _>>()?;
    let mut conclusions = Vec::new();
    for (file, history) in args.files.iter().zip(&histories) {
        say(&format!("{}:", file.display()));
        let judgement = Judgement {
            verdicts: args.porcupine.judge(history, file),
            defects: Vec::new(),
        };
        judgement.print();
        conclusions.push(judgement.conclusion());
    }
    Ok(ExitCode::from(gravest(conclusions).exit_code()))
}

/// Reads a history, or says what is wrong with the file.
pub(super) fn read(file: &Path) -> Result<History, Failure> {
    let bad = |problem: String| Failure::BadInput(format!("{}: {problem}", file.display()));
    let open = File::open(file).map_err(|error| bad(error.to_string()))?;
    History::read(BufReader::new(open)).map_err(|error| bad(error.to_string()))
}
