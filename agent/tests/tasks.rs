//! Command tasks on a real agent process, driven by a scripted master.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use proto::internal::{ShutdownFrameworkMessage, StatusUpdateMessage};
use proto::v1::TaskState;
use proto::v1::task_status::Reason;
use support::{AGENT, AgentProcess, FRAMEWORK, Master, shell};

fn state(message: &StatusUpdateMessage) -> TaskState {
    TaskState::try_from(message.update.status.state).unwrap()
}

#[tokio::test]
async fn a_command_task_starts_runs_and_finishes_one_acknowledged_update_at_a_time() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    let registration = master.register().await;
    assert_eq!(registration.deduplicates_launches, Some(true));
    assert_eq!(registration.slave.resources[0].role.as_deref(), Some("*"));
    let _: proto::internal::UpdateSlaveMessage = master.next("UpdateSlaveMessage").await;

    master.run(shell("t", "echo to-stdout; echo $MESOS_TASK_ID >&2"));
    let starting = master.update().await;
    assert_eq!(state(&starting), TaskState::TaskStarting);
    assert_eq!(starting.update.slave_id, Some(AGENT.into()));
    assert_eq!(starting.pid, master.agent.as_ref().map(ToString::to_string));
    master.acknowledge(&starting);
    let running = master.update().await;
    assert_eq!(state(&running), TaskState::TaskRunning);
    master.acknowledge(&running);
    let finished = master.update().await;
    assert_eq!(state(&finished), TaskState::TaskFinished);
    assert_eq!(
        finished.update.status.message.as_deref(),
        Some("Command exited with status 0")
    );
    assert_eq!(finished.update.latest_state, Some(TaskState::TaskFinished as i32));
    master.acknowledge(&finished);

    let runs = work_dir
        .path()
        .join(format!("slaves/{AGENT}/frameworks/{FRAMEWORK}/executors/t/runs"));
    let sandbox = std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(sandbox.join("stdout")).unwrap(), "to-stdout\n");
    assert_eq!(std::fs::read_to_string(sandbox.join("stderr")).unwrap(), "t\n");
}

#[tokio::test]
async fn failures_say_how_the_command_ended_or_why_it_never_began() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;

    master.run(shell("code", "exit 3"));
    let status = master.until("code", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 3"));

    master.run(shell("signal", "kill -SEGV $$"));
    let status = master.until("signal", TaskState::TaskFailed).await;
    assert_eq!(
        status.message.as_deref(),
        Some("Command terminated with signal Segmentation fault")
    );

    let mut remote = shell("remote", "true");
    let uri = proto::v1::command_info::Uri {
        value: "http://h/x".into(),
        ..Default::default()
    };
    remote.command.as_mut().unwrap().uris.push(uri);
    master.run(remote);
    let status = master.until("remote", TaskState::TaskFailed).await;
    assert!(status.message.unwrap().contains("local files only"));
    assert_eq!(status.reason, Some(Reason::ContainerLaunchFailed as i32));

    let mut program = shell("missing", "/no/such/program");
    program.command.as_mut().unwrap().shell = Some(false);
    master.run(program);
    let status = master.until("missing", TaskState::TaskFailed).await;
    assert!(status.message.unwrap().contains("/no/such/program"));
}

#[tokio::test]
async fn a_kill_ends_the_whole_process_group_also_when_it_ignores_the_first_signal() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;

    master.run(shell("polite", "sleep 1000"));
    master.until("polite", TaskState::TaskRunning).await;
    master.kill("polite");
    master.until("polite", TaskState::TaskKilling).await;
    let status = master.until("polite", TaskState::TaskKilled).await;
    assert_eq!(
        status.message.as_deref(),
        Some("Command terminated with signal Terminated")
    );

    let mut stubborn = shell("stubborn", "trap '' TERM; while true; do sleep 0.1; done");
    let grace = proto::v1::DurationInfo {
        nanoseconds: 50_000_000,
    };
    stubborn.kill_policy = Some(proto::v1::KillPolicy {
        grace_period: Some(grace),
    });
    master.run(stubborn);
    master.until("stubborn", TaskState::TaskRunning).await;
    master.kill("stubborn");
    let status = master.until("stubborn", TaskState::TaskKilled).await;
    assert_eq!(status.message.as_deref(), Some("Command terminated with signal Killed"));

    master.kill("never-seen");
    let status = master.until("never-seen", TaskState::TaskDropped).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
}

#[tokio::test]
async fn running_tasks_survive_the_agent_and_ended_ones_are_reported_with_their_true_exit() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let marker = work_dir.path().join("go");
    master.run(shell("stays", "sleep 1000"));
    let stays = master.until("stays", TaskState::TaskRunning).await;
    master.run(shell(
        "ends",
        &format!("while ! [ -e {} ]; do sleep 0.02; done; exit 7", marker.display()),
    ));
    let ends = master.until("ends", TaskState::TaskRunning).await;
    agent.kill();
    std::fs::write(&marker, "").unwrap();
    let pid = ends.container_status.unwrap().executor_pid.unwrap();
    support::wait_until(|| !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    std::mem::replace(&mut agent, AgentProcess::start(work_dir.path(), master.address)).forget();

    let report = master.reregister().await;
    assert_eq!(report.slave.id, Some(AGENT.into()));
    assert_eq!(report.deduplicates_launches, Some(true));
    assert_eq!(report.frameworks.len(), 1);
    let mut states: Vec<_> = report
        .tasks
        .iter()
        .map(|task| (task.task_id.value.as_str(), task.state))
        .collect();
    states.sort();
    assert_eq!(states[0].0, "ends");
    assert_eq!(states[1], ("stays", TaskState::TaskRunning as i32));
    let status = master.until("ends", TaskState::TaskFailed).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 7"));

    // The same process as before, and the new agent can end it.
    let pid = stays.container_status.unwrap().executor_pid.unwrap();
    assert!(std::path::Path::new(&format!("/proc/{pid}")).exists());
    master.kill("stays");
    let killed = master.until("stays", TaskState::TaskKilled).await;
    assert_eq!(killed.container_status.unwrap().executor_pid, Some(pid));
}

