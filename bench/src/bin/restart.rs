//! `bench-restart`: real masters that find a large registry in their data directories: from the start of the process until
//! it answers and leads, or has caught up; its memory; how fast it tells its whole state.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench::download::download;
use bench::filling::{Builder, Size, running_again};
use bench::spread::show;
use bench::table::{Table, mebibytes, verdict};
use bench::{machine, masters, prefilled};
use clap::Parser;
use cluster_tests::cluster::Cluster;
use cluster_tests::http;
use master_core::{Command, Registry, Timestamp};

/// The goal for the restart of a replica.
const RESTART_GOAL: Duration = Duration::from_secs(2);
/// Longest wait for a master that starts.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for one answer of a master that starts.
const ANSWER: Duration = Duration::from_secs(2);
/// Pause between two looks at a master that starts.
const POLL: Duration = Duration::from_millis(2);
/// Bytes read at once from the disk.
const BLOCK_BYTES: usize = 1 << 20;

/// Restart of masters that hold a large registry
#[derive(Debug, Parser)]
#[command(name = "bench-restart")]
struct Arguments {
    /// Restarts of each kind
    #[arg(long = "trials", default_value_t = 5)]
    trials: usize,
    #[command(flatten)]
    size: Size,
    /// Commands in the log after the snapshot
    #[arg(long = "tail", default_value_t = 10_000)]
    tail: usize,
    /// Cluster sizes
    #[arg(long = "masters", value_delimiter = ',', default_values_t = [1, 3])]
    masters: Vec<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    machine::print_facts();
    let runtime = tokio::runtime::Runtime::new()?;
    let builder = Builder::filled(&arguments.size)?;
    let mut clusters = Vec::new();
    for count in &arguments.masters {
        // With patient timers: on a busy machine the followers are not to elect another leader in the middle.
        let cluster = Cluster::builder().masters(*count).lay_out()?;
        let tail = tail(&builder.registry, arguments.tail);
        runtime.block_on(prefilled::fill(&cluster, &builder.registry, tail))?;
        clusters.push(cluster);
    }
    drop(builder);
    drop(runtime);

    let mut goals = Table::new(&["goal", "figure", "verdict"]);
    let mut restarts = Table::new(&[
        "what",
        "directory",
        "read and crc32 of it, ms",
        "/health after ms",
        "leading or caught up after ms",
        "VmRSS",
        "VmHWM",
    ]);
    let mut states = Table::new(&[
        "answer",
        "bytes",
        "first byte after ms",
        "last byte after ms",
        "MB/s",
        "/health meanwhile, p50 / p99 ms",
        "max ms",
    ]);
    for mut cluster in clusters {
        let slowest = if cluster.masters.len() == 1 {
            alone(&arguments, &mut cluster, &mut restarts)?
        } else {
            among_others(&arguments, &mut cluster, &mut restarts)?
        };
        let what = match cluster.masters.len() {
            1 => "one master, from its start until it leads".to_owned(),
            count => format!("a follower of {count}, from its start until it has caught up"),
        };
        goals.row([
            format!("restart ≤ 2 s: {what} (slowest)"),
            format!("{} ms", show(slowest)),
            verdict(slowest, RESTART_GOAL.as_secs_f64() * 1000.0).to_owned(),
        ]);
        let leader = masters::settle(&mut cluster)?;
        for path in ["/state", "/tasks?limit=1000000000", "/state-summary"] {
            tell(&cluster, leader, path, &mut states)?;
        }
        cluster.passed()?;
    }
    restarts.print(&format!(
        "restarts with {} agents and {} tasks in the snapshot and {} commands after it",
        arguments.size.agents,
        arguments.size.tasks(),
        arguments.tail
    ));
    states.print("the whole state, asked of the leader");
    println!("load average now {}", machine::load_average());
    goals.print("goals");
    Ok(())
}

/// Updates of tasks that run already.
fn tail(registry: &Registry, count: usize) -> Vec<Command> {
    let running: Vec<_> = registry.tasks().take(count).collect();
    let tasks = running.iter().cycle().zip(1_u64..).take(count);
    tasks
        .map(|(task, number)| {
            let number = number + (1 << 40);
            let update = running_again(task.id.as_str(), &task.framework_id, &task.agent_id, number);
            Command::new(Timestamp(number), update)
        })
        .collect()
}

