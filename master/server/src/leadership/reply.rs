//! Who waits for an answer while a command is on its way through the log.

use std::sync::{Arc, Mutex, PoisonError};

use libprocess::HttpResponse;
use tokio::sync::oneshot;

/// The caller of one request; dropping it unanswered tells the caller that the outcome is unknown.
#[derive(Debug)]
pub(crate) struct Reply(oneshot::Sender<HttpResponse>);

impl Reply {
    /// A reply and the end the HTTP handler waits on.
    pub(crate) fn channel() -> (Reply, oneshot::Receiver<HttpResponse>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Answers.
    pub(crate) fn send(self, response: HttpResponse) {
        // The caller may have gone away: what it asked for is done all the same.
        if self.0.send(response).is_err() {
            tracing::debug!("the caller left before its answer");
        }
    }
}

/// One call that needs several commands: answered `202` when the last clone is dropped, or with the first failure.
#[derive(Clone, Debug)]
pub(crate) struct SharedReply(Arc<Shared>);

#[derive(Debug)]
struct Shared(Mutex<Option<Reply>>);

impl SharedReply {
    /// Wraps the caller.
    pub(crate) fn new(reply: Reply) -> SharedReply {
        SharedReply(Arc::new(Shared(Mutex::new(Some(reply)))))
    }

    /// Answers with a failure, unless one was sent already.
    pub(crate) fn fail(&self, response: HttpResponse) {
        if let Some(reply) = self.0.take() {
            reply.send(response);
        }
    }
}

impl Shared {
    fn take(&self) -> Option<Reply> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(reply) = self.take() {
            reply.send(HttpResponse::new(202));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_clone_answers_202_and_a_failure_comes_first() {
        let (reply, answer) = Reply::channel();
        let shared = SharedReply::new(reply);
        let other = shared.clone();
        drop(shared);
        drop(other);
        assert_eq!(answer.await.expect("answered").status, 202);

        let (reply, answer) = Reply::channel();
        let shared = SharedReply::new(reply);
        let other = shared.clone();
        shared.fail(HttpResponse::text(503, "no quorum"));
        drop(shared);
        drop(other);
        assert_eq!(answer.await.expect("answered").status, 503);
    }
}
