//! ReregisterSlaveMessage: what of an agent's report is new, and what the agent does not know.
//!
//! Branches by where the books have the agent: admitted (also when it only has not come back to this leader yet),
//! unreachable, or unknown. Only differences are proposed; an unchanged agent costs no write.
//!
//! A task that is known here but missing in the report was not received when the report was made. It is sent again where
//! that cannot start it twice: to an agent that deduplicates launches always; to any other only if every master that may
//! have sent it before has another pid, for an agent drops messages of a master it no longer follows. Where neither
//! holds, the agent is asked about the task, and says itself that it does not have it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use planted::{Bug, is_planted};
use proto::internal::{ReconcileTasksMessage, ReregisterSlaveMessage};
use proto::v1::task_status::{Reason, Source};
use proto::v1::{self, TaskStatus};

use super::facts::facts_of_reregistration;
use super::registration::says_the_same_otherwise;
use crate::command::{CommandKind, ReregisterAgent, ReturnsFrom};
use crate::effect::{SendKill, SendTasks};
use crate::encoded::Encoded;
use crate::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use crate::registry::{Agent, Operation, Registry, Task, is_terminal};

/// Everything to do about a reregistration.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reregistration {
    /// The agent must not come back: ShutdownMessage with this text, nothing else.
    pub refuse: Option<String>,
    /// To be committed before the agent is answered.
    pub command: Option<CommandKind>,
    /// For SlaveReregisteredMessage: tasks known here that the agent must account for.
    pub reconcile: Vec<ReconcileTasksMessage>,
    /// Launches to send again.
    pub resend: Vec<SendTasks>,
    /// Kills to send again, as far as known when this was decided; see [`Reregistration::bring_up_to_date`].
    pub kill_again: Vec<SendKill>,
    /// Numbers of pending operations that the agent has not carried out: ApplyOperationMessage again, before any launch.
    pub missing_operations: BTreeSet<u64>,
    /// Operations with this number or a larger one were committed after this was decided.
    pub operations_after: u64,
    /// Frameworks that were removed meanwhile: ShutdownFrameworkMessage.
    pub shutdown_frameworks: Vec<FrameworkId>,
    /// Frameworks to tell it about: UpdateFrameworkMessage.
    pub framework_updates: Vec<FrameworkId>,
}

/// Decides about a validated report of the agent at `pid`; `master_pid` is the pid of this master.
pub fn reregistration(
    registry: &Registry,
    report: &ReregisterSlaveMessage,
    pid: &str,
    master_pid: &str,
) -> Reregistration {
    let Some(agent_id) = report.slave.id.as_ref().map(AgentId::from) else {
        return Reregistration::default();
    };
    if registry.gone_agent(&agent_id).is_some() {
        return refused("Agent has been marked gone");
    }
    let known = registry.agent(&agent_id);
    if let Some(agent) = known
        && moved(agent, report, pid)
    {
        return refused("Agent attempted to reregister with different IP / hostname");
    }
    let mut decision = Reregistration {
        operations_after: registry.cluster().next_entry,
        ..Reregistration::default()
    };
    decide_frameworks(registry, report, &mut decision);
    let is_behind = registry.operations_of_agent(&agent_id).next().is_some();
    if is_behind && let Some(record) = registry.last_record(&agent_id) {
        let facts = facts_of_reregistration(report, pid);
        let settlement = registry.settlement(record, &facts, &report.slave.resources);
        decision.missing_operations = settlement.missing.iter().map(|operation| operation.number).collect();
    }
    match known {
        Some(agent) => decide_admitted(registry, agent, report, pid, master_pid, &mut decision),
        None => decide_returning(registry, &agent_id, report, pid, master_pid, &mut decision),
    }
    decision
}

fn refused(text: &str) -> Reregistration {
    Reregistration {
        refuse: Some(text.to_owned()),
        ..Reregistration::default()
    }
}

/// Another host: not the machine that was admitted. Another port or actor id is fine.
fn moved(agent: &Agent, report: &ReregisterSlaveMessage, pid: &str) -> bool {
    let ip = |pid: &str| {
        pid.split_once('@')
            .and_then(|(_, rest)| rest.split_once(':'))
            .map(|(ip, _)| ip.to_owned())
    };
    ip(&agent.pid) != ip(pid) || agent.hostname() != report.slave.hostname
}

