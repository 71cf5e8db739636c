//! An agent is killed: for a moment, or for so long that the master gives up on it.

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::Framework;
use cluster_tests::journal::starts;
use cluster_tests::wait::{wait_for, wait_until};
use cluster_tests::{master, processes};

const LONG: usize = 12;

/// The long tasks of the framework that run on the agent.
fn tasks_on(framework: &Framework, agent_id: &str) -> Result<Vec<String>> {
    let journal = framework.journal()?;
    let running = journal.running_long();
    let mut tasks: Vec<String> = journal
        .events("update", 0)
        .filter(|(_, record)| record["agent_id"] == agent_id && record["state"] == "TASK_RUNNING")
        .filter_map(|(_, record)| record["task_id"].as_str().map(str::to_owned))
        .filter(|task| running.contains(task))
        .collect();
    tasks.sort();
    tasks.dedup();
    Ok(tasks)
}

#[test]
fn an_agent_killed_and_restarted_keeps_its_tasks() -> Result<()> {
    let mut cluster = Cluster::builder().agents(2).start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=12", "--agents=2", "--shorts"])?;
    framework.expect_dead_agents();
    framework.wait_for_running(LONG)?;
    let port = cluster.leader_port()?;
    let mut before = master::active_agents(port)?;
    before.sort();

    for _ in 0..3 {
        cluster.agents[0].kill9()?;
        framework.check_long()?;
        cluster.agents[0].start()?;
        wait_until("the agent is back under its old id", PATIENCE, || {
            let mut now = master::active_agents(port)?;
            now.sort();
            Ok(now == before)
        })?;
        framework.wait_for_progress(3)?;
    }
    framework.check_long()?;

    // The agent has its tasks in hand again: each can be killed, and its process ends.
    for agent in &before {
        let tasks = tasks_on(&framework, agent)?;
        let victim = tasks
            .first()
            .ok_or_else(|| anyhow::anyhow!("no long task on agent {agent}"))?
            .clone();
        let pid = starts(framework.pids(), &victim)?[0];
        framework.command(&format!("kill {victim}"))?;
        framework.wait_until(&format!("{victim} is killed"), |journal| {
            Ok(journal
                .states()
                .get(&victim)
                .is_some_and(|state| state == "TASK_KILLED"))
        })?;
        wait_until("its process has ended", PATIENCE, || Ok(!processes::is_alive(pid)))?;
    }
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}

#[test]
fn an_agent_that_stays_away_is_unreachable_and_its_tasks_come_back_with_it() -> Result<()> {
    let mut cluster = Cluster::builder()
        .agents(2)
        .master_flag("--agent_ping_timeout=1secs")
        .master_flag("--max_agent_ping_timeouts=2")
        .start()?;
    let mut framework = Framework::start(&cluster, "durable", &["--long=12", "--agents=2", "--shorts"])?;
    framework.expect_dead_agents();
    framework.wait_for_running(LONG)?;
    let port = cluster.leader_port()?;
    let before = master::active_agents(port)?;

    cluster.agents[0].kill9()?;
    let gone = wait_for("the master gives up on the agent", PATIENCE, || {
        let now = master::active_agents(port)?;
        let left: Vec<&String> = before.iter().filter(|agent| now.contains(agent)).collect();
        Ok((left.len() == 1)
            .then(|| before.iter().find(|agent| !now.contains(agent)).cloned())
            .flatten())
    })?;
    let lost = tasks_on(&framework, &gone)?;
    ensure!(!lost.is_empty(), "no long task ran on the agent that was killed");
    framework.wait_until("its tasks are unreachable", |journal| {
        let states = journal.states();
        for task in &lost {
            ensure!(states[task] == "TASK_UNREACHABLE", "{task} is {}", states[task]);
        }
        Ok(true)
    })?;
    framework.wait_until("the framework is told of the agent", |journal| {
        Ok(journal
            .events("failure", 0)
            .any(|(_, record)| record["agent_id"] == *gone))
    })?;
    let id = framework.id()?;
    let unreachable: Vec<String> = master::tasks(port, "unreachable_tasks", &id)?
        .into_iter()
        .map(|(task, _)| task)
        .collect();
    for task in &lost {
        ensure!(
            unreachable.contains(task),
            "{task} is not among the unreachable tasks of GET_TASKS"
        );
    }

    // The next leader knows it as well.
    let old = cluster.wait_for_leader()?;
    let position = framework.journal()?.len();
    cluster.masters[old].kill9()?;
    cluster.wait_for_other_leader(old)?;
    cluster.masters[old].start()?;
    framework.wait_for_subscription(position)?;
    cluster.wait_for_agents(1)?;

    cluster.agents[0].start()?;
    cluster.wait_for_agents(2)?;
    framework.wait_until("its tasks run again", |journal| {
        let states = journal.states();
        for task in &lost {
            ensure!(states[task] == "TASK_RUNNING", "{task} is {}", states[task]);
        }
        Ok(true)
    })?;
    let port = cluster.leader_port()?;
    let active = master::active_agents(port)?;
    ensure!(
        active.contains(&gone),
        "the agent came back under another id: {active:?}, was {gone}"
    );
    framework.wind_down()?;
    framework.check()?;
    cluster.passed()
}
