//! Porcupine, the independent linearizability checker, judges a history: a Go program of our own models on top of it.
//!
//! Its sources are part of this binary. They are built once with the Go toolchain of the machine, into a folder of the
//! caller's choice; the first build fetches the one module they need (pinned, with its checksum).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::verdict::Verdict;

/// Name and text of each source file.
const SOURCES: [(&str, &str); 6] = [
    ("go.mod", include_str!("../../porcupine/go.mod")),
    ("go.sum", include_str!("../../porcupine/go.sum")),
    ("history.go", include_str!("../../porcupine/history.go")),
    ("main.go", include_str!("../../porcupine/main.go")),
    ("registers.go", include_str!("../../porcupine/registers.go")),
    ("tasks.go", include_str!("../../porcupine/tasks.go")),
];

/// How long Porcupine searches at most, for all objects together: an hour of chaos takes it a few seconds.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// Why Porcupine could not judge. Never a verdict on the cluster.
#[derive(Debug, thiserror::Error)]
pub enum PorcupineError {
    /// There is no Go toolchain.
    #[error(
        "there is no Go toolchain to build Porcupine with: install the package golang-go (Debian), or leave Porcupine out"
    )]
    NoGo,
    /// The Go program does not build.
    #[error("cannot build the Porcupine checker in {folder}: {text}")]
    Build {
        /// Where the sources are.
        folder: PathBuf,
        /// What Go said.
        text: String,
    },
    /// Its folder or program cannot be used.
    #[error("cannot use {path}")]
    Files {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It did not take the history, or said something that is no verdict.
    #[error("the Porcupine checker gave no verdict on {history}: {text}")]
    NoVerdict {
        /// Which history.
        history: PathBuf,
        /// What it said.
        text: String,
    },
}

/// Whether there is a Go toolchain.
pub fn has_go() -> bool {
    Command::new("go")
        .arg("version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Judges the history in a file. The program is built below `cache` unless it is there already.
///
/// # Errors
/// See [`PorcupineError`].
pub fn run(history: &Path, cache: &Path, timeout: Duration) -> Result<Vec<Verdict>, PorcupineError> {
    let program = build(cache)?;
    let output = Command::new(&program)
        .arg("--timeout")
        .arg(format!("{}s", timeout.as_secs()))
        .arg(history)
        .output()
        .map_err(|source| PorcupineError::Files { path: program, source })?;
    let no_verdict = |text: String| PorcupineError::NoVerdict {
        history: history.to_owned(),
        text,
    };
    if !matches!(output.status.code(), Some(0 | 1 | 3)) {
        return Err(no_verdict(words(&output)));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).map_err(|error| no_verdict(format!("{error} in {line}"))))
        .collect()
}

/// Builds the program unless this very version of it was built before. Several processes may do so at once.
fn build(cache: &Path) -> Result<PathBuf, PorcupineError> {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    let folder = cache.join(format!("porcupine-{:016x}", hasher.finish()));
    let program = folder.join("porcupine-check");
    if program.exists() {
        return Ok(program);
    }
    if !has_go() {
        return Err(PorcupineError::NoGo);
    }
    let files = |path: &Path| {
        let path = path.to_owned();
        move |source| PorcupineError::Files { path, source }
    };
    std::fs::create_dir_all(&folder).map_err(files(&folder))?;
    for (name, text) in SOURCES {
        let path = folder.join(name);
        // Whole or not at all: another process may be building from it.
        let own = folder.join(format!("{name}.{}", std::process::id()));
        std::fs::write(&own, text).map_err(files(&own))?;
        std::fs::rename(&own, &path).map_err(files(&path))?;
    }
    let own = folder.join(format!("built-{}", std::process::id()));
    let output = Command::new("go")
        .current_dir(&folder)
        .arg("build")
        .arg("-o")
        .arg(&own)
        .arg(".")
        .output()
        .map_err(files(&folder))?;
    if !output.status.success() {
        let text = words(&output);
        return Err(PorcupineError::Build { folder, text });
    }
    std::fs::rename(&own, &program).map_err(files(&program))?;
    Ok(program)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
