//! Makes resources for agents, clients and tests.

use crate::v1::value::{Range, Ranges, Scalar, Set, Type};
use crate::v1::{Resource, resource};

/// An amount: `cpus`, `mem` and `disk` in MB, `gpus`.
pub fn scalar(name: &str, amount: f64) -> Resource {
    Resource {
        scalar: Some(Scalar { value: amount }),
        ..empty(name, Type::Scalar)
    }
}

/// Intervals, both ends included: `ports`.
pub fn ranges(name: &str, intervals: &[(u64, u64)]) -> Resource {
    let range = intervals.iter().map(|&(begin, end)| Range { begin, end }).collect();
    Resource {
        ranges: Some(Ranges { range }),
        ..empty(name, Type::Ranges)
    }
}

/// Named items.
pub fn set(name: &str, items: &[&str]) -> Resource {
    let item = items.iter().map(|&item| item.to_owned()).collect();
    Resource {
        set: Some(Set { item }),
        ..empty(name, Type::Set)
    }
}

/// The resource as it stands in an offer for `role`.
#[must_use]
pub fn allocated(resource: Resource, role: &str) -> Resource {
    let allocation = resource::AllocationInfo {
        role: Some(role.to_owned()),
    };
    Resource {
        allocation_info: Some(allocation),
        ..resource
    }
}

fn empty(name: &str, kind: Type) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: kind.into(),
        ..Resource::default()
    }
}
