//! ACCEPT: offers become tasks.
//!
//! The offers are consumed at once; what the operations do not use returns to the allocator with the framework's
//! filter. Each LAUNCH or LAUNCH_GROUP that passes validation is one command; `202` means that all of them are durable.

use std::sync::Arc;

use libprocess::HttpResponse;
use master_core::allocator::refuse_duration;
use master_core::command::LaunchTasks;
use master_core::ids::{AgentId, ExecutorId, FrameworkId, OfferId, TaskId};
use master_core::resources::Resources;
use master_core::{CommandKind, Encoded, validate};
use planted::{Bug, is_planted};
use proto::internal::StatusUpdate;
use proto::v1::offer::{Operation, operation};
use proto::v1::scheduler::call;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{self, TaskInfo, TaskState, TaskStatus};

use super::Leadership;
use super::offers::Offer;
use super::proposals::Pending;
use super::reply::{Reply, SharedReply};

/// What an ACCEPT works on: one agent's offered resources, shrinking.
pub(super) struct Pool {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    pub(super) role: String,
    pub(super) available: Resources,
    starting: validate::StartingExecutors,
    /// Names this ACCEPT.
    pub(super) number: u64,
    /// The part of `available` that operations have made.
    pub(super) produced: Resources,
    pub(super) reply: SharedReply,
}

impl Leadership {
    pub(super) fn accept(&mut self, framework_id: &FrameworkId, accept: call::Accept, reply: Reply) {
        let offer_ids: Vec<OfferId> = accept.offer_ids.iter().map(OfferId::from).collect();
        let lookup = |id: &OfferId| {
            self.offers.get(id).map(|offer| validate::OfferView {
                framework_id: &offer.framework_id,
                agent_id: &offer.agent_id,
                role: &offer.role,
            })
        };
        let checked = validate::offers(framework_id, &offer_ids, lookup);
        if is_planted(Bug::OldOfferHonoured) && checked.is_err() {
            self.honour_whatever_is_named(framework_id, accept.operations, reply);
            return;
        }
        if let Err(problem) = checked {
            self.refuse_accept(framework_id, &offer_ids, &accept.operations, &problem);
            reply.send(HttpResponse::new(202));
            return;
        }
        let offers: Vec<Offer> = offer_ids.iter().filter_map(|id| self.offers.remove(id)).collect();
        let Some(first) = offers.first() else {
            reply.send(HttpResponse::new(202));
            return;
        };
        let mut available = Resources::default();
        for offer in &offers {
            available.add(&offer.resources);
        }
        let mut pool = Pool {
            framework_id: framework_id.clone(),
            agent_id: first.agent_id.clone(),
            role: first.role.clone(),
            available,
            starting: validate::StartingExecutors::default(),
            number: self.next_generation(),
            produced: Resources::default(),
            reply: SharedReply::new(reply),
        };
        if !self.agents.get(&pool.agent_id).is_some_and(|agent| agent.connected) {
            // Its offers are rescinded when it leaves, so that this is a race of a moment.
            self.drop_tasks(
                &pool,
                &accept.operations,
                Reason::AgentDisconnected,
                "Agent disconnected",
            );
            self.recover_offered(framework_id, &pool.agent_id, &pool.available, None);
            return;
        }
        for operation in accept.operations {
            self.operation(&mut pool, operation);
        }
        self.return_rest(pool, refuse_duration(accept.filters.as_ref()));
    }

    /// What only a planted bug does: no offer is looked at.
    fn honour_whatever_is_named(&mut self, framework_id: &FrameworkId, operations: Vec<Operation>, reply: Reply) {
        let Some(first) = operations.iter().flat_map(launched_by).next() else {
            reply.send(HttpResponse::new(202));
            return;
        };
        let agent_id = AgentId::from(&first.agent_id);
        let named: Vec<Resources> = operations
            .iter()
            .flat_map(launched_by)
            .filter_map(|task| Resources::from_proto(&task.resources).ok())
            .collect();
        let available = named.iter().sum();
        let mut pool = Pool {
            framework_id: framework_id.clone(),
            agent_id,
            role: self.roles_of(framework_id).into_iter().next().unwrap_or_default(),
            available,
            starting: validate::StartingExecutors::default(),
            number: self.next_generation(),
            produced: Resources::default(),
            reply: SharedReply::new(reply),
        };
        for operation in operations {
            self.operation(&mut pool, operation);
        }
    }

