//! Answers operators' tools.

use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::proto::admin_server::Admin;
use super::server::Context;
use super::{LEADER_ADDRESS, identity, proto};
use crate::error::MembershipError;
use crate::log::membership;
use crate::state_machine::StateMachine;
use crate::status::Role;

pub(super) struct AdminService<S: StateMachine>(Context<S>);

impl<S: StateMachine> AdminService<S> {
    pub(super) fn new(context: Context<S>) -> Self {
        AdminService(context)
    }

    fn check(&self, metadata: &MetadataMap) -> Result<(), Status> {
        identity::check_admin(metadata, &self.0.store, self.0.peers.refusals())
    }

    fn reply(&self, result: Result<(), MembershipError>) -> Result<Response<proto::MembershipReply>, Status> {
        let Err(error) = result else {
            return Ok(Response::new(proto::MembershipReply {}));
        };
        let text = error.to_string();
        Err(match error {
            MembershipError::NotLeader { leader } => {
                let mut status = Status::failed_precondition(text);
                let known = self.0.status.borrow();
                let address = leader.and_then(|leader| known.voters.get(&leader));
                if let Some(Ok(address)) = address.map(|address| address.parse()) {
                    status.metadata_mut().insert(LEADER_ADDRESS, address);
                }
                status
            }
            MembershipError::Rejected { .. } => Status::invalid_argument(text),
            MembershipError::Unavailable { .. } => Status::unavailable(text),
            MembershipError::Unknown => Status::deadline_exceeded(text),
            MembershipError::Fatal { .. } => Status::internal(text),
        })
    }
}

#[tonic::async_trait]
impl<S: StateMachine> Admin for AdminService<S> {
    async fn status(&self, request: Request<proto::StatusRequest>) -> Result<Response<proto::StatusReply>, Status> {
        self.check(request.metadata())?;
        let status = self.0.status.borrow().clone();
        Ok(Response::new(proto::StatusReply {
            node_id: status.node_id,
            cluster_id: status.cluster_id,
            term: status.term,
            role: match status.role {
                Role::Learner => "learner",
                Role::Follower => "follower",
                Role::Candidate => "candidate",
                Role::Leader => "leader",
            }
            .to_owned(),
            leader: status.leader,
            last_log_index: status.last_log,
            committed_index: status.committed.map(|position| position.index),
            applied_index: status.applied.map(|position| position.index),
            snapshot_index: status.snapshot.map(|position| position.index),
            purged_index: status.purged.map(|position| position.index),
            voters: status.voters,
            learners: status.learners,
            matched_index: status
                .matched
                .into_iter()
                .filter_map(|(id, index)| Some((id, index?)))
                .collect(),
            disk_full: status.disk_full,
            fatal: status.fatal,
        }))
    }

    async fn add_learner(
        &self,
        request: Request<proto::AddLearnerRequest>,
    ) -> Result<Response<proto::MembershipReply>, Status> {
        self.check(request.metadata())?;
        let proto::AddLearnerRequest { node_id, address } = request.into_inner();
        self.reply(membership::add_learner(&self.0.raft, node_id, address).await)
    }

    async fn promote(
        &self,
        request: Request<proto::PromoteRequest>,
    ) -> Result<Response<proto::MembershipReply>, Status> {
        self.check(request.metadata())?;
        self.reply(membership::promote(&self.0.raft, request.get_ref().node_id).await)
    }

    async fn remove(&self, request: Request<proto::RemoveRequest>) -> Result<Response<proto::MembershipReply>, Status> {
        self.check(request.metadata())?;
        self.reply(membership::remove(&self.0.raft, request.get_ref().node_id).await)
    }

    async fn transfer_leadership(
        &self,
        request: Request<proto::TransferLeadershipRequest>,
    ) -> Result<Response<proto::MembershipReply>, Status> {
        self.check(request.metadata())?;
        let status = self.0.status.borrow().clone();
        self.reply(
            membership::transfer_leadership(
                &self.0.raft,
                &self.0.pause,
                self.0.store.counters(),
                &status,
                request.get_ref().to,
            )
            .await,
        )
    }
}
