//! Callers whose leadership has ended while their commands were on their way through the log.
//!
//! A leader that steps down does not yet know what becomes of them: the next leader commits what reached it, and the log
//! says of the rest that it was never proposed. Each is answered accordingly. Effects are the next leader's matter.

use std::collections::BTreeMap;
use std::time::Duration;

use libprocess::HttpResponse;
use master_core::Outcome;
use tokio::time::Instant;

use super::proposals::{Completion, Pending, unknown_outcome};
use crate::state_machine::ProposalId;

/// For how long the fate of a command can come after its leadership has ended. The log itself gives up after a second.
const PATIENCE: Duration = Duration::from_secs(2);

/// The callers of all former leaderships of this replica that are not answered yet; bounded by the proposals of one
/// leadership that can be under way.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    waiting: BTreeMap<ProposalId, Pending>,
    until: Option<Instant>,
}

impl Retired {
    /// Takes in the callers of a leadership that ends.
    pub(crate) fn take_in(&mut self, callers: impl Iterator<Item = (ProposalId, Pending)>, now: Instant) {
        self.waiting.extend(callers);
        self.until = (!self.waiting.is_empty()).then(|| now + PATIENCE);
    }

    /// When [`Retired::give_up`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.until
    }

    /// Those still waiting will never be told: their outcome is unknown.
    pub(crate) fn give_up(&mut self) {
        // Dropping a caller says so.
        self.waiting.clear();
        self.until = None;
    }

    /// The command was committed and applied.
    pub(crate) fn applied(&mut self, id: ProposalId, outcome: &Outcome) {
        let Some(pending) = self.waiting.remove(&id) else {
            return;
        };
        match pending {
            Pending::Call(reply) => reply.send(HttpResponse::new(202)),
            Pending::Answered(reply, answering) => reply.send(answering(outcome)),
            // Repeated it has no further effect, unless it is a new framework: that one would exist twice.
            Pending::Subscribe(subscription) if subscription.framework_id.is_some() => subscription.reply.ask_leader(),
            Pending::Subscribe(subscription) => subscription.reply.send(unknown_outcome()),
            Pending::OperatorOperation(operation) => operation.answer(outcome),
            // The last command of an ACCEPT answers by being dropped.
            Pending::Launch { .. }
            | Pending::Operation(_)
            | Pending::ReconcileOperations(..)
            | Pending::Reconcile(..)
            | Pending::Register { .. }
            | Pending::Reregister(_)
            | Pending::Unreachable(_)
            | Pending::StatusUpdate(..)
            | Pending::Nobody => {}
        }
    }

    /// The command was refused, or nobody knows; or a read is through.
    pub(crate) fn completion(&mut self, completion: Completion) {
        let (id, error) = match completion {
            Completion::Failed(id, error) => (id, Some(error)),
            // There is no leadership any more that could answer the read.
            Completion::Confirmed(id) => (id, None),
        };
        if let Some(pending) = self.waiting.remove(&id) {
            refuse(pending, error.is_none_or(|error| error.is_certainly_not_proposed()));
        }
    }
}

/// Tells the caller of a command that was not carried out, or of one whose outcome is unknown.
fn refuse(pending: Pending, is_certain: bool) {
    match pending {
        Pending::Launch { reply, .. } if is_certain => reply.ask_leader(),
        Pending::Launch { reply, .. } => reply.fail(unknown_outcome()),
        Pending::Operation(operation) if is_certain => operation.reply.ask_leader(),
        Pending::Operation(operation) => operation.reply.fail(unknown_outcome()),
        Pending::OperatorOperation(mut operation) => match operation.reply.take() {
            Some(reply) if is_certain => reply.ask_leader(),
            Some(reply) => reply.send(unknown_outcome()),
            None => {}
        },
        Pending::Call(reply)
        | Pending::Answered(reply, _)
        | Pending::Reconcile(_, _, reply)
        | Pending::ReconcileOperations(_, _, reply)
            if is_certain =>
        {
            reply.ask_leader();
        }
        Pending::Subscribe(subscription) if is_certain => subscription.reply.ask_leader(),
        Pending::Call(reply)
        | Pending::Answered(reply, _)
        | Pending::Reconcile(_, _, reply)
        | Pending::ReconcileOperations(_, _, reply) => {
            reply.send(unknown_outcome());
        }
        Pending::Subscribe(subscription) => subscription.reply.send(unknown_outcome()),
        Pending::Register { .. }
        | Pending::Reregister(_)
        | Pending::Unreachable(_)
        | Pending::StatusUpdate(..)
        | Pending::Nobody => {}
    }
}

#[cfg(test)]
mod tests {
    use replicated_log::ProposeError;
    use tokio::sync::oneshot;

    use super::super::reply::{Answer, Reply};
    use super::*;

    fn retired() -> (Retired, ProposalId, oneshot::Receiver<Answer>) {
        let (reply, answer) = Reply::channel();
        let id = ProposalId { term: 3, number: 7 };
        let mut retired = Retired::default();
        retired.take_in([(id, Pending::Call(reply))].into_iter(), Instant::now());
        (retired, id, answer)
    }

    fn status(mut answer: oneshot::Receiver<Answer>) -> Option<u16> {
        match answer.try_recv().expect("answered") {
            Answer::Response(response) => Some(response.status),
            Answer::AskLeader => None,
        }
    }

    #[tokio::test]
    async fn a_caller_is_told_what_became_of_its_command_after_its_leader_stepped_down() {
        let (mut callers, id, answer) = retired();
        assert!(callers.deadline().is_some());
        callers.applied(id, &Outcome::KillRecorded);
        assert_eq!(status(answer), Some(202));

        let (mut callers, id, answer) = retired();
        callers.completion(Completion::Failed(id, ProposeError::NotLeader { leader: Some(2) }));
        assert_eq!(status(answer), None);

        let (mut callers, id, answer) = retired();
        callers.completion(Completion::Failed(id, ProposeError::Unknown));
        assert_eq!(status(answer), Some(503));

        let (mut callers, _, mut answer) = retired();
        callers.give_up();
        assert!(answer.try_recv().is_err());
        assert_eq!(callers.deadline(), None);
    }

    #[tokio::test]
    async fn a_change_of_settings_is_answered_by_its_outcome_or_is_unknown() {
        let answering: super::super::settings::Answering = |outcome| match outcome {
            Outcome::QuotaUpdated { .. } => HttpResponse::new(200),
            _ => HttpResponse::new(400),
        };
        let waiting = || {
            let (reply, answer) = Reply::channel();
            let id = ProposalId { term: 3, number: 8 };
            let mut retired = Retired::default();
            retired.take_in([(id, Pending::Answered(reply, answering))].into_iter(), Instant::now());
            (retired, id, answer)
        };
        let (mut callers, id, answer) = waiting();
        callers.applied(id, &Outcome::QuotaUpdated { roles: Vec::new() });
        assert_eq!(status(answer), Some(200));

        let (mut callers, id, answer) = waiting();
        callers.applied(id, &Outcome::Rejected(master_core::Rejection::NoQuota("web".into())));
        assert_eq!(status(answer), Some(400));

        let (mut callers, id, answer) = waiting();
        callers.completion(Completion::Failed(id, ProposeError::Unknown));
        assert_eq!(status(answer), Some(503));

        let (mut callers, id, answer) = waiting();
        callers.completion(Completion::Failed(id, ProposeError::NotLeader { leader: Some(2) }));
        assert_eq!(status(answer), None);
    }
}
