//! What uses the cluster during a run: agents and frameworks.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use chaos::history::{Operation, Outcome, Recorder, Sight};
use chaos::hollow::{Fleet, FleetConfig};
use client::{CallOutcome, MasterList, Notice, Scheduler, SchedulerConfig};
use proto::v1::value::Scalar;
use proto::v1::{CommandInfo, FrameworkId, FrameworkInfo, Resource, TaskId, TaskInfo, value};
use seams::Seams;
use tokio::sync::Notify;

use crate::cluster::millis;
use crate::jobs::Jobs;

/// The load of a run.
pub(crate) struct Load {
    masters: MasterList,
    seams: Seams,
    recorder: Recorder,
    jobs: Jobs,
    kill: Arc<Notify>,
    stopped: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
}

fn scalar(name: &str, amount: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(Scalar { value: amount }),
        ..Resource::default()
    }
}

/// What runs on the host of the agents.
pub(crate) async fn agents(masters: MasterList, address: IpAddr, count: usize, seams: Seams) -> turmoil::Result {
    let IpAddr::V4(ip) = address else {
        return Err("agents need IPv4".into());
    };
    let resources = vec![scalar("cpus", 4.0), scalar("mem", 4096.0)];
    let config = FleetConfig {
        ip,
        task_duration: Some(millis(1_500)),
        ..FleetConfig::new(masters, count, resources)
    };
    let _fleet = Fleet::start(config, seams).await?;
    std::future::pending().await
}

/// One write: a framework that was not there before subscribes. Returns when it is acknowledged.
pub(crate) async fn write(masters: MasterList, seams: Seams) {
    let config = SchedulerConfig::new(masters, framework("probe", None));
    let Ok((_scheduler, mut notices)) = Scheduler::start(config, seams) else {
        return;
    };
    while let Some(notice) = notices.next().await {
        if matches!(notice, Notice::Subscribed { .. }) {
            return;
        }
    }
}

fn framework(name: &str, id: Option<FrameworkId>) -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        id,
        failover_timeout: Some(3600.0),
        ..FrameworkInfo::default()
    }
}

impl Load {
    pub(crate) fn new(masters: MasterList, seams: Seams, recorder: Recorder, _seed: u64, jobs: Jobs) -> Load {
        Load {
            masters,
            seams,
            recorder,
            jobs,
            kill: Arc::default(),
            stopped: Arc::default(),
            over: Arc::default(),
        }
    }

    /// Names of the workloads.
    pub(crate) fn names() -> Vec<String> {
        vec!["launches".to_owned()]
    }

    /// Begins.
    pub(crate) fn start(&self) -> Result<()> {
        let (masters, seams, recorder) = (self.masters.clone(), self.seams.clone(), self.recorder.clone());
        let (kill, stopped, over) = (self.kill.clone(), self.stopped.clone(), self.over.clone());
        self.jobs.give(async move {
            launches(masters, seams, recorder, kill, stopped).await;
            over.store(true, Ordering::Relaxed);
        })
    }

    /// A scheduler dies, and another takes its framework over.
    pub(crate) fn kill_framework(&self, _number: u64) {
        self.kill.notify_one();
    }

    /// No more is begun.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        self.kill.notify_one();
    }

    /// Whether all has come to its end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

async fn launches(masters: MasterList, seams: Seams, recorder: Recorder, kill: Arc<Notify>, stopped: Arc<AtomicBool>) {
    let mut id = None;
    let mut number = 0;
    while !stopped.load(Ordering::Relaxed) {
        let config = SchedulerConfig::new(masters.clone(), framework("launches", id.clone()));
        let Ok((scheduler, mut notices)) = Scheduler::start(config, seams.clone()) else {
            return;
        };
        loop {
            let notice = tokio::select! {
                biased;
                () = kill.notified() => break,
                notice = notices.next() => notice,
            };
            match notice {
                None => break,
                Some(notice) => take(notice, &scheduler, &recorder, &mut id, &mut number).await,
            }
        }
    }
}

async fn take(
    notice: Notice,
    scheduler: &Scheduler,
    recorder: &Recorder,
    id: &mut Option<FrameworkId>,
    number: &mut u64,
) {
    const NAME: &str = "launches";
    match notice {
        Notice::Subscribed {
            framework_id,
            master,
            master_info,
            again,
        } => {
            let sight = Sight::Subscribed {
                framework: framework_id.value.clone(),
                master,
                leadership: master_info.map(|info| info.id).unwrap_or_default(),
                again,
            };
            recorder.saw(NAME, sight);
            *id = Some(framework_id);
        }
        Notice::Event(event) => {
            let framework = id.as_ref().map(|id| id.value.clone()).unwrap_or_default();
            for offer in event.offers.into_iter().flat_map(|offers| offers.offers) {
                *number += 1;
                let task = format!("t{number}");
                let info = TaskInfo {
                    name: task.clone(),
                    task_id: TaskId { value: task.clone() },
                    agent_id: offer.agent_id.clone(),
                    resources: vec![scalar("cpus", 0.5), scalar("mem", 64.0)],
                    command: Some(CommandInfo::default()),
                    ..TaskInfo::default()
                };
                let operation = Operation::Launch {
                    framework: framework.clone(),
                    agent: offer.agent_id.value.clone(),
                    offers: vec![offer.id.value.clone()],
                    tasks: vec![task],
                };
                let call = recorder.begin(NAME, operation);
                let outcome = scheduler.launch(vec![offer.id], vec![info], None).await;
                recorder.end(call, outcome_of(outcome));
            }
            if let Some(status) = event.update.and_then(|update| Some(update.status)) {
                let uuid = status.uuid.clone().unwrap_or_default();
                let sight = Sight::Updated {
                    framework: framework.clone(),
                    task: status.task_id.value.clone(),
                    state: status.state().as_str_name().to_owned(),
                    uuid: uuid.iter().map(|byte| format!("{byte:02x}")).collect(),
                    reason: String::new(),
                    source: String::new(),
                };
                recorder.saw(NAME, sight);
                if !uuid.is_empty() {
                    drop(scheduler.acknowledge(&status).await);
                }
            }
        }
        Notice::Disconnected { .. } | Notice::Ended { .. } => {}
    }
}

fn outcome_of(outcome: CallOutcome) -> Outcome {
    match outcome {
        CallOutcome::Accepted => Outcome::Ok { value: String::new() },
        CallOutcome::Refused { text, .. } => Outcome::Refused { text },
        CallOutcome::NotSent { reason } => Outcome::Refused { text: reason },
        CallOutcome::Unknown { reason } => Outcome::Unknown { reason },
    }
}
