//! Launches, status updates, acknowledgements and kills.

use proto::v1::TaskState::{self, TaskDropped, TaskFinished, TaskGone, TaskLost, TaskRunning, TaskStarting};
use proto::v1::framework_info::capability::Type::PartitionAware;
use proto::v1::task_status::Reason;

use super::{forwarded, forwarded_states};
use crate::command::{KillTask, LaunchTasks, LoseTasks, RemoveExecutor};
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::fixture::{Fixture, executor_info, launch, status, task_info, task_with_executor, uuid_of};
use crate::ids::{AgentId, FrameworkId};
use crate::outcome::{Applied, Outcome, Rejection, StatusChange};
use crate::registry::{COMPLETED_TASKS_PER_FRAMEWORK_MAX, Registry, Task};

fn cluster() -> (Fixture, FrameworkId, AgentId) {
    let mut fixture = Fixture::new();
    let framework = fixture.framework(&[PartitionAware]);
    let agent = fixture.agent(0);
    (fixture, framework, agent)
}

fn task<'a>(fixture: &'a Fixture, framework: &FrameworkId, id: &str) -> &'a Task {
    fixture.registry.task(framework, &id.into()).unwrap()
}

fn change(applied: &Applied) -> StatusChange {
    match applied.outcome {
        Outcome::TaskStatusUpdated { change } => change,
        ref other => panic!("{other:?}"),
    }
}

fn launch_flags(applied: &Applied) -> Vec<bool> {
    applied
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::SendTasks(sent) => Some(sent.launch_executor),
            _ => None,
        })
        .collect()
}

fn refused(applied: &Applied) -> Vec<(TaskState, Reason, String)> {
    match &applied.outcome {
        Outcome::TasksLaunched { refused, .. } => refused
            .iter()
            .map(|task| (task.state, task.reason, task.message.clone()))
            .collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_launched_task_is_staging_and_carries_its_payload() {
    let (mut fixture, framework, agent) = cluster();
    let applied = fixture.launch(&framework, &agent, "t");
    assert_eq!(launch_flags(&applied), [true]);
    let task = task(&fixture, &framework, "t");
    assert_eq!(task.state, TaskState::TaskStaging);
    let launch = task.launch.as_ref().unwrap();
    assert_eq!(launch.task.decode().unwrap().name, "name of t");
    assert_eq!(fixture.registry.agent(&agent).unwrap().used.scalar("cpus"), 1000);
}

#[test]
fn a_duplicate_id_is_an_error_also_within_one_command() {
    let (mut fixture, framework, agent) = cluster();
    let twice = vec![task_info(&agent, "t", 1.0), task_info(&agent, "t", 1.0)];
    let applied = fixture.apply(launch(&framework, &agent, twice));
    let expected = (
        TaskState::TaskError,
        Reason::TaskInvalid,
        "Task has duplicate ID: t".to_owned(),
    );
    assert_eq!(refused(&applied), [expected]);
    let updates = forwarded(&applied);
    assert_eq!(updates.len(), 1);
    assert_eq!(updates[0].uuid, None);
    assert_eq!(fixture.registry.task_count(), 1);
}

#[test]
fn what_does_not_fit_is_dropped() {
    let (mut fixture, framework, agent) = cluster();
    let legacy = fixture.framework(&[]);
    let tasks = vec![task_info(&agent, "fits", 4.0), task_info(&agent, "late", 0.1)];
    assert_eq!(
        refused(&fixture.apply(launch(&framework, &agent, tasks)))[0].0,
        TaskDropped
    );
    let applied = fixture.launch(&legacy, &agent, "t");
    assert_eq!(refused(&applied)[0].0, TaskLost);
    assert_eq!(refused(&applied)[0].1, Reason::InvalidOffers);
    assert_eq!(forwarded_states(&applied), [TaskLost]);
}

#[test]
fn a_launch_on_an_agent_that_left_is_dropped() {
    let (mut fixture, framework, _) = cluster();
    let applied = fixture.launch(&framework, &AgentId::from("nobody"), "t");
    assert_eq!(
        refused(&applied),
        [(TaskDropped, Reason::AgentRemoved, "Agent removed".to_owned())]
    );
}

#[test]
fn the_first_task_of_an_executor_starts_it() {
    let (mut fixture, framework, agent) = cluster();
    let tasks = vec![
        task_with_executor(&framework, &agent, "a", "e"),
        task_with_executor(&framework, &agent, "b", "e"),
    ];
    let applied = fixture.apply(launch(&framework, &agent, tasks));
    assert_eq!(launch_flags(&applied), [true, false]);
    let used = fixture.registry.agent(&agent).unwrap().used.scalar("cpus");
    assert_eq!(used, 1100);
    let gone = RemoveExecutor {
        agent_id: agent.clone(),
        framework_id: framework.clone(),
        executor_id: "e".into(),
        status: 9,
    };
    let applied = fixture.apply(gone.clone());
    assert!(
        applied
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::ExecutorExited { status: 9, .. }))
    );
    assert_eq!(fixture.registry.agent(&agent).unwrap().used.scalar("cpus"), 1000);
    assert!(matches!(
        fixture.apply(gone).outcome,
        Outcome::Rejected(Rejection::UnknownExecutor(..))
    ));
}

