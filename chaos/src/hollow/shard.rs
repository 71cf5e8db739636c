//! The hollow agents behind one port: their mailbox, their clock and their connection to the leading master.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::net::SocketAddrV4;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libprocess::{Exited, HttpRequest, HttpResponse, Links, Message, Service, Upid};
use proto::v1::AgentInfo;
use seams::Seams;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info};

use super::agent::{HollowAgent, Outgoing, Surroundings, TaskKey};
use super::control::Common;
use super::counts::Counts;
use super::observe::Observer;
use super::{FleetConfig, Leader};
use crate::history::Recorder;

/// Registrations not answered are repeated after this time, doubling up to the maximum, as agents do.
const REGISTRATION_RETRY_MIN: Duration = Duration::from_secs(2);
const REGISTRATION_RETRY_MAX: Duration = Duration::from_secs(60);
/// Updates not acknowledged are repeated this often. (Real agents wait longer each time.)
const UPDATE_RETRY: Duration = Duration::from_secs(10);
/// Without a ping for so long an agent registers again.
const PING_TIMEOUT: Duration = Duration::from_secs(75);
/// Time from the end of an agent that was shut down to the start of the next.
const RISE_PAUSE: Duration = Duration::from_secs(1);
/// How often the clock of the shard ticks while nothing else is due.
const TICK: Duration = Duration::from_secs(1);

/// What arrives at a shard.
#[derive(Debug)]
pub(super) enum Mail {
    Message(Message),
    FinishAll,
}

/// The port of a shard.
#[derive(Debug)]
pub(super) struct ShardService {
    agents: usize,
    mailbox: mpsc::Sender<Mail>,
}

impl ShardService {
    pub(super) fn new(agents: usize, mailbox: mpsc::Sender<Mail>) -> Self {
        ShardService { agents, mailbox }
    }
}

impl Service for ShardService {
    fn knows_actor(&self, id: &str) -> bool {
        slot(id).is_some_and(|slot| slot < self.agents)
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.mailbox.send(Mail::Message(message)).await.is_err() {
                debug!("a message came for a fleet that has ended");
            }
        })
    }

    fn handle(&self, _request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(std::future::ready(HttpResponse::status(404)))
    }
}

/// The place of the agent `slave(N)` in its shard, from 0.
fn slot(actor: &str) -> Option<usize> {
    actor
        .strip_prefix("slave(")?
        .strip_suffix(')')?
        .parse::<usize>()
        .ok()?
        .checked_sub(1)
}

/// What is due at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The agent in this slot registers, for the n-th time with this leader.
    Register {
        slot: usize,
        attempt: u32,
        generation: u64,
    },
    Finish {
        slot: usize,
        key: TaskKey,
    },
    Fail {
        slot: usize,
        key: TaskKey,
    },
    RepeatUpdates,
    CheckPings,
}

pub(super) struct Shard {
    seams: Seams,
    counts: Arc<Counts>,
    suspicion: mpsc::Sender<String>,
    links: Links,
    agents: Vec<HollowAgent>,
    last_pings: Vec<Instant>,
    task_duration: Option<Duration>,
    starting_updates: bool,
    registration_spread: Duration,
    heeds_commands: bool,
    rises_again: bool,
    observer: Option<Recorder>,
    leader: Option<Leader>,
    /// Counts the leaders followed; tells a registration that is due from one of an earlier leader.
    generation: u64,
    link_generation: u64,
    due: BinaryHeap<Reverse<(Instant, Due)>>,
}

/// What survives the death of the agents' process: their checkpoints, and their tasks, which run on.
#[derive(Debug)]
pub(super) struct Memory {
    agents: Vec<HollowAgent>,
    /// When tasks end.
    ends: Vec<(Instant, Due)>,
}

impl Memory {
    /// Agents with nothing.
    pub(super) fn fresh(config: &FleetConfig, numbers: Range<usize>, address: SocketAddrV4, seams: &Seams) -> Self {
        let agents = numbers.enumerate().map(|(slot, number)| {
            let actor = format!("slave({})", slot + 1);
            let pid = Upid::new(actor.clone(), address).to_string();
            let info = AgentInfo {
                hostname: format!("{}-{}", config.hostname_prefix, number + 1),
                resources: config.resources.clone(),
                port: Some(i32::from(address.port())),
                checkpoint: Some(true),
                ..AgentInfo::default()
            };
            HollowAgent::new(actor, pid, info, seams.random_uuid())
        });
        Memory {
            agents: agents.collect(),
            ends: Vec::new(),
        }
    }

    /// Nothing survives after all: the agents that come back are new ones.
    pub(super) fn lose(&mut self, common: &Common, reason: &str) {
        for agent in &mut self.agents {
            agent.end(&common.counts, common.config.observer.as_ref(), reason);
            *agent = agent.fresh(common.seams.random_uuid());
        }
        self.ends.clear();
    }
}

/// What is done to a shard as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// End at once, and hand over what survives.
    Die,
    /// Take leave of the master, then end.
    Leave,
    /// Do nothing until `Resume`.
    Pause,
    /// Go on.
    Resume,
}

