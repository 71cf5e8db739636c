//! `bench-failover`: three masters and an agent as real processes; the leader is killed, paused or stopped in order, again
//! and again, while writers write; what they and a framework with tasks see is timed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench::failover::journal::{Journal, Watch};
use bench::failover::tasks::{self, Board, Times};
use bench::failover::writer::Writer;
use bench::spread::{Spread, show};
use bench::table::{Table, verdict, verdict_on_time};
use bench::{machine, masters, picture};
use clap::{Parser, ValueEnum};
use client::MasterList;
use cluster_tests::cluster::Cluster;
use cluster_tests::wait::wait_until;
use tokio::runtime::Runtime;

/// Longest wait for what must happen after a fault; a trial that takes longer counts as not recovered.
const RECOVERY_MAX: Duration = Duration::from_secs(30);
/// Within this time the long tasks must run.
const TASKS_RUN_MAX: Duration = Duration::from_secs(60);
/// Pause before each fault, in which an election without a fault would be noticed, and the cluster is in its normal state.
/// Longer than the second after which the client library takes a subscription for a good one: a framework that loses one
/// leader after the other more often than that reconnects ever more slowly.
const CALM: Duration = Duration::from_millis(1200);
/// Pause between two looks at a condition.
const POLL: Duration = Duration::from_millis(5);
/// A paused leader stays so at least this long: longer than any timer of the cluster.
const PAUSED_AT_LEAST: Duration = Duration::from_millis(1500);

/// Unit of a time in the table of goals.
const MILLIS: &str = " ms";

/// Fail-over: `kill -9`, SIGSTOP and planned hand-over of the leading master
#[derive(Debug, Parser)]
#[command(name = "bench-failover")]
struct Arguments {
    /// Faults of each kind
    #[arg(long = "trials", default_value_t = 200)]
    trials: usize,
    /// Kinds of fault
    #[arg(long = "variants", value_delimiter = ',', value_enum, default_values_t = [Variant::Kill, Variant::Pause, Variant::HandOver])]
    variants: Vec<Variant>,
    /// Writers that roam, besides two pinned to each master
    #[arg(long = "writers", default_value_t = 6)]
    writers: usize,
    /// Long tasks that reconciliation has to answer
    #[arg(long = "tasks", default_value_t = 20)]
    tasks: usize,
    /// Folder for a picture of the distribution of each kind of fault
    #[arg(long = "pictures")]
    pictures: Option<PathBuf>,
    /// Print every trial
    #[arg(long = "verbose")]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Variant {
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Pause,
    /// SIGTERM
    HandOver,
}

impl Variant {
    fn title(self) -> &'static str {
        match self {
            Variant::Kill => "kill -9",
            Variant::Pause => "SIGSTOP",
            Variant::HandOver => "planned hand-over (SIGTERM)",
        }
    }

    /// Part of a file's name.
    fn file(self) -> &'static str {
        match self {
            Variant::Kill => "kill",
            Variant::Pause => "pause",
            Variant::HandOver => "hand-over",
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::print_facts();
    for variant in &arguments.variants {
        let mut run = Run::start(&arguments)?;
        let figures = run.trials(*variant, &arguments)?;
        run.cluster.passed()?;
        figures.print(*variant, arguments.tasks);
        if let Some(folder) = &arguments.pictures {
            figures.draw(*variant, folder)?;
        }
    }
    Ok(())
}

/// A running cluster with everybody who watches it.
struct Run {
    cluster: Cluster,
    addresses: Vec<String>,
    journal: Arc<Journal>,
    board: Board,
    /// Kept for its drop, which ends the writers.
    _runtime: Runtime,
}

/// The figures of one kind of fault.
#[derive(Default)]
struct Figures {
    write: Spread,
    gap: Spread,
    subscribed: Spread,
    reconciled: Spread,
    running: Spread,
    not_recovered: u64,
    refused_calls: u64,
    unknown_calls: u64,
    trials_with_failed_calls: u64,
    first_failure: Option<String>,
    false_elections: u64,
    /// Calm times in which nothing was written.
    stalls: u64,
    calm: Duration,
    further_terms: u64,
    lost_tasks: u64,
    writes: u64,
}

