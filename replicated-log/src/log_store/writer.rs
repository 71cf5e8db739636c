//! The queue in front of the disk. Everything queued is written together and made durable by one flush; callbacks are
//! fired after it. After the first failed write every later one fails: an `fsync` is never tried again, because the
//! kernel may have dropped the very pages it failed to write.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use planted::{Bug, is_planted};
use tokio::sync::{mpsc, oneshot, watch};

#[cfg(test)]
use super::delayed::Delay;
use super::{Change, Disk};
use crate::type_config::IoFlushed;

/// Changes waiting for the disk; whoever comes later waits, and with it all of Raft on this replica. Large enough for
/// some seconds of a stalled disk while the others form the quorum. The entries are in memory anyway until they are
/// purged, so a change costs some hundred bytes.
const QUEUE_MAX: usize = 4096;

/// Committed ids that wait for a change worth a flush.
const HINTS_MAX: usize = 256;

/// Pause between two looks at a full disk.
const SPACE_POLL: Duration = Duration::from_millis(200);

/// How the disk is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageHealth {
    Working,
    /// Nothing is written, nothing acknowledged, until there is room again.
    Full,
    /// The replica must stop.
    Failed(String),
}

/// Who waits for a change to be durable.
pub(super) enum Done {
    Nobody,
    Reply(oneshot::Sender<io::Result<()>>),
    Flushed(IoFlushed),
    #[cfg(test)]
    Delayed(IoFlushed, Delay),
}

impl Done {
    fn complete(self, result: Result<(), &str>) {
        let result = result.map_err(|reason| io::Error::other(reason.to_owned()));
        match self {
            Done::Nobody => {}
            // A caller that went away does not need the answer.
            Done::Reply(reply) => drop(reply.send(result)),
            Done::Flushed(callback) => callback.io_completed(result),
            #[cfg(test)]
            Done::Delayed(callback, delay) => delay.later(move || callback.io_completed(result)),
        }
    }
}

pub(super) struct Job {
    pub(super) change: Change,
    pub(super) done: Done,
}

pub(super) fn closed() -> io::Error {
    io::Error::other("the log store is closed")
}

pub(super) struct Writer {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// Becomes true when the loop has let go of the disk.
    ended: watch::Receiver<bool>,
    health: watch::Sender<StorageHealth>,
    #[cfg(test)]
    delay: Option<Delay>,
}

impl Writer {
    /// A writer on a thread of its own, for a disk that blocks.
    pub(super) fn on_thread(disk: impl Disk) -> io::Result<Self> {
        let (writer, work) = Self::new(disk);
        // For its timers only; nothing else ever runs there.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || runtime.block_on(work))?;
        Ok(writer)
    }

    /// A writer in a task of the runtime this is called in, for a disk that never blocks.
    pub(super) fn in_task(disk: impl Disk) -> Self {
        let (writer, work) = Self::new(disk);
        tokio::spawn(work);
        writer
    }

    fn new<D: Disk>(disk: D) -> (Self, impl Future<Output = ()> + Send + use<D>) {
        let (jobs, queue) = mpsc::channel(QUEUE_MAX);
        let health = watch::channel(StorageHealth::Working).0;
        let (end, ended) = watch::channel(false);
        let work = WriterLoop {
            disk,
            queue,
            health: health.clone(),
        };
        let writer = Writer {
            jobs: Mutex::new(Some(jobs)),
            ended,
            health,
            #[cfg(test)]
            delay: None,
        };
        let work = async move {
            work.run().await;
            end.send_replace(true);
        };
        (writer, work)
    }

    #[cfg(test)]
    pub(super) fn delayed(disk: impl Disk, delay: Delay) -> Self {
        Writer {
            delay: Some(delay),
            ..Self::in_task(disk)
        }
    }

    pub(super) fn health(&self) -> watch::Receiver<StorageHealth> {
        self.health.subscribe()
    }

