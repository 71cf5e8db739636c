//! The one loop that owns the book: takes what comes in, makes it durable, then carries out what follows.
//!
//! Must never send, start or answer anything before the changes it rests on are on disk ([`Actor::settle`]).

mod effects;
mod master_messages;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::Encoding;
use libprocess::{Exited, HttpResponse, Links, Message};
use proto::v1::executor::{Call, call};
use seams::Seams;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::AgentError;
use crate::book::{Book, Refusal, view};
use crate::config::Config;
use crate::detector::Leader;
use crate::processes::{self, Change};
use crate::registration::Registration;
use crate::supervisor::spec::{Phase, ProcessStatus};

/// Time without a ping after which the agent looks for the leader anew, unless the master says otherwise.
const PING_TIMEOUT: Duration = Duration::from_secs(75);

/// How often processes are looked at whose supervisor may have died without a word.
const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

/// How often subscribed executors get a heartbeat.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// How long a supervisor that was just started may take to take its lock.
const START_GRACE: Duration = Duration::from_secs(30);

/// Inputs taken before they are made durable together.
const BATCH_MAX: usize = 256;

/// Longest time an agent that was told to end waits for its processes.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// How often what is over is looked through for removal.
const GARBAGE_INTERVAL: Duration = Duration::from_secs(60);

/// A stream that was opened for an executor.
#[derive(Debug)]
pub(crate) struct OpenStream {
    /// The run it belongs to.
    pub(crate) container: String,
    /// Tells it from former streams of that run.
    pub(crate) number: u64,
    /// Framed events, one per chunk.
    pub(crate) records: mpsc::Receiver<Bytes>,
}

/// What others ask of the agent.
#[derive(Debug)]
pub(crate) enum Input {
    /// A libprocess message.
    Message(Message),
    /// A custom executor wants its stream.
    Subscribe {
        framework: String,
        executor: String,
        subscribe: call::Subscribe,
        encoding: Encoding,
        reply: oneshot::Sender<Result<OpenStream, Refusal>>,
    },
    /// The stream of this run and number has no reader any more.
    StreamClosed { container: String, number: u64 },
    /// Any other call of a custom executor.
    ExecutorCall {
        call: Box<Call>,
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// A question about the agent's state.
    View {
        question: view::Question,
        reply: oneshot::Sender<HttpResponse>,
    },
}

/// An answer that waits for the disk.
#[derive(Debug)]
enum Answer {
    Call(oneshot::Sender<Result<(), Refusal>>, Result<(), Refusal>),
}

/// Where the loop's inputs come from.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) leaders: mpsc::Receiver<Leader>,
    pub(crate) exited: mpsc::Receiver<Exited>,
    pub(crate) changes: mpsc::Receiver<Change>,
}

/// The stream of a subscribed executor.
#[derive(Debug)]
struct ExecutorStream {
    number: u64,
    encoding: Encoding,
    records: mpsc::Sender<Bytes>,
}

/// The loop's state besides the book.
#[derive(Debug)]
pub(crate) struct Actor {
    config: Arc<Config>,
    seams: Seams,
    book: Book,
    links: Links,
    suspicion: mpsc::Sender<String>,
    changed: mpsc::Sender<Change>,
    leader: Option<Leader>,
    /// Which link to the leader is the present one.
    link_generation: u64,
    is_registered: bool,
    registration: Option<Registration>,
    ping_timeout: Duration,
    ping_deadline: Option<Instant>,
    streams: HashMap<String, ExecutorStream>,
    stream_number: u64,
    started: HashMap<String, Instant>,
    answers: Vec<Answer>,
    next_sweep: Instant,
    next_heartbeat: Instant,
    next_garbage: Instant,
    /// The master told the agent to end; until then its processes may end.
    ends_by: Option<Instant>,
}

