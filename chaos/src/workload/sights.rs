//! Messages as a history writes them down, and the frameworks that workloads are.

use proto::v1::framework_info::capability::Type as Capability;
use proto::v1::task_status::{Reason, Source};
use proto::v1::{FrameworkInfo, Offer, TaskStatus, framework_info};

use crate::history::Sight;

/// The role of all frameworks; quota and weights are tried on roles that nobody uses.
pub(crate) const ROLE: &str = "*";
/// The frameworks outlive every fault.
const FAILOVER_TIMEOUT_SECONDS: f64 = 3600.0;

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn offered(framework: &str, offer: &Offer, leadership: &str) -> Sight {
    Sight::Offered {
        framework: framework.to_owned(),
        offer: offer.id.value.clone(),
        agent: offer.agent_id.value.clone(),
        leadership: leadership.to_owned(),
    }
}

pub(crate) fn updated(framework: &str, status: &TaskStatus) -> Sight {
    let reason = status.reason.and_then(|reason| Reason::try_from(reason).ok());
    let source = status.source.and_then(|source| Source::try_from(source).ok());
    Sight::Updated {
        framework: framework.to_owned(),
        task: status.task_id.value.clone(),
        state: status.state().as_str_name().to_owned(),
        uuid: status.uuid.as_ref().map(|uuid| hex(uuid)).unwrap_or_default(),
        reason: reason.map_or("", |reason| reason.as_str_name()).to_owned(),
        source: source.map_or("", |source| source.as_str_name()).to_owned(),
    }
}

/// A framework that survives failovers and partitions.
pub(crate) fn framework_info(name: &str) -> FrameworkInfo {
    let capabilities = [
        Capability::MultiRole,
        Capability::PartitionAware,
        Capability::ReservationRefinement,
    ];
    FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        roles: vec![ROLE.to_owned()],
        failover_timeout: Some(FAILOVER_TIMEOUT_SECONDS),
        checkpoint: Some(true),
        capabilities: capabilities
            .map(|capability| framework_info::Capability {
                r#type: Some(capability.into()),
            })
            .to_vec(),
        ..FrameworkInfo::default()
    }
}