    /// The offers do not fit together: those that exist return without a filter, tasks are dropped.
    fn refuse_accept(
        &mut self,
        framework_id: &FrameworkId,
        offer_ids: &[OfferId],
        operations: &[Operation],
        problem: &str,
    ) {
        for offer_id in offer_ids {
            // An offer of another framework stays where it is.
            if self
                .offers
                .get(offer_id)
                .is_some_and(|offer| offer.framework_id == *framework_id)
                && let Some(offer) = self.offers.remove(offer_id)
            {
                self.take_back(&offer, None);
            }
        }
        let message = format!("Task launched with invalid offers: {problem}");
        for operation in operations {
            for task in launched_by(operation) {
                let agent_id = AgentId::from(&task.agent_id);
                self.drop_task(framework_id, &agent_id, task, Reason::InvalidOffers, &message);
            }
            if let Some(id) = &operation.id {
                let text = format!("Operation attempted with invalid offers: {problem}");
                self.operation_error(framework_id, id, &text);
            }
        }
    }

    fn drop_tasks(&mut self, pool: &Pool, operations: &[Operation], reason: Reason, message: &str) {
        for task in operations.iter().flat_map(launched_by) {
            self.drop_task(&pool.framework_id, &pool.agent_id, task, reason, message);
        }
    }