fn decide_frameworks(registry: &Registry, report: &ReregisterSlaveMessage, decision: &mut Reregistration) {
    for info in &report.frameworks {
        let Some(id) = info.id.as_ref().map(FrameworkId::from) else {
            continue;
        };
        if registry.is_completed_framework(&id) {
            decision.shutdown_frameworks.push(id);
        } else {
            decision.framework_updates.push(id);
        }
    }
}

/// Unreachable or unknown: the whole report counts.
fn decide_returning(
    registry: &Registry,
    agent_id: &AgentId,
    report: &ReregisterSlaveMessage,
    pid: &str,
    master_pid: &str,
    decision: &mut Reregistration,
) {
    let from_unreachable = registry.unreachable_agent(agent_id).is_some();
    decision.command = Some(CommandKind::ReregisterAgent(ReregisterAgent {
        agent_id: agent_id.clone(),
        returns_from: if from_unreachable {
            ReturnsFrom::Unreachable
        } else {
            ReturnsFrom::Unknown
        },
        facts: Some(facts_of_reregistration(report, pid)),
        frameworks: unknown_frameworks(registry, report),
        tasks: report.tasks.iter().map(Encoded::new).collect(),
        executors: report.executor_infos.iter().map(Encoded::new).collect(),
        executors_gone: Vec::new(),
        resent: Vec::new(),
        master_pid: master_pid.into(),
    }));
}

fn unknown_frameworks(registry: &Registry, report: &ReregisterSlaveMessage) -> Vec<Encoded<v1::FrameworkInfo>> {
    let unknown = |info: &&v1::FrameworkInfo| {
        info.id
            .as_ref()
            .map(FrameworkId::from)
            .is_some_and(|id| registry.framework(&id).is_none() && !registry.is_completed_framework(&id))
    };
    report.frameworks.iter().filter(unknown).map(Encoded::new).collect()
}

fn decide_admitted(
    registry: &Registry,
    agent: &Agent,
    report: &ReregisterSlaveMessage,
    pid: &str,
    master_pid: &str,
    decision: &mut Reregistration,
) {
    let facts = facts_of_reregistration(report, pid);
    let settlement = registry.settlement(agent, &facts, &report.slave.resources);
    let changed = !says_the_same_otherwise(agent, &facts) || settlement.is_news(&agent.checkpointed_resources);
    let reported: BTreeSet<(FrameworkId, TaskId)> = report
        .tasks
        .iter()
        .map(|task| (FrameworkId::from(&task.framework_id), TaskId::from(&task.task_id)))
        .collect();
    let tasks: Vec<Encoded<v1::Task>> = report
        .tasks
        .iter()
        .filter(|task| differs(registry, agent, task))
        .map(Encoded::new)
        .collect();
    let missing: Vec<&Task> = registry
        .tasks_of_agent(&agent.id)
        .map(|task| &**task)
        // Ended ones too: an agent that forgot one says so, and its framework can acknowledge that.
        .filter(|task| !reported.contains(&(task.framework_id.clone(), task.id.clone())))
        .collect();
    let running: BTreeSet<ExecutorKey> = report.executor_infos.iter().filter_map(executor_key).collect();
    let resend = redeliverable(agent, &missing, &running, master_pid, facts.deduplicates_launches);
    let (executors, executors_gone) = executor_differences(registry, agent, report, &running, &resend);
    let frameworks = unknown_frameworks(registry, report);
    // An agent that deduplicates may get them from anybody at any time: nothing to remember.
    let resent: Vec<(FrameworkId, TaskId)> = resend
        .iter()
        .filter(|_| !facts.deduplicates_launches)
        .flat_map(|launch| {
            launch
                .tasks
                .iter()
                .map(|task| (task.framework_id.clone(), task.id.clone()))
        })
        .collect();
    // Nothing is sent again before what the agent has said until now is committed: it may have said that it does not know the
    // task. Nor does a deposed leader that has not noticed send anything again.
    let nothing_new = resend.is_empty()
        && !changed
        && tasks.is_empty()
        && executors.is_empty()
        && executors_gone.is_empty()
        && frameworks.is_empty();
    if !nothing_new {
        decision.command = Some(CommandKind::ReregisterAgent(ReregisterAgent {
            agent_id: agent.id.clone(),
            returns_from: ReturnsFrom::Admitted,
            facts: changed.then_some(facts),
            frameworks,
            tasks,
            executors,
            executors_gone,
            resent,
            master_pid: master_pid.into(),
        }));
    }
    decision.reconcile = reconciliations(registry, &missing, &resend);
    decision.resend = resend;
    decision.kill_again = kills_of_agent(registry, &agent.id);
    if is_planted(Bug::LosePendingKill) {
        decision.kill_again.clear();
    }
    if is_planted(Bug::LoseLaunch) {
        decision.resend.clear();
    }
}

