//! 307 to the leader: by every follower for every route, and by everybody on `/redirect`.

use libprocess::HttpResponse;

use crate::actor::Context;
use crate::leader::{self, LeaderView};

/// `307` to the same path on the leader; protocol-relative and with an explicit port, as clients expect it.
pub(super) fn to(address: &str, path: &str, query: Option<&str>) -> HttpResponse {
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    HttpResponse::redirect(format!("//{address}{path}{query}"))
}

/// `/redirect`: where the leader is, also when it is this replica.
pub(super) async fn redirect(context: &Context, path: &str) -> HttpResponse {
    let view = leader::known(&mut context.leader.subscribe(), context.config.follower_wait).await;
    match view {
        LeaderView::Unknown => HttpResponse::text(503, "No leader elected"),
        // The one route that takes no rest, not even a slash.
        _ if path != "/master/redirect" => HttpResponse::status(404),
        LeaderView::Elsewhere(address) => HttpResponse::redirect(format!("//{address}")),
        LeaderView::Here => HttpResponse::redirect(format!("//{}:{}", context.hostname, context.pid.address.port())),
    }
}
