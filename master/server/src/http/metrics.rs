//! `/metrics/snapshot` and Prometheus `/metrics`.

use std::collections::BTreeMap;

use libprocess::{HttpRequest, HttpResponse};

use crate::actor::Context;

fn collect(context: &Context) -> BTreeMap<String, f64> {
    let mut all: BTreeMap<String, f64> = context
        .metrics
        .snapshot()
        .into_iter()
        .map(|(name, count)| (name, count as f64))
        .collect();
    let status = context.log.status().borrow().clone();
    all.insert(
        "master/elected".to_owned(),
        f64::from(u8::from(context.metrics.is_elected())),
    );
    all.insert("raft/term".to_owned(), status.term as f64);
    all.insert("raft/node_id".to_owned(), status.node_id as f64);
    all.insert("raft/leader_id".to_owned(), status.leader.unwrap_or(0) as f64);
    all.insert("raft/last_log_index".to_owned(), status.last_log.unwrap_or(0) as f64);
    all.insert(
        "raft/commit_index".to_owned(),
        status.committed.map_or(0, |position| position.index) as f64,
    );
    all.insert(
        "raft/applied_index".to_owned(),
        status.applied.map_or(0, |position| position.index) as f64,
    );
    all.insert("raft/voters".to_owned(), status.voters.len() as f64);
    all
}

/// A flat object of name to number.
pub(super) async fn snapshot(context: &Context, _request: &HttpRequest) -> HttpResponse {
    match serde_json::to_vec(&collect(context)) {
        Ok(body) => HttpResponse::ok("application/json", body),
        Err(error) => HttpResponse::text(500, error.to_string()),
    }
}

/// The text exposition format.
pub(super) async fn prometheus(context: &Context) -> HttpResponse {
    let mut text = String::new();
    for (name, value) in collect(context) {
        let name: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        text.push_str(&format!("mesoraft_{name} {value}\n"));
    }
    HttpResponse::ok("text/plain; version=0.0.4", text)
}
