//! What the allocator has to know about agents and frameworks, taken from their wire descriptions.

use proto::v1::scheduler::offer_constraints::RoleConstraints;
use proto::v1::scheduler::{self};
use proto::v1::{self, agent_info, framework_info};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What decides whether an agent may be offered to a framework, apart from its resources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// The host name, for the whitelist and offer constraints.
    pub hostname: String,
    /// The region of the agent's fault domain.
    pub region: Option<String>,
    /// The zone of the agent's fault domain.
    pub zone: Option<String>,
    /// The first attribute of each name: its text, or None when it is not a text.
    pub attributes: BTreeMap<String, Option<String>>,
    /// Capability MULTI_ROLE.
    pub multi_role: bool,
    /// Capability HIERARCHICAL_ROLE.
    pub hierarchical_role: bool,
}

impl AgentFacts {
    /// Takes the facts from an agent's description and its capabilities.
    pub fn from_info(info: &v1::AgentInfo, capabilities: &[agent_info::Capability]) -> Self {
        use agent_info::capability::Type;
        let has = |wanted: Type| capabilities.iter().any(|capability| capability.r#type() == wanted);
        let domain = info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
        let mut attributes = BTreeMap::new();
        for attribute in &info.attributes {
            let text = attribute.text.as_ref().map(|text| text.value.clone());
            attributes.entry(attribute.name.clone()).or_insert(text);
        }
        AgentFacts {
            hostname: info.hostname.clone(),
            region: domain.map(|domain| domain.region.name.clone()),
            zone: domain.map(|domain| domain.zone.name.clone()),
            attributes,
            multi_role: has(Type::MultiRole),
            hierarchical_role: has(Type::HierarchicalRole),
        }
    }
}

/// The least that an offer must hold, as alternatives: one of them has to be met in full. No alternative: anything goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinAllocatable(pub Vec<BTreeMap<String, i64>>);

impl MinAllocatable {
    /// Mesos's default, `cpus:0.01|mem:32`.
    pub fn mesos_default() -> Self {
        let one = |name: &str, thousandths| BTreeMap::from([(name.to_owned(), thousandths)]);
        MinAllocatable(vec![one("cpus", 10), one("mem", 32_000)])
    }

    /// True when one alternative is met by the sums of scalars by name, in thousandths.
    pub(super) fn is_met(&self, amount_of: impl Fn(&str) -> i64) -> bool {
        self.0.is_empty()
            || self
                .0
                .iter()
                .any(|set| set.iter().all(|(name, least)| amount_of(name) >= *least))
    }
}

/// What decides what a framework is offered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrameworkFacts {
    /// The roles it is subscribed to.
    pub roles: BTreeSet<Arc<str>>,
    /// Those it does not want offers for now.
    pub suppressed: BTreeSet<Arc<str>>,
    /// Capability REVOCABLE_RESOURCES.
    pub revocable_resources: bool,
    /// Capability GPU_RESOURCES.
    pub gpu_resources: bool,
    /// Capability SHARED_RESOURCES.
    pub shared_resources: bool,
    /// Capability RESERVATION_REFINEMENT.
    pub reservation_refinement: bool,
    /// Capability MULTI_ROLE.
    pub multi_role: bool,
    /// Capability REGION_AWARE.
    pub region_aware: bool,
    /// Its own least offers by role (`FrameworkInfo.offer_filters`).
    pub min_allocatable: BTreeMap<String, MinAllocatable>,
    /// Which agents it wants, by role.
    pub constraints: BTreeMap<String, RoleConstraints>,
}

impl FrameworkFacts {
    /// Takes the facts from a framework's description and its subscription.
    pub fn from_info(
        info: &v1::FrameworkInfo,
        suppressed_roles: &[String],
        constraints: Option<&scheduler::OfferConstraints>,
    ) -> Self {
        use framework_info::capability::Type;
        let has = |wanted: Type| info.capabilities.iter().any(|capability| capability.r#type() == wanted);
        let min_allocatable = info.offer_filters.iter().filter_map(|(role, filters)| {
            let least = filters.min_allocatable_resources.as_ref()?;
            let sets = least.quantities.iter().map(|set| {
                let amounts = set.quantities.iter();
                amounts
                    .map(|(name, amount)| (name.clone(), crate::resources::thousandths_from_f64(amount.value)))
                    .collect()
            });
            Some((role.clone(), MinAllocatable(sets.collect())))
        });
        FrameworkFacts {
            roles: framework_roles(info).into_iter().map(Arc::from).collect(),
            suppressed: suppressed_roles.iter().map(|role| Arc::from(role.as_str())).collect(),
            revocable_resources: has(Type::RevocableResources),
            gpu_resources: has(Type::GpuResources),
            shared_resources: has(Type::SharedResources),
            reservation_refinement: has(Type::ReservationRefinement),
            multi_role: has(Type::MultiRole),
            region_aware: has(Type::RegionAware),
            min_allocatable: min_allocatable.collect(),
            constraints: constraints.map(|all| all.role_constraints.clone()).unwrap_or_default(),
        }
    }
}

/// The roles a framework is subscribed to: `roles` with MULTI_ROLE, otherwise `role`, which is `*` by default.
#[allow(deprecated)]
pub fn framework_roles(info: &v1::FrameworkInfo) -> Vec<&str> {
    let multi_role = framework_info::capability::Type::MultiRole;
    if info
        .capabilities
        .iter()
        .any(|capability| capability.r#type() == multi_role)
    {
        info.roles.iter().map(String::as_str).collect()
    } else {
        vec![info.role.as_deref().unwrap_or("*")]
    }
}
