//! LAUNCH_GROUP.

use super::*;
use proto::v1::task_status::Reason;
use proto::v1::{ExecutorInfo, TaskGroupInfo, TaskInfo};

fn checked(fixture: &Fixture, executor: &ExecutorInfo, tasks: Vec<TaskInfo>) -> Result<Resources, Refusal> {
    let group = TaskGroupInfo { tasks };
    launch_group(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        executor,
        &group,
    )
}

#[track_caller]
fn refused(fixture: &Fixture, executor: &ExecutorInfo, tasks: Vec<TaskInfo>, text: &str) {
    let expected = Refusal {
        reason: Reason::TaskGroupInvalid,
        message: text.to_owned(),
    };
    assert_eq!(checked(fixture, executor, tasks), Err(expected));
}

#[test]
fn a_group_takes_the_sum_of_its_parts() {
    let fixture = Fixture::new();
    let tasks = vec![
        fixture.task(""),
        fixture.task(r#""task_id":{"value":"u"},"command":null"#),
    ];
    let used = checked(&fixture, &fixture.executor(""), tasks).unwrap();
    assert_eq!(
        used.to_string(),
        "cpus(allocated: *):0.3; mem(allocated: *):96; disk(allocated: *):10"
    );
}

#[test]
fn executors_of_groups_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let rows = [
        (r#""framework_id":null"#, "'ExecutorInfo.framework_id' must be set"),
        (
            r#""framework_id":{"value":"zz"}"#,
            "ExecutorInfo has an invalid FrameworkID (Actual: zz vs Expected: f)",
        ),
        (r#""type":null"#, "'ExecutorInfo.type' must be set"),
        (r#""type":"UNKNOWN""#, "Unknown executor type"),
        (
            r#""command":{}"#,
            "'ExecutorInfo.command' must not be set for 'DEFAULT' executor",
        ),
        (
            r#""type":"CUSTOM""#,
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (
            r#""container":{"type":"DOCKER","docker":{"image":"i"}}"#,
            "'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor",
        ),
        (r#""resources":[CPUS(0.1),MEM(32)]"#, "Executor 'e' uses no disk"),
        (
            r#""resources":[CPUS(0.001),MEM(32),DISK(1)]"#,
            "Executor 'e' uses less CPUs (0.001) than the minimum required (0.01)",
        ),
        (
            r#""resources":[CPUS(0.1),MEM(3),DISK(1)]"#,
            "Executor 'e' uses less memory (3MB) than the minimum required (32MB)",
        ),
    ];
    for (changes, text) in rows {
        refused(&fixture, &fixture.executor(changes), vec![fixture.task("")], text);
    }
}

#[test]
fn one_bad_task_refuses_the_group() {
    let mut fixture = Fixture::new();
    let executor = fixture.executor("");
    let rows = [
        (
            r#""task_id":{"value":"x/y"}"#,
            "Task 'x/y' is invalid: 'x/y' contains invalid characters",
        ),
        (
            r#""container":{"type":"DOCKER","docker":{"image":"i"}}"#,
            "Task 't' is invalid: Docker ContainerInfo is not supported on the task",
        ),
        (
            r#""container":{"type":"MESOS","network_infos":[{"name":"n"}]},"health_check":{"type":"TCP","tcp":{"port":1}}"#,
            "Task 't' is invalid: HTTP and TCP health checks are not supported for nested containers not joining parent's \
             network",
        ),
        (
            r#""limits":{"cpus":{"value":1}}"#,
            "Task 't' is invalid: Resource limits may only be set for tasks within a task group when the 'share_cgroups' \
             field is set to 'false'.",
        ),
    ];
    let good = r#""task_id":{"value":"good"}"#;
    for (changes, text) in rows {
        refused(
            &fixture,
            &executor,
            vec![fixture.task(good), fixture.task(changes)],
            text,
        );
    }
    refused(
        &fixture,
        &executor,
        vec![fixture.task(""), fixture.task("")],
        "Task has duplicate ID: t",
    );
    fixture.run(&fixture.task(""), None);
    refused(
        &fixture,
        &executor,
        vec![fixture.task(good), fixture.task("")],
        "Task 't' is invalid: Task has duplicate ID: t",
    );
}

#[test]
fn all_tasks_have_the_executor_of_the_group() {
    let fixture = Fixture::new();
    let mut task = fixture.task("");
    task.executor = Some(fixture.executor(""));
    assert!(checked(&fixture, &fixture.executor(""), vec![task.clone()]).is_ok());
    task.executor = Some(fixture.executor(r#""name":"other""#));
    let text = "The `ExecutorInfo` of task 't' is different from executor 'e'";
    refused(&fixture, &fixture.executor(""), vec![task], text);
}

#[test]
fn the_sum_must_fit_the_offer() {
    let fixture = Fixture::new();
    let tasks = vec![
        fixture.task(r#""resources":[CPUS(2)]"#),
        fixture.task(r#""task_id":{"value":"u"},"resources":[CPUS(2)]"#),
    ];
    let text = "Total resources cpus(allocated: *):4.1; mem(allocated: *):32; disk(allocated: *):10 required by task group and \
                its executor are more than available cpus(allocated: *):3.9; mem(allocated: *):4064; \
                disk(allocated: *):10000; ports(allocated: *):[31000-32000]";
    refused(&fixture, &fixture.executor(""), tasks, text);
}

#[test]
fn sharing_control_groups_is_all_or_none() {
    let mut fixture = Fixture::new();
    let own = r#""container":{"type":"MESOS","linux_info":{"share_cgroups":false}}"#;
    let text = "If set, the value of 'share_cgroups' must be the same for all tasks in each task group and under a single \
                executor";
    let other = fixture.task(&format!(r#"{own},"task_id":{{"value":"u"}}"#));
    refused(
        &fixture,
        &fixture.executor(""),
        vec![fixture.task(""), other.clone()],
        text,
    );
    assert!(checked(&fixture, &fixture.executor(""), vec![other.clone()]).is_ok());
    let executor = fixture.executor("");
    let mut running = fixture.task("");
    running.executor = Some(executor.clone());
    running.command = None;
    fixture.run(&running, Some(&executor));
    refused(&fixture, &executor, vec![other], text);
}

#[test]
fn an_empty_group_takes_its_executor_only() {
    let fixture = Fixture::new();
    let used = checked(&fixture, &fixture.executor(""), Vec::new()).unwrap();
    assert_eq!(used.scalar("cpus"), 100);
}

#[test]
fn a_second_group_of_an_executor_takes_only_what_its_tasks_take() {
    let fixture = Fixture::new();
    let executor = fixture.executor("");
    let mut starting = StartingExecutors::default();
    starting.add(&executor);
    let group = TaskGroupInfo {
        tasks: vec![fixture.task("")],
    };
    let checked = |executor: &ExecutorInfo| {
        launch_group(
            &fixture.registry,
            &fixture.framework,
            &fixture.agent,
            &starting,
            &fixture.offered,
            executor,
            &group,
        )
    };
    assert_eq!(
        checked(&executor).unwrap().to_string(),
        "cpus(allocated: *):0.1; mem(allocated: *):32"
    );
    let mut changed = executor.clone();
    changed.name = Some("another".into());
    let message = checked(&changed).unwrap_err().message;
    assert!(
        message.starts_with("ExecutorInfo is not compatible with existing ExecutorInfo"),
        "{message}"
    );
}
