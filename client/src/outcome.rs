//! What is known about a call after it was tried.

use std::fmt;

/// How a call to a master or an agent ended, as far as its sender can know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CallOutcome {
    /// Answered `200` or `202`: the call was accepted. For a scheduler call this does not yet say that it worked;
    /// errors of an accepted call arrive as events.
    Accepted,
    /// Answered with an error: the call was looked at and had no effect.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The body of the answer, verbatim.
        text: String,
    },
    /// Never reached a leading master and certainly had no effect: safe to send again.
    NotSent {
        /// Why, for the log.
        reason: String,
    },
    /// Sent, and no answer that decides it: it may have been carried out, now or later. Repeat it only if doing it
    /// twice is harmless; otherwise ask (reconcile) first.
    Unknown {
        /// Why, for the log.
        reason: String,
    },
}

impl CallOutcome {
    /// Whether the call was accepted.
    pub fn is_accepted(&self) -> bool {
        matches!(self, CallOutcome::Accepted)
    }
}

impl fmt::Display for CallOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallOutcome::Accepted => write!(f, "accepted"),
            CallOutcome::Refused { status, text } => write!(f, "refused with {status}: {text}"),
            CallOutcome::NotSent { reason } => write!(f, "not sent: {reason}"),
            CallOutcome::Unknown { reason } => write!(f, "unknown: {reason}"),
        }
    }
}
