//! Which user a process runs as.

use nix::unistd::{Uid, User};

/// A user of the host, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// User id.
    pub(crate) uid: u32,
    /// The user's own group id.
    pub(crate) gid: u32,
}

/// The identity to switch to for `user`; `None` when the supervisor already is that user.
///
/// Errors: a sentence for the task's status: the user is unknown, or only root may switch.
pub(crate) fn switch_to(user: &str) -> Result<Option<Identity>, String> {
    let known = User::from_name(user)
        .map_err(|error| format!("cannot look up user '{user}': {error}"))?
        .ok_or_else(|| format!("no such user '{user}' on this agent"))?;
    let own = Uid::effective();
    if known.uid == own {
        return Ok(None);
    }
    if !own.is_root() {
        return Err(format!(
            "cannot run as user '{user}': the agent runs as uid {own}, not as root"
        ));
    }
    Ok(Some(Identity {
        uid: known.uid.as_raw(),
        gid: known.gid.as_raw(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_named_in_the_error() {
        assert!(
            switch_to("no-such-user-here")
                .unwrap_err()
                .contains("no-such-user-here")
        );
    }
}
