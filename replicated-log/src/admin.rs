//! What operators' tools use to see and change who is a member, from outside the cluster.
//!
//! Questions and changes go to the leader, which any member names. A change is sent to one leader only and never again
//! once its fate is unknown. This module must never decide what the leader decides: it refuses by itself only what the
//! leader would take without having the effect that was meant.

mod error;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use seams::Seams;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Response, Status};

pub use self::error::AdminError;
use crate::NodeId;
use crate::founding::LAG_MAX;
use crate::network::LEADER_ADDRESS;
use crate::network::proto::admin_client::AdminClient;
use crate::network::proto::{self, StatusReply};

/// For how long opening a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For how long a question may take, connecting included.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// For how long a change may take: longer than the leader itself waits, so that it is the leader who says what happened.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// For how long a leader is looked for: an election or two.
const FIND_PATIENCE: Duration = Duration::from_secs(5);
/// For how long the new leader of a transfer may take until it says that it leads.
const TRANSFER_PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// How many times a change is sent on to the leader that a refusal names.
const HOPS_MAX: usize = 3;

/// A way to the members of one cluster for operators' tools.
#[derive(Clone)]
pub struct Admin {
    /// `host:port`, Raft addresses of members.
    addresses: Vec<String>,
    seams: Seams,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Member {
    /// The member's id.
    pub node_id: NodeId,
    /// Its `host:port` for Raft.
    pub address: String,
    /// Whether it votes; a learner only receives entries.
    pub votes: bool,
    /// Index of the last entry it is known to have; `None` when it has not answered this leader yet.
    pub matched_index: Option<u64>,
    /// How many entries it is behind the leader; `None` when that is not known.
    pub lag: Option<u64>,
}

/// The members as their leader sees them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Members {
    /// The cluster's id; empty when the leader did not name one.
    pub cluster_id: String,
    /// The leader's term.
    pub term: u64,
    /// Who leads.
    pub leader: NodeId,
    /// Index of the leader's last entry.
    pub last_log_index: u64,
    /// Voters and learners by id.
    pub members: Vec<Member>,
}

impl Members {
    /// The member with this id.
    pub fn get(&self, node_id: NodeId) -> Option<&Member> {
        self.members.iter().find(|member| member.node_id == node_id)
    }
}

/// Where the leader is and what it says.
struct Leader {
    address: String,
    members: Members,
}

impl Leader {
    fn new(address: String, status: StatusReply) -> Leader {
        let last = status.last_log_index.unwrap_or(0);
        let voters = status.voters.into_iter().map(|voter| (voter, true));
        let learners = status.learners.into_iter().map(|learner| (learner, false));
        let mut members: Vec<Member> = voters
            .chain(learners)
            .map(|((node_id, address), votes)| {
                let matched_index = match node_id == status.node_id {
                    true => Some(last),
                    false => status.matched_index.get(&node_id).copied(),
                };
                Member {
                    node_id,
                    address,
                    votes,
                    matched_index,
                    lag: matched_index.map(|matched| last.saturating_sub(matched)),
                }
            })
            .collect();
        members.sort_by_key(|member| member.node_id);
        Leader {
            address,
            members: Members {
                cluster_id: status.cluster_id.unwrap_or_default(),
                term: status.term,
                leader: status.node_id,
                last_log_index: last,
                members,
            },
        }
    }

    fn refusal(&self, change: &str, reason: String) -> AdminError {
        AdminError::Refused {
            change: change.to_owned(),
            leader: self.address.clone(),
            reason,
        }
    }
}

impl Admin {
    /// `addresses` are Raft addresses (`host:port`) of members, best all of them; one that answers is enough.
    pub fn new(addresses: Vec<String>, seams: Seams) -> Admin {
        Admin { addresses, seams }
    }

    /// Who is a member, as the leader sees it.
    pub async fn members(&self) -> Result<Members, AdminError> {
        Ok(self.find_leader().await?.members)
    }