impl Actor {
    /// A loop that has not seen a master yet.
    pub(crate) fn new(
        config: Arc<Config>,
        seams: Seams,
        book: Book,
        links: Links,
        suspicion: mpsc::Sender<String>,
        changed: mpsc::Sender<Change>,
    ) -> Self {
        let now = Instant::now();
        Actor {
            config,
            seams,
            book,
            links,
            suspicion,
            changed,
            leader: None,
            link_generation: 0,
            is_registered: false,
            registration: None,
            ping_timeout: PING_TIMEOUT,
            ping_deadline: None,
            streams: HashMap::new(),
            stream_number: 0,
            started: HashMap::new(),
            answers: Vec::new(),
            next_sweep: now + SWEEP_INTERVAL,
            next_heartbeat: now + HEARTBEAT_INTERVAL,
            next_garbage: now + GARBAGE_INTERVAL,
            ends_by: None,
        }
    }

    /// Looks at every process a former agent left; `rebooted` says that none of them can live.
    pub(crate) fn recover_processes(&mut self, rebooted: bool) -> Result<(), AgentError> {
        for (process, directory) in self.book.live_processes() {
            match ProcessStatus::read(&directory) {
                Ok(Some(status)) if status.phase == Phase::Exited || !rebooted => {
                    self.book.process_changed(&process, &status);
                }
                Ok(_) if rebooted => {
                    self.book
                        .process_lost(&process, "Abnormal executor termination: unknown container");
                }
                Ok(_) => {}
                Err(text) => self.book.process_lost(&process, &text),
            }
        }
        self.settle()
    }

