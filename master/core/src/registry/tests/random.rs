//! Random commands: nothing panics, every invariant holds after each, replicas agree, snapshots lose nothing.

use proptest::prelude::*;
use proto::v1::TaskState;
use proto::v1::framework_info::capability::Type::PartitionAware;
use proto::v1::task_status::Reason;

use crate::command::{
    AcknowledgeOperationStatus, AcknowledgeStatus, AdmitAgent, AgentFacts, AgentRemoval, AnnounceLeader,
    ApplyOperation, Command, CommandKind, FrameworkRemoval, KillTask, LaunchTasks, LoseTasks, MarkAgentGone,
    MarkAgentUnreachable, RemoveAgent, RemoveExecutor, RemoveFramework, RemoveQuota, ReregisterAgent, ReturnsFrom,
    SetQuota, SubscribeFramework, UpdateAgent, UpdateOperationStatus, UpdateQuota, UpdateWeights,
};
use crate::encoded::Encoded;
use crate::fixture::{
    agent_facts, allocated, executor_info, framework_info, launch, scalar, status, task_info, task_with_executor,
    uuid_of,
};
use crate::fixture::{create, dynamic, operation_status, reserve, understanding, volume};
use crate::ids::{AgentId, FrameworkId};
use crate::registry::{Amounts, Position, Quota, Registry, Weight};
use crate::timestamp::Timestamp;

/// Few names, so that commands meet.
fn framework_id() -> impl Strategy<Value = FrameworkId> {
    (0_u8..4).prop_map(|number| FrameworkId::from(format!("c-{number:04}")))
}

fn agent_id() -> impl Strategy<Value = AgentId> {
    (0_u8..4).prop_map(|number| AgentId::from(format!("c-S{number}")))
}

fn task_name() -> impl Strategy<Value = String> {
    (0_u8..5).prop_map(|number| format!("t{number}"))
}

fn task_state() -> impl Strategy<Value = TaskState> {
    (0_i32..14).prop_map(|number| TaskState::try_from(number).unwrap())
}

fn frameworks() -> impl Strategy<Value = CommandKind> {
    let subscribe = (prop::option::of(framework_id()), any::<bool>()).prop_map(|(id, aware)| {
        let mut info = framework_info(if aware { &[PartitionAware] } else { &[] });
        info.id = id.map(|id| id.to_proto());
        SubscribeFramework {
            info: Encoded::new(&info),
        }
        .into()
    });
    let remove = framework_id().prop_map(|framework_id| {
        RemoveFramework {
            framework_id,
            reason: FrameworkRemoval::FailoverTimeout,
        }
        .into()
    });
    prop_oneof![4 => subscribe, 1 => remove]
}

fn report(framework: &FrameworkId, agent: &AgentId, task: &str, state: TaskState, uuid: u8) -> proto::v1::Task {
    proto::v1::Task {
        task_id: proto::v1::TaskId { value: task.to_owned() },
        framework_id: framework.to_proto(),
        agent_id: agent.to_proto(),
        state: state as i32,
        resources: vec![allocated("cpus", f64::from(uuid) / 2.0), port_range(u64::from(uuid))],
        status_update_state: (uuid > 1).then_some(state as i32),
        status_update_uuid: (uuid > 0).then(|| uuid_of(uuid).to_vec().into()),
        ..proto::v1::Task::default()
    }
}

/// Ranges overlap between reports: sums of them cannot simply be subtracted.
fn port_range(begin: u64) -> proto::v1::Resource {
    proto::v1::Resource {
        r#type: proto::v1::value::Type::Ranges as i32,
        scalar: None,
        ranges: Some(proto::v1::value::Ranges {
            range: vec![proto::v1::value::Range { begin, end: begin + 2 }],
        }),
        ..allocated("ports", 0.0)
    }
}