fn group(framework: &FrameworkId, agent: &AgentId, ids: &[&str], cpus: f64) -> LaunchTasks {
    let tasks = ids.iter().map(|id| task_info(agent, id, cpus)).collect();
    LaunchTasks {
        group: Some(Encoded::new(&executor_info(framework, "e"))),
        ..launch(framework, agent, tasks)
    }
}

#[test]
fn a_group_launches_as_a_whole_or_not_at_all() {
    let (mut fixture, framework, agent) = cluster();
    let applied = fixture.apply(group(&framework, &agent, &["a", "b"], 2.0));
    assert_eq!(refused(&applied).len(), 2);
    assert_eq!(fixture.registry.task_count(), 0);
    assert!(fixture.registry.agent(&agent).unwrap().executors.is_empty());
    let applied = fixture.apply(group(&framework, &agent, &["a", "b"], 1.0));
    let sent: Vec<_> = applied
        .effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::SendTasks(sent) => Some((sent.tasks.len(), sent.group.is_some(), sent.launch_executor)),
            _ => None,
        })
        .collect();
    assert_eq!(sent, [(2, true, true)]);
    let twins = fixture.apply(group(&framework, &agent, &["c", "c"], 0.1));
    assert!(
        refused(&twins)
            .iter()
            .all(|(_, reason, _)| *reason == Reason::TaskGroupInvalid)
    );
    assert_eq!(refused(&twins).len(), 2);
}

#[test]
fn the_first_update_confirms_the_launch() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let applied = fixture.status(&framework, &agent, "t", TaskRunning, 1);
    assert_eq!(change(&applied), StatusChange::Recorded);
    assert_eq!(forwarded(&applied)[0].uuid.as_deref(), Some(&uuid_of(1)[..]));
    let task = task(&fixture, &framework, "t");
    assert!(task.launch.is_none());
    assert_eq!((task.state, task.status_update_uuid), (TaskRunning, Some(uuid_of(1))));
    let repeated = fixture.status(&framework, &agent, "t", TaskRunning, 1);
    assert_eq!(change(&repeated), StatusChange::Repeated);
    assert_eq!(forwarded(&repeated).len(), 1);
}

#[test]
fn the_latest_state_counts_before_its_update_is_relayed() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let mut command = status(&framework, &agent, "t", TaskRunning, 1);
    let mut update = command.update.decode().unwrap();
    update.latest_state = Some(TaskFinished as i32);
    command.update = Encoded::new(&update);
    let applied = fixture.apply(command);
    assert!(
        applied
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::RecoverResources { .. }))
    );
    let task = task(&fixture, &framework, "t");
    assert_eq!((task.state, task.reported_state()), (TaskFinished, TaskRunning));
    assert!(fixture.registry.agent(&agent).unwrap().used.is_empty());
    assert!(
        !fixture
            .registry
            .acknowledgement_completes(&framework, &"t".into(), &uuid_of(1))
    );
    fixture.status(&framework, &agent, "t", TaskFinished, 2);
    assert!(
        fixture
            .registry
            .acknowledgement_completes(&framework, &"t".into(), &uuid_of(2))
    );
}

