//! A small cluster: two agents of which one has not come back, a connected and a removed framework, tasks in every place.

use std::collections::BTreeMap;
use std::sync::Arc;

use master_core::command::{
    AcknowledgeStatus, AdmitAgent, AgentFacts, AnnounceLeader, FrameworkRemoval, LaunchTasks, MarkAgentUnreachable,
    RemoveFramework, SubscribeFramework, UpdateQuota, UpdateTaskStatus, UpdateWeights,
};
use master_core::registry::{Quota, Weight};
use master_core::resources::Resources;
use master_core::{Applied, Command, CommandKind, Encoded, Outcome, Position, Registry, Timestamp};
use proto::ext::resource::{allocated, ranges, scalar};
use proto::internal::{CheckpointResourcesMessage, StatusUpdate};
use proto::v1::task_status::Source;
use proto::v1::{
    self, AgentInfo, CommandInfo, ContainerStatus, ExecutorInfo, FrameworkInfo, Label, Labels, MasterInfo, TaskInfo,
    TaskState, TaskStatus,
};

use crate::leadership::soft_state::{AgentSoftState, FrameworkSoftState, OfferSoftState, SoftState};

/// Seconds since the Unix epoch of the first command; each following one is a second later.
const START: u64 = 1_700_000_000;
/// The role of the framework.
const ROLE: &str = "web";

/// Applies commands one second apart.
struct Builder {
    registry: Registry,
    index: u64,
}

