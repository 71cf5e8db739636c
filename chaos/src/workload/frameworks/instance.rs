//! One scheduler instance after the other under one name; each sends a single SUBSCRIBE.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{CallOutcome, Notice, Notices, Scheduler, SchedulerConfig};
use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::{Type, UpdateFramework};
use proto::v1::{FrameworkId, FrameworkInfo};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::history::{Operation, Outcome, Sight};
use crate::workload::scribe::{Scribe, unknown};
use crate::workload::{HarnessError, World, sights};

/// Longest time to wait for a subscription; longer than any election of a cluster that is whole.
const SUBSCRIBE_LIMIT: Duration = Duration::from_secs(20);
/// How the client words a SUBSCRIBE that was refused by its status, and the master one of a framework that is no more:
/// the ends of an attempt that certainly changed nothing.
const REFUSED: [&str; 2] = ["SUBSCRIBE refused with", "Framework has been removed"];

/// Why there is no subscription.
pub(super) enum End {
    /// It certainly had no effect.
    Refused(String),
    /// It may have had one.
    Unknown(String),
}

pub(super) struct Instance {
    name: String,
    world: World,
    scribe: Scribe,
    current: Option<Current>,
}

/// A scheduler that is, or was just now, subscribed.
struct Current {
    scheduler: Scheduler,
    framework: String,
    over: Arc<AtomicBool>,
    reading: JoinHandle<()>,
}

impl Instance {
    pub(super) fn new(name: String, world: World, scribe: Scribe) -> Self {
        Instance {
            name,
            world,
            scribe,
            current: None,
        }
    }

    pub(super) fn is_subscribed(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| !current.over.load(Ordering::Acquire))
    }

    /// The scheduler dies as a process does: its connection is closed, nothing is said.
    pub(super) fn die(&mut self) {
        if let Some(current) = self.current.take() {
            current.reading.abort();
            if !current.over.load(Ordering::Acquire) {
                let framework = current.framework;
                self.scribe.saw(&self.name, Sight::Disconnected { framework });
            }
        }
    }

    /// Subscribes as a framework that is known, or as a new one, under the name `value`.
    pub(super) async fn subscribe(
        &mut self,
        id: Option<&FrameworkId>,
        value: &str,
    ) -> Result<Result<FrameworkId, End>, HarnessError> {
        self.die();
        let framework = id.map(|id| id.value.clone()).unwrap_or_default();
        let open = self.scribe.begin(&self.name, Operation::Subscribe { framework });
        let config = SchedulerConfig {
            resubscribes: false,
            ..SchedulerConfig::new(self.world.masters.clone(), info(id, value))
        };
        let (scheduler, mut notices) = Scheduler::start(config, self.world.seams.clone())?;
        let attempt = match timeout(SUBSCRIBE_LIMIT, notices.next()).await {
            Ok(Some(Notice::Subscribed {
                framework_id,
                master,
                master_info,
                again,
            })) => {
                let value = framework_id.value.clone();
                self.scribe.end(open, Outcome::Ok { value });
                let sight = Sight::Subscribed {
                    framework: framework_id.value.clone(),
                    master,
                    leadership: master_info.map(|info| info.id).unwrap_or_default(),
                    again,
                };
                self.scribe.saw(&self.name, sight);
                self.keep(scheduler, notices, framework_id.value.clone());
                return Ok(Ok(framework_id));
            }
            Ok(Some(Notice::Ended { reason })) if REFUSED.iter().any(|text| reason.starts_with(text)) => {
                End::Refused(reason)
            }
            Ok(Some(Notice::Ended { reason })) => End::Unknown(reason),
            Ok(other) => End::Unknown(format!("{other:?} instead of a subscription")),
            Err(_) => End::Unknown(format!("not subscribed within {SUBSCRIBE_LIMIT:?}")),
        };
        let outcome = match &attempt {
            End::Refused(text) => Outcome::Refused { text: text.clone() },
            End::Unknown(reason) => unknown(reason.clone()),
        };
        self.scribe.end(open, outcome);
        Ok(Err(attempt))
    }

    /// Reads what follows until the end of the subscription.
    fn keep(&mut self, scheduler: Scheduler, notices: Notices, framework: String) {
        let over = Arc::new(AtomicBool::new(false));
        let (name, scribe) = (self.name.clone(), self.scribe.clone());
        let reading = tokio::spawn(read(name, framework.clone(), scribe, notices, Arc::clone(&over)));
        self.current = Some(Current {
            scheduler,
            framework,
            over,
            reading,
        });
    }

    /// UPDATE_FRAMEWORK with another name.
    pub(super) async fn update(&self, id: &FrameworkId, value: &str) -> CallOutcome {
        let update = UpdateFramework {
            framework_info: info(Some(id), value),
            ..UpdateFramework::default()
        };
        let call = Call {
            r#type: Some(Type::UpdateFramework.into()),
            update_framework: Some(update),
            ..Call::default()
        };
        match &self.current {
            Some(current) => current.scheduler.call(call).await,
            None => not_subscribed(),
        }
    }

    pub(super) async fn teardown(&self) -> CallOutcome {
        match &self.current {
            Some(current) => current.scheduler.teardown().await,
            None => not_subscribed(),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.die();
    }
}

fn not_subscribed() -> CallOutcome {
    CallOutcome::NotSent {
        reason: "not subscribed".to_owned(),
    }
}

/// No roles: these frameworks take no offers from others.
fn info(id: Option<&FrameworkId>, value: &str) -> FrameworkInfo {
    FrameworkInfo {
        id: id.cloned(),
        roles: Vec::new(),
        ..sights::framework_info(value)
    }
}

async fn read(name: String, framework: String, scribe: Scribe, mut notices: Notices, over: Arc<AtomicBool>) {
    while let Some(notice) = notices.next().await {
        match notice {
            Notice::Disconnected { .. } => {
                over.store(true, Ordering::Release);
                let framework = framework.clone();
                scribe.saw(&name, Sight::Disconnected { framework });
            }
            // A stream that broke has been told of; here it is the master that ended the framework.
            Notice::Ended { reason } => {
                if !over.swap(true, Ordering::AcqRel) {
                    let framework = framework.clone();
                    scribe.saw(&name, Sight::Ended { framework, reason });
                }
            }
            Notice::Subscribed { .. } | Notice::Event(_) => {}
        }
    }
    over.store(true, Ordering::Release);
}
