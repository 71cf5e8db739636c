//! `mesoraft chaos` as an operator and a pipeline use it: a bounded run of real processes with at least ten kills of the
//! leading master, and what it says when it is asked for nonsense.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use cluster_tests::cluster::binary;
use cluster_tests::node::Node;
use cluster_tests::processes;
use cluster_tests::wait::wait_until;
use nix::sys::signal::Signal;
use serde_json::Value;
use test_ports::free_port;

/// Bounds a command that has nothing to wait for.
const PROMPT: Duration = Duration::from_secs(90);
/// Bounds the run; it injects faults for two minutes.
const RUN: Duration = Duration::from_secs(420);

/// Runs `mesoraft chaos` to its end.
fn chaos(arguments: &[&str], bound: Duration) -> Result<Output> {
    let child = Command::new(binary()?)
        .arg("chaos")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start mesoraft")?;
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    let waiting = std::thread::spawn(move || done.send(child.wait_with_output()));
    let output = ended.recv_timeout(bound);
    if output.is_err() {
        processes::signal(pid, Signal::SIGKILL)?;
    }
    let sent = waiting.join();
    ensure!(sent.is_ok(), "the thread that waits for mesoraft broke down");
    match output {
        Ok(output) => output.context("cannot wait for mesoraft"),
        Err(_) => bail!("mesoraft chaos {} does not end within {bound:?}", arguments.join(" ")),
    }
}

/// Output and complaints.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs it, and checks exit code and words.
fn expect(arguments: &[&str], code: i32, words: &[&str]) -> Result<()> {
    let output = chaos(arguments, PROMPT)?;
    let said = said(&output);
    ensure!(
        output.status.code() == Some(code),
        "{arguments:?}: expected exit code {code}, got {}: {said}",
        output.status
    );
    for word in words {
        ensure!(said.contains(word), "{arguments:?} does not name '{word}': {said}");
    }
    ensure!(!said.contains("panicked"), "{said}");
    Ok(())
}

fn history(path: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("no history at {}", path.display()))?;
    let records = text.lines().map(serde_json::from_str).collect::<Result<_, _>>();
    records.context("the history holds a line that is no JSON")
}

#[test]
fn real_masters_lose_nothing_while_their_leader_is_killed_ten_times_and_more() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (file, work) = (folder.path().join("history.jsonl"), folder.path().join("work"));
    let (file_flag, work_flag) = (
        format!("--history={}", file.display()),
        format!("--work_dir={}", work.display()),
    );
    let arguments = [
        "run",
        "--seconds=120",
        "--masters=3",
        "--agents=8",
        "--real_agents=1",
        "--faults=kill,pause,stop,partition,reset,framework-kill",
        "--workloads=tasks,frameworks,events,registers",
        "--faults_per_minute=50",
        "--logging_level=WARNING",
        &file_flag,
        &work_flag,
    ];
    let begin = Instant::now();
    let output = chaos(&arguments, RUN)?;
    let said = said(&output);
    if output.status.code() != Some(0) {
        let kept = folder.keep();
        bail!("{}: see {}: {said}", output.status, kept.display());
    }
    ensure!(said.contains("verdict: everything held"), "{said}");
    // The history says the same to whoever reads it without us.
    let records = history(&file)?;
    let of = |kind: &str| {
        records
            .iter()
            .filter(move |record| record["record"] == *kind)
            .collect::<Vec<_>>()
    };
    let run = records.first().context("the history is empty")?;
    ensure!(run["record"] == "run" && run["harness"] == "processes", "{run}");
    let kills = of("fault")
        .into_iter()
        .filter(|fault| fault["kind"] == "kill" && fault["detail"] == "leads" && fault["ended"] == false);
    let kills = kills.count();
    ensure!(kills >= 10, "only {kills} kills of the leader:\n{said}");
    let accepted = of("call")
        .into_iter()
        .filter(|call| call["outcome"]["is"] == "ok")
        .count();
    ensure!(accepted >= 100, "only {accepted} calls were acknowledged:\n{said}");
    let phases: Vec<&str> = of("phase").iter().filter_map(|phase| phase["phase"].as_str()).collect();
    ensure!(phases == ["begin", "faults", "healed", "end"], "{phases:?}");
    ensure!(
        of("coverage").iter().any(|coverage| coverage["name"] == "fault/kill"),
        "no coverage"
    );
    ensure!(begin.elapsed() >= Duration::from_secs(120), "it has not run");
    // Judged again, from the file alone.
    let path = file.display().to_string();
    expect(&["check", &path], 0, &["verdict: everything held"])
}