    /// Adds a node that receives the log without voting; `address` is its `host:port`. Adding it again does nothing.
    pub async fn add_learner(&self, node_id: NodeId, address: &str) -> Result<(), AdminError> {
        let change = format!("add node {node_id} at {address}");
        let leader = self.find_leader().await?;
        let members = &leader.members;
        // The leader takes this and keeps the address that it has.
        if let Some(member) = members.get(node_id).filter(|member| member.address != address) {
            let known = &member.address;
            return Err(leader.refusal(&change, format!("node {node_id} is a member already, at {known}")));
        }
        let other = members.members.iter().find(|member| member.address == address);
        if let Some(other) = other.filter(|other| other.node_id != node_id) {
            return Err(leader.refusal(&change, format!("at {address} is member {}", other.node_id)));
        }
        let request = proto::AddLearnerRequest {
            node_id,
            address: address.to_owned(),
        };
        self.change(leader, &change, async |mut client| {
            client.add_learner(request.clone()).await
        })
        .await
        .map(drop)
    }

    /// Makes a learner a voter. Refused while it lags far behind: it would hold every decision up.
    pub async fn promote(&self, node_id: NodeId) -> Result<(), AdminError> {
        let change = format!("promote node {node_id}");
        let leader = self.find_leader().await?;
        let last = leader.members.last_log_index;
        let learner = leader.members.get(node_id).filter(|member| !member.votes);
        match learner.map(|learner| (learner.lag, &learner.address)) {
            Some((None, address)) => {
                let reason = format!("node {node_id} at {address} has confirmed no entry of the log yet");
                return Err(leader.refusal(&change, reason));
            }
            Some((Some(lag), _)) if lag > LAG_MAX => {
                let reason =
                    format!("node {node_id} is {lag} entries behind entry {last}, at most {LAG_MAX} are allowed");
                return Err(leader.refusal(&change, reason));
            }
            _ => {}
        }
        let request = proto::PromoteRequest { node_id };
        self.change(leader, &change, async |mut client| client.promote(request).await)
            .await
    }

    /// Removes a member, voter or learner. Its id must not be used again.
    pub async fn remove(&self, node_id: NodeId) -> Result<(), AdminError> {
        let leader = self.find_leader().await?;
        let request = proto::RemoveRequest { node_id };
        let change = format!("remove node {node_id}");
        self.change(leader, &change, async |mut client| client.remove(request).await)
            .await
    }

