//! `bench`: runs the benchmarks with release binaries. A benchmark is a program that prints its own table; adding one
//! means adding a line to [`BENCHES`].

use anyhow::{Context, Result};

use crate::{packages, shell};

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
}

/// Every benchmark, in the order in which `cargo xtask bench` runs them.
const BENCHES: &[Bench] = &[
    Bench {
        name: "failover",
        package: "bench",
        program: "bench-failover",
        what: "leader killed, paused or stopped in order, until writes and tasks are served again",
        needs: &[],
    },
    Bench {
        name: "writes",
        package: "bench",
        program: "bench-writes",
        what: "durable 256-byte writes beside the disk's own rate and beside etcd",
        needs: packages::ETCD,
    },
    Bench {
        name: "launches",
        package: "bench",
        program: "bench-launches",
        what: "launches per second from end to end, with hollow agents",
        needs: &[],
    },
    Bench {
        name: "reregister",
        package: "bench",
        program: "bench-reregister",
        what: "reregistration of a fleet with tasks after the leader was killed",
        needs: &[],
    },
    Bench {
        name: "registry",
        package: "bench",
        program: "bench-registry",
        what: "memory, snapshot and restart of a registry with 50,000 agents and 500,000 tasks",
        needs: &[],
    },
    Bench {
        name: "allocator",
        package: "bench",
        program: "bench-allocator",
        what: "one allocation cycle over 20,000 agents and 2,000 frameworks",
        needs: &[],
    },
];

/// Runs the benchmark named by the first argument with the rest as its arguments, or all of them.
pub(crate) fn bench(arguments: &[String]) -> Result<bool> {
    let Some((name, rest)) = arguments.split_first() else {
        if BENCHES.is_empty() {
            println!("there is no benchmark yet");
        }
        let mut passed = true;
        for bench in BENCHES {
            passed &= run(bench, &[])?;
        }
        return Ok(passed);
    };
    let bench = BENCHES.iter().find(|bench| bench.name == name).with_context(|| {
        let known: Vec<String> = BENCHES
            .iter()
            .map(|bench| format!("\n  {:<16}{}", bench.name, bench.what))
            .collect();
        format!("there is no benchmark '{name}'; there are:{}", known.concat())
    })?;
    run(bench, rest)
}

fn run(bench: &Bench, arguments: &[String]) -> Result<bool> {
    println!("\n{}: {}", bench.name, bench.what);
    packages::ensure(bench.needs)?;
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
        .args(arguments)
        .env("MESORAFT_BIN", shell::target().join("release/mesoraft"));
    shell::succeeds(&mut command)
}
