//! How a replica comes to know its cluster, and how a cluster comes to be exactly once.
//!
//! A replica with data belongs to the cluster its data names and asks nobody. One without asks first:
//!
//! 1. Every member of `initial_members` asks all the others who they are. A member that finds a cluster at work which
//!    counts it among its voters has lost its data: it refuses to start, because whatever it promised is forgotten.
//! 2. The member with the lowest id founds. It needs an answer from *all* others, each saying that it is new; a
//!    majority would not do, since a founder whose disk was replaced must not overlook the cluster it belongs to.
//! 3. The founder mints the cluster's id, stores it, and makes every other member store it. Until a replica has stored
//!    the id, it takes part in no vote.
//! 4. Only when all have stored it does the founder write the first entry and campaign. So whoever is without an id
//!    while a peer has voted or stored entries has lost its data; there is no third case.
//!
//! The cluster exists once that entry is on a majority. A founder that dies in the milliseconds before must come back,
//! since only it knows the members for certain; nothing can have been acknowledged yet. The others say that they wait.
//!
//! Each step may be repeated after a crash of anybody: the founder remembers that it founds, an id already stored by
//! others is taken over, storing the same id again changes nothing.

mod joining;

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use planted::{Bug, is_planted};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::joining::LAG_MAX;
use crate::NodeId;
use crate::counters::{Cause, Event};
use crate::error::StartError;
use crate::log_store::{ClusterId, ClusterRecord};
use crate::network::proto::IdentifyReply;
use crate::network::server::Context;
use crate::state_machine::StateMachine;
use crate::type_config::Node;

/// For how long one question may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(100);
/// Time between two lines in the log about a founder that has not begun.
const FIRST_ENTRY_PATIENCE: Duration = Duration::from_secs(5);
/// Rounds between two lines in the log about who is missing.
const ROUNDS_PER_LINE: u32 = 50;

/// Finds out which cluster this replica belongs to; goes on in the background where that takes others.
pub(crate) async fn settle<S: StateMachine>(
    context: &Context<S>,
    running: &TaskTracker,
    stop: &CancellationToken,
) -> Result<(), StartError> {
    let founding = Founding {
        context: context.clone(),
    };
    match context.store.cluster() {
        Some(cluster) if cluster.founder && context.store.is_pristine() => {
            founding.in_background(running, stop);
        }
        Some(cluster) if cluster.joining => joining::in_background(context, running, stop),
        Some(_) => {}
        None if !context.store.is_pristine() => {
            return Err(StartError::Damaged {
                directory: directory(context),
                reason: "there is a log but the cluster id is missing".into(),
                node_id: context.config.node_id,
            });
        }
        None if context.config.join.is_some() => {
            joining::adopt_cluster(context).await?;
            joining::in_background(context, running, stop);
        }
        None => {
            let answers = founding.ask_all().await;
            let mut ids = answers
                .values()
                .filter_map(|reply| reply.cluster_id.as_ref()?.parse().ok());
            if let Some(id) = ids.next().filter(|_| is_planted(Bug::WipedVotes)) {
                let saved = context.store.save_cluster(ClusterRecord::adopted(id)).await;
                return saved.map_err(|error| storage_error(context, error));
            }
            founding.judge(&answers)?;
            founding.in_background(running, stop);
        }
    }
    Ok(())
}

fn directory<S: StateMachine>(context: &Context<S>) -> String {
    context
        .config
        .data_dir
        .as_ref()
        .map_or("(memory)".into(), |directory| directory.display().to_string())
}

fn storage_error<S: StateMachine>(context: &Context<S>, source: std::io::Error) -> StartError {
    StartError::Storage {
        directory: directory(context),
        source,
    }
}

struct Founding<S: StateMachine> {
    context: Context<S>,
}

/// What one member says: a new replica, perhaps with a cluster id already.
struct NewMember {
    cluster_id: Option<ClusterId>,
}

