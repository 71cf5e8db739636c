//! The port's service: which actor exists, which route a request takes, and who may answer it here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use libprocess::{HttpRequest, HttpResponse, Message, Routes, Service};
use replicated_log::ReadError;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::unsupported::{self, Endpoint};
use super::{legacy, metrics, operations, operator, quota, raft_status, redirect, scheduler, weights};
use crate::actor::{Context, Input};
use crate::leader::{self, LeaderView};
use crate::leadership::reply::Answer;
use crate::leadership::{SoftState, unavailable};

/// Pause before this replica is asked again after it has answered that another leads and does not yet know who.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/api/v1/scheduler`
    Scheduler,
    /// `/api/v1`
    Operator,
    /// `/redirect`
    Redirect,
    /// Answered by every replica itself.
    Health,
    Version,
    Flags,
    MetricsSnapshot,
    Prometheus,
    RaftStatus,
    Logging,
    OfferConstraintsDebug,
    /// Answered by the leader.
    State,
    StateSummary,
    Slaves,
    Frameworks,
    Tasks,
    Roles,
    Teardown,
    Quota,
    Operation(operations::Endpoint),
    Weights,
    /// Known, but not carried out yet.
    Unsupported(Endpoint),
}

/// The HTTP edge of one master.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(super) context: Arc<Context>,
    routes: Routes<Route>,
}

impl Edge {
    pub(crate) fn new(context: Arc<Context>) -> Edge {
        Edge {
            context,
            routes: routes(),
        }
    }

    async fn route(&self, request: HttpRequest) -> HttpResponse {
        let Some((&route, rest)) = self.routes.lookup(&request.path) else {
            return HttpResponse::status(404);
        };
        let path = self.routes.rewrite(&request.path).into_owned();
        match route {
            Route::Health => return HttpResponse::new(200),
            Route::Version => return legacy::version(&request),
            Route::Flags => return legacy::flags(&self.context, &request),
            Route::MetricsSnapshot => return metrics::snapshot(&self.context, &request).await,
            Route::Prometheus if rest.is_empty() => return metrics::exposition(&self.context).await,
            Route::Prometheus => return HttpResponse::status(404),
            Route::RaftStatus => return raft_status::status(&self.context, &request),
            Route::Logging => return legacy::logging(&request),
            Route::OfferConstraintsDebug => return legacy::offer_constraints_debug(&self.context, &request).await,
            Route::Redirect => return redirect::redirect(&self.context, &path).await,
            _ => {}
        }
        self.ask_leader(route, &path, request).await
    }

    /// Redirects to the leader, or carries the request out when that is this replica. While nobody leads, or leadership
    /// moves under the request, it is held for `follower_wait`: only then it is refused, and nothing has happened.
    async fn ask_leader(&self, route: Route, path: &str, request: HttpRequest) -> HttpResponse {
        let deadline = Instant::now() + self.context.config.follower_wait;
        let mut leader = self.context.leader.subscribe();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match leader::known(&mut leader, left).await {
                LeaderView::Unknown => return HttpResponse::text(503, "No leader elected"),
                LeaderView::Elsewhere(address) => return redirect::to(&address, path, request.query.as_deref()),
                LeaderView::Here => {}
            }
            if let Answer::Response(response) = self.lead(route, request.clone()).await {
                return response;
            }
            if Instant::now() >= deadline {
                return unavailable("the leader changes");
            }
            // Mostly the view has changed by now, and this returns at once; it never ends in error while the edge lives.
            let changed = leader.wait_for(|view| *view != LeaderView::Here);
            drop(tokio::time::timeout(ASK_AGAIN, changed).await);
        }
    }

    async fn lead(&self, route: Route, request: HttpRequest) -> Answer {
        match route {
            Route::Scheduler => scheduler::call(&self.context, request).await,
            Route::Operator => operator::call(&self.context, request).await,
            Route::Unsupported(endpoint) => unsupported::answer(endpoint, &request).into(),
            Route::Teardown => legacy::teardown(&self.context, request).await,
            Route::Quota => {
                let path = self.routes.rewrite(&request.path).into_owned();
                quota::endpoint(&self.context, &path, request).await
            }
            Route::Operation(endpoint) => operations::endpoint(&self.context, endpoint, request).await,
            Route::Weights => weights::endpoint(&self.context, request).await,
            _ => legacy::read(&self.context, route, request).await,
        }
    }
}