#[tokio::test]
async fn updates_that_were_not_acknowledged_come_again_with_the_same_uuid_after_a_restart() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "true"));
    let starting = master.update().await;
    agent.kill();
    std::mem::replace(&mut agent, AgentProcess::start(work_dir.path(), master.address)).forget();
    master.reregister().await;
    let again = master.update().await;
    assert_eq!(again.update.uuid, starting.update.uuid);
    assert_eq!(state(&again), TaskState::TaskStarting);
    master.acknowledge(&again);
    master.until("t", TaskState::TaskFinished).await;
}

#[tokio::test]
async fn a_repeated_launch_is_started_once_while_it_runs_and_after_its_end_and_after_a_restart() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let count = work_dir.path().join("count");
    let text = format!("echo once >> {}", count.display());
    master.run(shell("t", &text));
    master.run(shell("t", &text));
    master.until("t", TaskState::TaskFinished).await;
    master.run(shell("t", &text));
    // Messages are in order: when the next task is through, the repeated launch was looked at.
    master.run(shell("after", "true"));
    master.until("after", TaskState::TaskFinished).await;
    agent.kill();
    std::mem::replace(&mut agent, AgentProcess::start(work_dir.path(), master.address)).forget();
    master.reregister().await;
    master.run(shell("t", &text));
    master.run(shell("last", "true"));
    master.until("last", TaskState::TaskFinished).await;
    assert_eq!(std::fs::read_to_string(count).unwrap(), "once\n");
}

#[tokio::test]
async fn messages_of_anybody_but_the_leader_are_ignored() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let message = master.run_message(shell("foreign", "true"));
    master.send_as("impostor", "RunTaskMessage", &message);
    let shutdown = ShutdownFrameworkMessage {
        framework_id: FRAMEWORK.into(),
    };
    master.run(shell("own", "sleep 0.2"));
    master.send_as("impostor", "ShutdownFrameworkMessage", &shutdown);
    loop {
        let update = master.update().await;
        assert_eq!(update.update.status.task_id.value, "own");
        master.acknowledge(&update);
        if state(&update) == TaskState::TaskFinished {
            return;
        }
    }
}

#[tokio::test]
async fn an_agent_whose_resources_changed_refuses_to_start() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let _: proto::internal::UpdateSlaveMessage = master.next("UpdateSlaveMessage").await;
    agent.kill();
    let mut changed = AgentProcess::start_with(
        work_dir.path(),
        &master.address.to_string(),
        "cpus:2;mem:1;disk:1;ports:[1-2]",
    );
    assert!(!changed.wait().success());
}

#[tokio::test]
async fn after_a_restart_of_the_host_its_tasks_have_failed_and_the_agent_keeps_its_id() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "exec sleep 1000"));
    let running = master.until("t", TaskState::TaskRunning).await;
    agent.kill();
    // What a restart of the host does: the processes are gone, and the kernel has another boot id.
    let pid = running.container_status.unwrap().executor_pid.unwrap();
    let status = support::status_files(work_dir.path()).remove(0);
    let before = std::fs::read(&status).unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    support::wait_until(|| std::fs::read(&status).unwrap() != before).await;
    std::fs::write(&status, before).unwrap();
    std::fs::write(work_dir.path().join("meta/boot_id"), "a former boot").unwrap();
    std::mem::replace(&mut agent, AgentProcess::start(work_dir.path(), master.address)).forget();

    let report = master.reregister().await;
    assert_eq!(report.tasks[0].state, TaskState::TaskFailed as i32);
    let status = master.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
    assert_eq!(
        status.message.as_deref(),
        Some("Abnormal executor termination: unknown container")
    );
}

#[tokio::test]
async fn after_a_restart_of_the_host_with_other_resources_the_agent_registers_as_a_new_one() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "true"));
    master.until("t", TaskState::TaskFinished).await;
    agent.kill();
    std::fs::write(work_dir.path().join("meta/boot_id"), "a former boot").unwrap();
    let resources = "cpus:2;mem:1;disk:1;ports:[1-2]";
    let _changed = AgentProcess::start_with(work_dir.path(), &master.address.to_string(), resources);
    let registration = master.register().await;
    assert_eq!(registration.slave.id, None);
    master.run(shell("next", "true"));
    master.until("next", TaskState::TaskFinished).await;
}

#[tokio::test]
async fn a_supervisor_that_dies_without_a_word_fails_its_task() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "exec sleep 1000"));
    let running = master.until("t", TaskState::TaskRunning).await;
    let task = running.container_status.unwrap().executor_pid.unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{task}/stat")).unwrap();
    let parent: i32 = stat[stat.rfind(')').unwrap()..]
        .split_whitespace()
        .nth(2)
        .unwrap()
        .parse()
        .unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(parent), nix::sys::signal::Signal::SIGKILL).unwrap();
    let status = master.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
    // Nobody else can end it any more.
    support::wait_until(|| !std::path::Path::new(&format!("/proc/{task}")).exists()).await;
}
