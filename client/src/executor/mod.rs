//! An executor's connection to its agent (v1 executor API), kept up while the agent restarts.
//!
//! Updates that the agent has not acknowledged are kept here and told to it again at every subscription, with the
//! tasks they belong to. Start at [`ExecutorConfig::from_env`] and [`Executor::start`].

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::v1::executor::call::{Message, Subscribe, Type as CallType, Update};
use proto::v1::executor::event::Type as EventType;
use proto::v1::executor::{Call, Event};
use proto::v1::{ExecutorId, FrameworkId, TaskInfo, TaskStatus};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info};

use crate::backoff::Backoff;
use crate::encoding::Encoding;
use crate::http::{EventStream, Http, error_text};
use crate::outcome::CallOutcome;

/// Path of the executor API on an agent that names none in `MESOS_AGENT_ENDPOINT`.
const EXECUTOR_PATH: &str = "/api/v1/executor";
/// How long an executor outlives its agent when the agent does not say (Mesos `--recovery_timeout`).
const RECOVERY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Limit of the answer to SUBSCRIBE.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Notices kept for a slow reader before the stream is read no further.
const NOTICES_MAX: usize = 1024;

/// Who this executor is and where its agent listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutorConfig {
    /// `host:port` of the agent.
    pub agent: String,
    /// Its framework.
    pub framework_id: FrameworkId,
    /// Itself.
    pub executor_id: ExecutorId,
    /// How long to look for a vanished agent before giving up; `None` without checkpointing: give up at once.
    pub recovery_timeout: Option<Duration>,
    /// Encoding of calls and events.
    pub encoding: Encoding,
}

/// Why the environment does not describe an executor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("environment variable {0} is not set: an executor is started by an agent, which sets it")]
pub struct ExecutorConfigError(pub &'static str);

impl ExecutorConfig {
    /// Reads what the agent says in the environment: `MESOS_AGENT_ENDPOINT`, `MESOS_FRAMEWORK_ID`,
    /// `MESOS_EXECUTOR_ID`, `MESOS_CHECKPOINT`. `variable` looks one up, usually `|name| std::env::var(name).ok()`.
    ///
    /// # Errors
    /// The name of the first variable that is missing.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ExecutorConfigError> {
        let need = |name: &'static str| variable(name).ok_or(ExecutorConfigError(name));
        Ok(ExecutorConfig {
            agent: need("MESOS_AGENT_ENDPOINT")?,
            framework_id: FrameworkId {
                value: need("MESOS_FRAMEWORK_ID")?,
            },
            executor_id: ExecutorId {
                value: need("MESOS_EXECUTOR_ID")?,
            },
            recovery_timeout: (variable("MESOS_CHECKPOINT").as_deref() == Some("1"))
                .then_some(RECOVERY_TIMEOUT_DEFAULT),
            encoding: Encoding::default(),
        })
    }
}

/// What an executor learns, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum ExecutorNotice {
    /// Any event of the agent but HEARTBEAT.
    Event(Box<Event>),
    /// The agent is gone; it is being looked for.
    Disconnected(String),
    /// The last notice: the agent refused this executor or did not come back in time. The executor should end.
    Ended(String),
}

/// The receiving side; dropping it ends the subscription.
#[derive(Debug)]
pub struct ExecutorEvents(mpsc::Receiver<ExecutorNotice>);

impl ExecutorEvents {
    /// The next notice; `None` after the last.
    pub async fn next(&mut self) -> Option<ExecutorNotice> {
        self.0.recv().await
    }
}

/// What the agent has to be told again after a reconnection. Shapes: tasks by id; updates by uuid, in no order
/// between tasks.
#[derive(Debug, Default)]
struct Unacknowledged {
    tasks: BTreeMap<String, TaskInfo>,
    updates: Vec<TaskStatus>,
}

/// The sending side. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Executor {
    http: Http,
    config: Arc<ExecutorConfig>,
    unacknowledged: Arc<Mutex<Unacknowledged>>,
}