impl Shard {
    pub(super) fn new(
        config: &FleetConfig,
        memory: Memory,
        seams: Seams,
        counts: Arc<Counts>,
        suspicion: mpsc::Sender<String>,
        links: Links,
    ) -> Self {
        let now = Instant::now();
        let mut due = BinaryHeap::from([
            Reverse((now + UPDATE_RETRY, Due::RepeatUpdates)),
            Reverse((now + PING_TIMEOUT, Due::CheckPings)),
        ]);
        due.extend(memory.ends.into_iter().map(Reverse));
        Shard {
            last_pings: vec![now; memory.agents.len()],
            seams,
            counts,
            suspicion,
            links,
            agents: memory.agents,
            task_duration: config.task_duration,
            starting_updates: config.starting_updates,
            registration_spread: config.registration_spread,
            heeds_commands: config.heeds_commands,
            rises_again: config.rises_again,
            observer: config.observer.clone(),
            leader: None,
            generation: 0,
            link_generation: 0,
            due,
        }
    }

    /// Runs until the fleet is dropped (`None`) or the process is to die.
    pub(super) async fn run(
        mut self,
        mut mails: mpsc::Receiver<Mail>,
        mut exited: mpsc::Receiver<Exited>,
        mut leader: watch::Receiver<Option<Leader>>,
        mut controls: mpsc::Receiver<Control>,
    ) -> Option<Memory> {
        loop {
            let next_due = self
                .due
                .peek()
                .map_or_else(|| Instant::now() + TICK, |Reverse((at, _))| *at);
            tokio::select! {
                // In one order, so that a simulation repeats itself; what is due is little, so that mail is not kept.
                biased;
                control = controls.recv() => {
                    if let Some(end) = self.obey(control?, &mut controls).await? {
                        if end == Control::Leave {
                            self.take_leave();
                        }
                        return Some(self.die());
                    }
                }
                changed = leader.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                    let pid = leader.borrow_and_update().clone();
                    self.follow(pid);
                }
                Some(exited) = exited.recv() => self.exited(exited),
                () = sleep_until(next_due) => self.do_what_is_due(),
                mail = mails.recv() => self.take(mail?),
            }
        }
    }

    /// Stands still as long as it is to. `Some(Some(_))`: the process is to end, and how; `None`: the fleet was dropped.
    async fn obey(&self, control: Control, controls: &mut mpsc::Receiver<Control>) -> Option<Option<Control>> {
        let mut control = control;
        loop {
            match control {
                Control::Die | Control::Leave => return Some(Some(control)),
                Control::Resume => return Some(None),
                Control::Pause => control = controls.recv().await?,
            }
        }
    }

    fn take_leave(&mut self) {
        for slot in 0..self.agents.len() {
            self.with_agent(slot, None, |agent, _| agent.unregistration().into_iter().collect());
        }
    }

    /// The process dies.
    fn die(self) -> Memory {
        let mut agents = self.agents;
        for agent in &mut agents {
            agent.disconnect(&self.counts);
        }
        let is_end = |due: &Due| matches!(due, Due::Finish { .. } | Due::Fail { .. });
        let due = self.due.into_iter().map(|Reverse(due)| due);
        Memory {
            agents,
            ends: due.filter(|(_, due)| is_end(due)).collect(),
        }
    }

    fn follow(&mut self, leader: Option<Leader>) {
        if let Some(before) = self.leader.take()
            && leader
                .as_ref()
                .is_none_or(|leader| leader.pid.address != before.pid.address)
        {
            self.links.unlink(before.pid.address);
        }
        for agent in &mut self.agents {
            agent.disconnect(&self.counts);
        }
        let Some(leader) = leader else { return };
        self.link_generation = self.links.link(leader.pid.address);
        self.leader = Some(leader);
        self.generation += 1;
        let now = Instant::now();
        for slot in 0..self.agents.len() {
            let delay = self.random(self.registration_spread);
            let due = Due::Register {
                slot,
                attempt: 0,
                generation: self.generation,
            };
            self.due.push(Reverse((now + delay, due)));
        }
        self.do_what_is_due();
    }

    fn exited(&mut self, exited: Exited) {
        let Some(leader) = &self.leader else { return };
        if leader.pid.address == exited.address && exited.generation == self.link_generation {
            info!(address = %exited.address, "the connection to the master is gone");
            if self.suspicion.try_send(leader.address.clone()).is_err() {
                debug!("other shards have the same suspicion");
            }
        }
    }

    fn take(&mut self, mail: Mail) {
        match mail {
            Mail::Message(message) => self.take_message(&message),
            Mail::FinishAll => {
                for slot in 0..self.agents.len() {
                    self.with_agent(slot, None, HollowAgent::finish_all);
                }
            }
        }
    }

    fn take_message(&mut self, message: &Message) {
        let Some(slot) = slot(&message.to).filter(|slot| *slot < self.agents.len()) else {
            return;
        };
        if self.agents[slot].terminated {
            return;
        }
        if message.name.ends_with("PingSlaveMessage") {
            self.last_pings[slot] = Instant::now();
        }
        let from_leader =
            message.from.is_some() && message.from.as_ref() == self.leader.as_ref().map(|leader| &leader.pid);
        self.with_agent(slot, message.from.as_ref(), |agent, around| {
            agent
                .take(&message.name, &message.body, from_leader, around)
                .unwrap_or_else(|error| {
                    info!(name = message.name, %error, "dropped a message that cannot be decoded");
                    Vec::new()
                })
        });
        self.plan_ends(slot);
        if self.agents[slot].terminated && self.rises_again {
            self.rise(slot);
        }
    }

    /// Tasks that just began will end.
    fn plan_ends(&mut self, slot: usize) {
        let began = std::mem::take(&mut self.agents[slot].began);
        for (key, own_life) in began {
            let end = match own_life {
                Some(life) if life.fails => Some((life.duration, Due::Fail { slot, key })),
                Some(life) => Some((life.duration, Due::Finish { slot, key })),
                None => self.task_duration.map(|duration| (duration, Due::Finish { slot, key })),
            };
            let now = Instant::now();
            self.due
                .extend(end.map(|(duration, due)| Reverse((now + duration, due))));
        }
    }

    /// An agent that was shut down is started again as a new one.
    fn rise(&mut self, slot: usize) {
        let agent = &mut self.agents[slot];
        agent.end(&self.counts, self.observer.as_ref(), "the master shut it down");
        *agent = agent.fresh(self.seams.random_uuid());
        let due = Due::Register {
            slot,
            attempt: 0,
            generation: self.generation,
        };
        self.due.push(Reverse((Instant::now() + RISE_PAUSE, due)));
    }

    /// Lets an agent do something and sends what comes of it.
    fn with_agent(
        &mut self,
        slot: usize,
        sender: Option<&Upid>,
        act: impl FnOnce(&mut HollowAgent, &Surroundings<'_>) -> Vec<Outgoing>,
    ) {
        let seams = &self.seams;
        let around = Surroundings {
            counts: &self.counts,
            // Microseconds since 1970 fit a double's 53 bits until the year 2255.
            now: seams.clock.now_micros() as f64 / 1e6,
            uuid: &|| seams.random_uuid(),
            starting_updates: self.starting_updates,
            heeds_commands: self.heeds_commands,
            observer: Observer {
                recorder: self.observer.as_ref(),
                master: sender,
            },
        };
        let agent = &mut self.agents[slot];
        for outgoing in act(agent, &around) {
            let to = if outgoing.to_sender {
                sender
            } else {
                self.leader.as_ref().map(|leader| &leader.pid)
            };
            if let Some(to) = to {
                self.links.send(&agent.actor, to, outgoing.name, outgoing.body);
            }
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let mut due = VecDeque::new();
        while let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
            && let Some(Reverse((_, next))) = self.due.pop()
        {
            due.push_back(next);
        }
        for next in due {
            match next {
                Due::Register {
                    slot,
                    attempt,
                    generation,
                } if generation == self.generation => {
                    self.register(slot, attempt, now);
                }
                Due::Register { .. } => {}
                Due::Finish { slot, key } => self.with_agent(slot, None, |agent, around| {
                    agent.finish(&key, around).into_iter().collect()
                }),
                Due::Fail { slot, key } => self.with_agent(slot, None, |agent, around| {
                    agent.fail(&key, around).into_iter().collect()
                }),
                Due::RepeatUpdates => {
                    for slot in 0..self.agents.len() {
                        self.with_agent(slot, None, HollowAgent::unacknowledged);
                    }
                    self.due.push(Reverse((now + UPDATE_RETRY, Due::RepeatUpdates)));
                }
                Due::CheckPings => self.check_pings(now),
            }
        }
    }

    fn register(&mut self, slot: usize, attempt: u32, now: Instant) {
        let agent = &self.agents[slot];
        if agent.registered || agent.terminated {
            return;
        }
        self.last_pings[slot] = now;
        self.with_agent(slot, None, |agent, around| {
            agent.telling_all(&around.observer);
            vec![agent.registration()]
        });
        let retry = REGISTRATION_RETRY_MIN
            .saturating_mul(1 << attempt.min(8))
            .min(REGISTRATION_RETRY_MAX);
        let at = now + retry + self.random(retry);
        let due = Due::Register {
            slot,
            attempt: attempt + 1,
            generation: self.generation,
        };
        self.due.push(Reverse((at, due)));
    }

    /// Agents that were not pinged for long register again with the same leader.
    fn check_pings(&mut self, now: Instant) {
        for slot in 0..self.agents.len() {
            if self.agents[slot].registered && now - self.last_pings[slot] > PING_TIMEOUT {
                self.agents[slot].disconnect(&self.counts);
                self.register(slot, 0, now);
            }
        }
        self.due.push(Reverse((now + TICK, Due::CheckPings)));
    }

    /// A random time below `limit`.
    fn random(&self, limit: Duration) -> Duration {
        let micros = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.seams.random_u64().checked_rem(micros).unwrap_or(0))
    }
}
