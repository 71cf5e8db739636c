//! UpdateQuota: all quotas of the command change, or none.

use crate::command::UpdateQuota;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn update_quota(&mut self, command: &UpdateQuota) -> Result<Outcome, Rejection> {
        self.check_update_quota(command)?;
        for quota in &command.quotas {
            self.put_quota(quota.clone());
        }
        Ok(Outcome::QuotaUpdated {
            roles: command.quotas.iter().map(|quota| quota.role.clone()).collect(),
        })
    }
}