fn reregister() -> impl Strategy<Value = CommandKind> {
    let from = prop_oneof![
        Just(ReturnsFrom::Admitted),
        Just(ReturnsFrom::Unreachable),
        Just(ReturnsFrom::Unknown)
    ];
    let tasks = prop::collection::vec((framework_id(), task_name(), task_state(), 0_u8..5), 0..4);
    (agent_id(), from, any::<bool>(), tasks, framework_id(), any::<bool>()).prop_map(
        |(agent_id, returns_from, with_facts, tasks, framework, executor_stays)| {
            let mut info = framework_info(&[]);
            info.id = Some(framework.to_proto());
            let executor = executor_info(&framework, "e");
            let gone = (framework.clone(), "e".into());
            ReregisterAgent {
                tasks: tasks
                    .iter()
                    .map(|(of, task, state, uuid)| Encoded::new(&report(of, &agent_id, task, *state, *uuid)))
                    .collect(),
                agent_id,
                returns_from,
                facts: with_facts.then(|| reporting(executor_stays, tasks.len())),
                frameworks: vec![Encoded::new(&info)],
                executors: executor_stays.then(|| Encoded::new(&executor)).into_iter().collect(),
                executors_gone: (!executor_stays).then_some(gone).into_iter().collect(),
                resent: vec![(framework, "t0".into())],
                master_pid: "master@10.0.0.2:5050".into(),
            }
            .into()
        },
    )
}

/// An agent that does or does not understand operations, with a list of reservations of its own.
fn reporting(understands: bool, list: usize) -> AgentFacts {
    let facts = if understands { understanding(3) } else { agent_facts(3) };
    let resources = match list {
        0 => Vec::new(),
        1 => vec![dynamic("disk", 100.0, "web")],
        2 => vec![dynamic("disk", 36.0, "web"), volume(64.0, "v")],
        _ => vec![dynamic("cpus", 1.0, "web"), dynamic("disk", 9_999.0, "web/a")],
    };
    AgentFacts {
        checkpointed_resources: Encoded::new(&proto::internal::CheckpointResourcesMessage { resources }),
        ..facts
    }
}

fn agents() -> impl Strategy<Value = CommandKind> {
    let admit = (0_u16..3, prop::option::of(agent_id()), any::<bool>()).prop_map(|(number, replaces, understands)| {
        AdmitAgent {
            facts: if understands {
                understanding(number)
            } else {
                agent_facts(number)
            },
            replaces,
        }
        .into()
    });
    let unreachable = (agent_id(), 0_u64..9).prop_map(|(agent_id, since)| {
        MarkAgentUnreachable {
            agent_id,
            since: Timestamp(since),
        }
        .into()
    });
    let remove = agent_id().prop_map(|agent_id| {
        RemoveAgent {
            agent_id,
            reason: AgentRemoval::Unregistered,
        }
        .into()
    });
    let gone = agent_id().prop_map(|agent_id| MarkAgentGone { agent_id }.into());
    let update = (agent_id(), 0_u8..4).prop_map(|(agent_id, cpus)| {
        let resources = vec![scalar("cpus", f64::from(cpus))];
        UpdateAgent {
            agent_id,
            resource_version: None,
            oversubscribed: Some(Encoded::new(&proto::internal::CheckpointResourcesMessage { resources })),
            provider_resources: None,
            checkpointed_resources: None,
        }
        .into()
    });
    prop_oneof![8 => admit, 4 => reregister(), 3 => unreachable, 1 => remove, 1 => gone, 1 => update]
}

fn launches() -> impl Strategy<Value = CommandKind> {
    let task = (task_name(), any::<bool>(), 0_u8..6);
    (
        framework_id(),
        agent_id(),
        prop::collection::vec(task, 0..3),
        any::<bool>(),
    )
        .prop_map(|(framework, agent, tasks, group)| {
            let infos = tasks
                .iter()
                .map(|(id, with_executor, cpus)| {
                    if *with_executor {
                        task_with_executor(&framework, &agent, id, "e")
                    } else {
                        task_info(&agent, id, f64::from(*cpus) / 4.0)
                    }
                })
                .collect();
            let executor = Encoded::new(&executor_info(&framework, "g"));
            LaunchTasks {
                group: group.then_some(executor),
                ..launch(&framework, &agent, infos)
            }
            .into()
        })
}

