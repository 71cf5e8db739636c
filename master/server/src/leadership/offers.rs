//! Outstanding offers and allocation runs. Offers die with the leadership, without RESCIND.

use std::collections::BTreeSet;

use master_core::ids::{AgentId, FrameworkId, OfferId};
use master_core::resources::Resources;
use proto::v1::scheduler::{Event, call, event};
use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::{self};
use tokio::time::Instant;

use super::stream::event;
use super::timers::Timer;
use super::{Leadership, micros};

/// An offer that is neither answered nor taken back.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    pub(super) framework_id: FrameworkId,
    pub(super) agent_id: AgentId,
    pub(super) role: String,
    pub(super) resources: Resources,
}

/// How long refused resources stay away when the framework does not say, in seconds.
const DEFAULT_REFUSE_SECONDS: f64 = 5.0;

/// Longest refusal, in seconds: 365 days.
const REFUSE_SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

impl Leadership {
    pub(super) fn allocate_periodically(&mut self, now: Instant) {
        self.allocate_all(now);
        self.timers.at(now + self.context.config.allocation_interval, Timer::Allocate);
    }

    pub(super) fn allocate_all(&mut self, now: Instant) {
        self.allocate(now, None);
    }

    pub(super) fn allocate_agent(&mut self, agent_id: &AgentId) {
        self.allocate(Instant::now(), Some(&BTreeSet::from([agent_id.clone()])));
    }

    fn allocate(&mut self, now: Instant, only: Option<&BTreeSet<AgentId>>) {
        let seed = self.context.seams.random_u64();
        let allocations = self.allocator.allocate(micros(now - self.started), seed, only);
        let mut by_framework: std::collections::BTreeMap<FrameworkId, Vec<v1::Offer>> = Default::default();
        for allocation in allocations {
            let offer_id = self.mint_offer_id();
            let offer = Offer {
                framework_id: allocation.framework_id.clone(),
                agent_id: allocation.agent_id,
                role: allocation.role,
                resources: allocation.resources,
            };
            let Some(wire) = self.wire_offer(&offer_id, &offer) else {
                // The agent left within this very turn.
                self.allocator.recover(&offer.framework_id, &offer.agent_id, &offer.resources, None);
                continue;
            };
            if let Some(timeout) = self.context.config.offer_timeout {
                self.timers.at(now + timeout, Timer::OfferTimeout(offer_id.clone()));
            }
            by_framework.entry(allocation.framework_id).or_default().push(wire);
            self.offers.insert(offer_id, offer);
        }
        for (framework_id, offers) in by_framework {
            let event = Event { offers: Some(event::Offers { offers }), ..event(event::Type::Offers) };
            // A framework that does not read is disconnected by this, and its offers return.
            self.send_event(&framework_id, &event);
        }
    }

    fn mint_offer_id(&mut self) -> OfferId {
        let id = OfferId::from(format!("{}-O{}", self.master_id, self.next_offer).as_str());
        self.next_offer += 1;
        id
    }

    fn wire_offer(&self, offer_id: &OfferId, offer: &Offer) -> Option<v1::Offer> {
        let agent = self.registry.agent(&offer.agent_id)?;
        let connection = self.agents.get(&offer.agent_id)?;
        let framework = self.registry.framework(&offer.framework_id)?;
        let multi_role = framework.has_capability(Capability::MultiRole);
        let refined = framework.has_capability(Capability::ReservationRefinement);
        let mut resources =
            if refined { offer.resources.to_proto() } else { offer.resources.to_proto_pre_refinement() };
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
            allocation_info: multi_role
                .then(|| v1::resource::AllocationInfo { role: Some(offer.role.clone()) }),
            domain: agent.info.domain.clone(),
            ..v1::Offer::default()
        })
    }

    /// DECLINE: ownership is not checked, as in Mesos; unknown ids are ignored.
    pub(super) fn decline(&mut self, decline: &call::Decline) {
        let refuse = self.refuse_until(decline.filters.as_ref());
        for offer_id in &decline.offer_ids {
            if let Some(offer) = self.offers.remove(&OfferId::from(offer_id)) {
                self.allocator.recover(&offer.framework_id, &offer.agent_id, &offer.resources, refuse);
            }
        }
    }

    /// When refused resources may be offered again, in the allocator's microseconds.
    pub(super) fn refuse_until(&self, filters: Option<&v1::Filters>) -> Option<u64> {
        let seconds = filters.and_then(|filters| filters.refuse_seconds).unwrap_or(DEFAULT_REFUSE_SECONDS);
        let seconds = if seconds.is_nan() || seconds < 0.0 { DEFAULT_REFUSE_SECONDS } else { seconds };
        if seconds == 0.0 {
            return None;
        }
        let duration = std::time::Duration::from_secs_f64(seconds.min(REFUSE_SECONDS_MAX));
        // At least one allocation interval, or a short refusal would end before the next run looks at it.
        let duration = duration.max(self.context.config.allocation_interval);
        Some(self.now_micros().saturating_add(micros(duration)))
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
        self.allocate_all(Instant::now());
    }

    pub(super) fn suppress(&mut self, framework_id: &FrameworkId, roles: &[String]) {
        if !self.subscribed_roles(framework_id, roles) {
            return;
        }
        let all = self.roles_of(framework_id);
        if let Some(connection) = self.frameworks.get_mut(framework_id) {
            connection.suppressed_roles.extend(if roles.is_empty() { all } else { roles.to_vec() });
        }
        self.allocator.suppress(framework_id, roles);
    }

    /// One role that is not subscribed drops the whole call, as in Mesos.
    fn subscribed_roles(&self, framework_id: &FrameworkId, roles: &[String]) -> bool {
        let subscribed = self.roles_of(framework_id);
        roles.iter().all(|role| subscribed.contains(role))
    }

    pub(super) fn roles_of(&self, framework_id: &FrameworkId) -> Vec<String> {
        self.registry.framework(framework_id).map_or_else(Vec::new, |framework| {
            framework.roles().into_iter().map(str::to_owned).collect()
        })
    }

    /// Takes one offer back and tells the framework.
    pub(super) fn rescind(&mut self, offer_id: &OfferId) {
        let Some(offer) = self.offers.remove(offer_id) else { return };
        self.allocator.recover(&offer.framework_id, &offer.agent_id, &offer.resources, None);
        let rescind = Event {
            rescind: Some(event::Rescind { offer_id: offer_id.to_proto() }),
            ..event(event::Type::Rescind)
        };
        self.send_event(&offer.framework_id, &rescind);
    }

    pub(super) fn rescind_offers_of_agent(&mut self, agent_id: &AgentId) {
        let ids: Vec<OfferId> =
            self.offers.iter().filter(|(_, offer)| offer.agent_id == *agent_id).map(|(id, _)| id.clone()).collect();
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
                self.allocator.recover(&offer.framework_id, &offer.agent_id, &offer.resources, None);
            }
        }
    }
}