impl Executor {
    /// Starts to subscribe; the subscription lives in a task of the current runtime.
    pub fn start(config: ExecutorConfig, seams: Seams) -> (Executor, ExecutorEvents) {
        let (sender, receiver) = mpsc::channel(NOTICES_MAX);
        let executor = Executor {
            http: Http::new(&seams),
            config: Arc::new(config),
            unacknowledged: Arc::default(),
        };
        let worker = executor.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = sender.closed() => {}
                () = worker.run(&sender, seams) => {}
            }
        });
        (executor, ExecutorEvents(receiver))
    }

    /// Sends an update, which must carry a `uuid`; keeps it until the agent acknowledges it. When the outcome is not
    /// `Refused`, the agent will learn of it, at the latest when it comes back.
    pub async fn update(&self, status: TaskStatus) -> CallOutcome {
        self.lock().updates.push(status.clone());
        let call = Call {
            update: Some(Update { status }),
            ..self.new_call(CallType::Update)
        };
        self.send(&call).await
    }

    /// Sends bytes to the framework; may be lost.
    pub async fn message(&self, data: Bytes) -> CallOutcome {
        let call = Call {
            message: Some(Message { data }),
            ..self.new_call(CallType::Message)
        };
        self.send(&call).await
    }

    /// Whether every update sent so far has been acknowledged by the agent.
    pub fn all_acknowledged(&self) -> bool {
        self.lock().updates.is_empty()
    }

    async fn send(&self, call: &Call) -> CallOutcome {
        let body = self.config.encoding.encode(call);
        self.http
            .call(&self.config.agent, EXECUTOR_PATH, self.config.encoding, None, body)
            .await
    }

    fn new_call(&self, call_type: CallType) -> Call {
        Call {
            executor_id: self.config.executor_id.clone(),
            framework_id: self.config.framework_id.clone(),
            r#type: Some(call_type.into()),
            ..Call::default()
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Unacknowledged> {
        self.unacknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(&self, notices: &mpsc::Sender<ExecutorNotice>, seams: Seams) {
        let mut backoff = Backoff::new(seams);
        let mut lost_at: Option<Instant> = None;
        let mut was_subscribed = false;
        loop {
            let reason = match self.follow(notices, &mut was_subscribed).await {
                Ok(reason) => reason,
                Err(refusal) => return notify(notices, ExecutorNotice::Ended(refusal)).await,
            };
            if std::mem::take(&mut was_subscribed) {
                backoff.reset();
                lost_at = None;
                notify(notices, ExecutorNotice::Disconnected(reason.clone())).await;
            }
            let lost_at = *lost_at.get_or_insert_with(Instant::now);
            let patience = self.config.recovery_timeout.unwrap_or_default();
            if lost_at.elapsed() >= patience {
                let reason = format!(
                    "the agent at {} did not come back in {patience:?}: {reason}",
                    self.config.agent
                );
                return notify(notices, ExecutorNotice::Ended(reason)).await;
            }
            sleep(backoff.next_pause()).await;
        }
    }

    /// Subscribes and reads to the end of the stream. `Ok` says why it ended, `Err` why it is pointless to try again.
    async fn follow(
        &self,
        notices: &mpsc::Sender<ExecutorNotice>,
        was_subscribed: &mut bool,
    ) -> Result<String, String> {
        let encoding = self.config.encoding;
        let body = encoding.encode(&self.subscribe_call());
        let subscribing = self.http.subscribe(&self.config.agent, EXECUTOR_PATH, encoding, body);
        let response = match timeout(SUBSCRIBE_TIMEOUT, subscribing).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ok(error.to_string()),
            Err(_) => return Ok(format!("no answer to SUBSCRIBE within {SUBSCRIBE_TIMEOUT:?}")),
        };
        match response.status {
            200 => {}
            // The agent is still recovering.
            503 => return Ok(format!("SUBSCRIBE answered 503: {}", error_text(response).await)),
            status => {
                return Err(format!(
                    "SUBSCRIBE refused with {status}: {}",
                    error_text(response).await
                ));
            }
        }
        let mut events = EventStream::new(response, encoding);
        loop {
            let event: Event = match events.next().await {
                Ok(Some(event)) => event,
                Ok(None) => return Ok("the agent ended the stream".to_owned()),
                Err(error) => return Ok(error.to_string()),
            };
            match event.r#type() {
                EventType::Heartbeat => continue,
                EventType::Error => return Err(event.error.map(|error| error.message).unwrap_or_default()),
                EventType::Subscribed => {
                    info!(agent = %self.config.agent, "subscribed");
                    *was_subscribed = true;
                }
                _ => {}
            }
            self.remember(&event);
            notify(notices, ExecutorNotice::Event(Box::new(event))).await;
        }
    }

    fn subscribe_call(&self) -> Call {
        let unacknowledged = self.lock();
        let subscribe = Subscribe {
            unacknowledged_tasks: unacknowledged.tasks.values().cloned().collect(),
            unacknowledged_updates: unacknowledged
                .updates
                .iter()
                .map(|status| Update { status: status.clone() })
                .collect(),
        };
        Call {
            subscribe: Some(subscribe),
            ..self.new_call(CallType::Subscribe)
        }
    }

    /// Tasks count as unacknowledged from their launch until the first update of theirs is acknowledged.
    fn remember(&self, event: &Event) {
        let mut unacknowledged = self.lock();
        if let Some(launch) = &event.launch {
            unacknowledged
                .tasks
                .insert(launch.task.task_id.value.clone(), launch.task.clone());
        }
        if let Some(group) = &event.launch_group {
            for task in &group.task_group.tasks {
                unacknowledged.tasks.insert(task.task_id.value.clone(), task.clone());
            }
        }
        if let Some(acknowledged) = &event.acknowledged {
            unacknowledged.tasks.remove(&acknowledged.task_id.value);
            unacknowledged
                .updates
                .retain(|status| status.uuid.as_ref() != Some(&acknowledged.uuid));
        }
    }
}

async fn notify(notices: &mpsc::Sender<ExecutorNotice>, notice: ExecutorNotice) {
    if notices.send(notice).await.is_err() {
        debug!("nobody reads the executor's events any more");
    }
}