fn tasks() -> impl Strategy<Value = CommandKind> {
    let update = (
        framework_id(),
        agent_id(),
        task_name(),
        task_state(),
        task_state(),
        0_u8..6,
    )
        .prop_map(|(framework, agent, task, state, latest, uuid)| {
            let mut command = status(&framework, &agent, &task, state, uuid);
            let mut update = command.update.decode().unwrap();
            update.latest_state = Some(latest as i32);
            command.update = Encoded::new(&update);
            command.into()
        });
    let acknowledge =
        (framework_id(), agent_id(), task_name(), 0_u8..6).prop_map(|(framework_id, agent_id, task, uuid)| {
            AcknowledgeStatus {
                framework_id,
                task_id: task.into(),
                agent_id,
                uuid: uuid_of(uuid),
            }
            .into()
        });
    let kill = (framework_id(), task_name()).prop_map(|(framework_id, task)| {
        KillTask {
            framework_id,
            task_id: task.into(),
            kill_policy: None,
        }
        .into()
    });
    let lose =
        (framework_id(), agent_id(), task_name(), task_state()).prop_map(|(framework, agent_id, task, state)| {
            LoseTasks {
                agent_id,
                tasks: vec![(framework.clone(), task.into())],
                executors: vec![(framework, "e".into())],
                state,
                reason: Reason::AgentDisconnected,
                message: String::new(),
            }
            .into()
        });
    let executor = (framework_id(), agent_id()).prop_map(|(framework_id, agent_id)| {
        RemoveExecutor {
            agent_id,
            framework_id,
            executor_id: "e".into(),
            status: 1,
        }
        .into()
    });
    prop_oneof![8 => update, 6 => acknowledge, 2 => kill, 2 => lose, 1 => executor]
}

fn operations() -> impl Strategy<Value = CommandKind> {
    let resource = prop_oneof![
        3 => Just(dynamic("disk", 100.0, "web")),
        1 => Just(dynamic("cpus", 1.0, "web")),
        1 => Just(dynamic("cpus", 3.5, "web")),
        1 => Just(dynamic("disk", 0.0, "web")),
        1 => Just(scalar("disk", 50.0)),
    ];
    let info = prop_oneof![
        4 => (resource, any::<bool>()).prop_map(|(resource, back)| reserve(vec![resource], back)),
        3 => any::<bool>().prop_map(|back| create(vec![volume(64.0, "v")], back)),
        1 => Just(proto::v1::offer::Operation::default()),
    ];
    let apply = (
        agent_id(),
        prop::option::of(framework_id()),
        info,
        0_u8..6,
        any::<bool>(),
    )
        .prop_map(|(agent_id, framework_id, mut info, uuid, with_id)| {
            info.id = with_id.then(|| proto::v1::OperationId { value: "o".to_owned() });
            ApplyOperation {
                agent_id,
                framework_id,
                operation: Encoded::new(&info),
                uuid: uuid_of(uuid),
            }
            .into()
        });
    let update =
        (agent_id(), 0_u8..6, 0_i32..11, prop::option::of(0_u8..3)).prop_map(|(agent_id, operation, state, uuid)| {
            let state = proto::v1::OperationState::try_from(state).unwrap_or_default();
            UpdateOperationStatus {
                update: Encoded::new(&operation_status(&agent_id, operation, state, uuid)),
                agent_id,
            }
            .into()
        });
    let acknowledge = (framework_id(), agent_id(), 0_u8..3).prop_map(|(framework_id, agent_id, uuid)| {
        AcknowledgeOperationStatus {
            framework_id,
            agent_id,
            status_uuid: uuid_of(uuid),
        }
        .into()
    });
    prop_oneof![5 => apply, 3 => update, 1 => acknowledge]
}

/// Sensible ones and others: the log may hold anything.
fn quotas() -> impl Strategy<Value = CommandKind> {
    let role = || prop::sample::select(vec!["*", "web", "a", "a/b", "", "b c"]);
    let amount = prop_oneof![6 => -1_i64..6_000, 1 => any::<i64>()];
    let amounts = prop::collection::btree_map(prop::sample::select(vec!["cpus", "mem", "x"]), amount, 0..3);
    let amounts = amounts.prop_map(|amounts| -> Amounts {
        let named = amounts.into_iter().map(|(name, amount)| (name.into(), amount));
        named.collect()
    });
    // Not by `new`, which drops guarantees of nothing.
    let quota = (role(), amounts.clone(), amounts).prop_map(|(role, guarantees, limits)| Quota {
        role: role.into(),
        guarantees,
        limits,
    });
    let update = (prop::collection::vec(quota.clone(), 0..3), any::<bool>())
        .prop_map(|(quotas, force)| UpdateQuota { quotas, force }.into());
    let set = (quota, any::<bool>()).prop_map(|(quota, force)| SetQuota { quota, force }.into());
    let remove = role().prop_map(|role| RemoveQuota { role: role.into() }.into());
    let value = prop_oneof![4 => 0.1_f64..9.0, 1 => any::<f64>()];
    let weight = (role(), value).prop_map(|(role, weight)| Weight {
        role: role.into(),
        weight,
    });
    let weights = prop::collection::vec(weight, 0..3).prop_map(|weights| UpdateWeights { weights }.into());
    prop_oneof![3 => update, 1 => set, 1 => remove, 2 => weights]
}