/// Every kill that was asked for and whose task has not ended.
fn kills_of_agent(registry: &Registry, agent_id: &AgentId) -> Vec<SendKill> {
    registry
        .tasks_of_agent(agent_id)
        .filter(|task| !task.is_terminal())
        .filter_map(|task| {
            task.kill.as_ref().map(|kill| SendKill {
                agent_id: agent_id.clone(),
                framework_id: task.framework_id.clone(),
                task_id: task.id.clone(),
                kill_policy: kill.policy.clone(),
            })
        })
        .collect()
}

impl Reregistration {
    /// The operations to send again once `command` was applied, in order. `was_connected`: those committed meanwhile were
    /// sent to the agent already.
    pub fn operations_to_send(
        &self,
        registry: &Registry,
        agent_id: &AgentId,
        was_connected: bool,
    ) -> Vec<Arc<Operation>> {
        registry
            .operations_of_agent(agent_id)
            .filter(|operation| operation.is_pending())
            .filter(|operation| {
                let is_newer = operation.number >= self.operations_after;
                self.missing_operations.contains(&operation.number) || (is_newer && !was_connected)
            })
            .cloned()
            .collect()
    }

    /// What is still to be sent once `command` was applied: other commands may have come in between, and a launch sent
    /// behind its kill would live.
    pub fn bring_up_to_date(&mut self, registry: &Registry, agent_id: &AgentId) {
        let waits = |task: &Arc<Task>| {
            registry
                .task(&task.framework_id, &task.id)
                .is_some_and(|known| known.launch.is_some() && !known.is_terminal() && known.agent_id == *agent_id)
        };
        self.resend.retain(|launch| launch.tasks.iter().all(waits));
        self.kill_again = kills_of_agent(registry, agent_id);
    }
}

/// Whether the report says something of a task that the registry does not hold.
fn differs(registry: &Registry, agent: &Agent, report: &v1::Task) -> bool {
    let framework_id = FrameworkId::from(&report.framework_id);
    let task_id = TaskId::from(&report.task_id);
    if registry.is_completed_framework(&framework_id) {
        return false;
    }
    let Some(known) = registry.task(&framework_id, &task_id) else {
        let ended = v1::TaskState::try_from(report.state).is_ok_and(is_terminal);
        return !(ended && registry.completed_task(&framework_id, &task_id).is_some());
    };
    if known.agent_id != agent.id || known.is_terminal() {
        return false;
    }
    // A launch the agent has confirmed by its report is confirmed in the registry, or its payload stays for ever.
    known.launch.is_some() || known.state as i32 != report.state
}

