//! The settings of openraft, each with its reason.

use std::sync::Arc;
use std::time::Duration;

use openraft::SnapshotPolicy;

use crate::config::Config;
use crate::error::ConfigError;

/// Entries of one append request at most; `APPEND_BYTES_MAX` bounds their size.
const PAYLOAD_ENTRIES_MAX: u64 = 1024;
/// Entries merged into one append to the log store.
const APPEND_ENTRIES_MAX: u64 = 4096;
/// Requests waiting for the core. The batcher has one under way, so this is for peers and reads.
const API_CHANNEL: u64 = 4096;
/// Entries purged in one go; whole records go anyway.
const PURGE_BATCH: u64 = 5000;
/// A state of some GB takes minutes to write, send and load.
const INSTALL_SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(600);
/// How far behind, in snapshots, a follower may be before it is sent one although its entries are still there.
const LAG_SNAPSHOTS: u64 = 4;

/// openraft's configuration for ours.
pub(crate) fn raft_options(config: &Config) -> Result<Arc<openraft::Config>, ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let options = openraft::Config {
        cluster_name: config.cluster_name.clone(),
        heartbeat_interval: millis(config.timers.heartbeat),
        election_timeout_min: millis(config.timers.election_min),
        election_timeout_max: millis(config.timers.election_max),
        install_snapshot_timeout: millis(INSTALL_SNAPSHOT_TIMEOUT),
        max_payload_entries: PAYLOAD_ENTRIES_MAX,
        max_append_entries: Some(APPEND_ENTRIES_MAX),
        replication_lag_threshold: config
            .snapshot_every
            .saturating_mul(LAG_SNAPSHOTS)
            .max(config.entries_kept + 1),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        max_in_snapshot_log_to_keep: config.entries_kept,
        purge_batch_size: PURGE_BATCH.min(config.snapshot_every),
        api_channel_size: Some(API_CHANNEL),
        // A replica that comes back after a pause must not push the leader out.
        enable_pre_vote: Some(true),
        // A restarted leader campaigns as everybody else: it may have lost entries that were not yet durable.
        enable_leader_restore: Some(false),
        // A learner may come back with an empty directory and is filled again. A voter may not, and is refused when it
        // starts, where it can be told from a new one.
        allow_log_reversion: Some(true),
        ..openraft::Config::default()
    };
    options
        .validate()
        .map(Arc::new)
        .map_err(|error| ConfigError(error.to_string()))
}
