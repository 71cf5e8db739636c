//! Finds the leading master: asks every known master at once with `GET /redirect`, which each of them answers with
//! the address of the leader, the leader itself included.
//!
//! A follower that has not yet noticed the death of its leader goes on naming it. Therefore a leader that a client has
//! just lost counts only when it names itself ([`LeaderFinder::find`], `lost`).
//! This module never follows more than one redirect and pauses before it asks the same master again ([`Backoff`]).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use proto::json::{self, Node, Number};
use seams::Seams;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::backoff::Backoff;
use crate::http::{Http, read_body, redirect_target};
use crate::masters::MasterList;

/// Limit of one question to a master that should know.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// Limit of one question while a leader is looked for: masters hold the answer for some seconds while they elect.
const HELD_ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of asking a leader in doubt whether it still leads; a paused one does not answer.
const CONFIRM_TIMEOUT: Duration = Duration::from_millis(300);
/// Addresses learnt from redirects and kept besides those configured: clusters have at most seven members, some under
/// two names.
const LEARNT_MAX: usize = 16;

/// Knows the masters of one cluster and finds out which one leads. Cheap to clone; clones share what they learn.
#[derive(Clone, Debug)]
pub struct LeaderFinder {
    http: Http,
    seams: Seams,
    configured: Arc<[String]>,
    /// Addresses leaders announced, oldest first, none of them in `configured`.
    learnt: Arc<Mutex<Vec<String>>>,
}

impl LeaderFinder {
    /// A finder for the cluster that `masters` belong to.
    pub fn new(masters: &MasterList, seams: Seams) -> Self {
        Self::with_http(masters, Http::new(&seams), seams)
    }

    pub(crate) fn with_http(masters: &MasterList, http: Http, seams: Seams) -> Self {
        LeaderFinder {
            http,
            seams,
            configured: masters.addresses().into(),
            learnt: Arc::default(),
        }
    }

    /// Every address known: those configured, then those learnt from redirects.
    pub fn known(&self) -> Vec<String> {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        self.configured.iter().chain(learnt.iter()).cloned().collect()
    }

    /// Remembers the address of a master that somebody was redirected to.
    pub(crate) fn learn(&self, address: &str) {
        if self.configured.iter().any(|known| known == address) {
            return;
        }
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        if learnt.iter().any(|known| known == address) {
            return;
        }
        if learnt.len() == LEARNT_MAX {
            learnt.remove(0);
        }
        learnt.push(address.to_owned());
    }

    /// Whom `master` names as the leader, as `host:port`; `None` when it knows none or does not answer.
    pub async fn ask(&self, master: &str) -> Option<String> {
        self.ask_within(master, ASK_TIMEOUT).await
    }

    async fn ask_within(&self, master: &str, limit: Duration) -> Option<String> {
        let response = timeout(limit, self.http.get(master, "/redirect")).await.ok()?.ok()?;
        let leader = redirect_target(&response)?;
        self.learn(&leader.address);
        Some(leader.address)
    }

    /// Waits until a master is known to lead and returns its `host:port`. `lost` names a leader whose connection has
    /// just failed: it is returned again only when it answers itself that it leads.
    ///
    /// Every known master is asked at once. One that knows no leader may hold its answer until it does; one whose
    /// answer does not help is asked again after a pause.
    ///
    /// Never ends while there is no leader; callers bound it. Cancel safety: may be dropped at any time.
    pub async fn find(&self, lost: Option<&str>) -> String {
        let mut asked = BTreeSet::new();
        let mut answers = FuturesUnordered::new();
        loop {
            for master in self.known() {
                if asked.insert(master.clone()) {
                    answers.push(self.ask_after(Duration::ZERO, master, Backoff::new(self.seams.clone())));
                }
            }
            // There is at least one configured master, and each answer is followed by another question.
            let Some((master, leader, mut backoff)) = answers.next().await else {
                std::future::pending::<()>().await;
                continue;
            };
            match leader {
                Some(leader) if lost != Some(leader.as_str()) || master == leader => return leader,
                _ => answers.push(self.ask_after(backoff.next_pause(), master, backoff)),
            }
        }
    }