impl Run {
    fn start(arguments: &Arguments) -> Result<Run> {
        let mut cluster = Cluster::builder().own_timers().agents(1).start()?;
        let addresses: Vec<String> = cluster.addresses().split(',').map(str::to_owned).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let journal = Arc::new(Journal::default());
        let board = Board::default();
        let list: MasterList = cluster.addresses().parse()?;
        let (wanted, at) = (arguments.tasks, board.clone());
        runtime.spawn(async move {
            if let Err(error) = tasks::run(list, wanted, at).await {
                eprintln!("the framework with tasks ended: {error:#}");
            }
        });
        let pinned = (0..2 * addresses.len()).map(|number| (number % addresses.len(), true));
        let roaming = (0..arguments.writers).map(|number| (number % addresses.len(), false));
        for (number, (at, is_pinned)) in pinned.chain(roaming).enumerate() {
            let name = format!("writer-{number}");
            runtime.spawn(Writer::new(name, addresses.clone(), at, is_pinned, Arc::clone(&journal)).run());
        }
        wait_until("the long tasks run", TASKS_RUN_MAX, || {
            Ok(board.long_running() == arguments.tasks)
        })?;
        cluster.wait_for_leader()?;
        Ok(Run {
            cluster,
            addresses,
            journal,
            board,
            _runtime: runtime,
        })
    }

    fn trials(&mut self, variant: Variant, arguments: &Arguments) -> Result<Figures> {
        let mut figures = Figures::default();
        let started = self.journal.count();
        for trial in 0..arguments.trials {
            let outcome = self.trial(variant, &mut figures);
            let times = outcome.with_context(|| format!("trial {} of {}", trial + 1, variant.title()))?;
            if arguments.verbose {
                println!("{} {}: {times}", variant.title(), trial + 1);
            }
        }
        figures.lost_tasks = self.board.lost();
        figures.writes = self.journal.count() - started;
        Ok(figures)
    }

    fn trial(&mut self, variant: Variant, figures: &mut Figures) -> Result<String> {
        let leader = masters::settle(&mut self.cluster)?;
        let address = self.addresses[leader].clone();
        let before = self.calm(figures)?;
        self.board.arm();
        self.journal.watch(&address);
        let fault = Instant::now();
        self.journal.fault_happens(fault);
        match variant {
            Variant::Kill => self.cluster.masters[leader].kill9()?,
            Variant::Pause => self.cluster.masters[leader].pause()?,
            Variant::HandOver => self.cluster.terminate_master(leader)?,
        }
        let mut recovered = self.journal.wait_for_other(RECOVERY_MAX);
        while recovered && !self.board.times().complete() {
            recovered = fault.elapsed() < RECOVERY_MAX;
            std::thread::sleep(POLL);
        }
        let watch = self.journal.end().context("the journal lost its watch")?;
        let times = self.board.times();
        let line = figures.add(&watch, &times, recovered);
        if variant == Variant::Pause {
            std::thread::sleep(PAUSED_AT_LEAST.saturating_sub(fault.elapsed()));
            self.cluster.masters[leader].resume()?;
        } else {
            self.cluster.masters[leader].start()?;
        }
        masters::settle(&mut self.cluster)?;
        figures.further_terms += masters::term(&mut self.cluster)?.saturating_sub(before + 1);
        Ok(line)
    }

    /// Lets the cluster run undisturbed under its load; an election in this time is a false one. Returns the term.
    fn calm(&mut self, figures: &mut Figures) -> Result<u64> {
        let before = masters::term(&mut self.cluster)?;
        let written = self.journal.count();
        std::thread::sleep(CALM);
        let after = masters::term(&mut self.cluster)?;
        figures.calm += CALM;
        figures.false_elections += after - before;
        if self.journal.count() == written {
            figures.stalls += 1;
            let journal = Arc::clone(&self.journal);
            wait_until("something is written again", RECOVERY_MAX, || {
                Ok(journal.count() > written)
            })?;
        }
        Ok(after)
    }
}

impl Figures {
    fn add(&mut self, watch: &Watch, times: &Times, recovered: bool) -> String {
        let since = |moment: Option<Instant>| moment.map(|moment| moment.saturating_duration_since(watch.fault));
        let mut line = String::new();
        for (name, spread, moment) in [
            ("write", &mut self.write, watch.first_from_other),
            ("subscribed", &mut self.subscribed, times.subscribed),
            ("reconciled", &mut self.reconciled, times.reconciled),
            ("running", &mut self.running, times.running),
        ] {
            let text = match since(moment) {
                Some(time) => {
                    spread.record(time);
                    show(time.as_secs_f64() * 1000.0)
                }
                None => "never".to_owned(),
            };
            line.push_str(&format!("{name} {text} ms, "));
        }
        let last = watch.last_from_old.unwrap_or(watch.fault);
        if let Some(first) = watch.first_from_other {
            let gap = first.saturating_duration_since(last);
            self.gap.record(gap);
            line.push_str(&format!("gap {} ms, ", show(gap.as_secs_f64() * 1000.0)));
        }
        self.not_recovered += u64::from(!recovered);
        self.refused_calls += watch.refused;
        self.unknown_calls += watch.unknown;
        self.trials_with_failed_calls += u64::from(watch.refused + watch.unknown > 0);
        self.first_failure = self.first_failure.take().or_else(|| watch.first_failure.clone());
        line.push_str(&format!("{} calls refused, {} unknown", watch.refused, watch.unknown));
        line
    }

