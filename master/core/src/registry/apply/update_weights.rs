//! UpdateWeights: all weights of the command change, or none. A weight that was set stays until it is set again.

use crate::command::UpdateWeights;
use crate::outcome::{Outcome, Rejection};
use crate::registry::Registry;

impl Registry {
    pub(super) fn update_weights(&mut self, command: &UpdateWeights) -> Result<Outcome, Rejection> {
        self.check_update_weights(command)?;
        for weight in &command.weights {
            self.put_weight(weight.clone());
        }
        Ok(Outcome::WeightsUpdated {
            roles: command.weights.iter().map(|weight| weight.role.clone()).collect(),
        })
    }
}
