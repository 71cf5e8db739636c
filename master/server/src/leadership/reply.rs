//! Who waits for an answer while a command is on its way through the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libprocess::HttpResponse;
use tokio::sync::oneshot;

use super::proposals::unknown_outcome;

/// What becomes of one request.
#[derive(Debug)]
pub(crate) enum Answer {
    /// It is answered.
    Response(HttpResponse),
    /// It was certainly not carried out, because this replica does not lead any more: whoever leads now is to be asked.
    AskLeader,
}

impl From<HttpResponse> for Answer {
    fn from(response: HttpResponse) -> Answer {
        Answer::Response(response)
    }
}

/// The caller of one request; dropping it unanswered tells the caller that the outcome is unknown.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<Answer>);

impl Reply {
    /// A reply and the end the HTTP handler waits on.
    pub(crate) fn channel() -> (Reply, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Answers.
    pub(crate) fn send(self, response: HttpResponse) {
        self.answer(Answer::Response(response));
    }

    /// The request was certainly not carried out here; the edge sends the caller to the leader.
    pub(crate) fn ask_leader(self) {
        self.answer(Answer::AskLeader);
    }

    fn answer(self, answer: Answer) {
        // The caller may have gone away: what it asked for is done all the same.
        if self.0.send(answer).is_err() {
            tracing::debug!("the caller left before its answer");
        }
    }
}

/// One call that needs several commands: answered when the last clone is dropped, with `202` if all were carried out, or
/// with the first failure.
#[derive(Clone, Debug)]
pub(crate) struct SharedReply(Arc<Shared>);

#[derive(Debug)]
struct Shared(Mutex<Progress>);

#[derive(Debug)]
struct Progress {
    /// Until it is answered.
    reply: Option<Reply>,
    /// Commands proposed for the call.
    commands: usize,
    /// Those of them that were certainly not carried out, because another replica leads.
    refused: usize,
}

impl SharedReply {
    /// Wraps the caller.
    pub(crate) fn new(reply: Reply) -> SharedReply {
        SharedReply(Arc::new(Shared(Mutex::new(Progress {
            reply: Some(reply),
            commands: 0,
            refused: 0,
        }))))
    }

    /// A clone for one more command of the call.
    pub(crate) fn for_command(&self) -> SharedReply {
        self.0.lock().commands += 1;
        self.clone()
    }

    /// Answers with a failure, unless one was sent already.
    pub(crate) fn fail(&self, response: HttpResponse) {
        if let Some(reply) = self.0.lock().reply.take() {
            reply.send(response);
        }
    }

    /// One command was certainly not carried out. If that is true of all of them, the leader is to be asked.
    pub(crate) fn ask_leader(&self) {
        self.0.lock().refused += 1;
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut progress = self.lock();
        let Some(reply) = progress.reply.take() else { return };
        match progress.refused {
            0 => reply.send(HttpResponse::new(202)),
            refused if refused == progress.commands => reply.ask_leader(),
            // Done in part: repeated as a whole it would be done twice.
            _ => reply.send(unknown_outcome()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(answer: oneshot::Receiver<Answer>) -> Option<u16> {
        match answer.await.expect("answered") {
            Answer::Response(response) => Some(response.status),
            Answer::AskLeader => None,
        }
    }

    #[tokio::test]
    async fn the_last_clone_answers_202_and_a_failure_comes_first() {
        let (reply, answer) = Reply::channel();
        let shared = SharedReply::new(reply);
        let other = shared.for_command();
        drop(shared);
        drop(other);
        assert_eq!(status(answer).await, Some(202));

        let (reply, answer) = Reply::channel();
        let shared = SharedReply::new(reply);
        let other = shared.for_command();
        shared.fail(HttpResponse::text(503, "no quorum"));
        drop(shared);
        drop(other);
        assert_eq!(status(answer).await, Some(503));
    }

    #[tokio::test]
    async fn the_leader_is_asked_only_when_no_command_of_the_call_was_carried_out() {
        for (refused, expected) in [(0, Some(202)), (1, Some(503)), (2, None)] {
            let (reply, answer) = Reply::channel();
            let shared = SharedReply::new(reply);
            let commands = [shared.for_command(), shared.for_command()];
            for command in &commands[..refused] {
                command.ask_leader();
            }
            drop(shared);
            drop(commands);
            assert_eq!(status(answer).await, expected, "{refused} of 2 refused");
        }
    }
}
