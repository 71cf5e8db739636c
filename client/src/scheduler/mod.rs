//! A framework's connection to the leading master (v1 scheduler API), kept up while masters come and go.
//!
//! [`Scheduler::start`] subscribes and from then on resubscribes by itself, with the same framework id, whenever the
//! stream breaks, its heartbeats stay away or another master leads. What happens arrives in order at [`Notices`];
//! calls go out through [`Scheduler`]. `subscription` holds the loop, `calls` the typed calls.
//!
//! Nothing here decides for the framework: no update is acknowledged, no offer declined by itself. A call is repeated only
//! when it certainly was not carried out, because the master it reached does not lead any more: first the framework
//! subscribes at the new leader, then the call goes there. Calls about offers are never repeated, since all offers died with
//! the old leader.

mod calls;
pub mod operations;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proto::v1::scheduler::{Call, Event, call};
use proto::v1::{FrameworkId, FrameworkInfo, MasterInfo};
use seams::Seams;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::encoding::Encoding;
use crate::http::Http;
use crate::leader::LeaderFinder;
use crate::masters::MasterList;
use crate::outcome::CallOutcome;

/// Path of the scheduler API on a master.
const SCHEDULER_PATH: &str = "/api/v1/scheduler";

/// How long an answer is waited for after the subscription was lost: a master that steps down in order still answers.
const ANSWER_AFTER_LOSS: Duration = Duration::from_millis(500);

/// For how long a call waits for a subscription, and is repeated at the next leader. Masters hold a call as long while they
/// elect.
const REPEAT_PATIENCE: Duration = Duration::from_secs(5);

/// How often a call is tried at most: leadership moves once, rarely twice while a call is under way.
const TRIES_MAX: u32 = 4;

/// Texts by which a leader says that it did not look at a call because of the subscription it came from.
const NOT_SUBSCRIBED: &str = "Framework is not subscribed";
const OTHER_STREAM: &str = "didn't match the stream ID currently associated";

/// What a framework wants to be to the master.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Members of the cluster.
    pub masters: MasterList,
    /// The framework. With an `id` it resubscribes as that framework, without one it gets a new id. A framework that
    /// shall survive its own disconnection sets `failover_timeout` (seconds; default 0).
    pub framework: FrameworkInfo,
    /// Roles without offers from the start; a subset of the framework's roles.
    pub suppressed_roles: Vec<String>,
    /// Encoding of calls and events.
    pub encoding: Encoding,
    /// Whether it subscribes again, with the same framework, when a subscription or an attempt ends. Otherwise one SUBSCRIBE
    /// is sent (again only where it certainly was not carried out), and its end is the last notice: for callers that want
    /// to know, or to change, what each SUBSCRIBE says. Default true.
    pub resubscribes: bool,
    /// Notices kept for a slow reader before the stream is read no further; at least 1. Default 1,024.
    pub notices_max: usize,
}

/// Why a configuration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchedulerConfigError {
    /// The queue of notices would hold nothing.
    #[error("notices_max is 0: expected at least 1")]
    NoRoomForNotices,
}

impl SchedulerConfig {
    /// A configuration with defaults: protobuf, nothing suppressed.
    pub fn new(masters: MasterList, framework: FrameworkInfo) -> Self {
        SchedulerConfig {
            masters,
            framework,
            suppressed_roles: Vec::new(),
            encoding: Encoding::default(),
            resubscribes: true,
            notices_max: 1024,
        }
    }
}

/// What a framework learns, in the order of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// Subscribed at `master`, for the first time or again. Reconcile after `again`: updates may have been missed.
    Subscribed {
        /// The framework's id, the same for the whole life of a [`Scheduler`].
        framework_id: FrameworkId,
        /// The leading master, `host:port` as it was reached.
        master: String,
        /// The leading master as it calls itself.
        master_info: Option<Box<MasterInfo>>,
        /// Whether this scheduler was subscribed before.
        again: bool,
    },
    /// The stream is gone; all offers are void. The next notice is `Subscribed` or `Ended`.
    Disconnected {
        /// The master that was connected.
        master: String,
        /// What was noticed.
        reason: String,
    },
    /// Any event but SUBSCRIBED, HEARTBEAT and ERROR.
    Event(Box<Event>),
    /// The last notice: the framework was refused, removed, failed over to another scheduler or torn down.
    Ended {
        /// The master's text, verbatim.
        reason: String,
    },
}

/// The receiving side; dropping it ends the subscription, as the death of the framework would.
#[derive(Debug)]
pub struct Notices(mpsc::Receiver<Notice>);

impl Notices {
    /// The next notice; `None` after [`Notice::Ended`]. Cancel safety: a dropped future loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        self.0.recv().await
    }
}

/// One subscription: where calls go to.
#[derive(Debug)]
struct Session {
    master: String,
    framework_id: FrameworkId,
    stream_id: Option<String>,
    /// Cancelled by a call that found that the master is gone or leads no longer: the stream is to be left then, also
    /// while the reader of the notices is slow.
    doubt: CancellationToken,
}

/// The sending side: typed calls to the master this scheduler is subscribed at. Cheap to clone.
///
/// Calls that one caller awaits one after the other arrive in that order.
#[derive(Clone, Debug)]
pub struct Scheduler {
    http: Http,
    encoding: Encoding,
    session: watch::Receiver<Option<Arc<Session>>>,
    torn_down: Arc<AtomicBool>,
}

