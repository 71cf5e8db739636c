//! Who leads a local cluster, found out by asking its masters.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Encoding, MasterList, Operator};
use futures_util::future::join_all;
use seams::Seams;
use tokio::time::{sleep, timeout};

use super::plan::{Kind, Plan};

/// Limit of one question; all masters are on this machine.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);
/// Pause between two rounds of questions while a leader is awaited.
const AWAIT_INTERVAL: Duration = Duration::from_millis(5);

/// The leader is another one than at the last look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeaderChange {
    /// Name of the master that leads now.
    pub(crate) leader: Option<String>,
    /// Its term.
    pub(crate) term: Option<u64>,
}

/// Asks the masters of a plan who leads.
#[derive(Clone, Debug)]
pub(crate) struct LeaderWatch {
    operator: Operator,
    /// Name by address.
    names: BTreeMap<String, String>,
    last: Option<String>,
}

impl LeaderWatch {
    pub(crate) fn new(plan: &Plan) -> anyhow::Result<Self> {
        let masters: MasterList = plan.master_list().parse()?;
        Ok(LeaderWatch {
            operator: Operator::new(&masters, Encoding::Protobuf, Seams::real()).with_limit(ASK_TIMEOUT),
            names: plan
                .of_kind(Kind::Master)
                .map(|member| (member.address.clone(), member.name.clone()))
                .collect(),
            last: None,
        })
    }

    /// The name of the master that leads by its own word and that of most others; `None` if there is none.
    pub(crate) async fn leader(&self) -> Option<String> {
        let answers = join_all(self.names.keys().map(|address| async move {
            let named = timeout(ASK_TIMEOUT, self.operator.finder().ask(address))
                .await
                .ok()
                .flatten();
            (address.clone(), named)
        }))
        .await;
        let votes = |leader: &String| {
            answers
                .iter()
                .filter(|(_, named)| named.as_ref() == Some(leader))
                .count()
        };
        let leads = answers
            .iter()
            .filter(|(address, named)| named.as_ref() == Some(address));
        let address = leads.map(|(address, _)| address).max_by_key(|address| votes(address))?;
        self.names.get(address).cloned()
    }

    /// Waits until a master other than `lost` leads.
    pub(crate) async fn await_leader(&self, lost: Option<&str>) -> String {
        loop {
            if let Some(leader) = self.leader().await.filter(|leader| Some(leader.as_str()) != lost) {
                return leader;
            }
            sleep(AWAIT_INTERVAL).await;
        }
    }

    /// Whether the master called `name` answers and knows a leader.
    pub(crate) async fn follows(&self, name: &str) -> bool {
        let Some((address, _)) = self.names.iter().find(|(_, other)| *other == name) else {
            return false;
        };
        timeout(ASK_TIMEOUT, self.operator.finder().ask(address))
            .await
            .ok()
            .flatten()
            .is_some()
    }

    /// The term of the master called `name`.
    pub(crate) async fn term(&self, name: &str) -> Option<u64> {
        let (address, _) = self.names.iter().find(|(_, other)| *other == name)?;
        let body = self.operator.get_from(address, "/metrics/snapshot").await.ok()?;
        let metrics: BTreeMap<String, f64> = serde_json::from_slice(&body).ok()?;
        // Terms stay far below 2^53.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        metrics.get("raft/term").map(|term| term.max(0.0) as u64)
    }

    /// Looks once; `Some` when it is not as at the last look.
    pub(crate) async fn look(&mut self) -> Option<LeaderChange> {
        let leader = self.leader().await;
        if leader == self.last {
            return None;
        }
        self.last.clone_from(&leader);
        let term = match &leader {
            Some(leader) => self.term(leader).await,
            None => None,
        };
        Some(LeaderChange { leader, term })
    }
}
