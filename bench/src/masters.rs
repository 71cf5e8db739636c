//! Questions to the masters of a cluster that several benchmarks ask.

use std::time::Duration;

use anyhow::{Context, Result};
use cluster_tests::cluster::Cluster;
use cluster_tests::http;
use cluster_tests::wait::wait_until;

/// Within this time every replica must have applied what the leader has committed, also after it was started again.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(120);
/// Longest wait for a master's own figures.
const ASK: Duration = Duration::from_secs(5);

/// One figure of `/metrics/snapshot` of the master at this port.
pub fn metric(port: u16, name: &str) -> Result<f64> {
    let snapshot = http::get(port, "/metrics/snapshot", ASK)?.json()?;
    let value = snapshot.get(name).and_then(serde_json::Value::as_f64);
    value.with_context(|| format!("/metrics/snapshot has no {name}"))
}

/// Waits until one master leads and every awake one has applied what it has committed by then; returns the leader.
pub fn settle(cluster: &mut Cluster) -> Result<usize> {
    let leader = cluster.wait_for_leader()?;
    let ports: Vec<u16> = cluster.awake().iter().map(|index| cluster.port(*index)).collect();
    let target = metric(cluster.port(leader), "raft/commit_index")?;
    wait_until("every replica has caught up", CATCH_UP_MAX, || {
        Ok(ports
            .iter()
            .all(|port| metric(*port, "raft/applied_index").unwrap_or(0.0) >= target))
    })?;
    Ok(leader)
}

/// The highest term that any awake replica knows.
pub fn term(cluster: &mut Cluster) -> Result<u64> {
    let awake = cluster.awake();
    let terms = awake
        .iter()
        .filter_map(|index| metric(cluster.port(*index), "raft/term").ok());
    let term = terms.fold(0.0, f64::max);
    anyhow::ensure!(term > 0.0, "no replica says in which term it is");
    Ok(term as u64)
}

/// Resident memory in MiB of every running master, in order.
pub fn memory(cluster: &Cluster) -> Vec<u64> {
    let processes = cluster.masters.iter().filter_map(|master| master.pid());
    processes
        .map(|pid| crate::machine::resident_bytes_of(&pid.to_string()) >> 20)
        .collect()
}
