//! One leadership of this replica: everything soft that belongs to it, created when its announcement is applied and
//! dropped when it stops leading.
//!
//! Connections, offers, the allocator, timers and waiting callers live here and nowhere else. Dropping the value ends
//! every event stream with its final chunk; the callers outlive it in [`retired`] until their fate is known. Replicated facts are only read, from the
//! registry as of the last batch; they change by proposing a command and seeing it come back in [`Leadership::batch`].
//! What happens to a call is in the file named after it; [`effects`] is the only place that talks to agents and
//! frameworks on behalf of a committed command.

mod accept;
mod agent_messages;
mod agents;
mod calls;
mod effects;
mod frameworks;
mod nudge;
mod offers;
pub(crate) mod operations;
mod proposals;
mod reconcile;
mod registration;
pub(crate) mod reply;
pub(crate) mod retired;
pub(crate) mod settings;
pub(crate) mod soft_state;
pub(crate) mod stream;
mod subscribe;
mod timers;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use libprocess::{Exited, Message};
use master_core::Registry;
use master_core::allocator::{Allocator, AllocatorConfig, Requested};
use master_core::ids::{AgentId, FrameworkId, OfferId, TaskId};
use planted::{Bug, is_planted};
use replicated_log::ProposeError;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::actor::Context;
use crate::state_machine::{Batch, ProposalId};

use agents::AgentConnection;
pub(crate) use calls::SchedulerCall;
use frameworks::FrameworkConnection;
use offers::Offer;
use proposals::Proposals;
pub(crate) use proposals::{Completion, Pending, unavailable, unknown_outcome};
pub(crate) use soft_state::{SoftState, StreamStart};
use timers::{Timer, Timers};

/// For how long a leadership whose command was refused waits for its end. Meanwhile calls are held for the next leader; a
/// leadership that lasts longer was refused in error and goes on.
const REFUSED_MAX: Duration = Duration::from_secs(2);

/// Soft state of this replica while it leads.
#[derive(Debug)]
pub(crate) struct Leadership {
    context: Arc<Context>,
    /// Raft term of this leadership.
    pub(crate) term: u64,
    /// `MasterInfo.id`: fresh for each leadership, prefix of its offer ids.
    pub(crate) master_id: String,
    /// State after the last batch seen.
    registry: Registry,
    /// Index of the last entry in `registry`.
    applied_index: u64,
    /// Dropped with the leadership: streams of operator events end then.
    ends: watch::Sender<()>,
    frameworks: BTreeMap<FrameworkId, FrameworkConnection>,
    /// Agents that registered or reregistered with this leadership.
    agents: BTreeMap<AgentId, AgentConnection>,
    /// The agent behind a libprocess address text, `slave(1)@ip:port`.
    agents_by_pid: HashMap<String, AgentId>,
    /// Pids whose registration is on its way through the log.
    registering: HashMap<String, Instant>,
    offers: BTreeMap<OfferId, Offer>,
    next_offer: u64,
    /// Of accepted offers, by the number of their ACCEPT, while operations on them are on their way through the log.
    remainders: BTreeMap<u64, operations::Remainder>,
    /// Agents whose books in the allocator are made anew before it is asked again.
    recounted: std::collections::BTreeSet<AgentId>,
    allocator: Allocator,
    /// Task ids on their way through the log, not yet in the registry.
    launching: std::collections::BTreeSet<(FrameworkId, TaskId)>,
    /// Status updates on their way through the log, so that a resent one is not proposed twice.
    updating: std::collections::BTreeSet<(FrameworkId, TaskId, Vec<u8>)>,
    proposals: Proposals,
    /// Since when the log refuses this leadership's commands: another replica leads, or is about to.
    refused_since: Option<Instant>,
    timers: Timers,
    /// Counts registrations, disconnections and the like, so that a late timer knows it is late.
    generation: u64,
    /// When this leadership began; recovered agents are given until `agent_reregister_timeout` after it.
    pub(crate) started: Instant,
    /// The same in microseconds of the wall clock.
    pub(crate) elected_at: u64,
}

