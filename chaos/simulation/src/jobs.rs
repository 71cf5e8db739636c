//! A simulated host that does what it is handed: clients, operators and adversaries of a run.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use tokio::sync::mpsc;

/// Jobs that wait for the host; more than a run hands out at once.
const JOBS_MAX: usize = 256;

type Job = Pin<Box<dyn Future<Output = ()>>>;

/// Hands out jobs.
#[derive(Clone)]
pub(crate) struct Jobs(mpsc::Sender<Job>);

/// What runs on the host.
#[derive(Clone)]
pub(crate) struct Worker(Arc<Mutex<Option<mpsc::Receiver<Job>>>>);

/// Both ends.
pub(crate) fn jobs() -> (Jobs, Worker) {
    let (sender, receiver) = mpsc::channel(JOBS_MAX);
    (Jobs(sender), Worker(Arc::new(Mutex::new(Some(receiver)))))
}

impl Jobs {
    /// Hands out a job.
    pub(crate) fn give(&self, job: impl Future<Output = ()> + 'static) -> Result<()> {
        self.0
            .try_send(Box::pin(job))
            .map_err(|error| anyhow!("a job was not taken: {error}"))
    }
}

impl Worker {
    /// Does jobs until the host is killed.
    pub(crate) async fn run(self) -> turmoil::Result {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut jobs) = taken else {
            return Err("this host cannot be started again".into());
        };
        while let Some(job) = jobs.recv().await {
            tokio::task::spawn_local(job);
        }
        std::future::pending().await
    }
}
