//! Seeds in processes of their own: nothing of one is left in another, and one that hangs is killed.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use chaos::fault::FaultKind;
use planted::Bug;

use super::VIOLATED;
use crate::alone::report_of_aborted;
use crate::run::Report;

/// Wall-clock time after which a seed hangs: hundreds of times what one takes.
const LIMIT_SECONDS: f64 = 120.0;
/// Pause between two looks at the processes.
const LOOK: Duration = Duration::from_millis(2);

/// Seconds of the wall clock since the machine was started. Every clock of the C library is simulated in this program.
pub(super) fn wall_seconds() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/uptime").context("cannot read /proc/uptime")?;
    let seconds = text.split_whitespace().next().and_then(|seconds| seconds.parse().ok());
    seconds.ok_or_else(|| anyhow!("/proc/uptime says '{text}'"))
}

/// One seed to be run.
#[derive(Clone, Debug)]
pub(super) struct Child {
    pub(super) seed: u64,
    pub(super) masters: Option<u8>,
    pub(super) faults: Vec<FaultKind>,
    pub(super) planted: Option<Bug>,
    pub(super) only: Option<Vec<u64>>,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It came to its end.
    Report(Box<Report>),
    /// The harness failed.
    Broken(String),
}

impl Child {
    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), format!("--seed={}", self.seed)];
        if let Some(masters) = self.masters {
            arguments.push(format!("--masters={masters}"));
        }
        if !self.faults.is_empty() {
            let names: Vec<&str> = self.faults.iter().map(|kind| kind.name()).collect();
            arguments.push(format!("--faults={}", names.join(",")));
        }
        if let Some(bug) = self.planted {
            arguments.push(format!("--planted={bug}"));
        }
        if let Some(only) = &self.only {
            let numbers: Vec<String> = only.iter().map(u64::to_string).collect();
            arguments.push(format!("--only-faults={}", numbers.join(",")));
        }
        arguments
    }

    /// The one command that does the same again.
    pub(super) fn command(&self) -> String {
        format!("cargo xtask simulate {}", self.arguments().join(" "))
    }
}

struct Running {
    child: Child,
    process: std::process::Child,
    output: thread::JoinHandle<(String, String)>,
    began: f64,
}

/// Processes at once.
pub(super) struct Pool {
    program: std::path::PathBuf,
    size: usize,
    running: Vec<Running>,
}

impl Pool {
    /// As many as asked for, or as there are cores.
    pub(super) fn new(size: Option<usize>) -> Result<Pool> {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Pool {
            program: std::env::current_exe().context("this program cannot be found again")?,
            size: size.unwrap_or(cores).max(1),
            running: Vec::new(),
        })
    }

    pub(super) fn has_room(&self) -> bool {
        self.running.len() < self.size
    }

    /// Starts a seed.
    pub(super) fn start(&mut self, child: Child) -> Result<()> {
        let mut process = Command::new(&self.program)
            .args(child.arguments())
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start a process for a seed")?;
        let (mut stdout, mut stderr) = (process.stdout.take(), process.stderr.take());
        // A full pipe would stop the process. Both are read to their ends, one after the other: errors are short.
        let output = thread::spawn(move || {
            let mut read = [String::new(), String::new()];
            if let Some(stdout) = &mut stdout
                && let Err(error) = stdout.read_to_string(&mut read[0])
            {
                read[1] = error.to_string();
            }
            if let Some(stderr) = &mut stderr
                && let Err(error) = stderr.read_to_string(&mut read[1])
            {
                read[1] = error.to_string();
            }
            let [stdout, stderr] = read;
            (stdout, stderr)
        });
        self.running.push(Running {
            child,
            process,
            output,
            began: wall_seconds()?,
        });
        Ok(())
    }

    /// Waits for one to end; `None` when none runs.
    pub(super) fn next(&mut self) -> Result<Option<(Child, Outcome)>> {
        loop {
            if self.running.is_empty() {
                return Ok(None);
            }
            let now = wall_seconds()?;
            for place in 0..self.running.len() {
                let running = &mut self.running[place];
                let ended = running.process.try_wait().context("cannot wait for a seed")?;
                let hangs = ended.is_none() && now - running.began > LIMIT_SECONDS;
                if ended.is_none() && !hangs {
                    continue;
                }
                if hangs {
                    running.process.kill().context("cannot kill a seed that hangs")?;
                    running
                        .process
                        .wait()
                        .context("cannot wait for a seed that was killed")?;
                }
                let Running { child, output, .. } = self.running.swap_remove(place);
                let (stdout, stderr) = output
                    .join()
                    .map_err(|_| anyhow!("the output of a seed cannot be read"))?;
                let outcome = match ended.and_then(|status| status.code()) {
                    _ if hangs => Outcome::Broken(format!("it did not end within {LIMIT_SECONDS} s")),
                    Some(code) if code <= i32::from(VIOLATED) => match serde_json::from_str(stdout.trim()) {
                        Ok(report) => Outcome::Report(Box::new(report)),
                        Err(error) => Outcome::Broken(format!("its report cannot be read: {error}")),
                    },
                    Some(_) => Outcome::Broken(stderr.trim().to_owned()),
                    None => match report_of_aborted(child.seed, &stderr) {
                        Some(report) => Outcome::Report(Box::new(report)),
                        None => Outcome::Broken(format!("it was killed by a signal {}", stderr.trim())),
                    },
                };
                return Ok(Some((child, outcome)));
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for running in &mut self.running {
            // One that has ended meanwhile cannot be killed, and need not be.
            drop(running.process.kill());
            drop(running.process.wait());
        }
    }
}
