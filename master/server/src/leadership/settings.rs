//! Quotas and weights: an operator's change is looked at, proposed, and once it is committed followed by the allocator and
//! by the outstanding offers, some of which are taken back.

use std::sync::Arc;

use libprocess::HttpResponse;
use master_core::ids::{AgentId, OfferId};
use master_core::registry::Quota;
use master_core::resources::{Resources, top_level_role};
use master_core::{CommandKind, Outcome, Rejection};

use super::Leadership;
use super::proposals::Pending;
use super::reply::Reply;

/// What the caller is answered once it is known what came of the command.
pub(crate) type Answering = fn(&Outcome) -> HttpResponse;

/// An operator's change of replicated settings.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) command: CommandKind,
    pub(crate) answering: Answering,
    pub(crate) reply: Reply,
}

impl Leadership {
    /// Proposes the change, unless it makes no sense now.
    pub(crate) fn change_settings(&mut self, change: Change) {
        let Change {
            command,
            answering,
            reply,
        } = change;
        if let Err(rejection) = self.check_settings(&command) {
            reply.send(answering(&Outcome::Rejected(rejection)));
            return;
        }
        self.propose(command, Pending::Answered(reply, answering));
    }

    fn check_settings(&self, command: &CommandKind) -> Result<(), Rejection> {
        match command {
            CommandKind::UpdateQuota(command) => self.registry.check_update_quota(command),
            CommandKind::SetQuota(command) => self.registry.check_set_quota(command),
            CommandKind::RemoveQuota(command) => self.registry.check_remove_quota(command),
            CommandKind::UpdateWeights(command) => self.registry.check_update_weights(command),
            // Whatever else there may be is checked when it is applied.
            _ => Ok(()),
        }
    }

    /// A new leadership's allocator starts with what is in the registry.
    pub(super) fn recover_settings(&mut self) {
        for quota in self.registry.quotas() {
            self.allocator.set_quota(&quota.role, &quota.guarantees, &quota.limits);
        }
        for weight in self.registry.weights() {
            self.allocator.set_weight(&weight.role, weight.weight);
        }
        self.count_recovered_agents();
    }

    /// Quotas count what runs on agents that have not come back to this leadership: the registry knows it. Mesos waits for
    /// most agents instead, before it offers anything.
    fn count_recovered_agents(&mut self) {
        if self.registry.quotas().next().is_none() {
            return;
        }
        let agents = self.registry.agents().map(|agent| &agent.id);
        let missing: Vec<AgentId> = agents.filter(|id| !self.allocator.knows_agent(id)).cloned().collect();
        for agent_id in missing {
            self.add_agent_to_allocator(&agent_id);
            self.allocator.deactivate_agent(&agent_id);
        }
    }

    /// Quotas were changed: offers beyond a limit are taken back, and as many of others as free what is guaranteed now.
    pub(super) fn quotas_changed(&mut self, roles: &[Arc<str>]) {
        let none = Quota::default();
        for role in roles {
            let quota = self.registry.quota(role).map_or(&none, |quota| &**quota);
            self.allocator.set_quota(role, &quota.guarantees, &quota.limits);
        }
        self.count_recovered_agents();
        let is_changed = |role: &str| roles.iter().any(|changed| **changed == *top_level_role(role));
        for (offer_id, role, resources) in self.offers_where(is_changed) {
            if self.allocator.exceeds_limit(&role, &resources) {
                self.rescind(&offer_id);
            }
        }
        let mut quotas = roles.iter().filter_map(|role| self.registry.quota(role));
        if quotas.any(|quota| !quota.guarantees.is_empty()) {
            for (offer_id, role, resources) in self.offers_where(|_| true) {
                if self.allocator.lacks_headroom(&role, &resources) {
                    self.rescind(&offer_id);
                }
            }
        }
    }

    fn offers_where(&self, keep: impl Fn(&str) -> bool) -> Vec<(OfferId, String, Resources)> {
        let kept = self.offers.iter().filter(|(_, offer)| keep(&offer.role));
        kept.map(|(id, offer)| (id.clone(), offer.role.clone(), offer.resources.clone()))
            .collect()
    }

    /// Weights were changed: if that concerns anybody, every offer is taken back, so that the next run goes by them.
    pub(super) fn weights_changed(&mut self, roles: &[Arc<str>]) {
        for role in roles {
            if let Some(weight) = self.registry.weight(role) {
                self.allocator.set_weight(role, weight);
            }
        }
        let mut subscribed = self.registry.frameworks().flat_map(|framework| framework.roles());
        let concerns_anybody = subscribed.any(|role| roles.iter().any(|changed| **changed == *role));
        drop(subscribed);
        if concerns_anybody {
            let offers: Vec<OfferId> = self.offers.keys().cloned().collect();
            offers.iter().for_each(|offer_id| self.rescind(offer_id));
        }
    }
}