/// A cluster of one: from its start until it leads. Returns the slowest in milliseconds.
fn alone(arguments: &Arguments, cluster: &mut Cluster, table: &mut Table) -> Result<f64> {
    let mut slowest: f64 = 0.0;
    for trial in 1..=arguments.trials.max(1) {
        cluster.masters[0].kill9()?;
        let folder = cluster.master_folder(0);
        let (size, limit) = read_everything(&folder)?;
        let begin = Instant::now();
        cluster.masters[0].start()?;
        let port = cluster.port(0);
        let answers = wait_until(begin, || is_healthy(port))?;
        let leads = wait_until(begin, || metric(port, "master/elected") == Some(1.0))?;
        slowest = slowest.max(millis(leads));
        let what = format!("one master, {trial}");
        table.row(row(what, size, limit, answers, leads, cluster, 0)?);
    }
    Ok(slowest)
}

/// A follower of a running cluster: from its start until it has applied what was committed then.
fn among_others(arguments: &Arguments, cluster: &mut Cluster, table: &mut Table) -> Result<f64> {
    let count = cluster.masters.len();
    let (size, limit) = read_everything(&cluster.master_folder(0))?;
    let begin = Instant::now();
    for master in &mut cluster.masters {
        master.start()?;
    }
    let ports: Vec<u16> = (0..count).map(|index| cluster.port(index)).collect();
    let answers = wait_until(begin, || ports.iter().all(|port| is_healthy(*port)))?;
    let leads = wait_until(begin, || {
        let is_leader = |port: &u16| metric(*port, "master/elected") == Some(1.0);
        ports.iter().any(is_leader)
    })?;
    table.row(row(
        format!("all {count} at once"),
        size,
        limit,
        answers,
        leads,
        cluster,
        0,
    )?);
    let mut slowest: f64 = 0.0;
    for trial in 1..=arguments.trials.max(1) {
        let leader = masters::settle(cluster)?;
        let follower = (leader + 1) % count;
        let target = masters::metric(cluster.port(leader), "raft/commit_index")?;
        cluster.masters[follower].kill9()?;
        let (size, limit) = read_everything(&cluster.master_folder(follower))?;
        let begin = Instant::now();
        cluster.masters[follower].start()?;
        let port = cluster.port(follower);
        let answers = wait_until(begin, || is_healthy(port))?;
        let caught_up = wait_until(begin, || {
            metric(port, "raft/applied_index").is_some_and(|applied| applied >= target)
        })?;
        slowest = slowest.max(millis(caught_up));
        let what = format!("a follower of {count}, {trial}");
        table.row(row(what, size, limit, answers, caught_up, cluster, follower)?);
    }
    Ok(slowest)
}

fn row(
    what: String,
    size: u64,
    limit: Duration,
    answers: Duration,
    ready: Duration,
    cluster: &Cluster,
    index: usize,
) -> Result<[String; 7]> {
    let pid = cluster.masters[index].pid().context("the master ended")?.to_string();
    Ok([
        what,
        mebibytes(size),
        show(millis(limit)),
        show(millis(answers)),
        show(millis(ready)),
        mebibytes(machine::resident_bytes_of(&pid)),
        mebibytes(machine::peak_bytes_of(&pid)),
    ])
}

fn tell(cluster: &Cluster, leader: usize, path: &str, table: &mut Table) -> Result<()> {
    let answer = download(cluster.port(leader), path)?;
    table.row([
        format!("{path} of {}", cluster.masters.len()),
        answer.bytes.to_string(),
        show(millis(answer.first)),
        show(millis(answer.whole)),
        format!("{:.0}", answer.bytes as f64 / 1e6 / answer.whole.as_secs_f64()),
        answer.health.short(),
        show(answer.health.max()),
    ]);
    Ok(())
}

fn is_healthy(port: u16) -> bool {
    http::get(port, "/health", ANSWER).is_ok_and(|answer| answer.status == 200)
}

fn metric(port: u16, name: &str) -> Option<f64> {
    // Not yet there is an answer too.
    masters::metric(port, name).ok()
}

fn wait_until(begin: Instant, mut condition: impl FnMut() -> bool) -> Result<Duration> {
    while !condition() {
        ensure!(begin.elapsed() < PATIENCE, "a master was not ready within {PATIENCE:?}");
        std::thread::sleep(POLL);
    }
    Ok(begin.elapsed())
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// The limit of any restart: the size of everything below a folder, and how long reading it takes, with a checksum.
fn read_everything(folder: &Path) -> Result<(u64, Duration)> {
    fn walk(folder: &Path, size: &mut u64, block: &mut [u8]) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, size, block)?;
                continue;
            }
            let mut checksum = crc32fast::Hasher::new();
            let mut file = File::open(&path)?;
            loop {
                let read = file.read(block)?;
                if read == 0 {
                    break;
                }
                checksum.update(&block[..read]);
                *size += read as u64;
            }
            std::hint::black_box(checksum.finalize());
        }
        Ok(())
    }
    let begin = Instant::now();
    let mut size = 0;
    walk(folder, &mut size, &mut vec![0; BLOCK_BYTES])?;
    Ok((size, begin.elapsed()))
}
