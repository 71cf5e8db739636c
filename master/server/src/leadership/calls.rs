//! Calls of the scheduler API, after the edge has decoded and validated their form.

use libprocess::{HttpResponse, PeerClosed};
use master_core::command::{AcknowledgeStatus, KillTask};
use master_core::ids::{AgentId, ExecutorId, FrameworkId, TaskId};
use master_core::{CommandKind, Encoded};
use proto::internal::{FrameworkToExecutorMessage, ShutdownExecutorMessage, StatusUpdateAcknowledgementMessage};
use proto::v1::scheduler::{Call, call};

use super::Leadership;
use super::proposals::Pending;
use super::reply::Reply;
use super::stream::MediaType;

/// One call, as the edge hands it over.
#[derive(Debug)]
pub(crate) struct SchedulerCall {
    pub(crate) call: Call,
    /// `call.type`, known to the edge.
    pub(crate) kind: call::Type,
    /// The `Mesos-Stream-Id` header.
    pub(crate) stream_id: Option<String>,
    /// The authenticated principal.
    pub(crate) principal: Option<String>,
    /// What the answer, or the stream, is encoded in.
    pub(crate) media_type: MediaType,
    /// Resolves when the caller closes its connection.
    pub(crate) closed: PeerClosed,
    pub(crate) reply: Reply,
}

impl Leadership {
    /// Checks who calls (steps 11 to 15 of the endpoint) and carries the call out.
    pub(crate) fn scheduler_call(&mut self, call: SchedulerCall) {
        let SchedulerCall {
            call,
            kind,
            stream_id,
            principal,
            media_type,
            closed,
            reply,
        } = call;
        self.context.metrics.scheduler_call(kind);
        if kind == call::Type::Subscribe {
            match call.subscribe {
                Some(subscribe) => self.subscribe(subscribe, principal.as_deref(), media_type, closed, reply),
                None => reply.send(missing("subscribe")),
            }
            return;
        }
        let Some(framework_id) = call.framework_id.as_ref().map(FrameworkId::from) else {
            reply.send(missing("framework_id"));
            return;
        };
        if let Err(response) = self.check_caller(&framework_id, principal.as_deref(), stream_id.as_deref()) {
            reply.send(response);
            return;
        }
        self.dispatch(&framework_id, kind, call, reply);
    }

    fn check_caller(
        &self,
        framework_id: &FrameworkId,
        principal: Option<&str>,
        stream_id: Option<&str>,
    ) -> Result<(), HttpResponse> {
        let refuse = |status, text: &str| Err(HttpResponse::text(status, text));
        let Some(framework) = self.registry.framework(framework_id) else {
            return refuse(400, "Framework cannot be found");
        };
        if let (Some(principal), Some(expected)) = (principal, framework.info.principal.as_deref())
            && principal != expected
        {
            return refuse(
                400,
                &format!(
                    "Authenticated principal '{principal}' does not match principal '{expected}' set in `FrameworkInfo`"
                ),
            );
        }
        let Some(stream) = self
            .frameworks
            .get(framework_id)
            .and_then(|connection| connection.stream.as_ref())
        else {
            return refuse(403, "Framework is not subscribed");
        };
        match stream_id {
            None => refuse(
                400,
                "All non-subscribe calls should include the 'Mesos-Stream-Id' header",
            ),
            Some(id) if id != stream.id_text => refuse(
                400,
                &format!(
                    "The stream ID '{id}' included in this request didn't match the stream ID currently associated \
                     with framework ID {framework_id}"
                ),
            ),
            Some(_) => Ok(()),
        }
    }

    fn dispatch(&mut self, framework_id: &FrameworkId, kind: call::Type, call: Call, reply: Reply) {
        match kind {
            call::Type::Teardown => self.teardown(framework_id, reply),
            call::Type::Accept => with(call.accept, "accept", reply, |it, reply| {
                self.accept(framework_id, it, reply)
            }),
            call::Type::Decline => with(call.decline, "decline", reply, |it, reply| {
                self.decline(&it);
                reply.send(HttpResponse::new(202));
            }),
            call::Type::Revive => {
                self.revive(
                    framework_id,
                    &call.revive.map(|revive| revive.roles).unwrap_or_default(),
                );
                reply.send(HttpResponse::new(202));
            }
            call::Type::Suppress => {
                self.suppress(
                    framework_id,
                    &call.suppress.map(|suppress| suppress.roles).unwrap_or_default(),
                );
                reply.send(HttpResponse::new(202));
            }
            call::Type::Kill => with(call.kill, "kill", reply, |it, reply| {
                self.kill(framework_id, &it, reply)
            }),
            call::Type::Shutdown => with(call.shutdown, "shutdown", reply, |it, reply| {
                self.shutdown_executor(framework_id, &it);
                reply.send(HttpResponse::new(202));
            }),
            call::Type::Acknowledge => {
                with(call.acknowledge, "acknowledge", reply, |it, reply| {
                    self.acknowledge(framework_id, it, reply)
                });
            }
            call::Type::Reconcile => with(call.reconcile, "reconcile", reply, |it, reply| {
                self.confirm(Pending::Reconcile(framework_id.clone(), it.tasks, reply));
            }),
            call::Type::Message => with(call.message, "message", reply, |it, reply| {
                self.framework_message(framework_id, it);
                reply.send(HttpResponse::new(202));
            }),
            call::Type::UpdateFramework => {
                with(call.update_framework, "update_framework", reply, |it, reply| {
                    self.update_framework(it, reply)
                });
            }
            // The built-in allocator of Mesos ignores REQUEST too; inverse offers are not made yet, so there is nothing such an answer could refer to.
            call::Type::Request | call::Type::AcceptInverseOffers | call::Type::DeclineInverseOffers => {
                reply.send(HttpResponse::new(202));
            }
            call::Type::AcknowledgeOperationStatus => {
                with(
                    call.acknowledge_operation_status,
                    "acknowledge_operation_status",
                    reply,
                    |it, reply| self.acknowledge_operation_status(framework_id, &it, reply),
                );
            }
            call::Type::ReconcileOperations => {
                with(call.reconcile_operations, "reconcile_operations", reply, |it, reply| {
                    self.confirm(Pending::ReconcileOperations(framework_id.clone(), it.operations, reply));
                });
            }
            call::Type::Unknown => reply.send(HttpResponse::status(501)),
            call::Type::Subscribe => reply.send(missing("subscribe")),
        }
    }

