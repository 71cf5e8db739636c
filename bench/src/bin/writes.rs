//! `bench-writes`: durable writes of 256 bytes on three replicas, beside the raw rate of the disk and beside etcd, all in
//! the same run and interleaved, because the disk of one minute is not the disk of the next.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use bench::disk::{Layout, sync_rate};
use bench::etcd::Etcd;
use bench::load::{Figures, Length, closed_loop};
use bench::log_replica::{self, LogCluster};
use bench::machine;
use bench::spread::{median, show};
use bench::table::{Table, verdict, verdict_on_time};
use clap::{Parser, Subcommand};

/// Bytes of each value.
const VALUE_BYTES: usize = 256;
/// Not counted at the beginning of each load.
const WARM_UP: Duration = Duration::from_millis(500);
/// For how long the raw disk is measured, per layout and round.
const DISK_MEASURED: Duration = Duration::from_secs(1);
/// The goal for a lone write, in units of one `fdatasync`.
const LONE_WRITE_SYNCS: f64 = 3.0;

/// Durable 256-byte writes on three replicas, beside the disk's own rate and a three-member etcd
#[derive(Debug, Parser)]
#[command(name = "bench-writes")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Rounds; each measures everything once
    #[arg(long = "trials", default_value_t = 3)]
    trials: usize,
    /// Seconds per system, number of clients and round
    #[arg(long = "seconds", default_value_t = 3.0)]
    seconds: f64,
    /// Numbers of concurrent clients
    #[arg(long = "clients", value_delimiter = ',', default_values_t = [1, 16, 256, 1000])]
    clients: Vec<usize>,
    /// Leave etcd out
    #[arg(long = "without_etcd")]
    without_etcd: bool,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// One replica; started by this program itself
    #[command(hide = true)]
    Replica(log_replica::Arguments),
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Role::Replica(replica)) = arguments.role {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_ansi(false)
            .init();
        return log_replica::run(replica).await;
    }
    let folder = tempfile::Builder::new().prefix("mesoraft-bench-").tempdir()?;
    let measured = Bench::measure(&arguments, folder.path()).await?;
    measured.print(&arguments);
    Ok(())
}

/// The figures of one system and number of clients, over all rounds.
#[derive(Default)]
struct Series {
    rates: Vec<f64>,
    p50s: Vec<f64>,
    p99s: Vec<f64>,
    failed: u64,
    first_failure: Option<String>,
}

impl Series {
    fn add(&mut self, figures: &Figures) {
        self.add_parts(
            figures.per_second,
            figures.times.percentile(50.0),
            figures.times.percentile(99.0),
            figures.failed,
            figures.first_failure.clone(),
        );
    }

    fn add_parts(&mut self, rate: f64, p50: f64, p99: f64, failed: u64, first_failure: Option<String>) {
        self.rates.push(rate);
        self.p50s.push(p50);
        self.p99s.push(p99);
        self.failed += failed;
        self.first_failure = self.first_failure.take().or(first_failure);
    }

    fn cells(&self) -> [String; 4] {
        let (low, high) = self.rates.iter().fold((f64::MAX, 0.0_f64), |(low, high), rate| {
            (low.min(*rate), high.max(*rate))
        });
        [
            format!("{:.0}", median(&self.rates)),
            format!("{low:.0}–{high:.0}"),
            format!("{} / {}", show(median(&self.p50s)), show(median(&self.p99s))),
            self.failed.to_string(),
        ]
    }
}

/// All series of a run.
struct Bench {
    preallocated: Series,
    growing: Series,
    /// Per number of clients: the log by HTTP, the log inside its leader, etcd.
    systems: Vec<[Series; 3]>,
    loads: Vec<String>,
}

impl Bench {
    async fn measure(arguments: &Arguments, folder: &Path) -> Result<Bench> {
        let mut log = LogCluster::start(folder).await?;
        let mut etcd = match arguments.without_etcd {
            true => None,
            false => Some(Etcd::start(folder).await?),
        };
        let length = Length {
            warm_up: WARM_UP,
            measured: Duration::from_secs_f64(arguments.seconds),
        };
        let mut bench = Bench {
            preallocated: Series::default(),
            growing: Series::default(),
            systems: arguments.clients.iter().map(|_| Default::default()).collect(),
            loads: Vec::new(),
        };
        let before = log.status().await?;
        for _ in 0..arguments.trials {
            bench.loads.push(machine::load_average());
            bench.measure_disk(folder).await?;
            for (index, clients) in arguments.clients.iter().copied().enumerate() {
                let [by_http, inside, by_etcd] = &mut bench.systems[index];
                log.find_leader().await?;
                by_http.add(&closed_loop(log.clients(clients, VALUE_BYTES), length).await);
                let figures = log.load_inside(clients, VALUE_BYTES, length).await?;
                inside.add_parts(
                    figures.per_second,
                    figures.p50,
                    figures.p99,
                    figures.failed,
                    figures.first_failure,
                );
                if let Some(etcd) = &etcd {
                    by_etcd.add(&closed_loop(etcd.clients(clients, VALUE_BYTES).await?, length).await);
                }
            }
        }
        log.find_leader().await?;
        let after = log.status().await?;
        println!("leader of the log before: {before}, after: {after}");
        ensure!(log.running() == 3, "a replica died during the run");
        if let Some(etcd) = &mut etcd {
            ensure!(etcd.running() == 3, "a member of etcd died during the run");
        }
        Ok(bench)
    }