/// Bytes that decode as a command but hold nonsense where messages are expected.
fn nonsense() -> impl Strategy<Value = CommandKind> {
    (
        prop::collection::vec(any::<u8>(), 0..20),
        framework_id(),
        agent_id(),
        0_u8..4,
    )
        .prop_map(|(bytes, framework_id, agent_id, which)| match which {
            0 => SubscribeFramework {
                info: Encoded::from_bytes(bytes),
            }
            .into(),
            1 => AnnounceLeader {
                node_id: 1,
                term: 2,
                master: Encoded::from_bytes(bytes),
                cluster_id: "x".to_owned(),
            }
            .into(),
            2 => crate::command::UpdateTaskStatus {
                agent_id,
                update: Encoded::from_bytes(bytes),
            }
            .into(),
            _ => {
                let tasks = vec![Encoded::from_bytes(bytes.clone())];
                let group = Some(Encoded::from_bytes(bytes));
                LaunchTasks {
                    tasks,
                    group,
                    ..launch(&framework_id, &agent_id, Vec::new())
                }
                .into()
            }
        })
}

fn command() -> impl Strategy<Value = Command> {
    let kind = prop_oneof![3 => frameworks(), 6 => agents(), 8 => launches(), 10 => tasks(), 3 => quotas(), 8 => operations(), 1 => nonsense()];
    (0_u64..100, kind).prop_map(|(time, kind)| Command {
        proposed_at: Timestamp(time),
        kind,
    })
}

/// Agents whose tasks and executors fit into what they have: not all reports make sense.
fn fitting(registry: &Registry) -> Vec<AgentId> {
    let fits = |agent: &&std::sync::Arc<crate::registry::Agent>| agent.total.contains(&agent.used.unallocated());
    registry.agents().filter(fits).map(|agent| agent.id.clone()).collect()
}

fn announced() -> Registry {
    crate::fixture::Fixture::new().registry
}

fn apply(registry: &mut Registry, index: usize, command: &Command) -> crate::Applied {
    registry.apply(
        Position {
            term: 1,
            index: index as u64,
        },
        command,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_commands_keep_every_invariant_and_replicas_agree(
        commands in prop::collection::vec(command(), 1..80),
        snapshot_at in any::<prop::sample::Index>(),
    ) {
        let (mut leader, mut follower) = (announced(), announced());
        let mut joined: Option<Registry> = None;
        let snapshot_at = snapshot_at.index(commands.len());
        let mut clock = leader.cluster().clock;
        for (index, command) in commands.iter().enumerate() {
            if index == snapshot_at {
                let mut bytes = Vec::new();
                leader.write_to(&mut bytes).unwrap();
                joined = Some(Registry::read_from(&mut &bytes[..]).unwrap());
            }
            let fitted = fitting(&leader);
            let applied = apply(&mut leader, index, command);
            if matches!(command.kind, CommandKind::ApplyOperation(_)) {
                prop_assert_eq!(fitting(&leader), fitted, "an operation took what is in use: {:?}", command);
            }
            if let Err(broken) = leader.check_invariants() {
                return Err(TestCaseError::fail(format!("{broken} after {command:?}")));
            }
            prop_assert!(leader.cluster().clock >= clock);
            clock = leader.cluster().clock;
            // The second replica reads the command from its own log.
            let read = Command::decode(&command.encode()).unwrap();
            prop_assert_eq!(&apply(&mut follower, index, &read), &applied);
            prop_assert_eq!(leader.state_hash(), follower.state_hash());
            if let Some(joined) = &mut joined {
                prop_assert_eq!(&apply(joined, index, command), &applied);
                prop_assert_eq!(leader.state_hash(), joined.state_hash());
            }
        }
    }

    #[test]
    fn any_bytes_are_a_command_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut versioned = vec![1];
        versioned.extend(bytes);
        if let Ok(command) = Command::decode(&versioned) {
            apply(&mut announced(), 1, &command);
        }
    }
}