    fn kill(&mut self, framework_id: &FrameworkId, kill: &call::Kill, reply: Reply) {
        let task_id = TaskId::from(&kill.task_id);
        let agent_id = kill.agent_id.as_ref().map(AgentId::from);
        let Some(task) = self.registry.task(framework_id, &task_id) else {
            if self.launching.contains(&(framework_id.clone(), task_id.clone())) {
                // Ordered behind the launch in the log; apply finds the task there.
                self.propose_kill(framework_id, &task_id, kill, reply);
                return;
            }
            let task = call::reconcile::Task {
                task_id: kill.task_id.clone(),
                agent_id: kill.agent_id.clone(),
            };
            self.confirm(Pending::Reconcile(framework_id.clone(), vec![task], reply));
            return;
        };
        if agent_id.is_some_and(|agent_id| agent_id != task.agent_id) {
            reply.send(HttpResponse::new(202));
            return;
        }
        self.propose_kill(framework_id, &task_id, kill, reply);
    }

    fn propose_kill(&mut self, framework_id: &FrameworkId, task_id: &TaskId, kill: &call::Kill, reply: Reply) {
        let command = KillTask {
            framework_id: framework_id.clone(),
            task_id: task_id.clone(),
            kill_policy: kill.kill_policy.as_ref().map(Encoded::new),
        };
        self.propose(CommandKind::KillTask(command), Pending::Call(reply));
    }

    /// Only the acknowledgement of a terminal update changes the registry; the others go straight to the agent, which
    /// keeps its own record.
    fn acknowledge(&mut self, framework_id: &FrameworkId, acknowledge: call::Acknowledge, reply: Reply) {
        let agent_id = AgentId::from(&acknowledge.agent_id);
        let task_id = TaskId::from(&acknowledge.task_id);
        let uuid = <[u8; 16]>::try_from(&acknowledge.uuid[..]).ok();
        let finishes = uuid.filter(|uuid| self.registry.acknowledgement_completes(framework_id, &task_id, uuid));
        if let Some(uuid) = finishes {
            let command = AcknowledgeStatus {
                framework_id: framework_id.clone(),
                task_id,
                agent_id,
                uuid,
            };
            self.propose(CommandKind::AcknowledgeStatus(command), Pending::Call(reply));
            return;
        }
        let message = StatusUpdateAcknowledgementMessage {
            slave_id: acknowledge.agent_id,
            framework_id: framework_id.to_proto(),
            task_id: acknowledge.task_id,
            uuid: acknowledge.uuid,
        };
        // Dropped when the agent is away: it sends the update again when it is back.
        self.send_to_agent(&agent_id, &message);
        reply.send(HttpResponse::new(202));
    }

    fn shutdown_executor(&self, framework_id: &FrameworkId, shutdown: &call::Shutdown) {
        let message = ShutdownExecutorMessage {
            executor_id: Some(shutdown.executor_id.clone()),
            framework_id: Some(framework_id.to_proto()),
        };
        self.send_to_agent(&AgentId::from(&shutdown.agent_id), &message);
    }

    fn framework_message(&self, framework_id: &FrameworkId, message: call::Message) {
        let agent_id = AgentId::from(&message.agent_id);
        tracing::debug!(%framework_id, %agent_id, executor_id = %ExecutorId::from(&message.executor_id), "message");
        let message = FrameworkToExecutorMessage {
            slave_id: message.agent_id,
            framework_id: framework_id.to_proto(),
            executor_id: message.executor_id,
            data: message.data,
        };
        self.send_to_agent(&agent_id, &message);
    }
}

fn missing(field: &str) -> HttpResponse {
    HttpResponse::text(
        400,
        format!("Failed to validate scheduler::Call: Expecting '{field}' to be present"),
    )
}

fn with<T>(part: Option<T>, name: &str, reply: Reply, then: impl FnOnce(T, Reply)) {
    match part {
        Some(part) => then(part, reply),
        None => reply.send(missing(name)),
    }
}
