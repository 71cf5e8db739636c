//! Outstanding offers and allocation runs. Offers die with the leadership, without RESCIND.

use std::collections::BTreeSet;

use master_core::allocator::refuse_duration;
use master_core::ids::{AgentId, FrameworkId, OfferId};
use master_core::resources::Resources;
use planted::{Bug, is_planted};
use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::scheduler::{Event, call, event};
use proto::v1::{self};
use tokio::time::Instant;

use super::Leadership;
use super::stream::event;
use super::timers::Timer;

/// An offer that is neither answered nor taken back.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    pub(super) role: String,
    pub(super) resources: Resources,
}

impl Leadership {
    pub(super) fn allocate_periodically(&mut self, now: Instant) {
        self.allocate(None);
        self.timers
            .at(now + self.context.config.allocation_interval, Timer::Allocate);
    }

    pub(super) fn allocate(&mut self, only: Option<&BTreeSet<AgentId>>) {
        let seed = self.context.seams.random_u64();
        let allocations = self.allocator.allocate(self.now_micros(), seed, only);
        let mut by_framework: std::collections::BTreeMap<FrameworkId, Vec<v1::Offer>> = Default::default();
        for allocation in allocations {
            let offer_id = self.mint_offer_id();
            let offer = Offer {
                framework_id: allocation.framework_id.clone(),
                agent_id: allocation.agent_id,
                role: allocation.role.to_string(),
                resources: allocation.resources,
            };
            let Some(wire) = self.wire_offer(&offer_id, &offer) else {
                // The agent left within this very turn.
                self.take_back(&offer, None);
                continue;
            };
            if let Some(timeout) = self.context.config.offer_timeout {
                self.timers
                    .at(Instant::now() + timeout, Timer::OfferTimeout(offer_id.clone()));
            }
            by_framework.entry(allocation.framework_id).or_default().push(wire);
            self.offers.insert(offer_id, offer);
        }
        for (framework_id, offers) in by_framework {
            let event = Event {
                offers: Some(event::Offers { offers }),
                ..event(event::Type::Offers)
            };
            // A framework that does not read is disconnected by this, and its offers return.
            self.send_event(&framework_id, &event);
        }
    }

    fn mint_offer_id(&mut self) -> OfferId {
        let owner = if is_planted(Bug::ReuseOfferId) {
            "M"
        } else {
            &self.master_id
        };
        let id = OfferId::from(format!("{owner}-O{}", self.next_offer).as_str());
        self.next_offer += 1;
        id
    }

    fn wire_offer(&self, offer_id: &OfferId, offer: &Offer) -> Option<v1::Offer> {
        let agent = self.registry.agent(&offer.agent_id)?;
        let connection = self.agents.get(&offer.agent_id)?;
        let framework = self.registry.framework(&offer.framework_id)?;
        let multi_role = framework.has_capability(Capability::MultiRole);
        let refined = framework.has_capability(Capability::ReservationRefinement);
        let mut resources = if refined {
            offer.resources.to_proto()
        } else {
            offer.resources.to_proto_pre_refinement()
        };
        if !multi_role {
            for resource in &mut resources {
                resource.allocation_info = None;
            }
        }
        let executor_ids = agent
            .executors
            .keys()
            .filter(|(framework_id, _)| *framework_id == offer.framework_id)
            .map(|(_, executor_id)| executor_id.to_proto())
            .collect();
        Some(v1::Offer {
            id: offer_id.to_proto(),
            framework_id: offer.framework_id.to_proto(),
            agent_id: offer.agent_id.to_proto(),
            hostname: agent.info.hostname.clone(),
            url: Some(v1::Url {
                scheme: "http".to_owned(),
                address: v1::Address {
                    hostname: Some(agent.info.hostname.clone()),
                    ip: Some(connection.pid.address.ip().to_string()),
                    port: i32::from(connection.pid.address.port()),
                },
                path: Some(format!("/{}", connection.pid.id)),
                ..v1::Url::default()
            }),
            resources,
            attributes: agent.info.attributes.clone(),
            executor_ids,
            allocation_info: multi_role.then(|| v1::resource::AllocationInfo {
                role: Some(offer.role.clone()),
            }),
            domain: agent.info.domain.clone(),
            ..v1::Offer::default()
        })
    }

