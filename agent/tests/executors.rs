//! Task groups and custom executors on a real agent process, driven by a scripted master.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use proto::internal::{
    DrainSlaveMessage, ExecutorToFrameworkMessage, ExitedExecutorMessage, FrameworkToExecutorMessage, PingSlaveMessage,
    PongSlaveMessage, RunTaskGroupMessage, ShutdownExecutorMessage, ShutdownFrameworkMessage,
};
use proto::v1::task_status::Reason;
use proto::v1::{CommandInfo, DrainConfig, ExecutorInfo, TaskGroupInfo, TaskInfo, TaskState, executor_info};
use support::{AGENT, AgentProcess, FRAMEWORK, Master, framework, shell};

fn group(master: &Master, launch_executor: bool, tasks: Vec<TaskInfo>) -> RunTaskGroupMessage {
    RunTaskGroupMessage {
        framework: framework(),
        executor: ExecutorInfo {
            executor_id: "pod".into(),
            framework_id: Some(FRAMEWORK.into()),
            r#type: Some(executor_info::Type::Default as i32),
            ..Default::default()
        },
        task_group: TaskGroupInfo { tasks },
        resource_version_uuids: master.run_message(shell("any", "true")).resource_version_uuids,
        launch_executor: Some(launch_executor),
    }
}

/// A task for an executor process that is this crate's helper.
fn custom(id: &str) -> TaskInfo {
    let executor = ExecutorInfo {
        executor_id: "custom".into(),
        framework_id: Some(FRAMEWORK.into()),
        r#type: Some(executor_info::Type::Custom as i32),
        command: Some(CommandInfo {
            shell: Some(false),
            value: Some(env!("CARGO_BIN_EXE_agent-for-tests").into()),
            arguments: vec!["agent-for-tests".into(), "executor".into()],
            ..Default::default()
        }),
        ..Default::default()
    };
    TaskInfo {
        command: None,
        executor: Some(executor),
        ..shell(id, "")
    }
}

#[tokio::test]
async fn a_killed_member_of_a_task_group_takes_its_siblings_and_then_the_executor_with_it() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let tasks = vec![shell("first", "exec sleep 1000"), shell("second", "exec sleep 1000")];
    master.send("RunTaskGroupMessage", &group(&master, true, tasks));
    let mut running = Vec::new();
    while running.len() < 2 {
        let message = master.update().await;
        master.acknowledge(&message);
        if message.update.status.state == TaskState::TaskRunning as i32 {
            assert!(
                message
                    .update
                    .status
                    .container_status
                    .unwrap()
                    .container_id
                    .unwrap()
                    .parent
                    .is_some()
            );
            running.push(message.update.status.task_id.value);
        }
    }
    master.kill("first");
    master.until("first", TaskState::TaskKilled).await;
    let status = master.until("second", TaskState::TaskKilled).await;
    assert_eq!(
        status.message.as_deref(),
        Some("Command terminated with signal Terminated")
    );
    let exited: ExitedExecutorMessage = master.next("ExitedExecutorMessage").await;
    assert_eq!((exited.executor_id.value.as_str(), exited.status), ("pod", 0));
}

#[tokio::test]
async fn groups_share_an_executor_and_a_finished_member_leaves_its_siblings_alone() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let go = work_dir.path().join("go");
    let wait = format!("while ! [ -e {} ]; do sleep 0.02; done", go.display());
    master.send(
        "RunTaskGroupMessage",
        &group(&master, true, vec![shell("done", "true"), shell("waits", &wait)]),
    );
    master.until("done", TaskState::TaskFinished).await;
    master.send(
        "RunTaskGroupMessage",
        &group(&master, false, vec![shell("fails", "exit 1")]),
    );
    master.until("fails", TaskState::TaskFailed).await;
    std::fs::write(go, "").unwrap();
    master.until("waits", TaskState::TaskFinished).await;

    master.send(
        "RunTaskGroupMessage",
        &group(&master, false, vec![shell("late", "true")]),
    );
    let status = master.until("late", TaskState::TaskDropped).await;
    assert_eq!(status.reason, Some(Reason::ExecutorTerminated as i32));
}

