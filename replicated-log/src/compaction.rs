//! Keeps the log small in bytes. openraft counts entries; ours differ in size by a factor of many thousands, and all
//! of them are in memory too.

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Config;
use crate::log::Raft;
use crate::log_store::LogStore;
use crate::state_machine::StateMachine;
use crate::status::Status;

/// Pause between two looks: a quarter second of full load is some ten MiB.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Asks for snapshots and purges for as long as this replica runs.
pub(crate) async fn run<S: StateMachine>(
    config: Config,
    raft: Raft<S>,
    store: LogStore,
    status: watch::Receiver<Status>,
) {
    let mut asked_at = None;
    let mut purged_upto = 0;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (snapshot, applied) = {
            let status = status.borrow();
            (
                status.snapshot.map(|position| position.index),
                status.applied.map(|position| position.index),
            )
        };
        // One question per snapshot: while it is written the log keeps growing.
        let old_since = store.index_of_youngest(config.snapshot_every_bytes);
        let is_due = old_since.is_some_and(|first| snapshot.is_none_or(|snapshot| snapshot + 1 < first));
        if is_due && applied > snapshot && asked_at != Some(snapshot) {
            asked_at = Some(snapshot);
            if raft.trigger().snapshot().await.is_err() {
                return;
            }
        }
        // Only what a snapshot covers is purged.
        let upto = store
            .index_of_youngest(config.bytes_kept)
            .and_then(|first| first.checked_sub(1))
            .min(snapshot);
        if let Some(upto) = upto
            && upto > purged_upto
        {
            purged_upto = upto;
            if raft.trigger().purge_log(upto).await.is_err() {
                return;
            }
        }
    }
}
