//! The master's actor: one loop that owns the leadership while there is one.
//!
//! Requests, messages, applied batches, timers and Raft state changes all pass through it, one at a time, so that soft
//! state needs no locks and effects leave in log order. It never blocks: disk and quorum work happens in the
//! replicated log, encoding of large answers in the readers' own futures.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use libprocess::{Exited, Links, Message, Upid};
use master_core::command::AnnounceLeader;
use master_core::{Command, CommandKind, Encoded, Outcome, Timestamp};
use proto::v1::MasterInfo;
use replicated_log::{ReplicatedLog, Role, Status};
use seams::Seams;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::Config;
use crate::event_log::EventLog;
use crate::http::event_streams::EventStreams;
use crate::leader::{self, LeaderView};
use crate::leadership::retired::Retired;
use crate::leadership::{Completion, Leadership, SchedulerCall, SoftState, StreamStart};
use crate::metrics::{Event, Metrics};
use crate::state_machine::{self, Batch, ProposalId, Published, ReplicatedRegistry};

/// Requests and messages waiting for the actor; senders wait when it is full.
pub(crate) const MAILBOX: usize = 4_096;

/// Inputs handled before applied batches and Raft state are looked at again.
const INPUTS_PER_TURN: usize = 64;

/// Pause before a refused announcement is proposed again: about as long as a hand-over takes.
const ANNOUNCE_AGAIN: Duration = Duration::from_millis(10);

/// What every part of one master shares.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) seams: Seams,
    pub(crate) links: Links,
    pub(crate) log: ReplicatedLog<ReplicatedRegistry>,
    /// `master@ip:port`, the sender of every message and the pid in `MasterInfo`.
    pub(crate) pid: Upid,
    pub(crate) hostname: String,
    /// What validation has to know of the flags.
    pub(crate) validation: master_core::validate::Config,
    pub(crate) published: Arc<ArcSwap<Published>>,
    /// Recent operator events, in log order.
    pub(crate) event_log: Arc<EventLog>,
    /// The open streams of operator events.
    pub(crate) event_streams: Arc<EventStreams>,
    pub(crate) metrics: Arc<Metrics>,
    /// Failed proposals and confirmed reads; bounded by the proposals in flight.
    pub(crate) completions: mpsc::UnboundedSender<Completion>,
    pub(crate) mailbox: mpsc::Sender<Input>,
    /// Who leads, for the HTTP edge.
    pub(crate) leader: watch::Sender<LeaderView>,
    /// When this process started, in microseconds of the wall clock.
    pub(crate) started_at: u64,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Context")
            .field("node_id", &self.config.node_id)
            .finish_non_exhaustive()
    }
}

/// What the actor is asked.
#[derive(Debug)]
pub(crate) enum Input {
    /// A decoded and authenticated call of the scheduler API.
    Scheduler(Box<SchedulerCall>),
    /// A libprocess message to the actor `master`.
    Message(Message),
    /// The connection of this event stream was closed by its framework.
    StreamClosed(master_core::ids::FrameworkId, Uuid),
    /// A reader wants the soft state; unanswered when this replica does not lead.
    SoftState(oneshot::Sender<SoftState>),
    /// An operator wants to see events: the state they start from; unanswered when this replica does not lead.
    OperatorStream(oneshot::Sender<StreamStart>),
    /// The operator asks to remove a framework.
    Teardown(master_core::ids::FrameworkId, crate::leadership::reply::Reply),
    /// The operator changes quotas or weights.
    Change(Box<crate::leadership::settings::Change>),
    /// The operator reserves, unreserves, creates or destroys volumes.
    Operation(Box<crate::leadership::operations::OperatorOperation>),
}

/// The receiving ends of the actor.
pub(crate) struct Inbox {
    pub(crate) mailbox: mpsc::Receiver<Input>,
    pub(crate) batches: mpsc::UnboundedReceiver<Batch>,
    pub(crate) completions: mpsc::UnboundedReceiver<Completion>,
    pub(crate) exited: mpsc::Receiver<Exited>,
    /// Changes when an announcement has been applied on this replica.
    pub(crate) announced: watch::Receiver<u64>,
}

/// Progress towards leading.
#[derive(Debug)]
enum State {
    /// Another replica leads, or nobody.
    Following,
    /// The log refused the announcement of this replica, which still leads, and is asked again at that time. It may refuse
    /// for as long as a leadership is being handed over, and says so at once: without a pause both would do nothing else.
    Refused { again: Instant },
    /// This replica won `term` and has proposed its announcement.
    Announcing { term: u64, master_id: String },
    /// The announcement is applied.
    Leading(Box<Leadership>),
}

