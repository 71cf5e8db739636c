//! ACCEPT: the offers, and LAUNCH.

use super::*;
use proto::v1::task_status::Reason;

#[track_caller]
fn refused(fixture: &Fixture, changes: &str, text: &str) {
    let task = fixture.task(changes);
    let result = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &task,
    );
    let expected = text.replace("<agent>", fixture.agent.as_str());
    assert_eq!(
        result,
        Err(Refusal {
            reason: Reason::TaskInvalid,
            message: expected
        }),
        "{changes}"
    );
}

#[track_caller]
fn accepted(fixture: &Fixture, changes: &str) {
    let task = fixture.task(changes);
    let result = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &task,
    );
    assert!(result.is_ok(), "{changes}: {result:?}");
}

#[test]
fn tasks_that_mesos_launches_are_accepted() {
    let fixture = Fixture::new();
    let used = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &fixture.task(""),
    );
    assert_eq!(
        used.unwrap().to_string(),
        "cpus(allocated: *):0.1; mem(allocated: *):32"
    );
    let rows = [
        r#""command":{}"#,
        r#""name":"""#,
        r#""task_id":{"value":"a: é"}"#,
        r#""resources":[CPUS(0)]"#,
        r#""resources":[CPUS(0.1)]"#,
        r#""kill_policy":{"grace_period":{"nanoseconds":0}}"#,
        r#""health_check":{"type":"HTTP","http":{"port":80,"path":"/x","scheme":"https"}}"#,
        r#""check":{"type":"COMMAND","command":{"command":{"value":"true"}}}"#,
        r#""limits":{"cpus":{"value":1},"mem":{"value":"Infinity"}}"#,
        r#""container":{"type":"MESOS","volumes":[{"container_path":"/x","mode":"RW","host_path":"/y"}]}"#,
    ];
    rows.into_iter().for_each(|changes| accepted(&fixture, changes));
}

