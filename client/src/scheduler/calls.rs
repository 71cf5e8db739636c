//! One method per call of the scheduler API. Mesos `docs/scheduler-http-api.md` says what each one does.

use bytes::Bytes;
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{
    Accept, Acknowledge, Decline, Kill, Message, Reconcile, Revive, Shutdown, Suppress, Type, reconcile,
};
use proto::v1::{
    AgentId, ExecutorId, ExecutorInfo, Filters, KillPolicy, OfferId, TaskGroupInfo, TaskId, TaskInfo, TaskStatus,
    offer::Operation, offer::operation,
};

use super::Scheduler;
use crate::outcome::CallOutcome;

fn call(call_type: Type) -> Call {
    Call {
        r#type: Some(call_type.into()),
        ..Call::default()
    }
}

impl Scheduler {
    /// Accepts offers of one agent and applies `operations` in order.
    pub async fn accept(
        &self,
        offer_ids: Vec<OfferId>,
        operations: Vec<Operation>,
        filters: Option<Filters>,
    ) -> CallOutcome {
        let accept = Accept {
            offer_ids,
            operations,
            filters,
        };
        self.call(Call {
            accept: Some(accept),
            ..call(Type::Accept)
        })
        .await
    }

    /// Launches tasks on the resources of offers of one agent.
    pub async fn launch(
        &self,
        offer_ids: Vec<OfferId>,
        task_infos: Vec<TaskInfo>,
        filters: Option<Filters>,
    ) -> CallOutcome {
        let operation = Operation {
            r#type: Some(operation::Type::Launch.into()),
            launch: Some(operation::Launch { task_infos }),
            ..Operation::default()
        };
        self.accept(offer_ids, vec![operation], filters).await
    }

    /// Launches a task group: all of its tasks or none.
    pub async fn launch_group(
        &self,
        offer_ids: Vec<OfferId>,
        executor: ExecutorInfo,
        task_group: TaskGroupInfo,
        filters: Option<Filters>,
    ) -> CallOutcome {
        let operation = Operation {
            r#type: Some(operation::Type::LaunchGroup.into()),
            launch_group: Some(operation::LaunchGroup { executor, task_group }),
            ..Operation::default()
        };
        self.accept(offer_ids, vec![operation], filters).await
    }

    /// Gives offers back; `filters` says for how long their resources are not offered again (5 s when absent).
    pub async fn decline(&self, offer_ids: Vec<OfferId>, filters: Option<Filters>) -> CallOutcome {
        self.call(Call {
            decline: Some(Decline { offer_ids, filters }),
            ..call(Type::Decline)
        })
        .await
    }

    /// Asks for offers again and drops filters; for all roles when `roles` is empty.
    pub async fn revive(&self, roles: Vec<String>) -> CallOutcome {
        self.call(Call {
            revive: Some(Revive { roles }),
            ..call(Type::Revive)
        })
        .await
    }

    /// Asks for no further offers; for all roles when `roles` is empty.
    pub async fn suppress(&self, roles: Vec<String>) -> CallOutcome {
        self.call(Call {
            suppress: Some(Suppress { roles }),
            ..call(Type::Suppress)
        })
        .await
    }

    /// Kills a task; safe to repeat.
    pub async fn kill(
        &self,
        task_id: TaskId,
        agent_id: Option<AgentId>,
        kill_policy: Option<KillPolicy>,
    ) -> CallOutcome {
        self.call(Call {
            kill: Some(Kill {
                task_id,
                agent_id,
                kill_policy,
            }),
            ..call(Type::Kill)
        })
        .await
    }

    /// Acknowledges an update; does nothing (and counts as accepted) when it needs none, i.e. carries no uuid.
    pub async fn acknowledge(&self, status: &TaskStatus) -> CallOutcome {
        let (Some(uuid), Some(agent_id)) = (&status.uuid, &status.agent_id) else {
            return CallOutcome::Accepted;
        };
        let acknowledge = Acknowledge {
            agent_id: agent_id.clone(),
            task_id: status.task_id.clone(),
            uuid: uuid.clone(),
        };
        self.call(Call {
            acknowledge: Some(acknowledge),
            ..call(Type::Acknowledge)
        })
        .await
    }

    /// Asks for the state of tasks, each with its agent if known; answers arrive as updates. No tasks: all that are
    /// known to the master.
    pub async fn reconcile(&self, tasks: Vec<(TaskId, Option<AgentId>)>) -> CallOutcome {
        let tasks = tasks
            .into_iter()
            .map(|(task_id, agent_id)| reconcile::Task { task_id, agent_id })
            .collect();
        self.call(Call {
            reconcile: Some(Reconcile { tasks }),
            ..call(Type::Reconcile)
        })
        .await
    }

    /// Sends bytes to an executor; may be lost.
    pub async fn message(&self, agent_id: AgentId, executor_id: ExecutorId, data: Bytes) -> CallOutcome {
        self.call(Call {
            message: Some(Message {
                agent_id,
                executor_id,
                data,
            }),
            ..call(Type::Message)
        })
        .await
    }

    /// Shuts an executor down with all its tasks.
    pub async fn shutdown(&self, executor_id: ExecutorId, agent_id: AgentId) -> CallOutcome {
        self.call(Call {
            shutdown: Some(Shutdown { executor_id, agent_id }),
            ..call(Type::Shutdown)
        })
        .await
    }

    /// Removes the framework and kills all its tasks. Once accepted, the last notice is
    /// [`Notice::Ended`](crate::Notice::Ended).
    pub async fn teardown(&self) -> CallOutcome {
        let outcome = self.call(call(Type::Teardown)).await;
        if outcome.is_accepted() {
            self.mark_torn_down();
        }
        outcome
    }
}