#[test]
fn a_terminal_state_stays_whatever_comes_behind_it() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskStarting, 1);
    fixture.status(&framework, &agent, "t", TaskFinished, 2);
    assert_eq!(
        change(&fixture.status(&framework, &agent, "t", TaskRunning, 3)),
        StatusChange::Repeated
    );
    assert_eq!(task(&fixture, &framework, "t").status_update_uuid, Some(uuid_of(2)));
    // Another terminal update is the one that will be acknowledged, but the state is the first one's.
    fixture.status(&framework, &agent, "t", TaskLost, 4);
    let task = task(&fixture, &framework, "t");
    assert_eq!((task.state, task.status_update_uuid), (TaskFinished, Some(uuid_of(4))));
    let applied = fixture.acknowledge(&framework, &agent, "t", 4);
    assert_eq!(applied.outcome, Outcome::StatusAcknowledged { completed: true });
}

#[test]
fn a_lost_acknowledgement_is_repeated_without_the_framework() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    fixture.status(&framework, &agent, "t", TaskFinished, 1);
    let applied = fixture.acknowledge(&framework, &agent, "t", 1);
    assert_eq!(applied.outcome, Outcome::StatusAcknowledged { completed: true });
    assert!(fixture.registry.task(&framework, &"t".into()).is_none());
    let again = fixture.status(&framework, &agent, "t", TaskFinished, 1);
    assert_eq!(change(&again), StatusChange::AlreadyAcknowledged);
    assert!(forwarded(&again).is_empty());
    assert!(matches!(again.effects[..], [Effect::AcknowledgeToAgent { .. }]));
}

#[test]
fn an_update_of_an_unknown_task_is_only_relayed() {
    let (mut fixture, framework, agent) = cluster();
    let applied = fixture.status(&framework, &agent, "ghost", TaskRunning, 1);
    assert_eq!(change(&applied), StatusChange::UnknownTask);
    assert_eq!(forwarded(&applied).len(), 1);
    assert_eq!(fixture.registry.task_count(), 0);
}

#[test]
fn an_update_without_a_uuid_of_16_bytes_is_refused() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    for uuid in [None, Some(vec![1_u8; 15])] {
        let mut command = status(&framework, &agent, "t", TaskRunning, 1);
        let mut update = command.update.decode().unwrap();
        update.uuid = uuid.map(Into::into);
        command.update = Encoded::new(&update);
        let applied = fixture.apply(command);
        assert!(matches!(
            applied.outcome,
            Outcome::Rejected(Rejection::Malformed { .. })
        ));
    }
    assert_eq!(task(&fixture, &framework, "t").state, TaskState::TaskStaging);
}

#[test]
fn updates_of_strangers_are_refused() {
    let (mut fixture, framework, agent) = cluster();
    let stranger = fixture.status(&framework, &"nobody".into(), "t", TaskRunning, 1);
    assert!(matches!(
        stranger.outcome,
        Outcome::Rejected(Rejection::AgentNotAdmitted(_))
    ));
    let unknown = fixture.status(&"nobody".into(), &agent, "t", TaskRunning, 1);
    assert!(matches!(
        unknown.outcome,
        Outcome::Rejected(Rejection::UnknownFramework(_))
    ));
}