#[test]
fn ids_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let long = "x".repeat(256);
    let rows = [
        ("a/b", "'a/b' contains invalid characters"),
        ("a\\\\b", "'a\\b' contains invalid characters"),
        ("a\\nb", "'a\nb' contains invalid characters"),
        ("..", "'..' is disallowed"),
        ("", "ID must not be empty"),
        (&long, "ID must not be greater than 255 characters"),
    ];
    for (id, text) in rows {
        refused(&fixture, &format!(r#""task_id":{{"value":"{id}"}}"#), text);
    }
    refused(
        &fixture,
        r#""agent_id":{"value":"nobody"}"#,
        "Task uses invalid agent nobody while agent <agent> is expected",
    );
}

#[test]
fn the_id_of_a_known_task_cannot_be_used_again() {
    let mut fixture = Fixture::new();
    fixture.run(&fixture.task(""), None);
    refused(&fixture, "", "Task has duplicate ID: t");
    accepted(&fixture, r#""task_id":{"value":"other"}"#);
}

#[test]
fn resources_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let rows = [
        (
            "CPUS(-1)",
            "Resource 'cpus(allocated: *):-1' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            "CPUS(0.0001)",
            "Resource 'cpus(allocated: *):0' is invalid: Invalid scalar resource: value <= 0",
        ),
        (
            r#"CPUS("Infinity")"#,
            "Resource 'cpus(allocated: *):-9.22337203685478e+15' is invalid: Invalid scalar resource: value <= 0",
        ),
        ("", "Task uses no resources"),
        (
            r#"{"name":"cpus","type":"SCALAR","ranges":{"range":[]}}"#,
            "Resource 'cpus:0' is invalid: Invalid scalar resource",
        ),
        (
            r#"{"name":"","type":"SCALAR","scalar":{"value":0.1}}"#,
            "Resource ':0.1' is invalid: Empty resource name",
        ),
        (
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31010,"end":31005}]}}"#,
            "Resource 'ports:[31010-31005]' is invalid: Invalid ranges resource: begin > end",
        ),
        (
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":5},{"begin":4,"end":6}]}}"#,
            "Resource 'ports:[1-5, 4-6]' is invalid: Invalid ranges resource: overlapping ranges",
        ),
        (
            r#"CPUS(1),{"name":"mem","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"zz"}}"#,
            "Invalid task resources: The resources have multiple allocation roles ('*' and 'zz') but only one allocation \
             role is allowed",
        ),
        (
            "GPUS(0.5)",
            "Task uses invalid resources: Invalid 'gpus' resource: The 'gpus' resource must be an unsigned integer",
        ),
        (
            r#"CPUS(1),{"name":"cpus","type":"SCALAR","scalar":{"value":1},"revocable":{}}"#,
            "Task mixes revocable and non-revocable resources: Cannot use both revocable and non-revocable 'cpus' at the \
             same time",
        ),
    ];
    for (resources, text) in rows {
        refused(&fixture, &format!(r#""resources":[{resources}]"#), text);
    }
}

#[test]
fn resources_are_shown_as_they_came_when_their_format_is_wrong() {
    let fixture = Fixture::new();
    let task = fixture.task(r#""resources":[{"name":"cpus","type":"SCALAR","scalar":{"value":-1}}]"#);
    let message = "Resource 'cpus:-1' is invalid: Invalid scalar resource: value <= 0".to_owned();
    assert_eq!(
        launch_format(&task),
        Err(Refusal {
            reason: Reason::TaskInvalid,
            message: message.clone()
        })
    );
    let group = v1::TaskGroupInfo {
        tasks: vec![fixture.task(""), task],
    };
    let refusal = Refusal {
        reason: Reason::TaskGroupInvalid,
        message,
    };
    assert_eq!(launch_group_format(&fixture.executor(""), &group), Err(refusal));
    assert_eq!(launch_format(&fixture.task("")), Ok(()));
}

#[test]
fn no_task_gets_more_than_the_offer() {
    let fixture = Fixture::new();
    let available = "cpus(allocated: *):3.9; mem(allocated: *):4064; disk(allocated: *):10000; \
                     ports(allocated: *):[31000-32000]";
    let rows = [
        ("CPUS(400),MEM(32)", "cpus(allocated: *):400; mem(allocated: *):32"),
        (r#"{"name":"gold","type":"SCALAR","scalar":{"value":1}}"#, "gold:1"),
        (
            r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":1,"end":1}]},"allocation_info":{"role":"*"}}"#,
            "ports(allocated: *):[1-1]",
        ),
        (
            r#"{"name":"cpus","type":"SCALAR","scalar":{"value":1},"allocation_info":{"role":"*"},
                "reservations":[{"role":"a","type":"STATIC"}]}"#,
            "cpus(allocated: *)(reservations: [(STATIC,a)]):1",
        ),
    ];
    for (resources, total) in rows {
        let text =
            format!("Total resources {total} required by task and its executor is more than available {available}");
        refused(&fixture, &format!(r#""resources":[{resources}]"#), &text);
    }
}

#[test]
fn times_and_checks_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let health = |what: &str| format!("Task uses invalid health check: {what}");
    let check = |what: &str| format!("Task uses invalid check: {what}");
    let rows = [
        (
            r#""kill_policy":{"grace_period":{"nanoseconds":-1}}"#,
            "Task's 'kill_policy.grace_period' must be non-negative".to_owned(),
        ),
        (
            r#""max_completion_time":{"nanoseconds":-1}"#,
            "Task's `max_completion_time` must be non-negative".to_owned(),
        ),
        (r#""health_check":{}"#, health("HealthCheck must specify 'type'")),
        (
            r#""health_check":{"type":"UNKNOWN"}"#,
            health("'UNKNOWN' is not a valid health check type"),
        ),
        (
            r#""health_check":{"type":"HTTP"}"#,
            health("Expecting 'http' to be set for HTTP health check"),
        ),
        (
            r#""health_check":{"type":"COMMAND"}"#,
            health("Expecting 'command' to be set for COMMAND health check"),
        ),
        (
            r#""health_check":{"type":"HTTP","http":{"port":1,"scheme":"ftp"}}"#,
            health("Unsupported HTTP health check scheme: 'ftp'"),
        ),
        (
            r#""health_check":{"type":"HTTP","http":{"port":1,"path":"x"}}"#,
            health("The path 'x' of HTTP health check must start with '/'"),
        ),
        (
            r#""health_check":{"type":"TCP","tcp":{"port":1},"delay_seconds":-1}"#,
            health("Expecting 'delay_seconds' to be non-negative"),
        ),
        (r#""check":{}"#, check("CheckInfo must specify 'type'")),
        (
            r#""check":{"type":"TCP"}"#,
            check("Expecting 'tcp' to be set for TCP check"),
        ),
        (
            r#""check":{"type":"TCP","tcp":{"port":1},"timeout_seconds":-1}"#,
            check("Expecting 'timeout_seconds' to be non-negative"),
        ),
    ];
    rows.iter().for_each(|(changes, text)| refused(&fixture, changes, text));
}

#[test]
fn environments_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let secret = r#""secret":{"type":"VALUE","value":{"data":"eA=="}}"#;
    let rows = [
        (
            r#""name":"A""#.to_owned(),
            "Environment variable 'A' of type 'VALUE' must have a value set",
        ),
        (
            format!(r#""name":"A","value":"x",{secret}"#),
            "Environment variable 'A' of type 'VALUE' must not have a secret set",
        ),
        (
            r#""name":"A","type":"SECRET""#.to_owned(),
            "Environment variable 'A' of type 'SECRET' must have a secret set",
        ),
        (
            r#""name":"A","type":"UNKNOWN""#.to_owned(),
            "Environment variable of type 'UNKNOWN' is not allowed",
        ),
    ];
    for (variable, text) in rows {
        let changes = format!(r#""command":{{"environment":{{"variables":[{{{variable}}}]}}}}"#);
        refused(&fixture, &changes, &format!("Task's `CommandInfo` is invalid: {text}"));
    }
}

#[test]
fn containers_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let one_of = "Invalid volume: Only one of them should be set: 'host_path', 'image' and 'source'";
    let rows = [
        (
            r#""type":"DOCKER""#,
            "DockerInfo 'docker' is not set for DOCKER typed ContainerInfo",
        ),
        (
            r#""type":"DOCKER","docker":{"image":"i","parameters":[{"key":"name","value":"x"}]}"#,
            "Parameter in DockerInfo must not be 'name'",
        ),
        (
            r#""type":"MESOS","volumes":[{"container_path":"/x","mode":"RW"}]"#,
            one_of,
        ),
        (
            r#""type":"MESOS","volumes":[{"container_path":"/x","mode":"RW","host_path":"/y","source":{}}]"#,
            one_of,
        ),
        (
            r#""type":"MESOS","volumes":[{"container_path":"/x","mode":"RW","source":{"type":"SANDBOX_PATH"}}]"#,
            "Invalid volume: 'source.sandbox_path' is not set for SANDBOX_PATH volume",
        ),
    ];
    for (container, text) in rows {
        let changes = format!(r#""container":{{{container}}}"#);
        refused(
            &fixture,
            &changes,
            &format!("Task's `ContainerInfo` is invalid: {text}"),
        );
    }
}

#[test]
fn limits_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    let rows = [
        (
            r#""limits":{"cpus":{"value":0.05}}"#,
            "The cpu limit must be greater than or equal to the cpu request",
        ),
        (
            r#""limits":{"disk":{"value":5}}"#,
            "Only cpus and mem may be included in a task's resource limits",
        ),
        (
            r#""container":{"type":"MESOS","linux_info":{"share_cgroups":false}}"#,
            "Only tasks in a task group may have 'share_cgroups' set to 'false'",
        ),
    ];
    rows.into_iter()
        .for_each(|(changes, text)| refused(&fixture, changes, text));
}

/// Changes that take the command away and put an executor there.
fn with_executor(executor: &str) -> String {
    let base = r#""executor_id":{"value":"e"},"framework_id":{"value":"f"},"command":{"value":"x"}"#;
    format!(r#""command":null,"executor":{{{base},{executor}}}"#)
}

#[test]
fn executors_are_refused_with_the_texts_of_mesos() {
    let fixture = Fixture::new();
    accepted(&fixture, &with_executor(r#""resources":[]"#));
    let both = "Task should have at least one (but not both) of CommandInfo or ExecutorInfo present";
    refused(&fixture, r#""command":null"#, both);
    refused(
        &fixture,
        &format!("{},\"command\":{{}}", with_executor(r#""data":null"#)),
        both,
    );
    let custom = "'ExecutorInfo.type' must be 'CUSTOM'";
    let rows = [
        (
            r#""framework_id":{"value":"zz"}"#,
            "ExecutorInfo has an invalid FrameworkID (Actual: zz vs Expected: f)",
        ),
        (r#""type":"DEFAULT","command":null"#, custom),
        (r#""type":"UNKNOWN""#, custom),
        (
            r#""type":"CUSTOM","command":null"#,
            "'ExecutorInfo.command' must be set for 'CUSTOM' executor",
        ),
        (r#""command":null"#, "'ExecutorInfo.command' must be set"),
        (r#""executor_id":{"value":"a/b"}"#, "'a/b' contains invalid characters"),
    ];
    rows.into_iter()
        .for_each(|(executor, text)| refused(&fixture, &with_executor(executor), text));
}

#[test]
fn ports_of_a_task_and_its_executor_must_not_overlap() {
    let fixture = Fixture::new();
    let ports = r#"{"name":"ports","type":"RANGES","ranges":{"range":[{"begin":31000,"end":31001}]}}"#;
    let changes = format!(
        r#"{},"resources":[{ports}]"#,
        with_executor(&format!(r#""resources":[{ports}]"#))
    );
    let listed = r#"[{"name":"ports","ranges":{"range":[{"begin":31000,"end":31001}]},"type":"RANGES"}]"#;
    let result = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &fixture.task(&changes),
    );
    let message = result.unwrap_err().message;
    let (task, executor) = message
        .strip_prefix("There are overlapping resources in the task resources ")
        .and_then(|rest| rest.split_once(" and executor resources "))
        .unwrap_or_else(|| panic!("{message}"));
    assert_eq!(task, executor);
    assert_eq!(task.len(), listed.len(), "{task}");
}

#[test]
fn a_running_executor_is_used_again_only_as_it_is() {
    let mut fixture = Fixture::new();
    fixture.run(&fixture.task(&with_executor(r#""resources":[CPUS(1)]"#)), None);
    let other = format!(
        r#"{},"task_id":{{"value":"t2"}}"#,
        with_executor(r#""resources":[CPUS(1)]"#)
    );
    let task = fixture.task(&other);
    let used = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &task,
    )
    .unwrap();
    assert_eq!(used.scalar("cpus"), 100, "the executor is there already");
    let changed = format!(
        r#"{},"task_id":{{"value":"t2"}}"#,
        with_executor(r#""resources":[CPUS(2)]"#)
    );
    let task = fixture.task(&changed);
    let message = launch(
        &fixture.registry,
        &fixture.framework,
        &fixture.agent,
        &StartingExecutors::default(),
        &fixture.offered,
        &task,
    )
    .unwrap_err()
    .message;
    let line = "-".repeat(60);
    let start = "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n";
    assert!(
        message.starts_with(&format!("{start}{line}\nExisting ExecutorInfo:\n")),
        "{message}"
    );
    assert!(message.contains(&format!("\n{line}\nExecutorInfo:\n")) && message.ends_with(&format!("\n{line}\n")));
}

#[test]
fn tasks_that_bring_the_same_executor_take_its_resources_once() {
    let fixture = Fixture::new();
    let mut starting = StartingExecutors::default();
    let mut left = Resources::parse_flag("cpus:1.2;mem:96", "*").unwrap().allocated_to("*");
    let mut launch = |id: &str, executor: &str| {
        let id = format!(r#""task_id":{{"value":"{id}"}}"#);
        let task = fixture.task(&format!("{},{id}", with_executor(executor)));
        let used = launch(
            &fixture.registry,
            &fixture.framework,
            &fixture.agent,
            &starting,
            &left,
            &task,
        )?;
        left.take_available(&used);
        starting.add(task.executor.as_ref().unwrap());
        Ok(used.scalar("cpus"))
    };
    let cpus = |cpus: &str| format!(r#""resources":[CPUS({cpus})]"#);
    assert_eq!(launch("a", &cpus("1")), Ok(1_100));
    assert_eq!(launch("b", &cpus("1")), Ok(100));
    let Err(Refusal { message, .. }) = launch("c", &cpus("0")) else {
        panic!("another executor under the same id")
    };
    let start = "ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n";
    assert!(message.starts_with(start), "{message}");
    // A refused task does not take the place of what is starting.
    let Err(Refusal { message, .. }) = launch("d", &cpus("1")) else {
        panic!("nothing is left")
    };
    assert!(
        message.starts_with("Total resources cpus(allocated: *):0.1;"),
        "{message}"
    );
    let other = r#""executor_id":{"value":"other"},"resources":[]"#;
    assert!(launch("e", other).is_err_and(|refusal| refusal.message.starts_with("Total resources")));
}

#[test]
fn offers_are_accepted_together_only_when_they_fit() {
    let ids = |ids: &[&str]| ids.iter().map(|id| OfferId::from(*id)).collect::<Vec<_>>();
    let (own, other) = (FrameworkId::from("own"), FrameworkId::from("other"));
    let (a1, a2) = (AgentId::from("a1"), AgentId::from("a2"));
    let lookup = |id: &OfferId| {
        let view = |framework_id, agent_id, role| {
            Some(OfferView {
                framework_id,
                agent_id,
                role,
            })
        };
        match id.as_str() {
            "o1" | "o1b" => view(&own, &a1, "*"),
            "o2" => view(&own, &a2, "*"),
            "foreign" => view(&other, &a1, "*"),
            "web" => view(&own, &a1, "web"),
            _ => None,
        }
    };
    assert_eq!(offers(&own, &ids(&["o1", "o1b"]), lookup), Ok(()));
    let rows: [(&[&str], &str); 6] = [
        (&["gone"], "Offer gone is no longer valid"),
        (
            &["foreign"],
            "Offer foreign has invalid framework other while framework own is expected",
        ),
        (&[], "No offers specified"),
        (&["o1", "o1"], "Duplicate offer o1 in offer list"),
        (
            &["o1", "o2"],
            "Aggregated offers must belong to one single agent. Offer o2 uses agent a2 and agent a1",
        ),
        (
            &["o1", "web"],
            "Aggregated offers must be allocated to the same role. Offer web uses role 'web' but another is using role '*'",
        ),
    ];
    for (list, text) in rows {
        assert_eq!(offers(&own, &ids(list), lookup), Err(text.to_owned()));
    }
}