#[tokio::test]
async fn a_custom_executor_gets_tasks_kills_and_messages_and_its_updates_arrive() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let mut agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(custom("one"));
    let status = master.until("one", TaskState::TaskRunning).await;
    assert_eq!(status.executor_id, Some("custom".into()));
    let mut second = master.run_message(custom("two"));
    second.launch_executor = Some(false);
    master.send("RunTaskMessage", &second);
    master.until("two", TaskState::TaskRunning).await;

    let message = FrameworkToExecutorMessage {
        slave_id: AGENT.into(),
        framework_id: FRAMEWORK.into(),
        executor_id: "custom".into(),
        data: "hello".into(),
    };
    master.send("FrameworkToExecutorMessage", &message);
    let echo: ExecutorToFrameworkMessage = master.next("ExecutorToFrameworkMessage").await;
    assert_eq!(&echo.data[..], b"hello");
    master.kill("one");
    master.until("one", TaskState::TaskKilled).await;

    // The executor outlives the agent and comes back to its successor.
    agent.kill();
    let port = master.agent.as_ref().unwrap().address.port();
    let successor = AgentProcess::start_on(work_dir.path(), master.address, port);
    std::mem::replace(&mut agent, successor).forget();
    let report = master.reregister().await;
    assert_eq!(report.executor_infos.len(), 1);
    // The last acknowledgement may have come too late for the former agent; that task is reported as killed.
    let running = report
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::TaskRunning as i32);
    assert_eq!(
        running.map(|task| task.task_id.value.as_str()).collect::<Vec<_>>(),
        ["two"]
    );
    let mut third = master.run_message(custom("three"));
    third.launch_executor = Some(false);
    master.send("RunTaskMessage", &third);
    master.until("three", TaskState::TaskRunning).await;

    let shutdown = ShutdownExecutorMessage {
        executor_id: Some("custom".into()),
        framework_id: Some(FRAMEWORK.into()),
    };
    master.send("ShutdownExecutorMessage", &shutdown);
    let exited: ExitedExecutorMessage = master.next("ExitedExecutorMessage").await;
    assert_eq!((exited.executor_id.value.as_str(), exited.status), ("custom", 0));
}

#[tokio::test]
async fn a_drained_agent_kills_its_tasks_and_refuses_launches_until_it_is_empty() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "sleep 1000"));
    master.until("t", TaskState::TaskRunning).await;
    let config = DrainConfig {
        max_grace_period: None,
        mark_gone: None,
    };
    master.send("DrainSlaveMessage", &DrainSlaveMessage { config });
    master.run(shell("refused", "true"));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let message = master.update().await;
        master.acknowledge(&message);
        let status = message.update.status;
        assert_eq!(status.reason, Some(Reason::AgentDraining as i32));
        if status.state != TaskState::TaskKilling as i32 {
            seen.push((status.task_id.value, status.state));
        }
    }
    seen.sort();
    assert_eq!(
        seen,
        [
            ("refused".to_owned(), TaskState::TaskDropped as i32),
            ("t".to_owned(), TaskState::TaskKilled as i32)
        ]
    );
    master.run(shell("again", "true"));
    master.until("again", TaskState::TaskFinished).await;
}

#[tokio::test]
async fn a_shut_down_framework_ends_without_a_word_and_an_outdated_launch_is_dropped() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let mut outdated = master.run_message(shell("outdated", "true"));
    outdated.resource_version_uuids[0].uuid = [7; 16].into();
    master.send("RunTaskMessage", &outdated);
    let status = master.until("outdated", TaskState::TaskDropped).await;
    assert_eq!(status.reason, Some(Reason::InvalidOffers as i32));

    master.run(shell("t", "exec sleep 1000"));
    let pid = master
        .until("t", TaskState::TaskRunning)
        .await
        .container_status
        .unwrap()
        .executor_pid
        .unwrap();
    master.send(
        "ShutdownFrameworkMessage",
        &ShutdownFrameworkMessage {
            framework_id: FRAMEWORK.into(),
        },
    );
    support::wait_until(|| !std::path::Path::new(&format!("/proc/{pid}")).exists()).await;
    master.send("PingSlaveMessage", &PingSlaveMessage { connected: true });
    let _: PongSlaveMessage = master.next("PongSlaveMessage").await;
}

#[tokio::test]
async fn an_agent_follows_to_the_next_leader_and_a_ping_that_says_disconnected_makes_it_register_again() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut first = Master::start().await;
    let mut second = Master::start().await;
    let masters = format!("{},{}", first.address, second.address);
    second.names(first.address);
    let _agent = AgentProcess::start_with(
        work_dir.path(),
        &masters,
        "cpus:4;mem:1024;disk:1000;ports:[31000-31009]",
    );
    first.register().await;
    first.run(shell("t", "sleep 1000"));
    first.until("t", TaskState::TaskRunning).await;
    first.send("PingSlaveMessage", &PingSlaveMessage { connected: false });
    first.reregister().await;

    second.names(second.address);
    drop(first);
    let report = second.reregister().await;
    assert_eq!(report.tasks.len(), 1);
    second.kill("t");
    second.until("t", TaskState::TaskKilled).await;
}
