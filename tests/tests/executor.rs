//! A custom executor written with pymesos runs on our agent.

use anyhow::{Result, ensure};
use cluster_tests::cluster::{Cluster, PATIENCE};
use cluster_tests::framework::{Framework, scripts};
use cluster_tests::journal::starts;
use cluster_tests::processes;
use cluster_tests::wait::wait_until;

#[test]
fn a_pymesos_executor_runs_tasks_answers_messages_and_survives_its_agent() -> Result<()> {
    let mut cluster = Cluster::builder().agents(1).start()?;
    let executor = format!("--executor={}", scripts().join("executor.py").display());
    let mut framework = Framework::start(&cluster, "durable", &["--long=3", "--agents=1", "--shorts", &executor])?;
    framework.expect_dead_agents();
    framework.wait_for_running(3)?;
    framework.wait_for_progress(3)?;

    framework.command("message hello")?;
    framework.wait_until("the executor answers", |journal| {
        Ok(journal
            .events("message", 0)
            .any(|(_, record)| record["data"] == "echo hello"))
    })?;

    cluster.agents[0].kill9()?;
    framework.check_long()?;
    cluster.agents[0].start()?;
    cluster.wait_for_agents(1)?;
    framework.wait_for_progress(3)?;

    let old = cluster.wait_for_leader()?;
    let position = framework.journal()?.len();
    cluster.masters[old].kill9()?;
    cluster.wait_for_other_leader(old)?;
    cluster.masters[old].start()?;
    framework.wait_for_subscription(position)?;
    framework.wait_for_progress(3)?;

    framework.wind_down()?;
    framework.check()?;
    let journal = framework.journal()?;
    let victim = journal.running_long().pop_first().unwrap_or_default();
    let pid = starts(framework.pids(), &victim)?[0];
    framework.command(&format!("kill {victim}"))?;
    framework.wait_until("a task of the executor is killed", |journal| {
        Ok(journal
            .states()
            .get(&victim)
            .is_some_and(|state| state == "TASK_KILLED"))
    })?;
    wait_until("its process has ended", PATIENCE, || Ok(!processes::is_alive(pid)))?;
    ensure!(
        framework.journal()?.running_long().len() == 2,
        "more than one task was killed"
    );
    cluster.passed()
}
