//! `chaos`: long runs of real processes, in pieces, with 3 and with 5 masters in turn.
//!
//! A piece that could not be judged is neither a pass nor a violation, and fails the whole all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::shell;

/// How long all pieces take together unless told.
const MINUTES: u64 = 60;
/// Longest piece: its history is held in memory while it is judged.
const PIECE_MINUTES_MAX: u64 = 15;
/// Masters of the pieces, in turn.
const MASTERS: [u32; 2] = [3, 5];

/// What was seen of one piece.
#[derive(Debug, Default, PartialEq, Eq)]
struct Piece {
    masters: u32,
    minutes: u64,
    faults: String,
    verdict: Option<String>,
    succeeded: bool,
}

impl Piece {
    fn see(&mut self, line: &str) {
        if let Some(faults) = line.strip_prefix("faults: ") {
            self.faults = total(faults).to_string();
        } else if let Some(verdict) = line.strip_prefix("verdict: ") {
            self.verdict = Some(verdict.to_owned());
        }
    }

    fn line(&self) -> String {
        let verdict = self.verdict.as_deref().unwrap_or("no verdict: the harness failed");
        let faults = if self.faults.is_empty() { "-" } else { &self.faults };
        format!("{:>7}  {:>7}  {:>6}  {verdict}", self.masters, self.minutes, faults)
    }
}

/// How many faults a list such as `kill 3, pause 2` counts.
fn total(faults: &str) -> u64 {
    faults
        .split(", ")
        .filter_map(|fault| fault.rsplit_once(' ')?.1.parse::<u64>().ok())
        .sum()
}

/// Builds two programs and runs pieces until the time is used up. Returns whether everything held.
pub(crate) fn chaos(arguments: &[String]) -> Result<bool> {
    let (minutes, rest) = minutes_of(arguments)?;
    shell::must(&mut shell::cargo(["build", "--release", "--package", "cli"]))?;
    // Another build, for the fault `upgrade`.
    shell::must(&mut shell::cargo(["build", "--package", "cli"]))?;
    let folder = shell::target().join("chaos");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let begin = Instant::now();
    let mut pieces = Vec::new();
    for (number, (masters, minutes)) in pieces_of(minutes).into_iter().enumerate() {
        pieces.push(run(&folder, number + 1, masters, minutes, &rest)?);
    }
    let took = begin.elapsed().div_duration_f64(Duration::from_secs(60));
    println!("\nafter {took:.1} minutes\n\nmasters  minutes  faults  verdict");
    for piece in &pieces {
        println!("{}", piece.line());
    }
    Ok(pieces.iter().all(|piece| piece.succeeded))
}

/// Takes `--minutes M` or `--minutes=M` out.
fn minutes_of(arguments: &[String]) -> Result<(u64, Vec<String>)> {
    let (mut minutes, mut rest) = (MINUTES, Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let value = match argument.strip_prefix("--minutes=") {
            Some(value) => Some(value),
            None if argument == "--minutes" => Some(arguments.next().context("--minutes: how many?")?.as_str()),
            None => None,
        };
        match value {
            Some(value) => {
                minutes = value
                    .parse()
                    .with_context(|| format!("--minutes={value} is no number"))?
            }
            None => rest.push(argument.clone()),
        }
    }
    if minutes == 0 {
        bail!("--minutes=0: there is no run without time");
    }
    Ok((minutes, rest))
}

/// Masters and minutes of each piece: as many pieces as needed, an even number from two minutes on.
fn pieces_of(minutes: u64) -> Vec<(u32, u64)> {
    let pairs = minutes.div_ceil(PIECE_MINUTES_MAX * 2);
    let count = if minutes == 1 { 1 } else { pairs * 2 };
    let piece = |number: u64| {
        let masters = MASTERS[usize::try_from(number % 2).unwrap_or(0)];
        (masters, minutes / count + u64::from(number < minutes % count))
    };
    (0..count).map(piece).collect()
}

fn run(folder: &Path, number: usize, masters: u32, minutes: u64, rest: &[String]) -> Result<Piece> {
    let file = |suffix: &str| -> PathBuf { folder.join(format!("{number}-{masters}-masters{suffix}")) };
    let work = file("-data");
    if work.exists() {
        fs::remove_dir_all(&work).with_context(|| format!("cannot remove {}", work.display()))?;
    }
    let mut command = std::process::Command::new(shell::target().join("release/mesoraft"));
    command
        .args(["chaos", "run", "--logging_level=WARNING", "--real_agents=2"])
        .arg(format!("--masters={masters}"))
        .arg(format!("--minutes={minutes}"))
        .arg(format!("--history={}", file(".jsonl").display()))
        .arg(format!("--report={}", file("-report").display()))
        .arg(format!("--work_dir={}", work.display()))
        .arg(format!(
            "--other_binary={}",
            shell::target().join("debug/mesoraft").display()
        ))
        .args(rest);
    let mut piece = Piece {
        masters,
        minutes,
        ..Piece::default()
    };
    piece.succeeded = shell::watched(&mut command, |line| piece.see(line))?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_use_up_the_time_with_both_sizes() {
        assert_eq!(pieces_of(1), [(3, 1)]);
        assert_eq!(pieces_of(5), [(3, 3), (5, 2)]);
        let hours = pieces_of(240);
        assert_eq!(hours.iter().map(|(_, minutes)| minutes).sum::<u64>(), 240);
        assert!(hours.iter().all(|(_, minutes)| *minutes <= PIECE_MINUTES_MAX));
        assert_eq!(
            hours.iter().filter(|(masters, _)| *masters == 5).count() * 2,
            hours.len()
        );
    }

    #[test]
    fn minutes_are_taken_out_and_the_rest_is_handed_on() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            minutes_of(&words("--seed=1 --minutes 7 --keep")).unwrap(),
            (7, words("--seed=1 --keep"))
        );
        assert!(minutes_of(&words("--minutes=0")).is_err());
    }

    #[test]
    fn a_piece_without_a_verdict_is_a_failure_of_the_harness() {
        let mut piece = Piece::default();
        assert!(piece.line().contains("the harness failed"));
        piece.see("faults: kill 3, pause 2");
        piece.see("verdict: everything held (12 acknowledged calls)");
        assert!(
            piece.line().ends_with("5  everything held (12 acknowledged calls)"),
            "{}",
            piece.line()
        );
    }
}
