//! ReregisterAgent: an agent is back, from wherever the books had it; what differs from them is recorded.

use std::sync::Arc;

use planted::{Bug, is_planted};
use proto::v1::task_status::Reason;
use proto::v1::{OperationState, TaskState};

use super::Changes;
use super::admit_agent::agent_record;
use super::changes::Verdict;
use crate::command::{AgentFacts, ReregisterAgent, ReturnsFrom};
use crate::effect::Effect;
use crate::encoded::Decoded;
use crate::event::Event;
use crate::ids::{AgentId, FrameworkId, TaskId};
use crate::outcome::{Outcome, Rejection};
use crate::registry::{AgentRecord, Executor, Framework, Launch, Registry, Task};
use crate::resources::Resources;

/// Where the agent came from, as found when the command was applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Admitted,
    Unreachable,
    Unknown,
}

impl Registry {
    pub(super) fn reregister_agent(
        &mut self,
        command: &ReregisterAgent,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let agent_id = &command.agent_id;
        if self.gone_agent(agent_id).is_some() {
            return Err(Rejection::AgentGone);
        }
        let origin = self.record_agent(command, changes)?;
        self.recover_frameworks(command, changes);
        for (framework_id, executor_id) in &command.executors_gone {
            self.take_executor(agent_id, framework_id, executor_id);
        }
        self.put_reported_executors(command);
        for report in &command.tasks {
            if origin == Origin::Unreachable && is_planted(Bug::UnreachableForever) {
                break;
            }
            if let Ok(report) = report.decode() {
                self.put_reported_task(agent_id, &report, origin, changes);
            }
        }
        self.record_senders(command);
        if origin == Origin::Unreachable {
            // What was on it and is no longer reported will not come back.
            let verdict = Verdict {
                state: TaskState::TaskGone,
                reason: Reason::AgentReregistered,
                message: "Task is unknown to the agent that came back",
            };
            self.end_unreachable_tasks(agent_id, verdict, changes);
        }
        changes.effect(Effect::AgentTotalChanged {
            agent_id: agent_id.clone(),
        });
        Ok(Outcome::AgentReregistered {
            agent_id: agent_id.clone(),
        })
    }

    fn record_agent(&mut self, command: &ReregisterAgent, changes: &mut Changes) -> Result<Origin, Rejection> {
        let agent_id = &command.agent_id;
        let (origin, former) = if let Some(agent) = self.agent(agent_id) {
            (Origin::Admitted, Some(agent.record().clone()))
        } else if let Some(agent) = self.unreachable_agent(agent_id) {
            (Origin::Unreachable, Some(agent.record.clone()))
        } else {
            (Origin::Unknown, None)
        };
        if command.returns_from == ReturnsFrom::Admitted && origin != Origin::Admitted {
            // Marked unreachable or removed in between: its report holds differences only, and it will report again.
            return Err(Rejection::AgentNotAdmitted(agent_id.clone()));
        }
        let record = match (&command.facts, &former) {
            (Some(facts), former) => {
                let mut record = agent_record(agent_id, facts, changes.now)?;
                if let Some(former) = former {
                    record.registered_at = former.registered_at;
                    self.settle_operations(former, &mut record, facts, changes);
                    if origin == Origin::Admitted {
                        record.oversubscribed.clone_from(&former.oversubscribed);
                        record.provider_resources.clone_from(&former.provider_resources);
                    }
                }
                record
            }
            (None, Some(former)) => (**former).clone(),
            (None, None) => return Err(Rejection::AgentNotAdmitted(agent_id.clone())),
        };
        self.take_unreachable_agent(agent_id);
        let mut record = record;
        record.reregistered_at = Some(changes.now);
        let agent = self.put_agent(record);
        if origin != Origin::Admitted {
            changes.event(Event::AgentAdded { agent });
        }
        Ok(origin)
    }

    /// Reservations and volumes as the agent has them, with what it still has to carry out.
    fn settle_operations(
        &mut self,
        former: &AgentRecord,
        record: &mut AgentRecord,
        facts: &AgentFacts,
        changes: &mut Changes,
    ) {
        let settlement = self.settlement(former, facts, &record.info.resources);
        record.checkpointed_resources = settlement.checkpointed;
        for operation in settlement
            .carried_out
            .iter()
            .filter(|operation| operation.id().is_none())
        {
            // The agent repeats the status of the others until their frameworks have acknowledged it.
            self.take_operation(operation);
        }
        let message = "The agent came back with other reservations";
        self.end_operations(&settlement.lost, OperationState::OperationDropped, message, changes);
    }