    pub(super) fn fail(&self, reason: String) {
        self.health.send_replace(StorageHealth::Failed(reason));
    }

    fn jobs(&self) -> io::Result<mpsc::Sender<Job>> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clone().ok_or_else(closed)
    }

    /// Queues a change; waits while the queue is full.
    pub(super) async fn submit(&self, job: Job) -> io::Result<()> {
        #[cfg(test)]
        let job = self.held_back(job);
        self.jobs()?.send(job).await.map_err(|_| closed())
    }

    #[cfg(test)]
    fn held_back(&self, job: Job) -> Job {
        match (&self.delay, job.done) {
            (Some(delay), Done::Flushed(callback)) => Job {
                change: job.change,
                done: Done::Delayed(callback, delay.clone()),
            },
            (_, done) => Job { done, ..job },
        }
    }

    /// Queues a change nobody waits for and no promise rests on; leaves it out when the queue is full.
    pub(super) async fn submit_hint(&self, change: Change) -> io::Result<()> {
        let job = Job {
            change,
            done: Done::Nobody,
        };
        match self.jobs()?.try_send(job) {
            Err(mpsc::error::TrySendError::Closed(_)) => Err(closed()),
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
        }
    }

    pub(super) async fn close(&self) {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let mut ended = self.ended.clone();
        // An error means that the loop is gone, which is what is waited for.
        drop(ended.wait_for(|ended| *ended).await);
    }
}

struct WriterLoop<D> {
    disk: D,
    queue: mpsc::Receiver<Job>,
    health: watch::Sender<StorageHealth>,
}

impl<D: Disk> WriterLoop<D> {
    async fn run(mut self) {
        let mut changes: Vec<Change> = Vec::new();
        let mut waiting: Vec<Done> = Vec::new();
        let mut open = true;
        while open {
            open = self.collect(&mut changes, &mut waiting).await;
            // A committed id alone is not worth a flush; it goes with the next change, or with the last.
            let worth_it = changes.iter().any(|change| !matches!(change, Change::Committed(_)));
            if changes.is_empty() || (open && !worth_it && changes.len() < HINTS_MAX) {
                continue;
            }
            if is_planted(Bug::AcknowledgeBeforeSync) {
                waiting.drain(..).for_each(|done| done.complete(Ok(())));
            }
            let result = self.write(&changes).await;
            changes.clear();
            for done in waiting.drain(..) {
                done.complete(result.as_ref().copied().map_err(String::as_str));
            }
        }
    }

    /// Waits for a job, then takes all that are queued. False when nobody can queue any more.
    async fn collect(&mut self, changes: &mut Vec<Change>, waiting: &mut Vec<Done>) -> bool {
        let Some(first) = self.queue.recv().await else {
            return false;
        };
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(job) = next {
            changes.push(job.change);
            waiting.push(job.done);
            taken += 1;
            next = if taken < QUEUE_MAX {
                self.queue.try_recv().ok()
            } else {
                None
            };
        }
        true
    }

    async fn write(&mut self, changes: &[Change]) -> Result<(), String> {
        if let StorageHealth::Failed(reason) = &*self.health.borrow() {
            return Err(reason.clone());
        }
        self.write_durably(changes).await.map_err(|error| {
            let reason = error.to_string();
            tracing::error!(reason, "the log store failed; this replica must be restarted");
            self.health.send_replace(StorageHealth::Failed(reason.clone()));
            reason
        })
    }

    async fn write_durably(&mut self, changes: &[Change]) -> io::Result<()> {
        self.wait_for_space().await?;
        self.disk.write(changes)?;
        self.disk.sync().await
    }