    /// DECLINE: ownership is not checked, as in Mesos; unknown ids are ignored.
    pub(super) fn decline(&mut self, decline: &call::Decline) {
        let refuse = refuse_duration(decline.filters.as_ref());
        for offer_id in &decline.offer_ids {
            if let Some(offer) = self.offers.remove(&OfferId::from(offer_id)) {
                self.take_back(&offer, refuse);
            }
        }
    }

    /// An offer's resources return to the allocator, refused for so many microseconds if at all.
    pub(super) fn take_back(&mut self, offer: &Offer, refuse: Option<u64>) {
        self.recover_offered(&offer.framework_id, &offer.agent_id, &offer.resources, refuse);
    }

    /// Resources of consumed offers that no task uses return to the allocator.
    pub(super) fn recover_offered(
        &mut self,
        framework_id: &FrameworkId,
        agent_id: &AgentId,
        resources: &Resources,
        refuse: Option<u64>,
    ) {
        let now = self.now_micros();
        let unknown = self
            .allocator
            .recover_offered(now, framework_id, agent_id, resources, refuse);
        if !unknown.is_empty() {
            // The agent left meanwhile: the allocator forgot it with everything on it.
            tracing::debug!(%framework_id, %agent_id, %unknown, "resources returned that were no longer held");
        }
    }

    pub(super) fn revive(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        if !self.subscribed_roles(framework_id, roles) {
            return;
        }
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            if roles.is_empty() {
                connection.suppressed_roles.clear();
            } else {
                connection.suppressed_roles.retain(|role| !roles.contains(role));
            }
        }
        self.allocator.revive(framework_id, roles);
    }

    pub(super) fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        if !self.subscribed_roles(framework_id, roles) {
            return;
        }
        let all = self.roles_of(framework_id);
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            connection
                .suppressed_roles
                .extend(if roles.is_empty() { all } else { roles.to_vec() });
        }
        self.allocator.suppress(framework_id, roles);
    }

    /// One role that is not subscribed drops the whole call, as in Mesos.
    fn subscribed_roles(&self, framework_id: &FrameworkId, roles: &[String]) -> bool {
        let subscribed = self.roles_of(framework_id);
        roles.iter().all(|role| subscribed.contains(role))
    }

    pub(super) fn roles_of(&self, framework_id: &FrameworkId) -> Vec<String> {
        self.registry
            .framework(framework_id)
            .map_or_else(Vec::new, |framework| {
                framework.roles().into_iter().map(str::to_owned).collect()
            })
    }

    /// Takes one offer back and tells the framework.
    pub(super) fn rescind(&mut self, offer_id: &OfferId) {
        self.rescind_refused(offer_id, None);
    }

    /// The same; the framework is not offered the resources again for so many microseconds.
    pub(super) fn rescind_refused(&mut self, offer_id: &OfferId, refuse: Option<u64>) {
        let Some(offer) = self.offers.remove(offer_id) else {
            return;
        };
        self.take_back(&offer, refuse);
        let rescind = Event {
            rescind: Some(event::Rescind {
                offer_id: offer_id.to_proto(),
            }),
            ..event(event::Type::Rescind)
        };
        self.send_event(&offer.framework_id, &rescind);
    }

    pub(super) fn rescind_offers_of_agent(&mut self, agent_id: &AgentId) {
        let ids: Vec<OfferId> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.agent_id == *agent_id)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.rescind(&id);
        }
    }

    /// Offers of roles the framework no longer subscribes to.
    pub(super) fn rescind_foreign_roles(&mut self, framework_id: &FrameworkId) {
        let roles = self.roles_of(framework_id);
        let ids: Vec<OfferId> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.framework_id == *framework_id && !roles.contains(&offer.role))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            self.rescind(&id);
        }
    }

    /// The framework is gone or has another stream: its offers return without a word.
    pub(super) fn discard_offers_of_framework(&mut self, framework_id: &FrameworkId) {
        let ids: Vec<OfferId> = self
            .offers
            .iter()
            .filter(|(_, offer)| offer.framework_id == *framework_id)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ids {
            if let Some(offer) = self.offers.remove(&id) {
                self.take_back(&offer, None);
            }
        }
    }
}