    async fn measure_disk(&mut self, folder: &Path) -> Result<()> {
        for (layout, series) in [
            (Layout::Preallocated, &mut self.preallocated),
            (Layout::Growing, &mut self.growing),
        ] {
            let folder = folder.to_path_buf();
            let figures = tokio::task::spawn_blocking(move || sync_rate(&folder, layout, DISK_MEASURED)).await??;
            series.add(&figures);
        }
        Ok(())
    }

    fn print(&self, arguments: &Arguments) {
        machine::print_facts();
        println!("load average at the start of each round: {}", self.loads.join(" | "));
        let mut table = Table::new(&[
            "clients",
            "system",
            "writes/s",
            "lowest–highest round",
            "p50 / p99 ms",
            "failed",
            "beside etcd",
        ]);
        for (name, series) in [
            ("disk, 4 KiB overwritten + fdatasync", &self.preallocated),
            ("disk, 4 KiB appended + fdatasync", &self.growing),
        ] {
            let mut cells = vec!["1".to_owned(), name.to_owned()];
            cells.extend(series.cells());
            table.row(cells);
        }
        for (clients, systems) in arguments.clients.iter().zip(&self.systems) {
            self.print_rows(&mut table, *clients, systems);
        }
        let title = format!(
            "durable writes of {VALUE_BYTES} bytes, three replicas on this machine, median of {} rounds of {} s",
            arguments.trials, arguments.seconds
        );
        table.print(&title);
        self.print_goals(arguments);
    }

    fn print_rows(&self, table: &mut Table, clients: usize, systems: &[Series; 3]) {
        let names = [
            "replicated log, one HTTP request per write",
            "replicated log, inside the leader",
            "etcd, one gRPC call per write",
        ];
        let rival = median(&systems[2].rates);
        for (name, series) in names.iter().zip(systems) {
            if series.rates.is_empty() {
                continue;
            }
            let mut cells = vec![clients.to_string(), (*name).to_owned()];
            cells.extend(series.cells());
            if rival > 0.0 {
                cells.push(format!("{:.2} ×", median(&series.rates) / rival));
            }
            table.row(cells);
            if let Some(failure) = &series.first_failure {
                println!("first failure of {name} with {clients} clients: {failure}");
            }
        }
    }

    fn print_goals(&self, arguments: &Arguments) {
        let mut goals = Table::new(&["goal", "figure", "limit", "verdict"]);
        let sync = median(&self.preallocated.p50s);
        let appended = median(&self.growing.p50s);
        if let Some(alone) = arguments.clients.iter().position(|clients| *clients == 1) {
            for (name, index) in [("over HTTP", 0), ("inside the leader", 1)] {
                let figure = median(&self.systems[alone][index].p50s);
                let limit = LONE_WRITE_SYNCS * sync;
                goals.row([
                    format!("one write, idle cluster, p50, {name}: ≤ 3 × fdatasync of an overwritten block"),
                    format!("{} ms = {:.1} ×", show(figure), figure / sync),
                    format!("{} ms", show(limit)),
                    verdict_on_time(figure, limit).to_owned(),
                ]);
                let limit = LONE_WRITE_SYNCS * appended;
                goals.row([
                    format!("the same beside fdatasync of an appended block, {name}"),
                    format!("{} ms = {:.1} ×", show(figure), figure / appended),
                    format!("{} ms", show(limit)),
                    verdict_on_time(figure, limit).to_owned(),
                ]);
            }
        }
        if let (false, Some(many)) = (
            arguments.without_etcd,
            arguments.clients.iter().position(|clients| *clients == 1000),
        ) {
            let ours = median(&self.systems[many][0].rates);
            let rival = median(&self.systems[many][2].rates);
            goals.row([
                "1,000 clients: at least etcd's writes/s".to_owned(),
                format!("{ours:.0}/s"),
                format!("{rival:.0}/s"),
                verdict(rival, ours).to_owned(),
            ]);
        }
        goals.print("goals");
    }
}