#[test]
fn nonsense_is_refused_with_exit_code_2_and_what_there_is() -> Result<()> {
    expect(&["run", "--faults=kill,kil"], 2, &["'kil'", "partition-majority-ring"])?;
    expect(&["run", "--workloads=task"], 2, &["'task'", "tasks"])?;
    expect(&["run", "--masters=2"], 2, &["--masters=2", "3 to 7"])?;
    expect(&["run", "--seconds=0"], 2, &["--seconds=0"])?;
    expect(&["run", "--faults_per_minute=0"], 2, &["--faults_per_minute"])?;
    expect(&["run", "--other_binary=/nowhere/mesoraft"], 2, &["/nowhere/mesoraft"])?;
    let nobody = format!("--cluster=127.0.0.1:{}", free_port());
    expect(&["run", &nobody], 2, &["there is no cluster", &nobody])?;
    expect(&["run", &nobody, "--faults=kill"], 2, &["--hook"])
}

#[test]
fn a_wrong_history_is_refused_with_exit_code_2() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("history");
    let name = path.display().to_string();
    expect(&["check", &name], 2, &[&name])?;
    std::fs::write(&path, "no history\n")?;
    expect(&["check", &name], 2, &["line 1", "not a record"])?;
    std::fs::write(&path, "")?;
    expect(&["check", &name], 2, &["does not begin"])
}

#[test]
fn a_run_too_short_to_say_anything_is_no_pass_and_no_violation() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let work = format!("--work_dir={}", folder.path().display());
    let arguments = [
        "run",
        "--seconds=1",
        "--faults=kill,pause,partition",
        "--faults_per_minute=1",
        "--logging_level=WARNING",
        &work,
    ];
    expect(&arguments, 3, &["not valid", "'kill'", "verdict: not decided"])
}

/// How many processes have the text on their command line, this one aside.
fn processes_with(text: &str) -> Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        count += usize::from(pid != std::process::id() && line.contains(text) && processes::is_alive(pid));
    }
    Ok(count)
}

#[test]
fn ctrl_c_ends_every_process_and_is_no_verdict() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let work = folder.path().join("work").display().to_string();
    let arguments = [
        "chaos",
        "run",
        "--seconds=600",
        "--real_agents=1",
        "--faults=kill,pause,partition",
    ];
    let mut arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
    arguments.extend([format!("--work_dir={work}"), "--logging_level=WARNING".to_owned()]);
    let mut run = Node::new("chaos", binary()?, arguments, folder.path().join("log"));
    run.start()?;
    let history = Path::new(&work).join("history.jsonl");
    wait_until("a fault has begun", PROMPT, || {
        let text = std::fs::read_to_string(&history).unwrap_or_default();
        Ok(text.contains("\"record\":\"fault\""))
    })?;
    processes::signal(run.pid().context("it runs")?, Signal::SIGINT)?;
    let status = run.wait_for_exit(PROMPT)?;
    let said = run.log_text();
    ensure!(status.code() == Some(3), "{status}: {said}");
    ensure!(said.contains("not valid: interrupted"), "{said}");
    // Executors look from time to time whether the run that started their agent is still there.
    wait_until("every process has ended", PROMPT, || Ok(processes_with(&work)? == 0))
}

#[test]
fn faults_and_workloads_are_listed_with_where_they_work() -> Result<()> {
    expect(&["faults"], 0, &["kill-all", "partition-ring", "disk-lost", "works"])?;
    expect(&["workloads"], 0, &["tasks", "registers"])
}
