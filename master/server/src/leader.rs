//! Who leads, as the HTTP edge of this replica may say it.

use tokio::sync::watch;

use crate::actor::Context;

/// The leader as known here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum LeaderView {
    /// Nobody, or not announced yet.
    #[default]
    Unknown,
    /// This replica, announced and applied.
    Here,
    /// Another replica: where its HTTP port is, `host:port`.
    Elsewhere(String),
}

/// Recomputes the view from Raft's leader and the announcement in the registry, and tells those who wait for it.
///
/// A replica that Raft names but that has not announced itself in this very term is not named: it may still lose.
pub(crate) fn publish(context: &Context, leading: bool) {
    let view = if leading { LeaderView::Here } else { elsewhere(context) };
    context.leader.send_if_modified(|current| {
        let changed = *current != view;
        if changed {
            tracing::info!(node_id = context.config.node_id, leader = ?view, "leader");
            *current = view;
        }
        changed
    });
}

fn elsewhere(context: &Context) -> LeaderView {
    let status = context.log.status().borrow().clone();
    let published = context.published.load();
    let Some(record) = &published.registry.cluster().leader else {
        return LeaderView::Unknown;
    };
    if status.leader != Some(record.node_id) || status.term != record.term || record.node_id == context.config.node_id {
        return LeaderView::Unknown;
    }
    match record.master.decode() {
        Ok(info) => {
            let host = info.hostname.clone().unwrap_or_default();
            LeaderView::Elsewhere(format!("{host}:{}", info.port))
        }
        Err(error) => {
            tracing::warn!(%error, node_id = record.node_id, "the leader's announcement cannot be read");
            LeaderView::Unknown
        }
    }
}

/// Waits until a leader is known, at most `limit`.
pub(crate) async fn known(leader: &mut watch::Receiver<LeaderView>, limit: std::time::Duration) -> LeaderView {
    let wait = leader.wait_for(|view| *view != LeaderView::Unknown);
    match tokio::time::timeout(limit, wait).await {
        Ok(Ok(view)) => view.clone(),
        // Timed out, or the master is stopping.
        _ => LeaderView::Unknown,
    }
}
