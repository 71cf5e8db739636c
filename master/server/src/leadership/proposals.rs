//! Commands on their way through the log, and who waits for each.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::HttpResponse;
use master_core::ids::{AgentId, FrameworkId, TaskId};
use master_core::resources::Resources;
use master_core::{Command, CommandKind, Timestamp};
use planted::{Bug, is_planted};
use replicated_log::{ProposeError, ReadError};
use tokio::time::Instant;

use super::Leadership;
use super::reply::{Reply, SharedReply};
use super::settings::Answering;
use super::subscribe::Subscription;
use crate::state_machine::{self, ProposalId};

/// Proposals of one leadership under way at once; above it calls are answered 503 so that memory stays bounded.
const PROPOSALS_IN_FLIGHT: usize = 65_536;

/// How often waiting callers are looked at; their deadline is coarser than a failover takes.
pub(super) const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// What to do when the command has been applied, or will not be.
#[derive(Debug)]
pub(crate) enum Pending {
    /// SUBSCRIBE, by command or by confirmed read.
    Subscribe(Box<Subscription>),
    /// A call whose caller only wants to know that it is durable.
    Call(Reply),
    /// A call that is answered by what came of its command.
    Answered(Reply, Answering),
    /// RECONCILE: answered once this replica is known to lead still.
    Reconcile(FrameworkId, Vec<proto::v1::scheduler::call::reconcile::Task>, Reply),
    /// LAUNCH or LAUNCH_GROUP of one ACCEPT: the resources return to the allocator if it fails.
    Launch {
        framework_id: FrameworkId,
        agent_id: AgentId,
        tasks: Vec<(TaskId, Resources)>,
        reply: SharedReply,
    },
    /// RECONCILE_OPERATIONS, likewise.
    ReconcileOperations(
        FrameworkId,
        Vec<proto::v1::scheduler::call::reconcile_operations::Operation>,
        Reply,
    ),
    /// RESERVE, UNRESERVE, CREATE or DESTROY of an ACCEPT.
    Operation(Box<super::operations::AcceptedOperation>),
    /// The same by an operator.
    OperatorOperation(Box<super::operations::HeldOperation>),
    /// RegisterSlaveMessage of this pid.
    Register { pid: libprocess::Upid },
    /// ReregisterSlaveMessage, kept to be answered.
    Reregister(Box<super::registration::Reregistering>),
    /// MarkAgentUnreachable.
    Unreachable(AgentId),
    /// A status update, by its key.
    StatusUpdate(FrameworkId, TaskId, Vec<u8>),
    /// Nobody waits.
    Nobody,
}

/// What becomes of a proposal outside the applied feed, or of a confirmed read.
#[derive(Debug)]
pub(crate) enum Completion {
    /// It was refused, or nobody knows.
    Failed(ProposalId, ProposeError),
    /// A quorum confirmed that this replica led when asked, and everything committed then is applied.
    Confirmed(ProposalId),
}

impl Completion {
    /// The proposal or read it is about.
    pub(crate) fn id(&self) -> ProposalId {
        match self {
            Completion::Failed(id, _) | Completion::Confirmed(id) => *id,
        }
    }
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    pending: Pending,
}

/// The table of proposals under way.
#[derive(Debug)]
pub(crate) struct Proposals {
    term: u64,
    next: u64,
    waiting: BTreeMap<ProposalId, Waiting>,
}

impl Proposals {
    pub(super) fn new(term: u64) -> Proposals {
        Proposals {
            term,
            next: 0,
            waiting: BTreeMap::new(),
        }
    }

    fn insert(&mut self, pending: Pending) -> Result<ProposalId, Pending> {
        if self.waiting.len() >= PROPOSALS_IN_FLIGHT {
            return Err(pending);
        }
        self.next += 1;
        let id = ProposalId {
            term: self.term,
            number: self.next,
        };
        self.waiting.insert(
            id,
            Waiting {
                since: Instant::now(),
                pending,
            },
        );
        Ok(id)
    }

    pub(super) fn take(&mut self, id: ProposalId) -> Option<Pending> {
        self.waiting.remove(&id).map(|waiting| waiting.pending)
    }

    /// Everything that is still waited for, when the leadership ends.
    pub(super) fn retire(&mut self) -> impl Iterator<Item = (ProposalId, Pending)> + use<> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.into_iter().map(|(id, waiting)| (id, waiting.pending))
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells callers that have waited longer than `limit` that the outcome is unknown. Their entries stay: the command
    /// may still be applied.
    pub(super) fn sweep(&mut self, now: Instant, limit: Duration) {
        for waiting in self.waiting.values_mut() {
            if now.duration_since(waiting.since) < limit {
                // Ordered by age: the rest is younger.
                break;
            }
            match &mut waiting.pending {
                Pending::Launch { reply, .. } => reply.fail(unknown_outcome()),
                Pending::Operation(operation) => operation.reply.fail(unknown_outcome()),
                Pending::OperatorOperation(operation) => operation.give_up(),
                Pending::Call(_)
                | Pending::Answered(..)
                | Pending::Reconcile(..)
                | Pending::ReconcileOperations(..)
                | Pending::Subscribe(_) => match std::mem::replace(&mut waiting.pending, Pending::Nobody) {
                    Pending::Call(reply)
                    | Pending::Answered(reply, _)
                    | Pending::Reconcile(_, _, reply)
                    | Pending::ReconcileOperations(_, _, reply) => {
                        reply.send(unknown_outcome());
                    }
                    Pending::Subscribe(subscription) => subscription.reply.send(unknown_outcome()),
                    other => waiting.pending = other,
                },
                Pending::Register { .. }
                | Pending::Reregister(_)
                | Pending::Unreachable(_)
                | Pending::StatusUpdate(..)
                | Pending::Nobody => {}
            }
        }
    }
}