    fn print(&self, variant: Variant, tasks: usize) {
        let mut table = Table::new(&["from the fault to", "trials", "p50 ms", "p90", "p99", "max"]);
        let every_task = format!("every one of {tasks} tasks answered by reconciliation");
        for (name, spread) in [
            ("the next acknowledged write", &self.write),
            ("(gap between acknowledged writes of any writer)", &self.gap),
            ("the framework subscribed again", &self.subscribed),
            (every_task.as_str(), &self.reconciled),
            ("a newly launched task running on the agent", &self.running),
        ] {
            let mut cells = vec![name.to_owned()];
            cells.extend(spread.cells());
            table.row(cells);
        }
        table.print(variant.title());
        println!(
            "not recovered within {RECOVERY_MAX:?}: {}; false elections in {:.0} s without a fault under load: {}; of \
             these {CALM:?} without any write: {}; terms \
             beyond the one that a fault needs: {}; long tasks reported as anything but running: {}; writes acknowledged: \
             {}; calls of subscribed writers that were refused with 503 and certainly not carried out: {}, whose fate is unknown: {} (in {} trials{}); load average now {}",
            self.not_recovered,
            self.calm.as_secs_f64(),
            self.false_elections,
            self.stalls,
            self.further_terms,
            self.lost_tasks,
            self.writes,
            self.refused_calls,
            self.unknown_calls,
            self.trials_with_failed_calls,
            self.first_failure
                .as_ref()
                .map(|failure| format!("; the first: {failure}"))
                .unwrap_or_default(),
            machine::load_average(),
        );
        self.print_goals(variant);
    }

    fn draw(&self, variant: Variant, folder: &Path) -> Result<()> {
        let file = folder.join(format!("failover-{}.svg", variant.file()));
        let title = format!("{}: how many of {} were over when", variant.title(), self.write.count());
        let curves = [
            ("next acknowledged write", &self.write),
            ("framework subscribed", &self.subscribed),
            ("every task reconciled", &self.reconciled),
            ("new task running", &self.running),
        ];
        picture::write(&file, &title, &curves)?;
        println!("drawn: {}", file.display());
        Ok(())
    }

    fn print_goals(&self, variant: Variant) {
        let mut goals = Table::new(&["goal", "figure", "verdict"]);
        let mut goal = |text: &str, figure: f64, limit: f64, unit: &str| {
            let text = &format!("{}: {text}", variant.title());
            let judged = if unit == MILLIS {
                verdict_on_time(figure, limit)
            } else {
                verdict(figure, limit)
            };
            goals.row([text, &format!("{}{unit}", show(figure)), judged]);
        };
        match variant {
            Variant::Kill => {
                goal("next write p50 ≤ 50 ms", self.write.percentile(50.0), 50.0, MILLIS);
                goal("next write p99 ≤ 150 ms", self.write.percentile(99.0), 150.0, MILLIS);
                goal(
                    "reconciled p50 ≤ 100 ms",
                    self.reconciled.percentile(50.0),
                    100.0,
                    " ms",
                );
                goal(
                    "new task running p50 ≤ 500 ms",
                    self.running.percentile(50.0),
                    500.0,
                    " ms",
                );
            }
            Variant::Pause => {
                goal("next write p50 ≤ 250 ms", self.write.percentile(50.0), 250.0, MILLIS);
                goal("next write p99 ≤ 500 ms", self.write.percentile(99.0), 500.0, MILLIS);
            }
            Variant::HandOver => {
                goal("write gap p99 ≤ 10 ms", self.gap.percentile(99.0), 10.0, MILLIS);
                goal("no refused call", self.refused_calls as f64, 0.0, " calls");
                goal("no call of unknown fate", self.unknown_calls as f64, 0.0, " calls");
            }
        }
        goal("no false election", self.false_elections as f64, 0.0, "");
        goals.print("goals");
    }
}