impl State {
    /// Whether calls are to be carried out here.
    fn takes_calls(&self) -> bool {
        matches!(self, State::Leading(leadership) if leadership.is_accepting())
    }
}

/// Runs until the master stops; ends when every sender of the mailbox is gone.
pub(crate) async fn run(context: Arc<Context>, mut inbox: Inbox) {
    let mut status = context.log.status();
    let mut state = State::Following;
    let mut retired = Retired::default();
    let first = status.borrow_and_update().clone();
    raft_changed(&context, &mut state, &mut retired, &first);
    let mut inputs = Vec::with_capacity(INPUTS_PER_TURN);
    loop {
        let leading = match &state {
            State::Leading(leadership) => leadership.next_deadline(),
            State::Refused { again } => Some(*again),
            State::Following | State::Announcing { .. } => None,
        };
        let deadline = leading.into_iter().chain(retired.deadline()).min();
        let timer = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // Biased: what is committed comes before what is asked, so that answers use the newest state.
        if let State::Leading(leadership) = &mut state {
            leadership.allocate_requested();
        }
        tokio::select! {
            biased;
            Some(batch) = inbox.batches.recv() => {
                for command in &batch.commands {
                    retired.applied(command.id, &command.applied.outcome);
                }
                batch_applied(&context, &mut state, batch);
            }
            changed = status.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = status.borrow_and_update().clone();
                raft_changed(&context, &mut state, &mut retired, &now);
            }
            Ok(()) = inbox.announced.changed() => leader::publish(&context, state.takes_calls()),
            Some(completion) = inbox.completions.recv() => {
                if let State::Leading(leadership) = &mut state
                    && completion.id().term == leadership.term
                {
                    leadership.completion(completion);
                    // Before the next call is looked at: a refused leadership sends it on.
                    leader::publish(&context, state.takes_calls());
                } else if let (State::Announcing { term, .. }, Completion::Failed(id, error)) = (&state, &completion)
                    && *id == (ProposalId { term: *term, number: 0 })
                {
                    tracing::info!(node_id = context.config.node_id, %error, "the announcement failed");
                    state = State::Refused { again: Instant::now() + ANNOUNCE_AGAIN };
                } else {
                    retired.completion(completion);
                }
            }
            () = timer => {
                let now = Instant::now();
                if retired.deadline().is_some_and(|deadline| deadline <= now) {
                    retired.give_up();
                }
                if let State::Leading(leadership) = &mut state {
                    leadership.run_timers(now);
                    leader::publish(&context, state.takes_calls());
                }
                if matches!(state, State::Refused { again } if again <= now) {
                    state = State::Following;
                    let now = status.borrow().clone();
                    raft_changed(&context, &mut state, &mut retired, &now);
                }
            }
            Some(exited) = inbox.exited.recv() => {
                if let State::Leading(leadership) = &mut state {
                    leadership.exited(&exited);
                }
            }
            count = inbox.mailbox.recv_many(&mut inputs, INPUTS_PER_TURN) => {
                if count == 0 {
                    return;
                }
                for input in inputs.drain(..) {
                    handle(&mut state, input);
                }
            }
        }
    }
}

fn handle(state: &mut State, input: Input) {
    let leading = match state {
        State::Leading(leadership) if leadership.is_accepting() => Some(leadership),
        _ => None,
    };
    let Some(leadership) = leading else {
        match input {
            // They came in the moment in which leadership moved; the edge knows that already.
            Input::Scheduler(call) => call.reply.ask_leader(),
            Input::Teardown(_, reply) => reply.ask_leader(),
            Input::Change(change) => change.reply.ask_leader(),
            Input::Operation(operation) => operation.reply.ask_leader(),
            // Agents repeat their messages to the next leader, readers are told by the dropped sender.
            Input::Message(_) | Input::StreamClosed(..) | Input::SoftState(_) | Input::OperatorStream(_) => {}
        }
        return;
    };
    match input {
        Input::Scheduler(call) => leadership.scheduler_call(*call),
        Input::Message(message) => leadership.message(&message),
        Input::StreamClosed(framework_id, stream) => leadership.stream_closed(&framework_id, stream),
        Input::SoftState(reader) => {
            // The reader may have gone away.
            reader.send(leadership.soft_state()).ok();
        }
        Input::OperatorStream(reader) => {
            // Likewise.
            reader.send(leadership.stream_start()).ok();
        }
        Input::Teardown(framework_id, reply) => leadership.operator_teardown(&framework_id, reply),
        Input::Change(change) => leadership.change_settings(*change),
        Input::Operation(operation) => leadership.operator_operation(*operation),
    }
}

