//! Resources apart by whom they are reserved for.

use std::collections::{BTreeMap, BTreeSet};

use master_core::resources::Resources;

/// The reserved part by the role it is reserved for.
pub(super) fn reserved_by_role(resources: &Resources) -> BTreeMap<&str, Resources> {
    let roles: BTreeSet<&str> = resources
        .iter()
        .filter_map(|entry| entry.kind().reservation_role())
        .collect();
    let part = |role: &str| resources.filter(|entry| entry.kind().reservation_role() == Some(role));
    roles.into_iter().map(|role| (role, part(role))).collect()
}

/// The part that anybody may be offered.
pub(super) fn unreserved(resources: &Resources) -> Resources {
    resources.filter(|entry| entry.kind().reservation_role().is_none())
}
