//! Between openraft's types and the messages. What a peer sent is checked here; a missing field is an error.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult, VoteRequest, VoteResponse,
};
use tonic::Status;

use super::proto;
use crate::codec::{decode_entry, encode_entry};
use crate::type_config::{LeaderId, LogId, TypeConfig, Vote, payload_bytes};

pub(super) fn log_id(log_id: &LogId) -> proto::LogId {
    proto::LogId {
        term: log_id.leader_id.term,
        node_id: log_id.leader_id.node_id,
        index: log_id.index,
    }
}

pub(crate) fn parse_log_id(log_id: proto::LogId) -> LogId {
    LogId {
        leader_id: LeaderId {
            term: log_id.term,
            node_id: log_id.node_id,
        },
        index: log_id.index,
    }
}

pub(super) fn vote(vote: &Vote) -> proto::Vote {
    proto::Vote {
        term: vote.leader_id.term,
        node_id: vote.leader_id.node_id,
        committed: vote.committed,
    }
}

pub(super) fn parse_vote(vote: Option<proto::Vote>) -> Result<Vote, Status> {
    let vote = vote.ok_or_else(|| missing("vote"))?;
    Ok(Vote {
        leader_id: LeaderId {
            term: vote.term,
            node_id: vote.node_id,
        },
        committed: vote.committed,
    })
}

fn missing(field: &str) -> Status {
    Status::invalid_argument(format!("the message has no {field}"))
}

pub(super) fn vote_request(request: &VoteRequest<TypeConfig>) -> proto::VoteRequest {
    proto::VoteRequest {
        vote: Some(vote(&request.vote)),
        last_log_id: request.last_log_id.as_ref().map(log_id),
        leadership_transfer: request.leadership_transfer,
    }
}

pub(super) fn parse_vote_request(request: proto::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
    let mut parsed = VoteRequest::new(parse_vote(request.vote)?, request.last_log_id.map(parse_log_id));
    parsed.leadership_transfer = request.leadership_transfer;
    Ok(parsed)
}

pub(super) fn vote_reply(response: &VoteResponse<TypeConfig>) -> proto::VoteReply {
    proto::VoteReply {
        vote: Some(vote(&response.vote)),
        granted: response.vote_granted,
        last_log_id: response.last_log_id.as_ref().map(log_id),
    }
}

pub(super) fn parse_vote_reply(reply: proto::VoteReply) -> Result<VoteResponse<TypeConfig>, Status> {
    Ok(VoteResponse::new(
        parse_vote(reply.vote)?,
        reply.last_log_id.map(parse_log_id),
        reply.granted,
    ))
}

pub(super) fn append_request(request: &AppendEntriesRequest<TypeConfig>) -> Result<proto::AppendRequest, Status> {
    let entries = request.entries.iter().map(|entry| {
        let mut bytes = Vec::with_capacity(payload_bytes(entry) + 64);
        encode_entry(entry, &mut bytes).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Bytes::from(bytes))
    });
    Ok(proto::AppendRequest {
        vote: Some(vote(&request.vote)),
        prev_log_id: request.prev_log_id.as_ref().map(log_id),
        entries: entries.collect::<Result<_, Status>>()?,
        leader_commit: request.leader_commit.as_ref().map(log_id),
    })
}

pub(super) fn parse_append_request(request: proto::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entries = request
        .entries
        .into_iter()
        .map(|entry| decode_entry(entry).map_err(|error| Status::invalid_argument(error.to_string())));
    Ok(AppendEntriesRequest {
        vote: parse_vote(request.vote)?,
        prev_log_id: request.prev_log_id.map(parse_log_id),
        entries: entries.collect::<Result<_, Status>>()?,
        leader_commit: request.leader_commit.map(parse_log_id),
    })
}

pub(super) fn append_reply(result: &StreamAppendResult<TypeConfig>) -> proto::AppendReply {
    use proto::append_reply::Result as Reply;
    proto::AppendReply {
        result: Some(match result {
            Ok(matched) => Reply::Matched(proto::Matched {
                log_id: matched.as_ref().map(log_id),
            }),
            Err(StreamAppendError::Conflict(conflict)) => Reply::Conflict(log_id(conflict)),
            Err(StreamAppendError::HigherVote(higher)) => Reply::HigherVote(vote(higher)),
        }),
    }
}

pub(super) fn parse_append_reply(reply: proto::AppendReply) -> Result<StreamAppendResult<TypeConfig>, Status> {
    use proto::append_reply::Result as Reply;
    Ok(match reply.result.ok_or_else(|| missing("result"))? {
        Reply::Matched(matched) => Ok(matched.log_id.map(parse_log_id)),
        Reply::Conflict(conflict) => Err(StreamAppendError::Conflict(parse_log_id(conflict))),
        Reply::HigherVote(higher) => Err(StreamAppendError::HigherVote(parse_vote(Some(higher))?)),
    })
}

/// The reply to a heartbeat as the message that also answers streamed requests.
pub(super) fn heartbeat_reply(
    response: AppendEntriesResponse<TypeConfig>,
    prev_log_id: Option<LogId>,
    last_log_id: Option<LogId>,
) -> Result<proto::AppendReply, Status> {
    let result = match response {
        AppendEntriesResponse::Success => Ok(last_log_id),
        AppendEntriesResponse::PartialSuccess(matched) => Ok(matched),
        AppendEntriesResponse::Conflict => {
            let prev_log_id = prev_log_id.ok_or_else(|| Status::internal("a conflict with the start of the log"))?;
            Err(StreamAppendError::Conflict(prev_log_id))
        }
        AppendEntriesResponse::HigherVote(higher) => Err(StreamAppendError::HigherVote(higher)),
    };
    Ok(append_reply(&result))
}

/// The other way round.
pub(super) fn parse_heartbeat_reply(
    reply: proto::AppendReply,
    last_log_id: Option<LogId>,
) -> Result<AppendEntriesResponse<TypeConfig>, Status> {
    Ok(match parse_append_reply(reply)? {
        Ok(matched) if matched == last_log_id => AppendEntriesResponse::Success,
        Ok(matched) => AppendEntriesResponse::PartialSuccess(matched),
        Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
        Err(StreamAppendError::HigherVote(higher)) => AppendEntriesResponse::HigherVote(higher),
    })
}