/// Every route of a master.
fn routes() -> Routes<Route> {
    let mut routes = Routes::new("master")
        .route("/health", Route::Health)
        .route("/version", Route::Version)
        .route("/metrics/snapshot", Route::MetricsSnapshot)
        .route("/metrics", Route::Prometheus)
        .route("/raft/status", Route::RaftStatus)
        .route("/logging/toggle", Route::Logging)
        .route("/allocator/offer_constraints_debug", Route::OfferConstraintsDebug);
    for (path, route) in [
        ("/master/api/v1/scheduler", Route::Scheduler),
        ("/master/api/v1", Route::Operator),
        ("/master/redirect", Route::Redirect),
        ("/master/health", Route::Health),
        ("/master/flags", Route::Flags),
        ("/master/state", Route::State),
        ("/master/state-summary", Route::StateSummary),
        ("/master/slaves", Route::Slaves),
        ("/master/frameworks", Route::Frameworks),
        ("/master/tasks", Route::Tasks),
        ("/master/roles", Route::Roles),
        ("/master/teardown", Route::Teardown),
        ("/master/quota", Route::Quota),
        ("/master/weights", Route::Weights),
    ] {
        routes = routes.route(path, route);
    }
    for (path, endpoint) in operations::Endpoint::ALL {
        routes = routes.route(path, Route::Operation(endpoint));
    }
    for endpoint in unsupported::ENDPOINTS {
        routes = routes.route(&format!("/master{}", endpoint.path), Route::Unsupported(endpoint));
    }
    routes
}

/// The soft state of the leadership, confirmed by a quorum: what a read that must be current is answered from.
pub(super) async fn current_state(context: &Context) -> Result<SoftState, Answer> {
    confirm_lead(context).await?;
    local_state(context).await.ok_or(Answer::AskLeader)
}

/// Has a quorum confirm that this replica leads, and everything committed until now applied; or says what to answer.
pub(super) async fn confirm_lead(context: &Context) -> Result<(), Answer> {
    if let Err(error) = context.log.read_barrier().await {
        tracing::info!(%error, "a read could not be confirmed");
        let leads = *context.leader.borrow() == LeaderView::Here;
        return Err(match error {
            ReadError::Unavailable { .. } | ReadError::Fatal { .. } if leads => HttpResponse::text(
                503,
                "This master cannot confirm that it still leads, so its state may be old: no quorum of masters answers it",
            )
            .into(),
            _ => Answer::AskLeader,
        });
    }
    Ok(())
}

/// The same without asking anybody: what this replica believes. `None` when it does not lead.
pub(super) async fn local_state(context: &Context) -> Option<SoftState> {
    let (sender, receiver) = oneshot::channel();
    context.mailbox.send(Input::SoftState(sender)).await.ok()?;
    receiver.await.ok()
}

impl Service for Edge {
    fn knows_actor(&self, id: &str) -> bool {
        id == "master"
    }

    fn deliver(&self, message: Message) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if *self.context.leader.borrow() != LeaderView::Here {
                self.context.metrics.dropped_message();
                return;
            }
            if self.context.mailbox.send(Input::Message(message)).await.is_err() {
                tracing::debug!("a message came while the master was stopping");
            }
        })
    }

    fn handle(&self, request: HttpRequest) -> BoxFuture<'_, HttpResponse> {
        Box::pin(self.route(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str) -> Option<Route> {
        routes().lookup(path).map(|(route, _)| *route)
    }

    #[test]
    fn the_longest_known_prefix_answers() {
        for (path, expected) in [
            ("/state", Route::State),
            ("/master/state", Route::State),
            ("/state/foo", Route::State),
            ("/master/frameworks/", Route::Frameworks),
            ("/state-summary", Route::StateSummary),
            ("/api/v1", Route::Operator),
            ("/api/v1/operator", Route::Operator),
            ("/api/v1/scheduler/", Route::Scheduler),
            ("/api/v1/scheduler.json", Route::Operator),
            ("/metrics/snapshot", Route::MetricsSnapshot),
            ("/metrics", Route::Prometheus),
            ("/raft/status", Route::RaftStatus),
            ("/logging/toggle", Route::Logging),
            ("/health", Route::Health),
            ("/quota/role", Route::Quota),
            ("/master/reserve", Route::Operation(operations::Endpoint::Reserve)),
            (
                "/destroy-volumes",
                Route::Operation(operations::Endpoint::DestroyVolumes),
            ),
            ("/weights/x", Route::Weights),
        ] {
            assert_eq!(route(path), Some(expected), "{path}");
        }
        for path in ["/maintenance/schedule", "/machine/down"] {
            assert!(matches!(route(path), Some(Route::Unsupported(_))), "{path}");
        }
    }

    #[test]
    fn paths_that_mesos_does_not_have_are_unknown() {
        for path in [
            "/nope",
            "/state.json",
            "/slaves.json",
            "/maintenance",
            "/master/version",
            "/master/metrics/snapshot",
            "/api/v2",
            "/raft",
            "/machine",
        ] {
            assert_eq!(route(path), None, "{path}");
        }
    }
}