    /// Makes `to`, or the most up-to-date follower, the leader, and waits until it leads. Returns who leads then.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, AdminError> {
        let change = to.map_or("transfer the leadership".into(), |to| {
            format!("transfer the leadership to node {to}")
        });
        let mut leader = self.find_leader().await?;
        let before = leader.members.leader;
        if to == Some(before) {
            return Err(leader.refusal(&change, format!("node {before} leads already")));
        }
        let request = proto::TransferLeadershipRequest { to };
        let start = Instant::now();
        let mut asked_in_term = None;
        loop {
            // Whoever leads in another term does not know of the wish: the one asked before may have won again.
            let (now, term) = (leader.members.leader, leader.members.term);
            if to.map_or(now != before, |to| to == now) {
                return Ok(now);
            }
            if start.elapsed() > TRANSFER_PATIENCE {
                return Err(AdminError::Unknown {
                    change,
                    leader: leader.address,
                    reason: format!("node {now} still leads after {TRANSFER_PATIENCE:?}"),
                });
            }
            if asked_in_term != Some(term) {
                asked_in_term = Some(term);
                self.change(leader, &change, async |mut client| {
                    client.transfer_leadership(request).await
                })
                .await?;
            }
            tokio::time::sleep(ROUND_PAUSE).await;
            leader = self.find_leader().await?;
        }
    }

    /// Sends a change to the leader, and on to the one a refusal names.
    async fn change(
        &self,
        mut leader: Leader,
        change: &str,
        call: impl AsyncFn(AdminClient<Channel>) -> Result<Response<proto::MembershipReply>, Status>,
    ) -> Result<(), AdminError> {
        let mut hops = 0;
        loop {
            let address = leader.address.clone();
            let unknown = |reason: String| AdminError::Unknown {
                change: change.to_owned(),
                leader: address.clone(),
                reason,
            };
            let client = self.client(&address).map_err(|reason| leader.refusal(change, reason))?;
            let status = match tokio::time::timeout(CHANGE_TIMEOUT, call(client)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(status)) => status,
                Err(_) => return Err(unknown(format!("no answer within {CHANGE_TIMEOUT:?}"))),
            };
            match status.code() {
                // Said by the leader itself, not by a broken connection.
                Code::FailedPrecondition if hops < HOPS_MAX => {
                    hops += 1;
                    leader = match status.metadata().get(LEADER_ADDRESS).map(|named| named.to_str()) {
                        Some(Ok(named)) => Leader {
                            address: named.to_owned(),
                            ..leader
                        },
                        _ => self.find_leader().await?,
                    };
                }
                Code::FailedPrecondition | Code::InvalidArgument => {
                    return Err(leader.refusal(change, status.message().to_owned()));
                }
                Code::Unavailable if std::error::Error::source(&status).is_none() => {
                    return Err(leader.refusal(change, status.message().to_owned()));
                }
                _ => return Err(unknown(reason(&status))),
            }
        }
    }

    /// Asks all until one leads, or the leader that one of them names confirms it.
    async fn find_leader(&self) -> Result<Leader, AdminError> {
        let start = Instant::now();
        loop {
            let mut answers = self.ask(self.addresses.clone()).await;
            let newest = answers.iter().filter_map(|(_, answer)| answer.as_ref().ok());
            let newest = newest
                .filter(|status| status.leader.is_some())
                .max_by_key(|status| status.term);
            let named = newest.and_then(|status| status.voters.get(&status.leader?).cloned());
            if let Some(named) = named.filter(|named| !self.addresses.contains(named)) {
                answers.extend(self.ask(vec![named]).await);
            }
            let leads =
                |answer: &Result<StatusReply, String>| answer.as_ref().is_ok_and(|status| status.role == "leader");
            let leaders = answers.iter().filter(|(_, answer)| leads(answer));
            // A deposed leader that has not noticed yet has an older term.
            let leader = leaders.filter_map(|(address, answer)| Some((address, answer.as_ref().ok()?)));
            if let Some((address, status)) = leader.max_by_key(|(_, status)| status.term) {
                return Ok(Leader::new(address.clone(), status.clone()));
            }
            if start.elapsed() > FIND_PATIENCE {
                return Err(AdminError::no_leader(&answers));
            }
            tokio::time::sleep(ROUND_PAUSE).await;
        }
    }

    async fn ask(&self, addresses: Vec<String>) -> Vec<(String, Result<StatusReply, String>)> {
        let questions = addresses.into_iter().map(|address| async move {
            let asked = async {
                let mut client = self.client(&address)?;
                let status = client.status(proto::StatusRequest {}).await;
                status.map_err(|status| reason(&status))
            };
            let answer = match tokio::time::timeout(ASK_TIMEOUT, asked).await {
                Ok(answer) => answer.map(Response::into_inner),
                Err(_) => Err(format!("no answer within {ASK_TIMEOUT:?}")),
            };
            (address, answer)
        });
        join_all(questions).await
    }

    /// A connection of its own: a tool asks a few questions and goes.
    fn client(&self, address: &str) -> Result<AdminClient<Channel>, String> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| format!("address '{address}': {error}"))?
            .connect_timeout(CONNECT_TIMEOUT);
        let (network, address) = (Arc::clone(&self.seams.network), address.to_owned());
        let connector = tower::service_fn(move |_: Uri| {
            let (network, address) = (Arc::clone(&network), address.clone());
            async move { Ok::<_, std::io::Error>(TokioIo::new(network.connect(&address).await?)) }
        });
        Ok(AdminClient::new(endpoint.connect_with_connector_lazy(connector)))
    }
}

/// The innermost cause: tonic's own words for a broken connection say only that it broke.
fn reason(status: &Status) -> String {
    let first = std::error::Error::source(status);
    let causes = std::iter::successors(first, |error| error.source());
    causes
        .last()
        .map_or_else(|| status.message().to_owned(), ToString::to_string)
}
