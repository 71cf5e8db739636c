//! `bench`: runs the benchmarks with release binaries. A benchmark is a program that prints its own tables; adding one
//! means adding a line to [`BENCHES`]. Its tables of goals are gathered and shown together at the end.

mod goals;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use self::goals::Goals;
use crate::{packages, shell};

/// Runs everything small and short: says whether the benchmarks work, not how fast the product is.
const QUICK: &str = "--quick";

/// One benchmark program.
struct Bench {
    /// What is typed after `cargo xtask bench`.
    name: &'static str,
    /// The package that holds the program.
    package: &'static str,
    /// The program, a `[[bin]]` of that package.
    program: &'static str,
    /// One line for the list.
    what: &'static str,
    /// What the machine must have besides.
    needs: &'static [packages::Need],
    /// The argument with which it does without that.
    without: Option<&'static str>,
    /// The arguments of a quick run.
    quick: &'static [&'static str],
}

/// Every benchmark, in the order in which `cargo xtask bench` runs them.
const BENCHES: &[Bench] = &[
    Bench {
        name: "failover",
        package: "bench",
        program: "bench-failover",
        what: "leader killed, paused or stopped in order, until writes and tasks are served again",
        needs: &[],
        without: None,
        quick: &["--trials=3"],
    },
    Bench {
        name: "writes",
        package: "bench",
        program: "bench-writes",
        what: "durable 256-byte writes beside the disk's own rate and beside etcd",
        needs: packages::ETCD,
        without: Some("--without_etcd"),
        quick: &["--trials=1", "--seconds=0.5", "--clients=1,256"],
    },
    Bench {
        name: "launches",
        package: "bench",
        program: "bench-launches",
        what: "launches per second from end to end, with hollow agents",
        needs: &[],
        without: None,
        quick: &["--seconds=5", "--agents=100"],
    },
    Bench {
        name: "reregister",
        package: "bench",
        program: "bench-reregister",
        what: "reregistration of a fleet with tasks after the leader was killed",
        needs: &[],
        without: None,
        quick: &["--trials=1", "--agents=500", "--tasks=5000"],
    },
    Bench {
        name: "registry",
        package: "bench",
        program: "bench-registry",
        what: "memory, replay and snapshot of a registry with 50,000 agents and 500,000 tasks",
        needs: &[],
        without: None,
        quick: &["--trials=1", "--agents=5000"],
    },
    Bench {
        name: "restart",
        package: "bench",
        program: "bench-restart",
        what: "restart of real masters that hold 50,000 agents and 500,000 tasks; their whole state over HTTP",
        needs: &[],
        without: None,
        quick: &["--trials=1", "--agents=5000", "--tail=1000"],
    },
    Bench {
        name: "allocator",
        package: "bench",
        program: "bench-allocator",
        what: "one allocation cycle over 20,000 agents and 2,000 frameworks",
        needs: &[],
        without: None,
        quick: &["--trials=2", "--agents=2000", "--frameworks=200", "--roles=20"],
    },
];

/// Runs the benchmark named by the first argument with the rest as its arguments, or all of them. All of them run even
/// when one fails; the goals of all stand in one table at the end.
pub(crate) fn bench(arguments: &[String]) -> Result<bool> {
    let quick = arguments.iter().any(|argument| argument == QUICK);
    let mut rest = arguments.iter().filter(|argument| *argument != QUICK);
    let chosen: Vec<&Bench> = match rest.next() {
        Some(name) => vec![find(name)?],
        None => BENCHES.iter().collect(),
    };
    let further: Vec<&str> = rest.map(String::as_str).collect();
    let begin = Instant::now();
    let mut goals = Goals::default();
    let mut failed = Vec::new();
    for bench in chosen {
        goals.begin(bench.name);
        match run(bench, quick, &further, &mut goals) {
            Ok(true) => {}
            Ok(false) => failed.push(bench.name),
            Err(error) => {
                eprintln!("{}: {error:#}", bench.name);
                failed.push(bench.name);
            }
        }
    }
    let minutes = begin.elapsed().div_duration_f64(Duration::from_secs(60));
    println!("\nall goals, after {minutes:.1} minutes\n\n{}", goals.table());
    if quick {
        println!("a quick run: it shows that the benchmarks work, its figures mean little");
    }
    if !failed.is_empty() {
        println!("could not measure: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

fn find(name: &str) -> Result<&'static Bench> {
    BENCHES.iter().find(|bench| bench.name == name).with_context(|| {
        let known: Vec<String> = BENCHES
            .iter()
            .map(|bench| format!("\n  {:<16}{}", bench.name, bench.what))
            .collect();
        format!("there is no benchmark '{name}'; there are:{}", known.concat())
    })
}

fn run(bench: &Bench, quick: bool, arguments: &[&str], goals: &mut Goals) -> Result<bool> {
    println!("\n{}: {}", bench.name, bench.what);
    let mut all: Vec<&str> = Vec::new();
    if quick {
        // What is said on the command line counts.
        let flag = |argument: &&str| argument.split('=').next().map(str::to_owned);
        let is_said = |argument: &&str| arguments.iter().any(|said| flag(said) == flag(argument));
        all.extend(bench.quick.iter().copied().filter(|argument| !is_said(argument)));
    }
    match (packages::ensure(bench.needs), bench.without) {
        (Ok(()), _) => {}
        (Err(error), Some(without)) => {
            println!("{error:#}; goes on with {without}");
            all.push(without);
        }
        (Err(error), None) => return Err(error),
    }
    all.extend(arguments);
    shell::must(&mut shell::cargo(["build", "--release", "--package", "cli"]))?;
    let mut command = shell::cargo([
        "run",
        "--release",
        "--quiet",
        "--package",
        bench.package,
        "--bin",
        bench.program,
        "--",
    ]);
    command
        .args(all)
        .env("MESORAFT_BIN", shell::target().join("release/mesoraft"));
    shell::watched(&mut command, |line| goals.see(line))
}