impl Scheduler {
    /// Starts to subscribe. The subscription lives in a task of the current runtime until `Notices` is dropped or has
    /// ended.
    pub fn start(config: SchedulerConfig, seams: Seams) -> Result<(Scheduler, Notices), SchedulerConfigError> {
        if config.notices_max == 0 {
            return Err(SchedulerConfigError::NoRoomForNotices);
        }
        let http = Http::new(&seams);
        let (session_sender, session) = watch::channel(None);
        let (notices_sender, notices) = mpsc::channel(config.notices_max);
        let torn_down = Arc::new(AtomicBool::new(false));
        let scheduler = Scheduler {
            http: http.clone(),
            encoding: config.encoding,
            session,
            torn_down: Arc::clone(&torn_down),
        };
        let subscription = subscription::Subscription {
            finder: LeaderFinder::with_http(&config.masters, http.clone(), seams.clone()),
            http,
            seams,
            config,
            session: session_sender,
            notices: notices_sender.clone(),
            torn_down,
            subscribed_before: false,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = notices_sender.closed() => {}
                () = subscription.run() => {}
            }
        });
        Ok((scheduler, Notices(notices)))
    }

    /// The master this scheduler is subscribed at just now, `host:port`.
    pub fn master(&self) -> Option<String> {
        self.session.borrow().as_ref().map(|session| session.master.clone())
    }

    /// The framework's id while subscribed.
    pub fn framework_id(&self) -> Option<FrameworkId> {
        self.session
            .borrow()
            .as_ref()
            .map(|session| session.framework_id.clone())
    }

    /// Waits until subscribed; `false` if that will never be again.
    pub async fn subscribed(&self) -> bool {
        self.session.clone().wait_for(Option::is_some).await.is_ok()
    }

    /// Sends any call but SUBSCRIBE; the framework id is filled in. When the subscription is lost meanwhile, the answer
    /// is waited for only a moment longer.
    ///
    /// A call that certainly was not carried out is repeated with the next subscription, for 5 s at most; without a
    /// subscription it waits for one as long. Calls that name offers are tried once, and only while subscribed.
    ///
    /// Cancel safety: after a dropped future nobody knows whether the call was carried out.
    pub async fn call(&self, call: Call) -> CallOutcome {
        let mut outcome = CallOutcome::NotSent {
            reason: "not subscribed".to_owned(),
        };
        let is_repeatable = !names_offers(call.r#type());
        let deadline = Instant::now() + if is_repeatable { REPEAT_PATIENCE } else { Duration::ZERO };
        for _ in 0..TRIES_MAX {
            let Some(session) = self.usable_session(deadline).await else {
                break;
            };
            outcome = self.call_once(&session, call.clone()).await;
            if !self.leaves(&session, &outcome) || !is_repeatable {
                break;
            }
        }
        outcome
    }

    /// Waits for a subscription that is not in doubt.
    async fn usable_session(&self, deadline: Instant) -> Option<Arc<Session>> {
        let mut sessions = self.session.clone();
        let is_usable = |current: &Option<Arc<Session>>| current.as_ref().is_some_and(|it| !it.doubt.is_cancelled());
        match timeout_at(deadline, sessions.wait_for(is_usable)).await {
            Ok(Ok(session)) => session.clone(),
            // In time there was none, or there will never be one again.
            _ => None,
        }
    }

    /// Whether the call had no effect because of where it was sent. If so the session is left, or has been left already.
    fn leaves(&self, session: &Arc<Session>, outcome: &CallOutcome) -> bool {
        match outcome {
            CallOutcome::NotSent { .. } => {}
            CallOutcome::Refused { text, .. } if text == NOT_SUBSCRIBED => {}
            // Another stream is this scheduler's own, or belongs to another that has taken its place.
            CallOutcome::Refused { text, .. } if text.contains(OTHER_STREAM) => {
                let current = self.session.borrow();
                return !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, session));
            }
            _ => return false,
        }
        session.doubt.cancel();
        true
    }

    async fn call_once(&self, session: &Arc<Session>, mut call: Call) -> CallOutcome {
        call.framework_id = Some(session.framework_id.clone());
        let body = self.encoding.encode(&call);
        let stream_id = session.stream_id.as_deref();
        let answer = self
            .http
            .call(&session.master, SCHEDULER_PATH, self.encoding, stream_id, body);
        let mut changes = self.session.clone();
        let abandoned = async {
            // An error means that there will be no other session: the same to this call.
            let is_other = |current: &Option<Arc<Session>>| !current.as_ref().is_some_and(|c| Arc::ptr_eq(c, session));
            drop(changes.wait_for(is_other).await);
            sleep(ANSWER_AFTER_LOSS).await;
        };
        tokio::select! {
            biased;
            outcome = answer => outcome,
            () = abandoned => CallOutcome::Unknown { reason: format!("left {} before it answered", session.master) },
        }
    }

    fn mark_torn_down(&self) {
        self.torn_down.store(true, Ordering::Release);
    }
}

/// Offers do not outlive the leader that made them.
fn names_offers(call_type: call::Type) -> bool {
    matches!(
        call_type,
        call::Type::Accept | call::Type::Decline | call::Type::AcceptInverseOffers | call::Type::DeclineInverseOffers
    )
}
