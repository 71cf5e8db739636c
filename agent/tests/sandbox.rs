//! What a task finds around it, and what operators see of it: user, files, limits, HTTP.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::os::unix::fs::PermissionsExt;

use libprocess::{HttpClient, Request};
use proto::v1::task_status::Reason;
use proto::v1::{DurationInfo, TaskState, command_info};
use seams::Seams;
use support::{AGENT, AgentProcess, FRAMEWORK, Master, shell};

async fn get(agent: &str, path: &str) -> (u16, String) {
    body(
        HttpClient::new(Seams::real())
            .request(agent, Request::get(path))
            .await
            .unwrap(),
    )
    .await
}

async fn body(response: libprocess::Response) -> (u16, String) {
    let bytes = response.body.collect(1 << 20).await.unwrap();
    (response.status, String::from_utf8(bytes.to_vec()).unwrap())
}

#[tokio::test]
async fn a_task_runs_as_its_user_in_its_sandbox_with_its_files_and_nothing_of_the_agents_environment() {
    let work_dir = tempfile::tempdir().unwrap();
    // Other users must be able to reach the sandboxes.
    std::fs::set_permissions(work_dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let source = work_dir.path().join("data.txt");
    std::fs::write(&source, "of the framework\n").unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let is_root = nix::unistd::Uid::effective().is_root();
    let user = if is_root { "nobody".to_owned() } else { whoami() };
    let mut task = shell(
        "t",
        "id -un > user; env > environment; cat data.txt > copy; pwd > directory",
    );
    let command = task.command.as_mut().unwrap();
    command.user = Some(user.clone());
    command.uris.push(command_info::Uri {
        value: format!("file://{}", source.display()),
        ..Default::default()
    });
    master.run(task);
    let status = master.until("t", TaskState::TaskFinished).await;
    assert_eq!(status.message.as_deref(), Some("Command exited with status 0"));

    let runs = work_dir
        .path()
        .join(format!("slaves/{AGENT}/frameworks/{FRAMEWORK}/executors/t/runs"));
    let sandbox = std::fs::read_dir(runs).unwrap().next().unwrap().unwrap().path();
    let read = |name: &str| std::fs::read_to_string(sandbox.join(name)).unwrap();
    assert_eq!(read("user").trim(), user);
    assert_eq!(read("copy"), "of the framework\n");
    assert_eq!(read("directory").trim(), sandbox.to_str().unwrap());
    let environment = read("environment");
    for expected in [
        format!("MESOS_SANDBOX={}", sandbox.display()),
        format!("MESOS_FRAMEWORK_ID={FRAMEWORK}"),
        "MESOS_TASK_ID=t".to_owned(),
    ] {
        assert!(
            environment.lines().any(|line| line == expected),
            "{expected} in {environment}"
        );
    }
    assert!(!environment.contains("CARGO"), "{environment}");

    let mut unknown = shell("unknown", "true");
    unknown.command.as_mut().unwrap().user = Some("no-such-user".into());
    master.run(unknown);
    if is_root {
        let status = master.until("unknown", TaskState::TaskFailed).await;
        assert!(status.message.unwrap().contains("no such user 'no-such-user'"));
    }
}

fn whoami() -> String {
    nix::unistd::User::from_uid(nix::unistd::Uid::effective())
        .unwrap()
        .unwrap()
        .name
}

#[tokio::test]
async fn the_sandbox_of_a_task_beyond_those_kept_is_removed_and_the_others_stay() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start_keeping(work_dir.path(), master.address, 1);
    master.register().await;
    let executors = work_dir
        .path()
        .join(format!("slaves/{AGENT}/frameworks/{FRAMEWORK}/executors"));
    let stdout = |task: &str| {
        let runs = std::fs::read_dir(executors.join(task).join("runs")).unwrap();
        let sandboxes: Vec<_> = runs.map(|run| run.unwrap().path()).collect();
        assert_eq!(sandboxes.len(), 1, "{sandboxes:?}");
        std::fs::read_to_string(sandboxes[0].join("stdout")).unwrap()
    };
    for task in ["first", "second", "third"] {
        master.run(shell(task, &format!("echo {task}")));
        master.until(task, TaskState::TaskFinished).await;
        assert_eq!(stdout(task), format!("{task}\n"), "the newest stays");
    }
    support::wait_until(|| !executors.join("first").exists() && !executors.join("second").exists()).await;
    assert_eq!(stdout("third"), "third\n");
}

#[tokio::test]
async fn a_task_that_runs_longer_than_allowed_is_killed_and_has_failed() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    let mut task = shell("t", "sleep 1000");
    task.max_completion_time = Some(DurationInfo {
        nanoseconds: 50_000_000,
    });
    master.run(task);
    let status = master.until("t", TaskState::TaskFailed).await;
    assert_eq!(status.reason, Some(Reason::MaxCompletionTimeReached as i32));
}

#[tokio::test]
async fn operators_see_tasks_and_files_and_nothing_outside_the_sandboxes() {
    let work_dir = tempfile::tempdir().unwrap();
    let mut master = Master::start().await;
    let _agent = AgentProcess::start(work_dir.path(), master.address);
    master.register().await;
    master.run(shell("t", "echo hello; ln -s /etc/passwd leak; exec sleep 1000"));
    master.until("t", TaskState::TaskRunning).await;
    let agent = master.agent.as_ref().unwrap().address.to_string();

    let (status, state) = get(&agent, "/state").await;
    assert_eq!(status, 200);
    let state: serde_json::Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["id"], AGENT);
    let executor = &state["frameworks"][0]["executors"][0];
    assert_eq!(executor["tasks"][0]["state"], "TASK_RUNNING");
    let directory = executor["directory"].as_str().unwrap();
    let leak = std::path::Path::new(directory).join("leak");
    support::wait_until(|| leak.is_symlink()).await;

    let (_, listing) = get(&agent, &format!("/files/browse?path={directory}")).await;
    assert!(listing.contains(&format!("{directory}/stdout")), "{listing}");
    let (_, read) = get(
        &agent,
        &format!("/files/read?path={directory}/stdout&offset=0&length=100"),
    )
    .await;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&read).unwrap()["data"],
        "hello\n"
    );
    let (_, size) = get(&agent, &format!("/files/read?path={directory}/stdout&offset=-1")).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&size).unwrap()["offset"], 6);
    for path in [
        format!("{directory}/leak"),
        "/etc/passwd".to_owned(),
        format!("{directory}/../../../../../../../meta/agent"),
    ] {
        assert_eq!(
            get(&agent, &format!("/files/read?path={path}&offset=0")).await.0,
            404,
            "{path}"
        );
    }

    assert_eq!(get(&agent, "/health").await.0, 200);
    assert_eq!(get(&agent, "/no/such/thing").await.0, 404);
    let client = HttpClient::new(Seams::real());
    let call = |text: &'static str| client.request(&agent, Request::post("/api/v1", "application/json", text));
    let (status, health) = body(call(r#"{"type":"GET_HEALTH"}"#).await.unwrap()).await;
    assert_eq!(
        (status, health.as_str()),
        (200, r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#)
    );
    let (_, tasks) = body(call(r#"{"type":"GET_TASKS"}"#).await.unwrap()).await;
    assert!(tasks.contains(r#""launched_tasks":[{"name":"t""#), "{tasks}");
    assert_eq!(body(call("{").await.unwrap()).await.0, 400);
    assert_eq!(body(call(r#"{"type":"PRUNE_IMAGES"}"#).await.unwrap()).await.0, 501);
}