    async fn ask_after(&self, pause: Duration, master: String, backoff: Backoff) -> (String, Option<String>, Backoff) {
        sleep(pause).await;
        let leader = self.ask_within(&master, HELD_ASK_TIMEOUT).await;
        (master, leader, backoff)
    }

    /// Follows who leads, from now on.
    pub fn changes(&self) -> LeaderChanges {
        LeaderChanges {
            finder: self.clone(),
            current: None,
            turn: 0,
        }
    }

    /// Waits one interval, then asks; `Some` when another master than `leader` leads.
    pub(crate) async fn next_check(&self, leader: &str, interval: Duration, turn: &mut usize) -> Option<String> {
        sleep(interval).await;
        *turn = turn.wrapping_add(1);
        self.check_for_other_leader(leader, *turn).await
    }

    /// Asks one master other than `leader` who leads; `turn` rotates through them. Returns the new leader when another
    /// one is named, says so itself, and `leader` itself does not claim to lead or does so in an older term: neither a
    /// follower that lags behind nor a deposed leader that has just woken up may break a good connection.
    pub(crate) async fn check_for_other_leader(&self, leader: &str, turn: usize) -> Option<String> {
        let others: Vec<_> = self.known().into_iter().filter(|known| known != leader).collect();
        let witness = others.get(turn.checked_rem(others.len())?)?;
        let named = self.ask(witness).await.filter(|named| named != leader)?;
        let (by_itself, by_present) = tokio::join!(self.ask(&named), self.ask_within(leader, CONFIRM_TIMEOUT));
        if by_itself.as_ref() != Some(&named) {
            return None;
        }
        if by_present.as_deref() == Some(leader) {
            let (new_term, old_term) = tokio::join!(self.term_of(&named), self.term_of(leader));
            if new_term? <= old_term? {
                return None;
            }
        }
        Some(named)
    }

    /// The Raft term a master is in; `None` when it does not say (Apache Mesos does not).
    async fn term_of(&self, master: &str) -> Option<u64> {
        let exchange = async {
            let response = self.http.get(master, "/metrics/snapshot").await.ok()?;
            read_body(response).await.ok()
        };
        let body = timeout(ASK_TIMEOUT, exchange).await.ok()??;
        let Node::Object(metrics) = json::parse(&body).ok()? else {
            return None;
        };
        match metrics.get("raft/term")? {
            Node::Number(Number::Signed(term)) => u64::try_from(*term).ok(),
            // Metrics are doubles; terms stay far below the 2^53 up to which these are exact.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            Node::Number(Number::Double(term)) => Some(term.max(0.0) as u64),
            _ => None,
        }
    }
}

/// How often a settled leader is questioned.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(250);

/// Follows who leads; made by [`LeaderFinder::changes`].
#[derive(Debug)]
pub struct LeaderChanges {
    finder: LeaderFinder,
    current: Option<String>,
    turn: usize,
}

impl LeaderChanges {
    /// Waits for the next leader and returns its `host:port`; the first call returns the present one.
    ///
    /// Whoever sees a sign that the leader is gone, such as a broken connection, sends its address to `suspicions`: if
    /// it is the present one, this is looked into at once, and the answer is returned even when it is the same leader
    /// again (it may have been restarted). Suspicions of others are ignored.
    ///
    /// Cancel safety: a dropped future loses nothing but a suspicion in hand, which time makes up for.
    pub async fn next(&mut self, suspicions: &mut mpsc::Receiver<String>) -> String {
        let Some(current) = self.current.clone() else {
            let leader = self.finder.find(None).await;
            return self.settle(leader);
        };
        loop {
            tokio::select! {
                Some(suspected) = suspicions.recv() => if suspected == current {
                    let leader = self.finder.find(Some(&current)).await;
                    return self.settle(leader);
                },
                other = self.finder.next_check(&current, FOLLOW_INTERVAL, &mut self.turn) => if let Some(other) = other {
                    return self.settle(other);
                },
            }
        }
    }

    fn settle(&mut self, leader: String) -> String {
        self.current = Some(leader.clone());
        leader
    }
}
