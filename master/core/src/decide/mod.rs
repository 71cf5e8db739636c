//! Decisions the leader makes before it proposes anything: pure, so that each rule can be tested without a cluster.

mod agent_update;
mod facts;
mod reconcile;
mod registration;
mod reregistration;
#[cfg(test)]
mod tests;

pub use agent_update::agent_update;
pub use facts::{facts_of_registration, facts_of_reregistration};
pub use reconcile::{reconcile_explicit, reconcile_implicit};
pub use registration::{Registration, registration};
pub use reregistration::{Reregistration, reregistration};