    /// Runs until `shutdown` resolves (processes stay), or the master tells the agent to end (they are killed).
    ///
    /// Errors: the disk failed, or the master says something this agent cannot go on with.
    pub(crate) async fn run(mut self, mut inbox: Inbox, shutdown: impl Future<Output = ()>) -> Result<(), AgentError> {
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => return self.settle(),
                Some(leader) = inbox.leaders.recv() => self.lead_by(leader),
                Some(exited) = inbox.exited.recv() => self.link_ended(exited),
                Some(change) = inbox.changes.recv() => self.process_changed(&change),
                Some(input) = inbox.inputs.recv() => self.take(input)?,
                () = sleep_until(self.next_wake()) => self.wake(),
            }
            for _ in 0..BATCH_MAX {
                if let Ok(change) = inbox.changes.try_recv() {
                    self.process_changed(&change);
                } else if let Ok(input) = inbox.inputs.try_recv() {
                    self.take(input)?;
                } else {
                    break;
                }
            }
            self.settle()?;
            if let Some(by) = self.ends_by
                && (self.book.live_processes().is_empty() || by <= Instant::now())
            {
                return Ok(());
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<(), AgentError> {
        match input {
            Input::Message(message) => return self.message(message),
            Input::Subscribe {
                framework,
                executor,
                subscribe,
                encoding,
                reply,
            } => {
                let container = self.book.executor_container(&framework, &executor);
                let opened = container.map(|container| self.open_stream(container, encoding));
                let is_open = opened.is_ok();
                if reply.send(opened).is_err() {
                    tracing::debug!(framework_id = framework, "an executor did not wait for its stream");
                } else if is_open {
                    self.book.subscribe_executor(&framework, &executor, subscribe);
                }
            }
            Input::StreamClosed { container, number } => {
                if self
                    .streams
                    .get(&container)
                    .is_some_and(|stream| stream.number == number)
                {
                    self.streams.remove(&container);
                    self.book.executor_disconnected(&container);
                }
            }
            Input::ExecutorCall { call, reply } => {
                let result = self.book.executor_call(*call);
                self.answers.push(Answer::Call(reply, result));
            }
            Input::View { question, reply } => {
                if reply.send(self.book.view(&question)).is_err() {
                    tracing::debug!("nobody waits for the answer any more");
                }
            }
        }
        Ok(())
    }

    /// A (possibly) new leader: register with it after a random time.
    fn lead_by(&mut self, leader: Leader) {
        tracing::info!(pid = %leader.pid, "following the leading master");
        self.link_generation = self.links.link(leader.pid.address);
        if let Some(former) = self.leader.replace(leader)
            && let Some(present) = &self.leader
            && former.pid.address != present.pid.address
        {
            self.links.unlink(former.pid.address);
        }
        self.is_registered = false;
        self.book.disconnected();
        self.ping_deadline = None;
        let factor = self.config.registration_backoff_factor;
        let is_known = self.book.agent_id().is_some();
        let first = if is_known {
            self.config.failover_jitter.min(factor)
        } else {
            factor
        };
        let random = self.seams.random_u64();
        self.registration = Some(Registration::begin(Instant::now(), first, factor, random));
    }

    fn link_ended(&mut self, exited: Exited) {
        let is_leader = self
            .leader
            .as_ref()
            .is_some_and(|leader| leader.pid.address == exited.address);
        if is_leader && exited.generation == self.link_generation {
            tracing::info!(address = %exited.address, "the connection to the leading master broke");
            self.suspect();
        }
    }

    /// Has the detector look for the leader again.
    fn suspect(&mut self) {
        let Some(leader) = &self.leader else { return };
        if self.suspicion.try_send(leader.address.clone()).is_err() {
            tracing::debug!("the detector is busy with suspicions already");
        }
    }

    fn process_changed(&mut self, change: &Change) {
        let Some(directory) = self.book.directory_of(&change.process) else {
            return;
        };
        match ProcessStatus::read(&directory) {
            Ok(Some(status)) => {
                let is_running = status.phase == Phase::Running;
                self.book.process_changed(&change.process, &status);
                if is_running && change.has_ended {
                    processes::kill_orphan(&status);
                    self.book.process_lost(&change.process, "Executor terminated");
                }
            }
            Ok(None) if change.has_ended => self.book.process_lost(&change.process, "Executor terminated"),
            Ok(None) => {}
            Err(text) => self.book.process_lost(&change.process, &text),
        }
        if change.has_ended {
            self.started.remove(&change.process);
        }
    }

    fn next_wake(&self) -> Instant {
        let registration = self.registration.as_ref().map(Registration::at);
        let fixed = self.next_sweep.min(self.next_heartbeat).min(self.next_garbage);
        let others = [registration, self.ping_deadline, self.book.next_timer(), self.ends_by];
        others.into_iter().flatten().fold(fixed, Instant::min)
    }

    fn wake(&mut self) {
        let now = Instant::now();
        self.book.fire_timers();
        if self
            .registration
            .as_ref()
            .is_some_and(|registration| registration.at() <= now)
        {
            self.register(now);
        }
        if self.ping_deadline.is_some_and(|at| at <= now) {
            tracing::warn!(timeout = ?self.ping_timeout, "no ping from the leading master");
            self.ping_deadline = Some(now + self.ping_timeout);
            self.suspect();
        }
        if self.next_sweep <= now {
            self.next_sweep = now + SWEEP_INTERVAL;
            self.sweep(now);
        }
        if self.next_heartbeat <= now {
            self.next_heartbeat = now + HEARTBEAT_INTERVAL;
            self.heartbeat_executors();
        }
        if self.next_garbage <= now {
            self.next_garbage = now + GARBAGE_INTERVAL;
            self.book.collect_garbage();
        }
    }

    fn register(&mut self, now: Instant) {
        let (Some(leader), Some(registration)) = (&self.leader, &mut self.registration) else {
            return;
        };
        registration.attempted(now, self.seams.random_u64());
        let (name, body) = self.book.registration();
        // The link may have ended since; the message would go out all the same, but nobody would notice its end.
        self.link_generation = self.links.link(leader.pid.address);
        self.links.send(crate::ACTOR_ID, &leader.pid, name, body.into());
    }

    /// Finds processes whose supervisor died without a word, and changes whose news was lost.
    fn sweep(&mut self, now: Instant) {
        self.started.retain(|_, at| *at + START_GRACE > now);
        for (process, directory) in self.book.live_processes() {
            if self.started.contains_key(&process) || processes::is_supervised(&directory) {
                continue;
            }
            self.process_changed(&Change {
                process,
                has_ended: true,
            });
        }
    }
}
