//! An agent's total: what it was started with, plus the reservations and volumes it has checkpointed.

use super::kind::{Detail, Kind};
use super::validity::ResourceError;
use super::value::Value;
use super::{Entry, Resources};
use proto::v1;
use std::sync::Arc;

impl Resources {
    /// The total of an agent (Mesos agent protocol): each checkpointed reservation or volume takes the place of the same
    /// amount of unreserved (or statically reserved) resources of `AgentInfo.resources`.
    ///
    /// # Errors
    /// A resource is invalid, or a checkpointed one is neither dynamically reserved nor a persistent volume, belongs to a
    /// resource provider, or is not backed by the agent's resources.
    pub fn agent_total(resources: &[v1::Resource], checkpointed: &[v1::Resource]) -> Result<Resources, ResourceError> {
        let mut total = Resources::from_proto(resources)?;
        for entry in &Resources::from_proto(checkpointed)?.entries {
            let kind = &entry.kind;
            if kind.provider().is_some() {
                return Err(ResourceError(format!(
                    "Unexpected resource provider in checkpointed resource '{entry}'"
                )));
            }
            if !kind.is_dynamically_reserved() && !kind.is_persistent_volume() {
                return Err(ResourceError(format!("Unexpected checkpointed resource '{entry}'")));
            }
            let stripped = Resources {
                entries: vec![stripped(entry)],
            };
            if !total.subtract(&stripped) {
                return Err(ResourceError(format!(
                    "Checkpointed resource '{entry}' is not backed by the agent's resources '{total}'"
                )));
            }
            total.add_entry(entry);
        }
        Ok(total)
    }
}

/// The resource an agent was started with before it was reserved and made a volume.
fn stripped(entry: &Entry) -> Entry {
    let mut detail = entry.kind.detail.as_deref().cloned().unwrap_or_default();
    detail.reservations.truncate(usize::from(
        detail.reservations.first().is_some_and(|first| !first.dynamic),
    ));
    detail.shared = false;
    let disk = entry.kind.disk().filter(|disk| disk.source.is_some()).map(|mut disk| {
        disk.persistence = None;
        disk.volume = None;
        disk
    });
    detail.set_disk(disk.as_ref());
    let value = match &entry.value {
        Value::Shared(shared) => Value::Scalar(shared.0),
        value => value.clone(),
    };
    let detail: Option<Arc<Detail>> = (!detail.is_plain()).then(|| Arc::new(detail));
    Entry {
        kind: Kind {
            detail,
            ..entry.kind.clone()
        },
        value,
    }
}