impl Builder {
    fn apply(&mut self, kind: impl Into<CommandKind>) -> Applied {
        self.index += 1;
        let command = Command::new(Timestamp((START + self.index) * 1_000_000), kind);
        let applied = self.registry.apply(
            Position {
                term: 1,
                index: self.index,
            },
            &command,
        );
        assert!(
            !matches!(applied.outcome, Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
        applied
    }

    fn admit(&mut self, hostname: &str) {
        let text = |name: &str, value: &str| v1::Attribute {
            name: name.to_owned(),
            r#type: v1::value::Type::Text as i32,
            text: Some(v1::value::Text {
                value: value.to_owned(),
            }),
            ..v1::Attribute::default()
        };
        let info = AgentInfo {
            hostname: hostname.to_owned(),
            port: Some(5051),
            resources: vec![
                scalar("cpus", 4.0),
                scalar("mem", 4096.0),
                scalar("disk", 10_000.0),
                ranges("ports", &[(31_000, 32_000)]),
            ],
            attributes: vec![text("rack", "r1")],
            checkpoint: Some(true),
            ..AgentInfo::default()
        };
        self.apply(AdmitAgent {
            facts: AgentFacts {
                info: Encoded::new(&info),
                pid: Arc::from(format!("slave(1)@{hostname}:5051")),
                version: Arc::from("1.12.0"),
                capabilities: vec![1, 2, 3],
                checkpointed_resources: Encoded::new(&CheckpointResourcesMessage::default()),
                resource_version: None,
                deduplicates_launches: true,
            },
            replaces: None,
        });
    }

    fn subscribe(&mut self, name: &str) {
        let capability = |kind| v1::framework_info::Capability {
            r#type: Some(kind as i32),
        };
        let info = FrameworkInfo {
            user: "nobody".to_owned(),
            name: name.to_owned(),
            failover_timeout: Some(3_600.0),
            checkpoint: Some(true),
            principal: Some("ops".to_owned()),
            roles: vec![ROLE.to_owned()],
            capabilities: vec![
                capability(v1::framework_info::capability::Type::MultiRole),
                capability(v1::framework_info::capability::Type::PartitionAware),
            ],
            ..FrameworkInfo::default()
        };
        self.apply(SubscribeFramework {
            info: Encoded::new(&info),
        });
    }

    fn launch(&mut self, framework: &str, agent: &str, task: TaskInfo) {
        self.apply(LaunchTasks {
            framework_id: framework.into(),
            agent_id: agent.into(),
            tasks: vec![Encoded::new(&task)],
            group: None,
            master_pid: Arc::from("master@192.0.2.1:5050"),
        });
    }

    fn update(&mut self, framework: &str, agent: &str, task: &str, state: TaskState, uuid: u8) {
        let status = TaskStatus {
            task_id: task.into(),
            state: state as i32,
            source: Some(Source::Executor as i32),
            agent_id: Some(agent.into()),
            timestamp: Some((START + self.index) as f64 + 0.5),
            uuid: Some(vec![uuid; 16].into()),
            container_status: Some(ContainerStatus {
                container_id: Some(format!("container-{task}").as_str().into()),
                executor_pid: Some(77),
                ..ContainerStatus::default()
            }),
            ..TaskStatus::default()
        };
        let update = StatusUpdate {
            framework_id: framework.into(),
            slave_id: Some(agent.into()),
            timestamp: status.timestamp(),
            uuid: status.uuid.clone(),
            latest_state: Some(status.state),
            status,
            ..StatusUpdate::default()
        };
        self.apply(UpdateTaskStatus {
            agent_id: agent.into(),
            update: Encoded::new(&update),
        });
    }
}

fn task(id: &str, agent: &str) -> TaskInfo {
    TaskInfo {
        name: format!("name of {id}"),
        task_id: id.into(),
        agent_id: agent.into(),
        resources: vec![
            allocated(scalar("cpus", 0.5), ROLE),
            allocated(scalar("mem", 64.0), ROLE),
        ],
        command: Some(CommandInfo {
            value: Some("sleep 1".to_owned()),
            ..CommandInfo::default()
        }),
        ..TaskInfo::default()
    }
}

fn executor_task(framework: &str, agent: &str) -> TaskInfo {
    let executor = ExecutorInfo {
        executor_id: "e".into(),
        framework_id: Some(framework.into()),
        name: Some("an executor".to_owned()),
        resources: vec![allocated(scalar("cpus", 0.1), ROLE)],
        command: Some(CommandInfo {
            value: Some("./run".to_owned()),
            shell: Some(true),
            uris: vec![v1::command_info::Uri {
                value: "http://example.test/run".to_owned(),
                ..Default::default()
            }],
            ..CommandInfo::default()
        }),
        ..ExecutorInfo::default()
    };
    let label = Label {
        key: "tier".to_owned(),
        value: Some("front".to_owned()),
    };
    TaskInfo {
        command: None,
        executor: Some(executor),
        labels: Some(Labels { labels: vec![label] }),
        ..task("with-executor", agent)
    }
}

/// The registry: framework `c-0000` with a running task (`running`), one that has not started (`with-executor`), a completed one
/// (`done`) and one on an unreachable agent (`away`); framework `c-0001` is removed; its role has a quota and a weight; agents `c-S0`, `c-S1`, unreachable `c-S2`.
pub(in crate::http) fn registry() -> Registry {
    let mut cluster = Builder {
        registry: Registry::default(),
        index: 0,
    };
    cluster.apply(AnnounceLeader {
        node_id: 1,
        term: 1,
        master: Encoded::new(&master_info()),
        cluster_id: "c".to_owned(),
    });
    for hostname in ["192.0.2.10", "192.0.2.11", "192.0.2.12"] {
        cluster.admit(hostname);
    }
    cluster.subscribe("shop");
    cluster.subscribe("gone shop");
    let framework = "c-0000";
    cluster.launch(framework, "c-S0", task("done", "c-S0"));
    cluster.update(framework, "c-S0", "done", TaskState::TaskFinished, 1);
    cluster.apply(AcknowledgeStatus {
        framework_id: framework.into(),
        task_id: "done".into(),
        agent_id: "c-S0".into(),
        uuid: [1; 16],
    });
    cluster.launch(framework, "c-S0", task("running", "c-S0"));
    cluster.update(framework, "c-S0", "running", TaskState::TaskStarting, 2);
    cluster.update(framework, "c-S0", "running", TaskState::TaskRunning, 3);
    cluster.launch(framework, "c-S0", executor_task(framework, "c-S0"));
    cluster.launch(framework, "c-S2", task("away", "c-S2"));
    cluster.update(framework, "c-S2", "away", TaskState::TaskRunning, 4);
    let since = Timestamp((START + 100) * 1_000_000);
    cluster.apply(MarkAgentUnreachable {
        agent_id: "c-S2".into(),
        since,
    });
    cluster.apply(RemoveFramework {
        framework_id: "c-0001".into(),
        reason: FrameworkRemoval::Teardown,
    });
    cluster.apply(UpdateQuota {
        quotas: vec![Quota::new(
            ROLE,
            [("cpus".into(), 500)].into(),
            [("cpus".into(), 3_000), ("gpus".into(), 0)].into(),
        )],
        force: false,
    });
    cluster.apply(UpdateWeights {
        weights: vec![Weight {
            role: ROLE.into(),
            weight: 2.5,
        }],
    });
    cluster.registry
}

fn master_info() -> MasterInfo {
    MasterInfo {
        id: "m".to_owned(),
        ip: 16_908_480,
        port: 5050,
        pid: Some("master@192.0.2.1:5050".to_owned()),
        hostname: Some("192.0.2.1".to_owned()),
        version: Some("1.12.0".to_owned()),
        ..MasterInfo::default()
    }
}

/// The leadership over [`registry`]: `c-S0` is back and has one offer out, `c-S1` is not.
pub(in crate::http) fn soft_state() -> SoftState {
    let offered = Resources::from_proto(&[scalar("cpus", 1.0), scalar("mem", 100.0)])
        .unwrap()
        .allocated_to(ROLE);
    let agent = AgentSoftState {
        pid: "slave(1)@192.0.2.10:5051".to_owned(),
        connected: true,
        registered_at: START * 1_000_000,
    };
    let framework = FrameworkSoftState {
        connected: true,
        subscribed_at: Some(START * 1_000_000),
        suppressed_roles: Vec::new(),
    };
    let offer = OfferSoftState {
        framework_id: "c-0000".into(),
        agent_id: "c-S0".into(),
        role: ROLE.to_owned(),
        resources: offered,
    };
    SoftState {
        registry: registry(),
        master_info: master_info(),
        elected_at: (START + 1) * 1_000_000,
        frameworks: BTreeMap::from([("c-0000".into(), framework)]),
        agents: BTreeMap::from([("c-S0".into(), agent)]),
        offers: BTreeMap::from([("m-O0".into(), offer)]),
        proposals: 0,
    }
}