/// After propose a timeout means unknown, and the caller is told so.
pub(crate) fn unknown_outcome() -> HttpResponse {
    HttpResponse::text(
        503,
        "No quorum of masters confirmed the call in time; it may or may not take effect",
    )
}

/// Certainly not done.
pub(crate) fn unavailable(reason: &str) -> HttpResponse {
    HttpResponse::text(503, format!("The call was not carried out: {reason}"))
}

impl Leadership {
    /// Offers a command to the log; `pending` is seen again in [`Leadership::outcome`] or in
    /// [`Leadership::proposal_failed`].
    pub(super) fn propose(&mut self, kind: CommandKind, pending: Pending) {
        let id = match self.proposals.insert(pending) {
            Ok(id) => id,
            Err(pending) => {
                let error = ProposeError::Unavailable { reason: too_many() };
                self.proposal_failed(pending, &error);
                return;
            }
        };
        let command = Command {
            proposed_at: Timestamp(self.context.seams.clock.now_micros()),
            kind,
        };
        let completions = self.context.completions.clone();
        let queued = self
            .context
            .log
            .propose_with(state_machine::encode(id, &command), move |result| {
                if let Err(error) = result {
                    // Nobody listens any more only when the master is stopping.
                    completions.send(Completion::Failed(id, error)).ok();
                }
            });
        if queued.is_err()
            && let Some(pending) = self.proposals.take(id)
        {
            self.proposal_failed(pending, &ProposeError::Unavailable { reason: too_many() });
        }
    }

    /// Confirms with a quorum that this replica still leads, without writing; `pending` is seen again in
    /// [`Leadership::confirmed`].
    pub(super) fn confirm(&mut self, pending: Pending) {
        let id = match self.proposals.insert(pending) {
            Ok(id) => id,
            Err(pending) => {
                self.proposal_failed(pending, &ProposeError::Unavailable { reason: too_many() });
                return;
            }
        };
        let log = self.context.log.clone();
        let completions = self.context.completions.clone();
        tokio::spawn(async move {
            let completion = match log.read_barrier().await {
                Ok(_) => Completion::Confirmed(id),
                Err(error) => {
                    tracing::info!(%error, "a read could not be confirmed");
                    Completion::Failed(id, unconfirmed(&error))
                }
            };
            completions.send(completion).ok();
        });
    }

    /// Nothing came of a proposal: callers are told, resources return.
    pub(super) fn proposal_failed(&mut self, pending: Pending, error: &ProposeError) {
        tracing::info!(term = self.term, %error, ?pending, "a proposal failed");
        let is_moving = error.is_certainly_not_proposed() && !self.is_accepting();
        let asks_leader = is_moving || matches!(error, ProposeError::NotLeader { .. });
        if is_planted(Bug::UnknownAsDone)
            && matches!(error, ProposeError::Unknown)
            && let Pending::Call(reply) | Pending::Answered(reply, _) = pending
        {
            reply.send(HttpResponse::new(202));
            return;
        }
        let response = || match error {
            ProposeError::Unknown | ProposeError::Fatal { .. } => unknown_outcome(),
            _ => unavailable(&error.to_string()),
        };
        let answer = |reply: Reply| {
            if asks_leader {
                reply.ask_leader();
            } else {
                reply.send(response());
            }
        };
        match pending {
            Pending::Subscribe(subscription) => answer(subscription.reply),
            Pending::Call(reply)
            | Pending::Answered(reply, _)
            | Pending::Reconcile(_, _, reply)
            | Pending::ReconcileOperations(_, _, reply) => answer(reply),
            Pending::OperatorOperation(mut operation) => {
                if let Some(reply) = operation.reply.take() {
                    answer(reply);
                }
                self.release_held(&operation);
            }
            Pending::Operation(operation) => {
                if asks_leader {
                    operation.reply.ask_leader();
                } else {
                    operation.reply.fail(response());
                }
                self.operation_failed(&operation);
            }
            Pending::Launch {
                framework_id,
                agent_id,
                tasks,
                reply,
            } => {
                for (task_id, resources) in tasks {
                    self.launching.remove(&(framework_id.clone(), task_id));
                    // Unknown: the launch may still be applied, then the allocator learns it from the outcome.
                    self.recover_offered(&framework_id, &agent_id, &resources, None);
                }
                if asks_leader {
                    reply.ask_leader();
                } else {
                    reply.fail(response());
                }
            }
            Pending::Register { pid } => {
                // The agent retries.
                self.registering.remove(&pid.to_string());
            }
            Pending::Reregister(reregistering) => {
                self.registering.remove(&reregistering.pid.to_string());
            }
            Pending::Unreachable(agent_id) => self.unreachable_not_marked(&agent_id),
            Pending::StatusUpdate(framework_id, task_id, uuid) => {
                // The agent sends it again.
                self.updating.remove(&(framework_id, task_id, uuid));
            }
            Pending::Nobody => {}
        }
    }
}

/// A read that was not confirmed, in words of this master. It changed nothing in any case.
fn unconfirmed(error: &ReadError) -> ProposeError {
    match error {
        ReadError::NotLeader { leader } => ProposeError::NotLeader { leader: *leader },
        ReadError::Unavailable { .. } | ReadError::Fatal { .. } => ProposeError::Unavailable {
            reason: "no quorum of masters confirms that this one leads".to_owned(),
        },
    }
}

fn too_many() -> String {
    format!("{PROPOSALS_IN_FLIGHT} commands are already on their way through the log")
}