impl<S: StateMachine> Founding<S> {
    fn in_background(self, running: &TaskTracker, stop: &CancellationToken) {
        running.spawn(stop.clone().run_until_cancelled_owned(async move {
            if let Err(error) = self.run().await {
                tracing::error!(node_id = self.context.config.node_id, %error, "the cluster was not founded");
                self.context.store.fail(error.to_string());
            }
        }));
    }

    fn others(&self) -> impl Iterator<Item = (NodeId, &String)> {
        let config = &self.context.config;
        config
            .initial_members
            .iter()
            .map(|(id, address)| (*id, address))
            .filter(|(id, _)| *id != config.node_id)
    }

    fn is_founder(&self) -> bool {
        self.context.config.initial_members.keys().next() == Some(&self.context.config.node_id)
    }

    async fn run(&self) -> Result<(), StartError> {
        let mut round = 0;
        while self.context.store.cluster().is_none() {
            let answers = self.ask_all().await;
            let new_members = self.judge(&answers)?;
            if self.context.store.cluster().is_some() {
                break;
            }
            let missing: Vec<NodeId> = self
                .others()
                .map(|(id, _)| id)
                .filter(|id| !new_members.contains_key(id))
                .collect();
            if self.is_founder() && missing.is_empty() {
                let id = self.agree_on_id(&new_members)?;
                let saved = self.context.store.save_cluster(ClusterRecord::founded(id)).await;
                saved.map_err(|error| storage_error(&self.context, error))?;
                break;
            }
            if round % ROUNDS_PER_LINE == 0 {
                let node_id = self.context.config.node_id;
                tracing::info!(node_id, ?missing, "waiting for the cluster to be founded");
            }
            round += 1;
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        match self.context.store.cluster() {
            Some(cluster) if cluster.founder => self.found(cluster.id).await,
            _ => {
                self.await_first_entry().await;
                Ok(())
            }
        }
    }

    /// Says who is missing for as long as the founder's first entry has not come.
    async fn await_first_entry(&self) {
        let mut status = self.context.status.clone();
        let node_id = self.context.config.node_id;
        let founder = self.context.config.initial_members.keys().next();
        loop {
            let arrived = status.wait_for(|status| !status.voters.is_empty());
            // An error means that the replica has stopped.
            if tokio::time::timeout(FIRST_ENTRY_PATIENCE, arrived).await.is_ok() {
                return;
            }
            tracing::warn!(
                node_id,
                ?founder,
                "the founder has not begun the log: it must run until the others have it"
            );
        }
    }

    /// Asks all other members; those who do not answer are left out.
    async fn ask_all(&self) -> BTreeMap<NodeId, IdentifyReply> {
        let questions = self.others().map(|(id, address)| async move {
            let answer = self.context.peers.identify(address, ASK_TIMEOUT).await;
            answer
                .inspect_err(|error| tracing::debug!(peer = id, %error, "no answer"))
                .ok()
                .map(|reply| (id, reply))
        });
        join_all(questions).await.into_iter().flatten().collect()
    }

    /// Which of the others are new members as this one is. Fails when one of them knows that this replica is not new.
    fn judge(&self, answers: &BTreeMap<NodeId, IdentifyReply>) -> Result<BTreeMap<NodeId, NewMember>, StartError> {
        let config = &self.context.config;
        let mut new_members = BTreeMap::new();
        // The founder may have reached this replica while it asked. Nobody votes before this replica has stored the id,
        // so looking now, after the answers, tells a cluster that waited for us from one that knew us before.
        if self.context.store.cluster().is_some() {
            return Ok(new_members);
        }
        for (peer, reply) in answers {
            if reply.cluster_name != config.cluster_name || reply.node_id != *peer {
                tracing::warn!(
                    node_id = config.node_id,
                    "at the address of member {peer} of cluster '{}' is node {} of cluster '{}'",
                    config.cluster_name,
                    reply.node_id,
                    reply.cluster_name
                );
                continue;
            }
            match (&reply.cluster_id, reply.pristine) {
                (Some(cluster_id), false) => return Err(self.not_new(*peer, cluster_id, reply)),
                (None, false) => {
                    tracing::warn!(node_id = config.node_id, peer, "a member has a log but no cluster");
                }
                (_, true) if reply.initial_members != config.initial_members => {
                    tracing::warn!(
                        node_id = config.node_id,
                        "member {peer} is configured with initial members {:?}, this one with {:?}",
                        reply.initial_members,
                        config.initial_members
                    );
                }
                (cluster_id, true) => {
                    let cluster_id = cluster_id.as_ref().and_then(|id| id.parse().ok());
                    new_members.insert(*peer, NewMember { cluster_id });
                }
            }
        }
        Ok(new_members)
    }

    fn not_new(&self, peer: NodeId, cluster_id: &str, reply: &IdentifyReply) -> StartError {
        let node_id = self.context.config.node_id;
        let cluster_id = cluster_id.to_owned();
        // A peer that has voted but holds no membership yet is in the first election, before which all had the id.
        if reply.voters.is_empty() || reply.voters.contains_key(&node_id) {
            StartError::LostDirectory {
                node_id,
                peer,
                cluster_id,
            }
        } else {
            StartError::NotAMember { node_id, cluster_id }
        }
    }

    /// The id of an interrupted founding, or a new one.
    fn agree_on_id(&self, new_members: &BTreeMap<NodeId, NewMember>) -> Result<ClusterId, StartError> {
        let mut stored = new_members
            .iter()
            .filter_map(|(peer, member)| Some((peer, member.cluster_id?)));
        let Some((first_peer, id)) = stored.next() else {
            return Ok(ClusterId(self.context.peers.seams().random_uuid()));
        };
        match stored.find(|(_, other)| *other != id) {
            None => Ok(id),
            Some((peer, other)) => Err(StartError::Core(format!(
                "new members {first_peer} and {peer} belong to different clusters {id} and {other}: empty the \
                 directory of the wrong one"
            ))),
        }
    }

    /// Makes all others remember the id, then starts the log.
    async fn found(&self, id: ClusterId) -> Result<(), StartError> {
        let node_id = self.context.config.node_id;
        let mut waiting: BTreeMap<NodeId, String> = self.others().map(|(id, address)| (id, address.clone())).collect();
        let mut round = 0;
        while !waiting.is_empty() {
            let attempts = waiting.iter().map(|(peer, address)| async move {
                match self.context.peers.adopt(address, *peer, id, ASK_TIMEOUT).await {
                    Ok(()) => Some(*peer),
                    Err(error) if round % ROUNDS_PER_LINE == 0 => {
                        tracing::info!(node_id, peer, %error, "a member has not stored the new cluster's id yet");
                        None
                    }
                    Err(_) => None,
                }
            });
            for peer in join_all(attempts).await.into_iter().flatten() {
                waiting.remove(&peer);
            }
            round += 1;
            if !waiting.is_empty() {
                tokio::time::sleep(ROUND_PAUSE).await;
            }
        }
        let members: BTreeMap<NodeId, Node> = self
            .context
            .config
            .initial_members
            .iter()
            .map(|(id, address)| (*id, Node::new(address)))
            .collect();
        let counters = self.context.store.counters();
        counters.expect_campaign(0, Some(Cause::Founding));
        match self.context.raft.initialize(members).await {
            Ok(()) => {
                counters.count(Event::ClustersFounded);
                tracing::info!(node_id, cluster_id = %id, "founded the cluster");
            }
            // Done by an earlier run.
            Err(openraft::errors::RaftError::APIError(openraft::errors::InitializeError::NotAllowed(_))) => {}
            Err(error) => return Err(StartError::Core(error.to_string())),
        }
        Ok(())
    }
}
