//! The command line as a person uses it on a fresh machine: a local cluster, a command run on it, its status.

use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster_tests::cluster::{PATIENCE, binary};
use cluster_tests::node::Node;
use cluster_tests::wait::{wait_for, wait_until};
use cluster_tests::{master, processes};
use nix::sys::signal::Signal;
use test_ports::{free_port, free_ports};

const EXIT: Duration = Duration::from_secs(40);

/// How many ports from its base port on `mesoraft local` takes for three masters and two agents, with gaps.
const PORTS: u16 = 103;

fn mesoraft(arguments: &[&str]) -> Result<Output> {
    Command::new(binary()?)
        .args(arguments)
        .output()
        .context("cannot start mesoraft")
}

/// The processes whose command line holds the text, without this one.
fn processes_with(text: &str) -> Result<Vec<(u32, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if pid != std::process::id() && line.contains(text) && processes::is_alive(pid) {
            found.push((pid, line));
        }
    }
    Ok(found)
}

#[test]
fn a_local_cluster_starts_restarts_its_dead_runs_a_command_and_stops() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let work_dir = folder.path().join("cluster").display().to_string();
    let base = free_ports(PORTS);
    let arguments = vec![
        "local".to_owned(),
        "--masters=3".to_owned(),
        "--agents=2".to_owned(),
        format!("--work_dir={work_dir}"),
        format!("--port={base}"),
    ];
    let mut local = Node::new("local", binary()?, arguments, folder.path().join("local.log"));
    local.start()?;
    let addresses = format!("127.0.0.1:{base},127.0.0.1:{},127.0.0.1:{}", base + 1, base + 2);
    let leader = |but: Option<u16>| {
        wait_for("a master of the local cluster leads", PATIENCE, || {
            let mut elected = (base..base + 3).filter(|port| master::is_elected(*port).unwrap_or(false));
            Ok(elected.next().filter(|port| Some(*port) != but))
        })
    };
    let first = leader(None)?;
    wait_until("both agents are there", PATIENCE, || {
        Ok(master::active_agents(first)?.len() == 2)
    })?;

    let run = mesoraft(&[
        "run",
        &format!("--master={addresses}"),
        "--command=echo hello from a task",
    ])?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    ensure!(
        run.status.success() && said.contains("TASK_FINISHED"),
        "{}: {said}",
        run.status
    );
    let run = mesoraft(&["run", &format!("--master={addresses}"), "--command=exit 7"])?;
    ensure!(!run.status.success(), "a failed command is reported as success");

    let status = mesoraft(&["status", &format!("--master={addresses}")])?;
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    ensure!(
        status.status.success(),
        "{}: {said} {}",
        status.status,
        String::from_utf8_lossy(&status.stderr)
    );
    ensure!(
        said.contains(&first.to_string()),
        "status does not name the leader {first}: {said}"
    );

    let victim = processes_with(&format!("--port={first}"))?;
    let (pid, _) = victim
        .iter()
        .find(|(_, line)| line.contains(" master "))
        .context("the leader has no process")?;
    processes::signal(*pid, Signal::SIGKILL)?;
    let second = leader(Some(first))?;
    wait_until("the dead master is back", PATIENCE, || {
        Ok(master::leader_port(first)? == Some(second))
    })?;

    processes::signal(local.pid().context("local runs")?, Signal::SIGINT)?;
    let status = local.wait_for_exit(EXIT)?;
    ensure!(
        status.success(),
        "local ended with {status} after Ctrl-C:\n{}",
        local.log_text()
    );
    let left = processes_with(&work_dir)?;
    ensure!(left.is_empty(), "still running: {left:?}");
    let said = local.log_text();
    for port in [base, base + 1, base + 2, base + 50, base + 51] {
        ensure!(
            said.contains(&port.to_string()),
            "local does not say who is on port {port}:\n{said}"
        );
    }
    Ok(())
}

#[test]
fn status_of_a_cluster_that_is_not_there_fails_with_a_sentence() -> Result<()> {
    let status = mesoraft(&["status", &format!("--master=127.0.0.1:{}", free_port())])?;
    let said = String::from_utf8_lossy(&status.stderr).into_owned() + &String::from_utf8_lossy(&status.stdout);
    ensure!(
        !status.status.success() && !said.contains("panicked"),
        "{}: {said}",
        status.status
    );
    ensure!(said.trim().len() > 10, "it says only {said:?}");
    Ok(())
}