impl Leadership {
    /// Builds the soft state from the registry as it was when the announcement of this leadership was applied.
    pub(crate) fn new(context: Arc<Context>, term: u64, master_id: String, registry: Registry) -> Leadership {
        let now = Instant::now();
        let mut leadership = Leadership {
            term,
            master_id,
            frameworks: BTreeMap::new(),
            agents: BTreeMap::new(),
            agents_by_pid: HashMap::new(),
            registering: HashMap::new(),
            offers: BTreeMap::new(),
            next_offer: 0,
            remainders: BTreeMap::new(),
            recounted: Default::default(),
            allocator: Allocator::new(AllocatorConfig {
                allocation_interval: micros(context.config.allocation_interval),
                ..AllocatorConfig::default()
            }),
            launching: Default::default(),
            updating: Default::default(),
            proposals: Proposals::new(term),
            refused_since: None,
            timers: Timers::default(),
            generation: 0,
            started: now,
            elected_at: context.seams.clock.now_micros(),
            // Known with the first batch, the one this leadership begins in.
            applied_index: 0,
            ends: watch::Sender::new(()),
            registry,
            context,
        };
        let config = leadership.context.config.clone();
        leadership.timers.at(now + config.allocation_interval, Timer::Allocate);
        leadership
            .timers
            .at(now + config.agent_reregister_timeout, Timer::RecoveredAgents);
        leadership
            .timers
            .at(now + proposals::SWEEP_INTERVAL, Timer::SweepProposals);
        leadership.timers.at(now + nudge::FIRST_NUDGE, Timer::Nudge(None));
        leadership.recover_frameworks(now);
        leadership.recover_settings();
        leadership
    }

    /// When [`Leadership::run_timers`] wants to be called next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    /// Does everything that is due.
    pub(crate) fn run_timers(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Allocate => self.allocate_periodically(now),
                Timer::Heartbeat(framework_id, stream) => self.heartbeat(&framework_id, stream, now),
                Timer::FailoverTimeout(framework_id, disconnection) => {
                    self.failover_timeout(&framework_id, disconnection);
                }
                Timer::Ping(agent_id, generation) => self.ping_due(&agent_id, generation, now),
                Timer::ReregisterTimeout(agent_id, generation) => self.reregister_timeout(&agent_id, generation),
                Timer::RecoveredAgents => self.recovered_agents_due(now),
                Timer::Nudge(after) => self.nudge_due(after.as_ref(), now),
                Timer::OfferTimeout(offer_id) => self.rescind(&offer_id),
                Timer::SweepProposals => {
                    self.proposals.sweep(now, self.context.config.propose_timeout);
                    self.timers.at(now + proposals::SWEEP_INTERVAL, Timer::SweepProposals);
                    if self.refused_since.is_some_and(|since| now - since >= REFUSED_MAX) {
                        self.refused_since = None;
                    }
                }
            }
        }
    }

    /// Whether calls can be carried out: the log has not just refused a command because another replica shall lead.
    pub(crate) fn is_accepting(&self) -> bool {
        self.refused_since.is_none()
    }

    /// The callers still waiting when this leadership ends.
    pub(crate) fn retire(&mut self) -> impl Iterator<Item = (ProposalId, Pending)> + use<> {
        self.proposals.retire()
    }

    /// Takes in what was committed and applied, in log order, and performs its effects.
    pub(crate) fn batch(&mut self, batch: Batch) {
        self.registry = batch.registry;
        self.applied_index = batch.upto.index;
        for command in batch.commands {
            let mut id = command.id;
            if is_planted(Bug::ReplyToWrongCaller) {
                id.number += 1;
            }
            let pending = self.proposals.take(id);
            self.outcome(pending, command.applied);
        }
        // Only now: the registry is that of the end of the batch.
        self.recount_agents();
    }

    /// A proposal that will not come back in a batch, or a confirmed read.
    pub(crate) fn completion(&mut self, completion: Completion) {
        match completion {
            Completion::Failed(id, error) => {
                if matches!(error, ProposeError::NotLeader { .. }) {
                    self.refused_since.get_or_insert_with(Instant::now);
                }
                if let Some(pending) = self.proposals.take(id) {
                    self.proposal_failed(pending, &error);
                }
            }
            Completion::Confirmed(id) => {
                if let Some(pending) = self.proposals.take(id) {
                    self.confirmed(pending);
                }
            }
        }
    }

    /// A libprocess message for the actor `master`.
    pub(crate) fn message(&mut self, message: &Message) {
        self.agent_message(message);
    }

    /// The outbound connection to `exited.address` broke.
    pub(crate) fn exited(&mut self, exited: &Exited) {
        self.agent_connection_exited(exited);
    }

    /// Offers what the last inputs made available: called once after each turn of the actor, so that bursts coalesce.
    pub(crate) fn allocate_requested(&mut self) {
        self.recount_agents();
        match self.allocator.take_requested() {
            Requested::Nothing => {}
            Requested::Agents(agents) => self.allocate(Some(&agents)),
            Requested::AllAgents => self.allocate(None),
        }
    }

    fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn now_micros(&self) -> u64 {
        micros(Instant::now() - self.started)
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        // Whoever leads next keeps its own connections; messages already queued are still sent.
        for agent in self.agents.values() {
            self.context.links.unlink(agent.pid.address);
        }
    }
}

/// A duration in whole microseconds.
fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