/// Missing launches that may be sent again, one entry per task or group.
fn redeliverable(
    agent: &Agent,
    missing: &[&Task],
    running: &BTreeSet<ExecutorKey>,
    master_pid: &str,
    deduplicates: bool,
) -> Vec<SendTasks> {
    let mut groups: BTreeMap<(FrameworkId, TaskId), Vec<&Task>> = BTreeMap::new();
    for task in missing {
        let Some(launch) = &task.launch else { continue };
        if task.is_terminal() || !(deduplicates || launch.senders.iter().all(|sender| **sender != *master_pid)) {
            continue;
        }
        let first = launch
            .group
            .as_ref()
            .and_then(|group| group.task_ids.first())
            .unwrap_or(&task.id);
        groups
            .entry((task.framework_id.clone(), first.clone()))
            .or_default()
            .push(task);
    }
    let mut resend = Vec::with_capacity(groups.len());
    let mut started: BTreeSet<ExecutorKey> = BTreeSet::new();
    for ((framework_id, _), mut tasks) in groups {
        let Some(launch) = tasks[0].launch.clone() else {
            continue;
        };
        if let Some(group) = &launch.group {
            if tasks.len() != group.task_ids.len() {
                // The agent has some of the group: it has seen the group, and answers for the rest.
                continue;
            }
            tasks.sort_by_key(|task| group.task_ids.iter().position(|id| *id == task.id));
        }
        // The books have the executor since the launch was committed; the agent has it only if it reports it. The first
        // of several launches that were all missed starts it.
        let launch_executor = match &tasks[0].executor_id {
            None => true,
            Some(id) => {
                let key = (framework_id.clone(), id.clone());
                !running.contains(&key) && started.insert(key)
            }
        };
        resend.push(SendTasks {
            agent_id: agent.id.clone(),
            framework_id,
            tasks: tasks.into_iter().map(|task| task.clone().into()).collect(),
            group: launch.group.as_ref().map(|group| group.executor.clone()),
            launch_executor,
        });
    }
    resend
}

/// An executor is named by framework and id.
type ExecutorKey = (FrameworkId, ExecutorId);

fn executor_key(info: &v1::ExecutorInfo) -> Option<ExecutorKey> {
    info.framework_id
        .as_ref()
        .map(|id| (FrameworkId::from(id), ExecutorId::from(&info.executor_id)))
}

type ExecutorDifferences = (Vec<Encoded<v1::ExecutorInfo>>, Vec<ExecutorKey>);

/// Executors the report has and the books do not, and the reverse. Executors of launches that are sent again stay.
fn executor_differences(
    registry: &Registry,
    agent: &Agent,
    report: &ReregisterSlaveMessage,
    running: &BTreeSet<ExecutorKey>,
    resend: &[SendTasks],
) -> ExecutorDifferences {
    let expected: BTreeSet<ExecutorKey> = resend
        .iter()
        .flat_map(|launch| launch.tasks.iter())
        .filter_map(|task| task.executor_id.clone().map(|id| (task.framework_id.clone(), id)))
        .collect();
    let new = report
        .executor_infos
        .iter()
        .filter(|info| {
            executor_key(info)
                .is_some_and(|key| !agent.executors.contains_key(&key) && !registry.is_completed_framework(&key.0))
        })
        .map(Encoded::new)
        .collect();
    let gone = agent
        .executors
        .keys()
        .filter(|key| !running.contains(key) && !expected.contains(key))
        .cloned()
        .collect();
    (new, gone)
}

/// Tasks that are missing and not sent again: the agent answers for each.
fn reconciliations(registry: &Registry, missing: &[&Task], resend: &[SendTasks]) -> Vec<ReconcileTasksMessage> {
    let sent_again = |task: &Task| {
        resend.iter().any(|launch| {
            launch.framework_id == task.framework_id && launch.tasks.iter().any(|sent| sent.id == task.id)
        })
    };
    let mut by_framework: BTreeMap<&FrameworkId, Vec<TaskStatus>> = BTreeMap::new();
    for task in missing.iter().filter(|task| !sent_again(task)) {
        by_framework.entry(&task.framework_id).or_default().push(TaskStatus {
            task_id: task.id.to_proto(),
            state: task.reported_state() as i32,
            source: Some(Source::Master as i32),
            reason: Some(Reason::Reconciliation as i32),
            message: Some("Reconciliation request".to_owned()),
            agent_id: Some(task.agent_id.to_proto()),
            ..TaskStatus::default()
        });
    }
    by_framework
        .into_iter()
        .map(|(framework_id, statuses)| ReconcileTasksMessage {
            framework_id: framework_id.to_proto(),
            statuses,
            framework: registry
                .framework(framework_id)
                .map(|framework| framework.info.message().as_ref().clone()),
        })
        .collect()
}
