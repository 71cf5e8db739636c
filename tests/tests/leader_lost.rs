//! The leading master is killed, paused, or stops by plan; all masters are killed at once. A pymesos framework with
//! thirty long tasks and a stream of short ones must notice nothing but a new subscription.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::{BREATH, Framework};
use cluster_tests::master;
use cluster_tests::subscriber::{End, Subscriber, framework_info};
use cluster_tests::wait::{wait_for, wait_until};

/// Long tasks that must survive everything.
const LONG: usize = 30;

/// How long a leader is paused.
const PAUSE: Duration = Duration::from_secs(5);

/// Three masters, three agents, and the framework with everything running.
fn busy_cluster() -> Result<(Cluster, Framework)> {
    let cluster = Cluster::builder().agents(3).own_timers().start()?;
    let framework = Framework::start(&cluster, "durable", &["--long=30", "--shorts"])?;
    framework.wait_for_running(LONG)?;
    framework.wait_for_progress(3)?;
    Ok((cluster, framework))
}

/// Holds every agent back, disturbs the masters, and checks that the next leader names each long task with its state
/// before any agent has come back. `disturb` is given the leader and returns when the next one may be looked for.
fn disturb(
    cluster: &mut Cluster,
    framework: &mut Framework,
    disturb: impl FnOnce(&mut Cluster, usize) -> Result<()>,
) -> Result<()> {
    let old = cluster.wait_for_leader()?;
    let long = framework.journal()?.running_long();
    ensure!(long.len() >= LONG, "only {} long tasks run", long.len());
    cluster.pause_agents()?;
    let position = framework.journal()?.len();
    disturb(cluster, old)?;
    let subscribed = framework.wait_for_subscription(position)?;
    framework.wait_until("reconciliation names every long task", |journal| {
        let reconciled = journal.reconciled(subscribed);
        let named: BTreeSet<String> = reconciled.keys().cloned().collect();
        let missing: Vec<&String> = long.difference(&named).collect();
        ensure!(missing.is_empty(), "not named: {missing:?}");
        for task in &long {
            ensure!(
                reconciled[task] == "TASK_RUNNING",
                "{task} is named as {}",
                reconciled[task]
            );
        }
        Ok(true)
    })?;
    let back = wait_for("the leader names its agents", PATIENCE, || {
        let Some(leader) = cluster.leader()? else {
            return Ok(None);
        };
        Ok(Some(master::active_agents(cluster.port(leader))?))
    })?;
    ensure!(back.is_empty(), "agents came back although they were held: {back:?}");
    cluster.resume_agents()
}

/// Ends the stream of short tasks and draws the conclusions.
fn conclude(mut cluster: Cluster, mut framework: Framework) -> Result<()> {
    cluster.wait_for_agents(3)?;
    // New long tasks, on top of those that survived.
    framework.command("launch 3")?;
    framework.wait_for_running(LONG + 3)?;
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}

#[test]
fn twenty_leaders_killed_in_a_row_lose_nothing() -> Result<()> {
    let (mut cluster, mut framework) = busy_cluster()?;
    for round in 1..=20 {
        disturb(&mut cluster, &mut framework, |cluster, leader| {
            cluster.masters[leader].kill9()
        })?;
        let dead = (0..3).find(|index| !cluster.masters[*index].is_running());
        if let Some(dead) = dead {
            cluster.masters[dead].start()?;
            cluster.wait_until_follows(dead)?;
        }
        framework.wait_for_progress(2)?;
        println!("survived kill {round}");
        std::thread::sleep(BREATH);
    }
    conclude(cluster, framework)
}

#[test]
fn a_leader_paused_for_five_seconds_loses_nothing() -> Result<()> {
    let (mut cluster, mut framework) = busy_cluster()?;
    for _ in 0..2 {
        let mut paused = 0;
        disturb(&mut cluster, &mut framework, |cluster, leader| {
            paused = leader;
            cluster.masters[leader].pause()?;
            std::thread::sleep(PAUSE);
            Ok(())
        })?;
        cluster.masters[paused].resume()?;
        let port = cluster.port(paused);
        wait_until("the old leader follows the new one", PATIENCE, || {
            Ok(!master::is_elected(port)? && master::leader_port(port)?.is_some_and(|leader| leader != port))
        })?;
        framework.wait_for_progress(3)?;
    }
    conclude(cluster, framework)
}

#[test]
fn a_planned_hand_over_loses_nothing_and_ends_streams_cleanly() -> Result<()> {
    let (mut cluster, mut framework) = busy_cluster()?;
    for _ in 0..3 {
        let leader = cluster.wait_for_leader()?;
        let witness = Subscriber::open(cluster.port(leader), &framework_info("witness"))?;
        witness.wait_for_type("SUBSCRIBED", 0)?;
        disturb(&mut cluster, &mut framework, |cluster, leader| {
            cluster.terminate_master(leader)
        })?;
        let end = witness.wait_for_end()?;
        ensure!(
            end == End::Clean,
            "the stream of a leader that stopped by plan ended as {end:?}"
        );
        cluster.masters[leader].start()?;
        cluster.wait_until_follows(leader)?;
        framework.wait_for_progress(3)?;
    }
    conclude(cluster, framework)
}

#[test]
fn all_three_masters_killed_at_once_lose_nothing() -> Result<()> {
    let (mut cluster, mut framework) = busy_cluster()?;
    for _ in 0..2 {
        disturb(&mut cluster, &mut framework, |cluster, _| {
            for index in 0..3 {
                cluster.masters[index].kill9()?;
            }
            for index in 0..3 {
                cluster.masters[index].start()?;
            }
            Ok(())
        })?;
        framework.wait_for_progress(3)?;
    }
    conclude(cluster, framework)
}
