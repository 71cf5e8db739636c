//! SetQuota: a first quota for a role, in the way of older versions of Mesos.

use crate::command::SetQuota;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn set_quota(&mut self, command: &SetQuota) -> Result<Outcome, Rejection> {
        self.check_set_quota(command)?;
        self.put_quota(command.quota.clone());
        Ok(Outcome::QuotaUpdated {
            roles: vec![command.quota.role.clone()],
        })
    }
}
