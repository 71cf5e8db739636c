//! One round: the leading master is killed, and what comes back is timed.

use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use proto::v1::TaskState;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Demo, LONG_TASKS, PATIENCE, Step};
use crate::framework::Happening;
use crate::process;

/// How often it is looked whether the killed master is back.
const BACK_INTERVAL: Duration = Duration::from_millis(50);

/// What one round showed; times since the kill.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    pub(super) killed: String,
    pub(super) new_leader: String,
    pub(super) leader_after: Option<Duration>,
    pub(super) subscribed_after: Option<Duration>,
    pub(super) reconciled_after: Option<Duration>,
    pub(super) new_task_after: Option<Duration>,
    /// Long tasks that the new leader reported running.
    pub(super) known: usize,
    /// Long tasks that are still the same process.
    pub(super) same: usize,
}

impl Round {
    fn is_complete(&self) -> bool {
        [
            self.leader_after,
            self.subscribed_after,
            self.reconciled_after,
            self.new_task_after,
        ]
        .iter()
        .all(Option::is_some)
    }
}

impl Demo<'_> {
    /// Kills the leader and waits until everything works again and the killed master is back.
    pub(super) async fn round(&mut self, number: usize) -> anyhow::Result<()> {
        let leader = timeout(PATIENCE, self.leaders.await_leader(None))
            .await
            .context("no master leads")?;
        let pid = self
            .supervisor
            .pid(&leader)
            .with_context(|| format!("{leader} does not run"))?;
        self.narrator
            .tell(&format!("kill -9 {pid}: the leading master, {leader}"));
        let killed_at = Instant::now();
        process::send(pid, Signal::SIGKILL)?;
        let mut round = Round {
            killed: leader.clone(),
            ..Round::default()
        };
        let leaders = self.leaders.clone();
        // In a task of its own, so that its time is not that of what is done here meanwhile.
        let mut new_leader = JoinSet::new();
        new_leader.spawn(async move {
            let name = leaders.await_leader(Some(&leader)).await;
            (name, killed_at.elapsed())
        });
        let probe = format!("new-{number}");
        let deadline = killed_at + PATIENCE;
        while !round.is_complete() {
            if Instant::now() > deadline {
                bail!("{PATIENCE:?} after the kill this is known: {round:?}");
            }
            tokio::select! {
                Some(found) = new_leader.join_next() => {
                    let (name, after) = found.context("looking for the new leader failed")?;
                    self.narrator.tell_since(killed_at, &format!("{name} leads"));
                    round.new_leader = name;
                    round.leader_after = Some(after);
                }
                step = timeout(PATIENCE, self.step()) => match step.context("nothing happens")?? {
                    Step::Happened(happening) => self.follow(&mut round, &probe, killed_at, &happening),
                    Step::ShortTaskDue => self.start_short_task(),
                },
            }
        }
        self.await_return(&round.killed, killed_at).await?;
        self.rounds.push(round);
        Ok(())
    }

    fn follow(&mut self, round: &mut Round, probe: &str, killed_at: Instant, happening: &Happening) {
        match happening {
            Happening::Subscribed { framework_id, .. } => {
                round.subscribed_after = Some(killed_at.elapsed());
                self.narrator.tell_since(
                    killed_at,
                    &format!("the framework is subscribed again as {framework_id}"),
                );
                self.submit(probe.to_owned(), "echo launched after a failover");
            }
            Happening::Update {
                id,
                state: TaskState::TaskRunning | TaskState::TaskFinished,
                ..
            } if id == probe && round.new_task_after.is_none() => {
                round.new_task_after = Some(killed_at.elapsed());
                self.narrator.tell_since(killed_at, "a newly launched task runs");
            }
            _ => {}
        }
        let is_reconciled = round.subscribed_after.is_some() && self.long_tasks_answered();
        if is_reconciled && round.reconciled_after.is_none() {
            round.reconciled_after = Some(killed_at.elapsed());
            round.known = self.running_long_tasks();
            round.same = self.same_processes();
            self.narrator.tell_since(
                killed_at,
                &format!(
                    "reconciliation is answered: {} of {LONG_TASKS} long tasks run, {} as the same process",
                    round.known, round.same
                ),
            );
            if round.known < LONG_TASKS {
                self.faults.push(format!(
                    "only {} of {LONG_TASKS} long tasks were known to run",
                    round.known
                ));
            }
        }
    }

    /// Waits until the killed master, which is restarted, takes part again.
    async fn await_return(&mut self, name: &str, killed_at: Instant) -> anyhow::Result<()> {
        let leaders = self.leaders.clone();
        let owned_name = name.to_owned();
        let mut back = Box::pin(async move {
            while !leaders.follows(&owned_name).await {
                sleep(BACK_INTERVAL).await;
            }
        });
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::select! {
                () = &mut back => break,
                () = tokio::time::sleep_until(deadline) => bail!("{name} did not come back within {PATIENCE:?}"),
                step = self.step() => if let Step::ShortTaskDue = step? {
                    self.start_short_task();
                },
            }
        }
        self.narrator
            .tell_since(killed_at, &format!("{name} was restarted and follows"));
        Ok(())
    }

    fn long_tasks_answered(&self) -> bool {
        self.framework.unanswered_ids().all(|id| !id.starts_with("long"))
    }

    fn running_long_tasks(&self) -> usize {
        let long = self
            .framework
            .tasks()
            .values()
            .filter(|task| task.spec.id.starts_with("long"));
        long.filter(|task| task.state == TaskState::TaskRunning).count()
    }
}
