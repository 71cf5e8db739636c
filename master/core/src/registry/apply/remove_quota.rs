//! RemoveQuota: a role has neither guarantees nor limits any more.

use crate::command::RemoveQuota;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn remove_quota(&mut self, command: &RemoveQuota) -> Result<Outcome, Rejection> {
        self.check_remove_quota(command)?;
        self.take_quota(&command.role);
        Ok(Outcome::QuotaUpdated {
            roles: vec![command.role.clone()],
        })
    }
}