    async fn wait_for_space(&mut self) -> io::Result<()> {
        let mut waited = false;
        while !self.disk.has_space()? {
            if !waited {
                tracing::error!("the disk is full: this replica acknowledges nothing until there is space");
                self.health.send_replace(StorageHealth::Full);
                waited = true;
            }
            if self.queue.is_closed() && self.queue.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::StorageFull,
                    "closed while the disk was full",
                ));
            }
            tokio::time::sleep(SPACE_POLL).await;
        }
        if waited {
            tracing::info!("the disk has space again");
            self.health.send_replace(StorageHealth::Working);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// A disk that is full or broken when told so.
    #[derive(Clone, Default)]
    struct Scripted {
        full: Arc<AtomicBool>,
        broken: Arc<AtomicBool>,
        writes: Arc<AtomicUsize>,
    }

    impl Disk for Scripted {
        fn write(&mut self, _changes: &[Change]) -> io::Result<()> {
            self.writes.fetch_add(1, Ordering::SeqCst);
            if self.broken.load(Ordering::SeqCst) {
                Err(io::Error::other("input/output error"))
            } else {
                Ok(())
            }
        }

        async fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn has_space(&mut self) -> io::Result<bool> {
            Ok(!self.full.load(Ordering::SeqCst))
        }
    }

    async fn purge(writer: &Writer) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let change = Change::TruncateFrom(0);
        writer
            .submit(Job {
                change,
                done: Done::Reply(sender),
            })
            .await?;
        receiver.await.unwrap()
    }

    #[tokio::test]
    async fn a_full_disk_holds_acknowledgements_back_until_there_is_space() {
        let disk = Scripted::default();
        disk.full.store(true, Ordering::SeqCst);
        let writer = Writer::on_thread(disk.clone()).unwrap();
        let mut health = writer.health();
        let write = purge(&writer);
        tokio::pin!(write);
        tokio::select! {
            _ = &mut write => panic!("acknowledged on a full disk"),
            full = health.wait_for(|health| *health == StorageHealth::Full) => drop(full.unwrap()),
        }
        assert_eq!(disk.writes.load(Ordering::SeqCst), 0);
        disk.full.store(false, Ordering::SeqCst);
        write.await.unwrap();
        assert_eq!(*health.borrow_and_update(), StorageHealth::Working);
    }

    #[tokio::test]
    async fn after_a_failed_write_nothing_is_written_again() {
        let disk = Scripted::default();
        disk.broken.store(true, Ordering::SeqCst);
        let writer = Writer::on_thread(disk.clone()).unwrap();
        assert!(
            purge(&writer)
                .await
                .unwrap_err()
                .to_string()
                .contains("input/output error")
        );
        disk.broken.store(false, Ordering::SeqCst);
        assert!(purge(&writer).await.is_err());
        assert_eq!(disk.writes.load(Ordering::SeqCst), 1);
        assert!(matches!(&*writer.health().borrow(), StorageHealth::Failed(_)));
    }

    #[tokio::test]
    async fn what_waits_is_written_together_and_closing_writes_it() {
        let disk = Scripted::default();
        disk.full.store(true, Ordering::SeqCst);
        let writer = Writer::on_thread(disk.clone()).unwrap();
        let mut health = writer.health();
        let first = purge(&writer);
        let others = futures_util::future::join_all((0..50).map(|_| purge(&writer)));
        tokio::pin!(others);
        let release = async {
            health
                .wait_for(|health| *health == StorageHealth::Full)
                .await
                .map(drop)
                .unwrap();
            disk.full.store(false, Ordering::SeqCst);
        };
        let (first, others, ()) = tokio::join!(first, others, release);
        first.unwrap();
        assert!(others.into_iter().all(|result| result.is_ok()));
        assert!(disk.writes.load(Ordering::SeqCst) <= 10, "{:?} writes", disk.writes);
        // A committed id alone waits for company; the close writes it.
        writer
            .submit(Job {
                change: Change::Committed(None),
                done: Done::Nobody,
            })
            .await
            .unwrap();
        let before = disk.writes.load(Ordering::SeqCst);
        writer.close().await;
        assert_eq!(disk.writes.load(Ordering::SeqCst), before + 1);
        assert!(purge(&writer).await.is_err());
    }
}
