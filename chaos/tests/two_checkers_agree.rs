//! The in-process search and Porcupine share no code; they must judge every history alike.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use chaos::check::{self, Finding, Verdict, porcupine};
use chaos::history::{Call, FORMAT, History, Operation, Outcome, Record, Run, Seen, Sight};

/// Histories that are compared, half of them changed in one place.
const HISTORIES: u64 = 60;

fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

fn can_be_tested() -> bool {
    if porcupine::has_go() {
        return true;
    }
    println!("NOT TESTED: there is no Go toolchain (Debian: golang-go)");
    false
}

/// A small generator of numbers: the same histories every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

const STATES: [&str; 4] = ["TASK_STAGING", "TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"];

/// What clients of an atomic register and of an atomic task would see.
struct Simulated {
    numbers: Numbers,
    records: Vec<Record>,
}

impl Simulated {
    fn call(&mut self, instant: u64, lost: bool, operation: Operation, value: &str) {
        let called = instant - self.numbers.below(8);
        let returned = (!lost).then(|| instant + self.numbers.below(8));
        let outcome = if lost {
            Outcome::Unknown { reason: String::new() }
        } else {
            Outcome::Ok { value: value.into() }
        };
        let is_call = |record: &&Record| matches!(record, Record::Call(_));
        let id = self.records.iter().filter(is_call).count() as u64;
        let client = format!("c{}", self.numbers.below(3));
        self.records.push(Record::Call(Call {
            id,
            client,
            called,
            returned,
            operation,
            outcome,
        }));
    }

    fn register(&mut self) {
        let mut value = String::new();
        for step in 0..25 {
            let instant = 10 + step * 5;
            let object = "quota/a".to_owned();
            if self.numbers.below(2) == 0 {
                let lost = self.numbers.below(6) == 0;
                let next = format!("v{step}");
                let operation = Operation::Write {
                    object,
                    value: next.clone(),
                };
                self.call(instant, lost, operation, "");
                if !lost || self.numbers.below(2) == 0 {
                    value = next;
                }
            } else {
                let at = String::new();
                self.call(instant, false, Operation::Read { object, at }, &value);
            }
        }
    }

    fn task(&mut self) {
        let (framework, task, agent) = ("f".to_owned(), "t".to_owned(), "a".to_owned());
        let launch = Operation::Launch {
            framework: framework.clone(),
            agent: agent.clone(),
            offers: vec!["o".into()],
            tasks: vec![task.clone()],
        };
        self.call(10, false, launch, "");
        let mut at = 20;
        for (step, state) in STATES.iter().enumerate() {
            if step > 0 {
                let operation = Operation::Report {
                    agent: agent.clone(),
                    framework: framework.clone(),
                    task: task.clone(),
                    state: (*state).into(),
                    uuid: format!("u{step}"),
                };
                let lost = step == 3 && self.numbers.below(2) == 0;
                self.call(at, lost, operation, "");
                let what = Sight::Updated {
                    framework: framework.clone(),
                    task: task.clone(),
                    state: (*state).into(),
                    uuid: format!("u{step}"),
                    reason: String::new(),
                    source: String::new(),
                };
                let observer = "s".to_owned();
                let at = at + self.numbers.below(4);
                self.records.push(Record::Seen(Seen { at, observer, what }));
            }
            for _ in 0..=self.numbers.below(3) {
                at += 1 + self.numbers.below(6);
                let operation = Operation::ReadTask {
                    framework: framework.clone(),
                    task: task.clone(),
                    at: String::new(),
                };
                self.call(at, false, operation, state);
            }
            at += 1;
        }
    }

    /// One answer of a read becomes another one that was given somewhere.
    fn change(&mut self) {
        let chosen = self.numbers.below(self.records.len() as u64) as usize;
        let other = self.numbers.below(4) as usize;
        let step = self.numbers.below(25);
        let reads = self.records.iter_mut().cycle_from(chosen);
        for record in reads {
            if let Record::Call(call) = record
                && let Outcome::Ok { value } = &mut call.outcome
            {
                match call.operation {
                    Operation::Read { .. } => *value = format!("v{step}"),
                    Operation::ReadTask { .. } => *value = STATES[other].to_owned(),
                    _ => continue,
                }
                return;
            }
        }
    }
}

trait CycleFrom<T> {
    /// From the `start`th on to the end, then those before.
    fn cycle_from(self, start: usize) -> std::vec::IntoIter<T>;
}

impl<T, I: Iterator<Item = T>> CycleFrom<T> for I {
    fn cycle_from(self, start: usize) -> std::vec::IntoIter<T> {
        let mut all: Vec<T> = self.collect();
        let length = all.len();
        all.rotate_left(start % length);
        all.into_iter()
    }
}

fn generated(seed: u64) -> History {
    let run = Run {
        format: FORMAT,
        ..Run::default()
    };
    let mut simulated = Simulated {
        numbers: Numbers(seed),
        records: vec![Record::Run(run)],
    };
    simulated.register();
    simulated.task();
    if seed % 2 == 1 {
        simulated.change();
    }
    History {
        records: simulated.records,
    }
}

fn is<'a>(verdicts: &'a [Verdict], check: &str) -> &'a Finding {
    let found = verdicts.iter().find(|verdict| verdict.check == check);
    &found
        .unwrap_or_else(|| panic!("no verdict of {check}: {verdicts:?}"))
        .finding
}

fn judged_by_porcupine(history: &History, path: &Path) -> Vec<Verdict> {
    history.write(std::fs::File::create(path).unwrap()).unwrap();
    porcupine::run(path, &cache(), porcupine::TIMEOUT).unwrap()
}

#[test]
fn both_checkers_judge_generated_histories_alike() {
    if !can_be_tested() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut violated = 0;
    for seed in 0..HISTORIES {
        let history = generated(seed);
        let ours = check::check(&history);
        let theirs = judged_by_porcupine(&history, &folder.path().join("history"));
        for (our, their) in [
            ("linearizable-registers", "porcupine-quota"),
            ("linearizable-tasks", "porcupine-task"),
        ] {
            let (our, their) = (is(&ours, our), is(&theirs, their));
            let is_violated = matches!(our, Finding::Violated { .. });
            assert_eq!(
                is_violated,
                matches!(their, Finding::Violated { .. }),
                "seed {seed}: {our:?} {their:?}"
            );
            if seed % 2 == 0 {
                assert!(matches!(our, Finding::Held { .. }), "seed {seed}: {our:?}");
                assert!(matches!(their, Finding::Held { .. }), "seed {seed}: {their:?}");
            }
            violated += u64::from(is_violated);
        }
    }
    // A change need not be a contradiction, but many are.
    assert!(violated >= HISTORIES / 10, "only {violated} contradictions");
}

#[test]
fn what_is_no_history_is_no_verdict() {
    if !can_be_tested() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history");
    std::fs::write(&path, "{}\n").unwrap();
    let error = porcupine::run(&path, &cache(), porcupine::TIMEOUT)
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not begin"), "{error}");
}

#[test]
fn the_go_program_passes_its_own_tests() {
    if !can_be_tested() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("porcupine");
    let output = Command::new("go")
        .current_dir(folder)
        .args(["test", "./..."])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
