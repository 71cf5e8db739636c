//! The operator API of the leading master: v1 calls and the older JSON endpoints.
//!
//! Every request goes to the leader: to the master it was last found at, and on a redirect or failure to whom the
//! others name. Calls that only read are tried again until [`OPERATOR_TIMEOUT`]; calls that change something are not
//! repeated once they may have been received.

mod settings;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use proto::ext::event_position::EventPosition;
use proto::v1::master::{Call, Response, call, response};
use proto::v1::{MasterInfo, VersionInfo};
use seams::Seams;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::encoding::Encoding;
use crate::events::{Following, OperatorEvents};
use crate::http::{Http, HttpError, is_without_effect, read_body, redirect_target};
use crate::leader::LeaderFinder;
use crate::masters::MasterList;

/// Limit of one call with all its attempts: longer than any election, shorter than a person's patience.
const OPERATOR_TIMEOUT: Duration = Duration::from_secs(30);
/// Limit of one attempt; the state of a large cluster takes seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Path of the v1 operator API.
const OPERATOR_PATH: &str = "/api/v1";

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperatorError {
    /// The leader answered with an error.
    #[error("{peer} refused with {status}: {text}")]
    Refused {
        /// Who answered, `host:port`.
        peer: String,
        /// HTTP status.
        status: u16,
        /// Body, verbatim.
        text: String,
    },
    /// Nobody who leads was reached in time; a call that changes something has certainly not been carried out.
    #[error("no answer within {waited:?}; the last attempt: {last}")]
    Unavailable {
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt ran into.
        last: String,
    },
    /// A call that changes something was sent and no answer came: it may have been carried out.
    #[error("it is unknown whether {peer} has carried the call out: {reason}")]
    Unknown {
        /// Whom it was sent to, `host:port`.
        peer: String,
        /// What went wrong.
        reason: String,
    },
    /// The answer cannot be read.
    #[error("the answer of {peer} cannot be read: {reason}")]
    BadAnswer {
        /// Who answered, `host:port`.
        peer: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// A client of the operator API. Cheap to clone; clones share what they know of the leader.
#[derive(Clone, Debug)]
pub struct Operator {
    finder: LeaderFinder,
    http: Http,
    seams: Seams,
    encoding: Encoding,
    leader: Arc<Mutex<Option<String>>>,
    limit: Duration,
}

/// One HTTP request of the operator API.
struct Question<'a> {
    path: &'a str,
    /// `None` for GET.
    body: Option<Bytes>,
    /// Whether it may be sent again although it may have been received.
    repeatable: bool,
}

impl Operator {
    /// A client of the cluster that `masters` belong to.
    pub fn new(masters: &MasterList, encoding: Encoding, seams: Seams) -> Self {
        let http = Http::new(&seams);
        let finder = LeaderFinder::with_http(masters, http.clone(), seams.clone());
        Operator {
            finder,
            http,
            seams,
            encoding,
            leader: Arc::default(),
            limit: OPERATOR_TIMEOUT,
        }
    }

    /// Sets how long a call looks for a leader that answers; 30 s by default.
    #[must_use]
    pub fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The masters this client knows and who leads.
    pub fn finder(&self) -> &LeaderFinder {
        &self.finder
    }

    /// Follows the events of the cluster from now on, or from behind `after`: the position of the last event that an
    /// earlier subscriber has handled. The subscription lives in a task of the current runtime until the result is dropped.
    pub fn subscribe(&self, after: Option<EventPosition>) -> OperatorEvents {
        OperatorEvents::start(|notices| Following {
            finder: self.finder.clone(),
            http: self.http.clone(),
            seams: self.seams.clone(),
            encoding: self.encoding,
            notices,
            position: after,
            cluster_id: None,
        })
    }

    /// Makes any call of the v1 operator API but SUBSCRIBE, which is [`Operator::subscribe`]. Calls without an answer return an empty `Response`.
    pub async fn call(&self, call: Call) -> Result<Response, OperatorError> {
        self.call_first(self.cached_leader(), call).await
    }

    /// Makes a call like [`Operator::call`], but puts it to `master` first, whether it leads or not; goes on where that
    /// one redirects to.
    pub async fn call_at(&self, master: &str, call: Call) -> Result<Response, OperatorError> {
        self.call_first(Some(master.to_owned()), call).await
    }

    async fn call_first(&self, first: Option<String>, call: Call) -> Result<Response, OperatorError> {
        let question = Question {
            path: OPERATOR_PATH,
            body: Some(self.encoding.encode(&call)),
            repeatable: is_read(call.r#type()),
        };
        let (master, body) = self.put(first, &question).await?;
        if body.is_empty() {
            return Ok(Response::default());
        }
        self.encoding
            .decode(&body)
            .map_err(|reason| OperatorError::BadAnswer { peer: master, reason })
    }

    /// Reads an older JSON endpoint of the leader, such as `/state` or `/slaves`; the answer is JSON text.
    pub async fn get(&self, path: &str) -> Result<Bytes, OperatorError> {
        let (_, body) = self
            .put(
                self.cached_leader(),
                &Question {
                    path,
                    body: None,
                    repeatable: true,
                },
            )
            .await?;
        Ok(body)
    }

    /// Reads an endpoint of one certain master, which must not redirect (`/metrics/snapshot`, `/version`, `/flags`).
    pub async fn get_from(&self, master: &str, path: &str) -> Result<Bytes, OperatorError> {
        let question = Question {
            path,
            body: None,
            repeatable: true,
        };
        match timeout(self.limit, self.attempt(master, &question)).await {
            Ok(Attempt::Answered(result)) => result.map(|(_, body)| body),
            Ok(Attempt::ElseWhere(leader)) => {
                let reason = format!("{path} redirects to {leader}");
                Err(OperatorError::BadAnswer {
                    peer: master.to_owned(),
                    reason,
                })
            }
            Ok(Attempt::Failed(last)) => Err(OperatorError::Unavailable {
                waited: self.limit,
                last,
            }),
            Err(_) => {
                let last = format!("{master} does not answer");
                Err(OperatorError::Unavailable {
                    waited: self.limit,
                    last,
                })
            }
        }
    }

    /// The whole state: agents, frameworks, executors, tasks.
    pub async fn get_state(&self) -> Result<response::GetState, OperatorError> {
        self.read(call::Type::GetState, |response| response.get_state).await
    }

    /// Registered and recovered agents.
    pub async fn get_agents(&self) -> Result<response::GetAgents, OperatorError> {
        self.read(call::Type::GetAgents, |response| response.get_agents).await
    }

    /// Active and completed frameworks.
    pub async fn get_frameworks(&self) -> Result<response::GetFrameworks, OperatorError> {
        self.read(call::Type::GetFrameworks, |response| response.get_frameworks)
            .await
    }

    /// Active, unreachable and completed tasks.
    pub async fn get_tasks(&self) -> Result<response::GetTasks, OperatorError> {
        self.read(call::Type::GetTasks, |response| response.get_tasks).await
    }

    /// The leading master as it describes itself.
    pub async fn get_master(&self) -> Result<MasterInfo, OperatorError> {
        self.read(call::Type::GetMaster, |response| {
            response.get_master.and_then(|master| master.master_info)
        })
        .await
    }

    /// The leading master's version.
    pub async fn get_version(&self) -> Result<VersionInfo, OperatorError> {
        self.read(call::Type::GetVersion, |response| {
            response.get_version.map(|version| version.version_info)
        })
        .await
    }

    /// Whether the leading master calls itself healthy.
    pub async fn get_health(&self) -> Result<bool, OperatorError> {
        self.read(call::Type::GetHealth, |response| {
            response.get_health.map(|health| health.healthy)
        })
        .await
    }

    async fn read<T>(
        &self,
        call_type: call::Type,
        pick: impl FnOnce(Response) -> Option<T>,
    ) -> Result<T, OperatorError> {
        let response = self
            .call(Call {
                r#type: Some(call_type.into()),
                ..Call::default()
            })
            .await?;
        pick(response).ok_or_else(|| OperatorError::BadAnswer {
            peer: self.cached_leader().unwrap_or_default(),
            reason: format!("it does not answer {}", call_type.as_str_name()),
        })
    }

    /// Puts a question to `first`, if any, and else to the leader, whoever that becomes; returns who answered, and the
    /// body.
    async fn put(&self, first: Option<String>, question: &Question<'_>) -> Result<(String, Bytes), OperatorError> {
        let started = Instant::now();
        let deadline = started + self.limit;
        let mut last = "no master names a leader".to_owned();
        let mut backoff = Backoff::new(self.seams.clone());
        let mut next = first;
        let mut lost: Option<String> = None;
        while Instant::now() < deadline {
            let master = match next.take() {
                Some(master) => master,
                None => match timeout_at(deadline, self.finder.find(lost.as_deref())).await {
                    Ok(master) => master,
                    Err(_) => break,
                },
            };
            let attempt = timeout_at(deadline, self.attempt(&master, question)).await;
            match attempt.unwrap_or_else(|_| Attempt::silent(&master, question)) {
                Attempt::Answered(result) => {
                    self.cache_leader(result.is_ok().then_some(&*master));
                    return result;
                }
                Attempt::ElseWhere(leader) => {
                    last = format!("{master} redirects to {leader}");
                    next = (lost.as_ref() != Some(&leader)).then_some(leader);
                }
                Attempt::Failed(reason) => {
                    last = reason;
                    lost = Some(master);
                }
            }
            self.cache_leader(None);
            sleep(backoff.next_pause()).await;
        }
        Err(OperatorError::Unavailable {
            waited: started.elapsed(),
            last,
        })
    }

    async fn attempt(&self, master: &str, question: &Question<'_>) -> Attempt {
        match timeout(ATTEMPT_TIMEOUT, self.exchange(master, question)).await {
            Ok(Ok(attempt)) => attempt,
            Ok(Err(HttpError::NotSent(reason))) => Attempt::Failed(reason),
            Ok(Err(HttpError::Lost(reason))) if question.repeatable => Attempt::Failed(reason),
            Ok(Err(HttpError::Lost(reason))) => Attempt::unknown(master, reason),
            Err(_) if question.repeatable => Attempt::Failed(format!("no answer within {ATTEMPT_TIMEOUT:?}")),
            Err(_) => Attempt::unknown(master, format!("no answer within {ATTEMPT_TIMEOUT:?}")),
        }
    }

    async fn exchange(&self, master: &str, question: &Question<'_>) -> Result<Attempt, HttpError> {
        let response = match &question.body {
            None => self.http.get(master, question.path).await?,
            Some(body) => {
                self.http
                    .post(master, question.path, self.encoding, &[], body.clone())
                    .await?
            }
        };
        let status = response.status;
        if status == 307
            && let Some(target) = redirect_target(&response)
        {
            self.finder.learn(&target.address);
            return Ok(Attempt::ElseWhere(target.address));
        }
        let body = read_body(response).await?;
        let master = master.to_owned();
        Ok(match status {
            200..=299 => Attempt::Answered(Ok((master, body))),
            503 if question.repeatable || is_without_effect(&String::from_utf8_lossy(&body)) => {
                Attempt::Failed(format!("{master} answered 503"))
            }
            _ => {
                let text = String::from_utf8_lossy(&body).into_owned();
                Attempt::Answered(Err(OperatorError::Refused {
                    peer: master,
                    status,
                    text,
                }))
            }
        })
    }

    fn cached_leader(&self) -> Option<String> {
        self.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn cache_leader(&self, leader: Option<&str>) {
        *self.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader.map(str::to_owned);
    }
}

/// How one request to one master ended.
enum Attempt {
    /// Decided.
    Answered(Result<(String, Bytes), OperatorError>),
    /// Another master leads.
    ElseWhere(String),
    /// May be tried again.
    Failed(String),
}

impl Attempt {
    /// The time is over and nobody answered; what may have been received may have been carried out.
    fn silent(master: &str, question: &Question<'_>) -> Self {
        let reason = format!("{master} does not answer");
        if question.repeatable {
            Attempt::Failed(reason)
        } else {
            Attempt::unknown(master, reason)
        }
    }

    fn unknown(master: &str, reason: String) -> Self {
        Attempt::Answered(Err(OperatorError::Unknown {
            peer: master.to_owned(),
            reason,
        }))
    }
}

fn is_read(call_type: call::Type) -> bool {
    use call::Type;
    matches!(
        call_type,
        Type::GetHealth
            | Type::GetFlags
            | Type::GetVersion
            | Type::GetMetrics
            | Type::GetLoggingLevel
            | Type::ListFiles
            | Type::ReadFile
            | Type::GetState
            | Type::GetAgents
            | Type::GetFrameworks
            | Type::GetExecutors
            | Type::GetOperations
            | Type::GetTasks
            | Type::GetRoles
            | Type::GetWeights
            | Type::GetMaster
            | Type::GetMaintenanceStatus
            | Type::GetMaintenanceSchedule
            | Type::GetQuota
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeMaster, Leads, list};

    fn operator(masters: &[&FakeMaster]) -> Operator {
        Operator::new(&list(masters), Encoding::Json, Seams::real())
    }

    #[tokio::test]
    async fn a_read_is_answered_by_the_leader_although_a_follower_was_asked() {
        let leader = FakeMaster::start(Leads::Itself).await;
        let follower = FakeMaster::start(Leads::Other(leader.address())).await;
        leader.answer_calls_with(200, r#"{"type":"GET_HEALTH","get_health":{"healthy":true}}"#);
        assert_eq!(operator(&[&follower]).get_health().await, Ok(true));
        leader.answer_calls_with(200, r#"{"a":1}"#);
        assert_eq!(operator(&[&follower]).get("/state").await.unwrap(), r#"{"a":1}"#);
        assert_eq!(
            operator(&[&follower])
                .get_from(&leader.address(), "/metrics")
                .await
                .unwrap(),
            r#"{"a":1}"#
        );
    }

    #[tokio::test]
    async fn a_refusal_is_handed_on_with_its_text() {
        let leader = FakeMaster::start(Leads::Itself).await;
        leader.answer_calls_with(403, "no");
        let refused = OperatorError::Refused {
            peer: leader.address(),
            status: 403,
            text: "no".to_owned(),
        };
        assert_eq!(operator(&[&leader]).get_state().await, Err(refused));
    }

    #[tokio::test]
    async fn a_change_that_nobody_answered_in_time_is_unknown_and_a_question_is_not() {
        let leader = FakeMaster::start(Leads::Itself).await;
        leader.pause();
        let operator = operator(&[&leader]).with_limit(Duration::from_millis(200));
        let teardown = Call {
            r#type: Some(call::Type::Teardown.into()),
            ..Call::default()
        };
        let outcome = operator.call_at(&leader.address(), teardown).await;
        assert!(matches!(outcome, Err(OperatorError::Unknown { .. })), "{outcome:?}");
        assert!(matches!(
            operator.get_tasks().await,
            Err(OperatorError::Unavailable { .. })
        ));
    }

    #[tokio::test]
    async fn without_a_leader_the_call_ends_as_unavailable() {
        let follower = FakeMaster::start(Leads::Nobody).await;
        let operator = operator(&[&follower]).with_limit(Duration::from_millis(100));
        assert!(matches!(
            operator.get_state().await,
            Err(OperatorError::Unavailable { .. })
        ));
    }
}