fn batch_applied(context: &Arc<Context>, state: &mut State, mut batch: Batch) {
    if let State::Announcing { term, master_id } = state {
        let announcement = ProposalId { term: *term, number: 0 };
        let Some(at) = batch.commands.iter().position(|command| command.id == announcement) else {
            // Entries of a former leadership of this replica, applied again after a restart.
            return;
        };
        if !matches!(batch.commands[at].applied.outcome, Outcome::LeaderAnnounced { .. }) {
            tracing::info!(term, "the announcement was refused: a newer leader is known");
            *state = State::Following;
            return;
        }
        tracing::info!(
            node_id = context.config.node_id,
            term,
            log_index = batch.upto.index,
            "leading"
        );
        context.metrics.elected(true);
        context.metrics.event(Event::LeadershipBegun);
        let mut leadership = Leadership::new(
            context.clone(),
            *term,
            std::mem::take(master_id),
            batch.registry.clone(),
        );
        // What follows the announcement in the same batch has effects for this leadership already.
        batch.commands.drain(..=at);
        leadership.batch(batch);
        *state = State::Leading(Box::new(leadership));
    } else if let State::Leading(leadership) = state {
        leadership.batch(batch);
    }
    leader::publish(context, state.takes_calls());
}

fn raft_changed(context: &Arc<Context>, state: &mut State, retired: &mut Retired, status: &Status) {
    let leads = status.role == Role::Leader;
    let current_term = match state {
        State::Following | State::Refused { .. } => None,
        State::Announcing { term, .. } => Some(*term),
        State::Leading(leadership) => Some(leadership.term),
    };
    if current_term.is_some() && (!leads || current_term != Some(status.term)) {
        tracing::info!(node_id = context.config.node_id, term = status.term, leader = ?status.leader, "no longer leading");
        if let State::Leading(leadership) = state {
            context.metrics.event(Event::LeadershipEnded);
            retired.take_in(leadership.retire(), Instant::now());
        }
        // Ends every stream cleanly.
        *state = State::Following;
        context.metrics.elected(false);
    }
    if !leads && matches!(state, State::Refused { .. }) {
        *state = State::Following;
    }
    if leads && matches!(state, State::Following) {
        *state = announce(context, status.term);
    }
    leader::publish(context, state.takes_calls());
}

/// Proposes that this replica leads `term`: the first command of a leadership.
fn announce(context: &Arc<Context>, term: u64) -> State {
    let master_id = Uuid::from_bytes(context.seams.random_uuid()).to_string();
    let info = master_info(context, &master_id);
    let command = Command {
        proposed_at: Timestamp(context.seams.clock.now_micros()),
        kind: CommandKind::AnnounceLeader(AnnounceLeader {
            node_id: context.config.node_id,
            term,
            master: Encoded::new(&info),
            cluster_id: Uuid::from_bytes(context.seams.random_uuid()).to_string(),
        }),
    };
    let id = ProposalId { term, number: 0 };
    let completions = context.completions.clone();
    let queued = context
        .log
        .propose_with(state_machine::encode(id, &command), move |result| {
            if let Err(error) = result {
                completions.send(Completion::Failed(id, error)).ok();
            }
        });
    match queued {
        Ok(()) => State::Announcing { term, master_id },
        // The queue is full of what an earlier leadership proposed; the next status change tries again.
        Err(_) => State::Following,
    }
}

/// What this replica says of itself when it leads.
pub(crate) fn master_info(context: &Context, master_id: &str) -> MasterInfo {
    use proto::v1::{Address, master_info};
    let ip = *context.pid.address.ip();
    let capability = |capability| master_info::Capability {
        r#type: Some(capability as i32),
    };
    MasterInfo {
        id: master_id.to_owned(),
        // Network byte order read as little endian: the libprocess encoding.
        ip: u32::from_le_bytes(ip.octets()),
        port: u32::from(context.pid.address.port()),
        pid: Some(context.pid.to_string()),
        hostname: Some(context.hostname.clone()),
        version: Some(crate::version::MESOS_VERSION.to_owned()),
        address: Some(Address {
            hostname: Some(context.hostname.clone()),
            ip: Some(ip.to_string()),
            port: i32::from(context.pid.address.port()),
        }),
        capabilities: vec![
            capability(master_info::capability::Type::AgentUpdate),
            capability(master_info::capability::Type::AgentDraining),
            capability(master_info::capability::Type::QuotaV2),
        ],
        ..MasterInfo::default()
    }
}
