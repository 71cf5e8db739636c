//! The framework is killed and comes back: within its failover timeout, after it, and with a leader killed meanwhile.

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::Framework;
use cluster_tests::journal::{Journal, starts};
use cluster_tests::wait::{wait_for, wait_until};
use cluster_tests::{master, processes};

const LONG: usize = 6;

/// The processes of the framework's long tasks.
fn processes_of(framework: &Framework) -> Result<Vec<u32>> {
    let journal = framework.journal()?;
    let mut pids = Vec::new();
    for task in journal.running_long() {
        pids.extend(starts(framework.pids(), &task)?);
    }
    ensure!(pids.len() >= LONG, "only {} processes of long tasks", pids.len());
    Ok(pids)
}

/// Waits until the framework is among the completed ones and none of its processes is left.
fn wait_until_removed(cluster: &mut Cluster, id: &str, pids: &[u32]) -> Result<()> {
    wait_until("the framework is removed", PATIENCE, || {
        let Some(leader) = cluster.leader()? else {
            return Ok(false);
        };
        let port = cluster.port(leader);
        Ok(master::framework(port, "completed_frameworks", id)?.is_some()
            && master::framework(port, "frameworks", id)?.is_none())
    })?;
    wait_until("its tasks have ended", PATIENCE, || {
        Ok(!pids.iter().any(|pid| processes::is_alive(*pid)))
    })
}

/// Starts the framework again and waits for its refusal.
fn must_be_refused(framework: &mut Framework) -> Result<()> {
    framework.restart_only()?;
    let message = wait_for("the framework is refused", PATIENCE, || {
        let journal: Journal = framework.journal()?;
        let refusal = journal.events("error", 0).next();
        Ok(refusal.map(|(_, record)| record["message"].as_str().unwrap_or_default().to_owned()))
    })?;
    ensure!(message == "Framework has been removed", "refused with {message:?}");
    Ok(())
}

#[test]
fn a_framework_back_within_its_timeout_finds_its_tasks() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=6", "--agents=1", "--shorts"])?;
    framework.wait_for_running(LONG)?;
    let id = framework.id()?;
    for kill_leader in [false, true, false] {
        framework.kill9()?;
        let port = cluster.leader_port()?;
        wait_until("the master notices", PATIENCE, || {
            let entry = master::framework(port, "frameworks", &id)?;
            Ok(entry.is_some_and(|entry| entry["connected"] != true))
        })?;
        if kill_leader {
            let old = cluster.wait_for_leader()?;
            cluster.masters[old].kill9()?;
            cluster.wait_for_other_leader(old)?;
            cluster.masters[old].start()?;
        }
        let position = framework.journal()?.len();
        framework.restart()?;
        let long = framework.journal()?.running_long();
        framework.wait_until("reconciliation names every long task", |journal| {
            let reconciled = journal.reconciled(position);
            Ok(long
                .iter()
                .all(|task| reconciled.get(task).is_some_and(|state| state == "TASK_RUNNING")))
        })?;
        ensure!(framework.id()? == id, "the framework id changed");
        framework.command("shorts on")?;
        framework.wait_for_progress(3)?;
    }
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}

#[test]
fn a_framework_back_after_its_timeout_is_refused_and_its_tasks_have_ended() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let options = ["--long=6", "--agents=1", "--failover_timeout=2"];
    let mut framework = Framework::start(&cluster, "durable", &options)?;
    framework.wait_for_running(LONG)?;
    let id = framework.id()?;
    let pids = processes_of(&framework)?;
    framework.kill9()?;
    wait_until_removed(&mut cluster, &id, &pids)?;
    must_be_refused(&mut framework)?;
    cluster.passed()
}

#[test]
fn a_framework_that_stays_away_over_a_failover_is_removed_by_the_next_leader() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let options = ["--long=6", "--agents=1", "--failover_timeout=4"];
    let mut framework = Framework::start(&cluster, "durable", &options)?;
    framework.wait_for_running(LONG)?;
    let id = framework.id()?;
    let pids = processes_of(&framework)?;
    let old = cluster.wait_for_leader()?;
    framework.kill9()?;
    cluster.masters[old].kill9()?;
    cluster.wait_for_other_leader(old)?;
    wait_until_removed(&mut cluster, &id, &pids)?;
    cluster.masters[old].start()?;
    cluster.wait_until_follows(old)?;
    must_be_refused(&mut framework)?;
    cluster.passed()
}

#[test]
fn a_framework_that_tears_itself_down_leaves_no_task_behind() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=6", "--agents=1"])?;
    framework.wait_for_running(LONG)?;
    let id = framework.id()?;
    let pids = processes_of(&framework)?;
    framework.command("stop")?;
    framework.wait_for_exit()?;
    wait_until_removed(&mut cluster, &id, &pids)?;
    cluster.passed()
}
