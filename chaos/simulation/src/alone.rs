//! One run on a thread of its own, with random numbers, clocks and defects set for it.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use chaos::history::History;
use planted::Bug;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::oracle::Violation;
use crate::random::Random;
use crate::run::{Report, Request, run};

/// Stack of the thread of a run: nested futures of whole masters in a build with assertions.
const STACK_BYTES: usize = 16 << 20;

/// Random numbers that the C library is asked for (hash seeds, thread generators) follow from the seed too.
fn seed_everything(seed: u64) {
    let rng = StdRng::seed_from_u64(Random::of(seed, "getrandom").next());
    match mad_turmoil::rand::try_rng() {
        None => mad_turmoil::rand::set_rng(rng),
        Some(mut present) => *present = rng,
    }
}

/// tokio ends the tasks of a runtime in an order that depends on their ids modulo a small power of two, and counts ids
/// through the whole process: every run begins at the same remainder.
fn align_task_ids() -> Result<()> {
    const ALIGNMENT: u64 = 1 << 10;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    loop {
        let id = runtime.spawn(std::future::ready(())).id().to_string();
        if id.parse::<u64>()? % ALIGNMENT == 0 {
            return Ok(());
        }
    }
}

/// Begins the line about a panic of the product among the complaints of a seed.
const PANIC_MARK: &str = "panic of the product: ";

/// Runs a seed on a fresh thread. A panic of the product is a violation.
///
/// # Errors
/// The harness failed, or panicked.
pub(crate) fn run_alone(request: &Request, bug: Option<Bug>) -> Result<(Report, Option<History>)> {
    seed_everything(request.seed);
    planted::plant(bug);
    let panicked: Arc<Mutex<Option<(bool, String)>>> = Arc::default();
    let seen = panicked.clone();
    panic::set_hook(Box::new(move |info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let ours = place.starts_with("src/") || place.contains("chaos/simulation/") || place.contains("/turmoil-");
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        // The first one tells; others are its consequences.
        if seen.is_none() {
            let text = format!("{place}: {text}");
            if !ours {
                // A second panic, while what the first one left is dropped, ends the process before its report.
                eprintln!("{PANIC_MARK}{}", text.replace('\n', " "));
            }
            *seen = Some((ours, text));
        }
    }));
    let request = request.clone();
    let seed = request.seed;
    let thread = std::thread::Builder::new()
        .name("run".to_owned())
        .stack_size(STACK_BYTES);
    let handle = thread.spawn(move || {
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        panic::catch_unwind(AssertUnwindSafe(|| {
            align_task_ids()?;
            run(&request)
        }))
    })?;
    let ended = handle.join();
    drop(panic::take_hook());
    let panicked = panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
    match (ended, panicked) {
        (_, Some((true, text))) => Err(anyhow!("the simulation itself panicked at {text}")),
        (_, Some((false, text))) => Ok((panic_report(seed, text), None)),
        (Ok(Ok(done)), None) => done.map(|(report, history)| (report, Some(history))),
        (Ok(Err(_)) | Err(_), None) => Err(anyhow!("the run ended with a panic that nobody saw")),
    }
}

/// What a seed has to say that its panics ended before its report.
pub(crate) fn report_of_aborted(seed: u64, complaints: &str) -> Option<Report> {
    let text = complaints.lines().find_map(|line| line.strip_prefix(PANIC_MARK))?;
    Some(panic_report(seed, text.to_owned()))
}

fn panic_report(seed: u64, text: String) -> Report {
    Report {
        seed,
        violations: vec![Violation {
            rule: "no-panic".to_owned(),
            what: format!("a panic at {text}"),
        }],
        faults: Vec::new(),
        coverage: std::collections::BTreeMap::new(),
        trace: String::new(),
        events: 0,
        history: String::new(),
        simulated: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_run_twice_to_the_last_byte() {
        let request = Request {
            seed: 3,
            ..Request::default()
        };
        let first = run_alone(&request, None).unwrap();
        let second = run_alone(&request, None).unwrap();
        assert_eq!(first.0, second.0);
        assert_eq!(first.1, second.1);
        assert!(first.0.events > 1_000, "{:?}", first.0);
    }
}
