//! `mesoraft chaos report`: a page about a run, from its history.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use chaos::check::Verdicts;
use chaos::history::History;
use chaos::report::Report;

use super::Failure;
use super::verdict::PorcupineFlags;
use crate::output::say;

/// Names of the page and its twin in their folder.
const PAGE: &str = "report.html";
const TWIN: &str = "report.json";

/// Flags of `chaos report`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// History (JSON lines) of an earlier run
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Folder that gets report.html and report.json
    #[arg(long = "out", value_name = "DIR")]
    out: PathBuf,

    #[command(flatten)]
    porcupine: PorcupineFlags,
}

/// Judges the history and writes the page; the exit code is that of the verdict.
pub(super) fn main(args: &Args) -> Result<ExitCode, Failure> {
    let history = super::check::read(&args.file)?;
    let verdicts = args.porcupine.judge(&history, &args.file);
    write(&history, &verdicts, &[], &args.out)?;
    Ok(ExitCode::from(verdicts.conclusion().exit_code()))
}

/// Writes the page and its twin into a folder, which is made, and says where.
pub(super) fn write(history: &History, verdicts: &Verdicts, defects: &[String], folder: &Path) -> anyhow::Result<()> {
    let report = Report::of(history, verdicts, defects);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (name, text) in [(PAGE, report.html()), (TWIN, report.json())] {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    say(&format!("report: {}", folder.join(PAGE).display()));
    Ok(())
}