#[test]
fn a_kill_is_remembered_until_the_task_ends() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    let kill = KillTask {
        framework_id: framework.clone(),
        task_id: "t".into(),
        kill_policy: None,
    };
    let applied = fixture.apply(kill.clone());
    assert!(matches!(applied.effects[..], [Effect::SendKill(_)]));
    assert!(task(&fixture, &framework, "t").kill.is_some());
    fixture.status(&framework, &agent, "t", TaskFinished, 1);
    assert!(fixture.apply(kill.clone()).effects.is_empty());
    fixture.acknowledge(&framework, &agent, "t", 1);
    assert!(matches!(
        fixture.apply(kill).outcome,
        Outcome::Rejected(Rejection::UnknownTask(..))
    ));
}

#[test]
fn lost_tasks_are_told_in_the_words_their_framework_understands() {
    let (mut fixture, aware, agent) = cluster();
    let legacy = fixture.framework(&[]);
    fixture.launch(&aware, &agent, "t");
    fixture.launch(&legacy, &agent, "t");
    let applied = fixture.apply(LoseTasks {
        agent_id: agent.clone(),
        tasks: vec![
            (aware.clone(), "t".into()),
            (legacy.clone(), "t".into()),
            (aware.clone(), "x".into()),
        ],
        executors: Vec::new(),
        state: TaskGone,
        reason: Reason::Reconciliation,
        message: "lost".to_owned(),
    });
    assert_eq!(forwarded_states(&applied), [TaskGone, TaskLost]);
    assert_eq!(fixture.registry.task_count(), 0);
    assert!(fixture.registry.agent(&agent).unwrap().used.is_empty());
    assert_eq!(
        fixture.registry.completed_task(&aware, &"t".into()).unwrap().state,
        TaskGone
    );
    // The agent has it after all and says so: its framework is told, nothing comes back to life here.
    let late = fixture.status(&aware, &agent, "t", TaskRunning, 1);
    assert_eq!(change(&late), StatusChange::UnknownTask);
    assert_eq!(fixture.registry.task_count(), 0);
}

#[test]
fn an_ended_id_may_be_used_again_and_only_so_many_are_kept() {
    let (mut fixture, framework, agent) = cluster();
    for _ in 0..=COMPLETED_TASKS_PER_FRAMEWORK_MAX {
        // Without the walk over everything in each step.
        let registry = &mut fixture.registry;
        finish(registry, &framework, &agent);
    }
    fixture.registry.check_invariants().unwrap();
    let history = fixture.registry.history(&framework).unwrap();
    assert_eq!(history.completed().count(), COMPLETED_TASKS_PER_FRAMEWORK_MAX);
}

fn finish(registry: &mut Registry, framework: &FrameworkId, agent: &AgentId) {
    use crate::command::{AcknowledgeStatus, Command};
    use crate::{Position, Timestamp};
    let acknowledgement = AcknowledgeStatus {
        framework_id: framework.clone(),
        task_id: "t".into(),
        agent_id: agent.clone(),
        uuid: uuid_of(1),
    };
    for kind in [
        launch(framework, agent, vec![task_info(agent, "t", 1.0)]).into(),
        status(framework, agent, "t", TaskFinished, 1).into(),
        acknowledgement.into(),
    ] {
        let applied = registry.apply(
            Position::default(),
            &Command {
                proposed_at: Timestamp(1),
                kind,
            },
        );
        assert!(
            !matches!(applied.outcome, Outcome::Rejected(_)),
            "{:?}",
            applied.outcome
        );
    }
}

#[test]
fn statuses_of_one_state_are_merged_and_ids_restored() {
    let (mut fixture, framework, agent) = cluster();
    fixture.launch(&framework, &agent, "t");
    for uuid in 1..=3 {
        fixture.status(&framework, &agent, "t", TaskRunning, uuid);
    }
    let statuses = task(&fixture, &framework, "t").statuses();
    assert_eq!(statuses.len(), 1);
    assert_eq!(statuses[0].timestamp, Some(3.0));
    assert_eq!(statuses[0].task_id.value, "t");
    assert_eq!(statuses[0].agent_id.as_ref().unwrap().value, agent.as_str());
    let record = task(&fixture, &framework, "t").to_proto();
    assert_eq!(record.state(), TaskRunning);
    assert_eq!(record.resources.len(), 2);
}
