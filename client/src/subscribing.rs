//! What every subscription has in common: SUBSCRIBE at the leader, when its stream counts as dead, and how it ends.

use std::pin::pin;
use std::time::Duration;

use libprocess::Response;
use tokio::time::timeout;
use tracing::debug;

use crate::http::{HttpError, redirect_target};
use crate::leader::LeaderFinder;

/// Heartbeat interval of a master that announces none.
const HEARTBEAT_INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
/// After so many heartbeat intervals without a byte the stream is taken for dead.
const HEARTBEATS_MISSED_MAX: f64 = 2.5;
/// Longest heartbeat interval believed.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// How often another master is asked whether somebody else leads.
pub(crate) const LEADER_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// Redirects followed in one attempt; in a settled cluster one leads to the leader.
const REDIRECTS_MAX: usize = 3;
/// A stream that lasted so long was a good one: after it the pauses start short again.
pub(crate) const GOOD_STREAM: Duration = Duration::from_secs(1);

/// Why an attempt or a subscription ended.
pub(crate) enum End {
    /// For good.
    Final(String),
    /// Another master may do better.
    Retry {
        /// For the log and the notice.
        reason: String,
        /// The leader to try next, when it is known.
        next: Option<String>,
    },
}

/// An end after which the next master is looked for.
pub(crate) fn retry(reason: impl Into<String>) -> End {
    End::Retry {
        reason: reason.into(),
        next: None,
    }
}

/// Posts SUBSCRIBE by `post`, following redirects; gives up early when another master turns out to lead. Returns who
/// answered, and the answer, which is no redirect.
pub(crate) async fn subscribe_at_leader<F>(
    finder: &LeaderFinder,
    master: &str,
    limit: Duration,
    post: impl Fn(String) -> F,
) -> Result<(String, Response), End>
where
    F: Future<Output = Result<Response, HttpError>>,
{
    let mut master = master.to_owned();
    let mut turn = 0;
    for _ in 0..=REDIRECTS_MAX {
        let response = {
            let mut attempt = pin!(timeout(limit, post(master.clone())));
            loop {
                tokio::select! {
                    response = &mut attempt => break response,
                    other = finder.next_check(&master, LEADER_CHECK_INTERVAL, &mut turn) => if let Some(other) = other {
                        return Err(End::Retry { reason: format!("{other} leads"), next: Some(other) });
                    },
                }
            }
        };
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(retry(error.to_string())),
            Err(_) => return Err(retry(format!("no answer to SUBSCRIBE within {limit:?}"))),
        };
        if response.status != 307 {
            return Ok((master, response));
        }
        let Some(target) = redirect_target(&response) else {
            return Err(retry("redirected to nowhere"));
        };
        debug!(%master, leader = %target.address, "redirected");
        finder.learn(&target.address);
        master = target.address;
    }
    Err(retry(format!("redirected more than {REDIRECTS_MAX} times")))
}

/// How long a stream may be silent, by the interval between heartbeats, in seconds, that its master announced.
pub(crate) fn heartbeat_timeout(announced: Option<f64>) -> Duration {
    let interval = announced
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|interval| !interval.is_zero())
        .unwrap_or(HEARTBEAT_INTERVAL_DEFAULT);
    interval.min(HEARTBEAT_INTERVAL_MAX).mul_f64(HEARTBEATS_MISSED_MAX)
}
