//! What the reads and writes of quotas and weights share: how a change gets to the leadership and back.

use libprocess::HttpResponse;
use master_core::CommandKind;

use crate::actor::{Context, Input};
use crate::leadership::reply::{Answer, Reply};
use crate::leadership::settings::{Answering, Change};

/// Has the leadership change something; answered once that is committed, or certainly not carried out, or unknown.
pub(super) async fn change(context: &Context, command: impl Into<CommandKind>, answering: Answering) -> Answer {
    let (reply, answer) = Reply::channel();
    let change = Change {
        command: command.into(),
        answering,
        reply,
    };
    if context.mailbox.send(Input::Change(Box::new(change))).await.is_err() {
        return HttpResponse::text(503, "The master is stopping").into();
    }
    answer
        .await
        .unwrap_or_else(|_| crate::leadership::unknown_outcome().into())
}