    fn operation(&mut self, pool: &mut Pool, operation: Operation) {
        match operation.r#type() {
            operation::Type::Launch => {
                let tasks = operation.launch.map(|launch| launch.task_infos).unwrap_or_default();
                if operation.id.is_some() {
                    for task in &tasks {
                        self.task_error(
                            pool,
                            task,
                            Reason::TaskInvalid,
                            "Operation 'id' is not supported for LAUNCH",
                        );
                    }
                    return;
                }
                self.launch(pool, tasks);
            }
            operation::Type::LaunchGroup => {
                let Some(group) = operation.launch_group else { return };
                self.launch_group(pool, group);
            }
            _ => self.offer_operation(pool, operation),
        }
    }

    fn launch(&mut self, pool: &mut Pool, tasks: Vec<TaskInfo>) {
        let mut valid = Vec::new();
        let mut requested = Vec::new();
        for mut task in tasks {
            let format = validate::launch_format(&task);
            complete_task(&mut task, &pool.framework_id, &pool.role);
            let task_id = TaskId::from(&task.task_id);
            let in_flight = self.launching.contains(&(pool.framework_id.clone(), task_id.clone()));
            let checked = if in_flight {
                Err(duplicate(&task_id))
            } else {
                format.and_then(|()| {
                    validate::launch(
                        &self.registry,
                        &pool.framework_id,
                        &pool.agent_id,
                        &pool.starting,
                        &pool.available,
                        &task,
                    )
                })
            };
            let used = match checked {
                Ok(used) => used,
                Err(refusal) => {
                    self.task_error(pool, &task, refusal.reason, &refusal.message);
                    continue;
                }
            };
            pool.available.take_available(&used);
            if let Some(executor) = &task.executor {
                pool.starting.add(executor);
            }
            self.launching.insert((pool.framework_id.clone(), task_id.clone()));
            requested.push((task_id, used));
            valid.push(Encoded::new(&task));
        }
        if !valid.is_empty() {
            self.propose_launch(pool, valid, None, requested);
        }
    }

    fn launch_group(&mut self, pool: &mut Pool, group: operation::LaunchGroup) {
        let operation::LaunchGroup {
            mut executor,
            mut task_group,
        } = group;
        let format = validate::launch_group_format(&executor, &task_group);
        allocate_to(&mut executor.resources, &pool.role);
        for task in &mut task_group.tasks {
            task.executor.get_or_insert_with(|| executor.clone());
            complete_task(task, &pool.framework_id, &pool.role);
        }
        let in_flight = task_group
            .tasks
            .iter()
            .map(|task| TaskId::from(&task.task_id))
            .find(|task_id| self.launching.contains(&(pool.framework_id.clone(), task_id.clone())));
        let checked = match in_flight {
            Some(task_id) => Err(validate::Refusal {
                reason: Reason::TaskGroupInvalid,
                message: format!("Task '{task_id}' is invalid: {}", duplicate(&task_id).message),
            }),
            None => format.and_then(|()| {
                validate::launch_group(
                    &self.registry,
                    &pool.framework_id,
                    &pool.agent_id,
                    &pool.starting,
                    &pool.available,
                    &executor,
                    &task_group,
                )
            }),
        };
        let used = match checked {
            Ok(used) => used,
            Err(refusal) => {
                for task in &task_group.tasks {
                    self.task_error(pool, task, refusal.reason, &refusal.message);
                }
                return;
            }
        };
        if task_group.tasks.is_empty() {
            return;
        }
        pool.available.take_available(&used);
        pool.starting.add(&executor);
        // The whole group stands or falls together, so that its sum is booked on the first task.
        let mut requested = Vec::new();
        for (position, task) in task_group.tasks.iter().enumerate() {
            let task_id = TaskId::from(&task.task_id);
            self.launching.insert((pool.framework_id.clone(), task_id.clone()));
            requested.push((
                task_id,
                if position == 0 {
                    used.clone()
                } else {
                    Resources::default()
                },
            ));
        }
        let tasks = task_group.tasks.iter().map(Encoded::new).collect();
        self.propose_launch(pool, tasks, Some(Encoded::new(&executor)), requested);
    }

    fn propose_launch(
        &mut self,
        pool: &Pool,
        tasks: Vec<Encoded<TaskInfo>>,
        group: Option<Encoded<v1::ExecutorInfo>>,
        requested: Vec<(TaskId, Resources)>,
    ) {
        let command = LaunchTasks {
            framework_id: pool.framework_id.clone(),
            agent_id: pool.agent_id.clone(),
            tasks,
            group,
            master_pid: self.context.pid.to_string().into(),
        };
        let pending = Pending::Launch {
            framework_id: pool.framework_id.clone(),
            agent_id: pool.agent_id.clone(),
            tasks: requested,
            reply: pool.reply.for_command(),
        };
        let kind = CommandKind::LaunchTasks(command);
        if is_planted(Bug::SendBeforeCommit) {
            self.send_at_once(&kind);
        }
        self.propose(kind, pending);
    }

    /// What only a planted bug does: the effect of a launch before it is in the log.
    fn send_at_once(&self, kind: &CommandKind) {
        let command = master_core::Command {
            proposed_at: master_core::Timestamp(self.context.seams.clock.now_micros()),
            kind: kind.clone(),
        };
        let applied = self
            .registry
            .clone()
            .apply(master_core::registry::Position::default(), &command);
        for effect in applied.effects {
            if let master_core::Effect::SendTasks(launch) = effect {
                self.send_tasks(&launch);
            }
        }
    }

    /// The launch is in the registry: what its tasks and new executors hold is now used, the rest of what was asked for
    /// (tasks refused after all, an executor that several tasks brought along) is free again.
    pub(super) fn account_launch(
        &mut self,
        pending: Option<&Pending>,
        launched: &[Arc<master_core::registry::Task>],
        executors: &[ExecutorId],
    ) {
        let Some(Pending::Launch {
            framework_id,
            agent_id,
            tasks,
            ..
        }) = pending
        else {
            // Of an earlier leadership of this replica: the allocator counts the agent anew.
            if let Some(task) = launched.first() {
                self.agent_total_changed(&task.agent_id.clone());
            }
            return;
        };
        for (task_id, _) in tasks {
            self.launching.remove(&(framework_id.clone(), task_id.clone()));
        }
        let started = executors
            .iter()
            .filter_map(|id| self.registry.executor(agent_id, framework_id, id))
            .map(|executor| &executor.resources);
        let used: Resources = launched.iter().map(|task| &*task.resources).chain(started).sum();
        let mut unused: Resources = tasks.iter().map(|(_, resources)| resources).sum();
        let missing = unused.take_available(&used);
        let unoffered = self.allocator.allocated(framework_id, agent_id, &used);
        self.recover_offered(framework_id, agent_id, &unused, None);
        if !missing.is_empty() || !unoffered.is_empty() {
            // The registry counts more than was asked for, or the agent was counted anew while the launch was on its way:
            // the registry's books are the ones that hold.
            tracing::info!(%framework_id, %agent_id, %missing, %unoffered, "a launch uses more than its offers held");
            self.agent_total_changed(agent_id);
        }
    }

    fn task_error(&mut self, pool: &Pool, task: &TaskInfo, reason: Reason, message: &str) {
        self.master_update(
            &pool.framework_id,
            &pool.agent_id,
            task,
            TaskState::TaskError,
            reason,
            message,
        );
    }

    fn drop_task(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        task: &TaskInfo,
        reason: Reason,
        message: &str,
    ) {
        let aware = self
            .registry
            .framework(framework_id)
            .is_some_and(|framework| framework.is_partition_aware());
        let state = if aware {
            TaskState::TaskDropped
        } else {
            TaskState::TaskLost
        };
        self.master_update(framework_id, agent_id, task, state, reason, message);
    }

    /// An update about a task that never came to be: no uuid, nothing recorded.
    fn master_update(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        task: &TaskInfo,
        state: TaskState,
        reason: Reason,
        message: &str,
    ) {
        let timestamp = self.wall_seconds();
        let status = TaskStatus {
            task_id: task.task_id.clone(),
            state: state as i32,
            message: Some(message.to_owned()),
            source: Some(Source::Master as i32),
            reason: Some(reason as i32),
            ..TaskStatus::default()
        };
        let update = StatusUpdate {
            framework_id: framework_id.to_proto(),
            executor_id: task.executor.as_ref().map(|executor| executor.executor_id.clone()),
            slave_id: Some(agent_id.to_proto()),
            status,
            timestamp,
            uuid: None,
            latest_state: None,
        };
        self.forward_status(framework_id, update);
    }
}

fn duplicate(task_id: &TaskId) -> validate::Refusal {
    validate::Refusal {
        reason: Reason::TaskInvalid,
        message: format!("Task has duplicate ID: {task_id}"),
    }
}

/// Tasks an operation would launch.
fn launched_by(operation: &Operation) -> impl Iterator<Item = &TaskInfo> {
    let single = operation.launch.iter().flat_map(|launch| launch.task_infos.iter());
    let grouped = operation
        .launch_group
        .iter()
        .flat_map(|launch| launch.task_group.tasks.iter());
    single.chain(grouped)
}

/// Fills in what the master adds before a task is sent: allocation roles and the executor's framework.
fn complete_task(task: &mut TaskInfo, framework_id: &FrameworkId, role: &str) {
    allocate_to(&mut task.resources, role);
    if let Some(executor) = &mut task.executor {
        allocate_to(&mut executor.resources, role);
        executor.framework_id.get_or_insert_with(|| framework_id.to_proto());
    }
}

pub(super) fn allocate_to(resources: &mut [v1::Resource], role: &str) {
    for resource in resources {
        resource
            .allocation_info
            .get_or_insert_with(|| v1::resource::AllocationInfo {
                role: Some(role.to_owned()),
            });
    }
}
