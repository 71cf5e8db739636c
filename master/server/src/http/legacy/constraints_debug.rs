//! `/allocator/offer_constraints_debug`: which roles a framework has suppressed and which agents its constraints exclude.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::leadership::SoftState;

/// The body; without a leadership there are no frameworks in it.
pub(super) struct ConstraintsDebug<'a>(pub(super) Option<&'a SoftState>);

impl Serialize for ConstraintsDebug<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("frameworks", &Frameworks(self.0))?;
        map.end()
    }
}

struct Frameworks<'a>(Option<&'a SoftState>);

impl Serialize for Frameworks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frameworks = self.0.into_iter().flat_map(|state| &state.frameworks);
        serializer.collect_map(frameworks.map(|(id, soft)| (id.as_str(), Framework(&soft.suppressed_roles))))
    }
}

struct Framework<'a>(&'a [String]);

impl Serialize for Framework<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("suppressed_roles", self.0)?;
        // This master knows no offer constraints yet.
        map.serialize_entry("excluded_by_attribute_constraints", &super::list::NoMembers)?;
        map.end()
    }
}
