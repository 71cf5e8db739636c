//! `/metrics/snapshot`, GET_METRICS and Prometheus `/metrics`: what this replica counts, and on the leader what it leads.
//!
//! Names are Mesos's where Mesos has the metric. A scrape is answered by every replica itself and needs no quorum: it has to
//! work above all when the cluster does not.

use std::collections::BTreeMap;

use libprocess::{HttpRequest, HttpResponse};
use proto::v1::Metric;
use replicated_log::Status;

use super::answer::{encode, json, parameters};
use super::gauges::{self, Gauges};
use super::prometheus;
use super::service::local_state;
use crate::actor::Context;

/// Counters that exist from the start, so that their first event is an increase and not a new series.
const COUNTERS: [&str; 22] = [
    "master/dropped_messages",
    "master/messages_accept",
    "master/messages_acknowledge",
    "master/messages_decline",
    "master/messages_executor_to_framework",
    "master/messages_exited_executor",
    "master/messages_kill",
    "master/messages_reconcile",
    "master/messages_register_slave",
    "master/messages_reregister_slave",
    "master/messages_revive",
    "master/messages_status_update",
    "master/messages_subscribe",
    "master/messages_suppress",
    "master/messages_unregister_slave",
    "master/messages_update_slave",
    crate::metrics::SLOW_EVENT_STREAMS,
    "master/tasks_error",
    "master/tasks_failed",
    "master/tasks_finished",
    "master/tasks_killed",
    "master/tasks_lost",
];

/// Whether a value only grows while the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gauge,
    Counter,
}

/// One measured value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Mesos's name, with slashes.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) value: f64,
}

/// What this replica has counted since it was started, by name.
pub(crate) fn counters(context: &Context) -> BTreeMap<String, u64> {
    let mut counters = context.metrics.snapshot();
    for name in COUNTERS {
        counters.entry(name.to_owned()).or_insert(0);
    }
    for (event, count) in context.log.counters().all() {
        counters.insert(format!("raft/{}", event.name()), count);
    }
    counters
}

/// All samples, ordered by name.
async fn collect(context: &Context) -> Vec<Sample> {
    let counters = counters(context).into_iter().map(|(name, count)| Sample {
        name,
        kind: Kind::Counter,
        value: count as f64,
    });
    let mut all: Vec<Sample> = counters.collect();
    let uptime = context.seams.clock.now_micros().saturating_sub(context.started_at);
    let gauges = process_gauges(context.metrics.is_elected(), uptime, &context.log.status().borrow());
    all.extend(gauges.into_iter().map(gauge));
    let streams = context.event_streams.len() as f64;
    all.push(gauge(("master/operator_event_stream_subscribers".to_owned(), streams)));
    let state = local_state(context).await;
    all.extend(gauges::cluster(state.as_ref()).into_iter().map(gauge));
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn gauge((name, value): (String, f64)) -> Sample {
    Sample {
        name,
        kind: Kind::Gauge,
        value,
    }
}

/// What every replica knows of itself.
fn process_gauges(elected: bool, uptime_micros: u64, status: &Status) -> Gauges {
    let flag = |set: bool| f64::from(u8::from(set));
    let index = |index: Option<u64>| index.unwrap_or(0) as f64;
    [
        ("master/elected", flag(elected)),
        ("master/uptime_secs", uptime_micros as f64 / 1e6),
        (
            "raft/applied_index",
            index(status.applied.map(|position| position.index)),
        ),
        (
            "raft/commit_index",
            index(status.committed.map(|position| position.index)),
        ),
        ("raft/disk_full", flag(status.disk_full)),
        ("raft/is_leader", flag(status.is_leader())),
        ("raft/last_log_index", index(status.last_log)),
        ("raft/leader_id", index(status.leader)),
        ("raft/learners", status.learners.len() as f64),
        ("raft/node_id", status.node_id as f64),
        (
            "raft/snapshot_index",
            index(status.snapshot.map(|position| position.index)),
        ),
        ("raft/term", status.term as f64),
        ("raft/voters", status.voters.len() as f64),
        // Mesos's names for two of these.
        ("registrar/log/ensemble_size", status.voters.len() as f64),
        ("registrar/log/recovered", flag(status.running)),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

/// `/metrics/snapshot`: a flat object of name to number.
pub(super) async fn snapshot(context: &Context, request: &HttpRequest) -> HttpResponse {
    struct Flat(Vec<Sample>);
    impl serde::Serialize for Flat {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|sample| (&sample.name, sample.value)))
        }
    }
    let parameters = parameters(request);
    if let Some(problem) = parameters.get("timeout").and_then(|timeout| invalid_timeout(timeout)) {
        return HttpResponse::text(400, problem);
    }
    let samples = Flat(collect(context).await);
    encode(&context.seams, move || json(&parameters, &samples)).await
}

/// The text for a timeout that is none. All values are at hand, so a valid one makes no difference.
fn invalid_timeout(timeout: &str) -> Option<String> {
    const UNITS: [&str; 8] = ["ns", "us", "ms", "secs", "mins", "hrs", "days", "weeks"];
    let digits = timeout
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(timeout.len());
    let (number, unit) = timeout.split_at(digits);
    let problem = if number.parse::<f64>().is_err() {
        format!("Failed to convert '{number}' to number.")
    } else if !UNITS.contains(&unit) {
        format!("Unknown duration unit '{unit}'")
    } else {
        return None;
    };
    Some(format!("Invalid timeout '{timeout}': {problem}\n"))
}

/// The samples as GET_METRICS answers them.
pub(super) async fn messages(context: &Context) -> Vec<Metric> {
    let message = |sample: Sample| Metric {
        name: sample.name,
        value: Some(sample.value),
    };
    collect(context).await.into_iter().map(message).collect()
}

/// `/metrics`: the text exposition format.
pub(super) async fn exposition(context: &Context) -> HttpResponse {
    let samples = collect(context).await;
    encode(&context.seams, move || {
        HttpResponse::ok(prometheus::CONTENT_TYPE, prometheus::text(&samples))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_is_none_is_refused() {
        assert_eq!(
            invalid_timeout("x").as_deref(),
            Some("Invalid timeout 'x': Failed to convert '' to number.\n")
        );
        assert_eq!(
            invalid_timeout("5").as_deref(),
            Some("Invalid timeout '5': Unknown duration unit ''\n")
        );
        for valid in ["5secs", "1.5mins", "100ms"] {
            assert_eq!(invalid_timeout(valid), None, "{valid}");
        }
    }

    #[test]
    fn counters_that_exist_from_the_start_are_in_order_and_unique() {
        assert!(COUNTERS.is_sorted_by(|a, b| a < b));
    }
}