    /// Before a launch is sent again it is on record who may have sent it.
    fn record_senders(&mut self, command: &ReregisterAgent) {
        for (framework_id, task_id) in &command.resent {
            let Some(task) = self
                .task(framework_id, task_id)
                .filter(|task| task.agent_id == command.agent_id)
            else {
                continue;
            };
            let Some(launch) = task
                .launch
                .as_ref()
                .filter(|launch| !launch.senders.contains(&command.master_pid))
            else {
                continue;
            };
            let mut launch = Launch::clone(launch);
            launch.senders.push(command.master_pid.clone());
            let task = Task {
                launch: Some(Arc::new(launch)),
                ..Task::clone(task)
            };
            self.put_task(task);
        }
    }

    /// Frameworks that only the agent knows become known, until they subscribe.
    fn recover_frameworks(&mut self, command: &ReregisterAgent, changes: &mut Changes) {
        for info in &command.frameworks {
            let Ok(info) = info.decode() else { continue };
            let Some(id) = info
                .id
                .as_ref()
                .filter(|id| !id.value.is_empty())
                .map(FrameworkId::from)
            else {
                continue;
            };
            if self.framework(&id).is_some() || self.is_completed_framework(&id) {
                continue;
            }
            let framework = self.put_framework(Framework {
                id,
                info: Decoded::new(info),
                registered_at: changes.now,
                reregistered_at: None,
                recovered: true,
            });
            changes.event(Event::FrameworkAdded { framework });
        }
    }

    fn put_reported_executors(&mut self, command: &ReregisterAgent) {
        for encoded in &command.executors {
            let Ok(info) = encoded.decode() else { continue };
            let Some(framework_id) = info.framework_id.as_ref().map(FrameworkId::from) else {
                continue;
            };
            let Ok(resources) = Resources::from_proto(&info.resources) else {
                continue;
            };
            if self.framework(&framework_id).is_none() {
                continue;
            }
            self.put_executor(Executor {
                id: (&info.executor_id).into(),
                framework_id,
                agent_id: command.agent_id.clone(),
                info: encoded.clone(),
                resources,
            });
        }
    }

    fn put_reported_task(
        &mut self,
        agent_id: &AgentId,
        report: &proto::v1::Task,
        origin: Origin,
        changes: &mut Changes,
    ) {
        let framework_id = FrameworkId::from(&report.framework_id);
        let task_id = TaskId::from(&report.task_id);
        // Tasks of completed frameworks are shut down by their agent, see `decide::reregistration`.
        let Some(framework) = self.framework(&framework_id) else {
            return;
        };
        let framework_id = framework.id.clone();
        let Ok(mut reported) = Task::reported(framework_id.clone(), agent_id.clone(), report, changes.now) else {
            return;
        };
        if let Some(known) = self.task(&framework_id, &task_id).cloned() {
            if known.agent_id != *agent_id || known.is_terminal() {
                return;
            }
            reported.kill.clone_from(&known.kill);
            reported.launched_at = known.launched_at;
            if reported.resources != known.resources && reported.resources.is_empty() {
                reported.resources = known.resources.clone();
            }
            // Still queued at the agent: it knows the task, so that the launch need not be sent again.
            reported.launch = None;
            let task = self.put_task(reported);
            tell_of_progress(&known, &task, changes);
            return;
        }
        let unreachable = self.take_unreachable_task(&framework_id, &task_id);
        if let Some(unreachable) = &unreachable {
            // A kill that was asked for before is still wanted.
            reported.kill.clone_from(&unreachable.kill);
            reported.launched_at = unreachable.launched_at;
        }
        if unreachable.is_none() && reported.is_terminal() && self.completed_task(&framework_id, &task_id).is_some() {
            // Acknowledged, or told by the master; the agent's own update settles the rest.
            return;
        }
        let task = self.put_task(reported);
        changes.event(Event::TaskAdded { task: task.clone() });
        // Of a task that has ended the agent tells itself, with a uuid: its framework hears of the end once.
        if origin != Origin::Admitted && !task.is_terminal() {
            // The first spelling is the one tools know.
            let message = match origin {
                Origin::Unreachable => "Unreachable agent re-reregistered",
                _ => "Unknown agent reregistered",
            };
            let status = changes.status(&task, task.state, Reason::AgentReregistered, message);
            changes.tell(&task, status);
        }
    }
}

/// Operators are told of every state that the task went through since it was last heard of.
fn tell_of_progress(known: &Task, task: &Task, changes: &mut Changes) {
    let mut statuses = task.statuses();
    // An agent need not report how its task came to be where it is.
    let latest = statuses.last().cloned().unwrap_or_else(|| {
        let message = "Known from the report of its agent";
        changes.status(task, task.state, Reason::AgentReregistered, message)
    });
    statuses.retain(|status| !known.went_through(status.state()));
    if statuses.is_empty() && task.state != known.state {
        statuses.push(latest);
    }
    for status in statuses {
        changes.event(Event::TaskUpdated {
            framework_id: task.framework_id.clone(),
            status: Box::new(status),
            state: task.state,
        });
    }
}
