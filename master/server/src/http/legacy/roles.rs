//! `/roles`: who subscribes to a role and what it holds.

use master_core::registry::{Amounts, Quota};
use master_core::resources::{Resources, is_strict_subrole, thousandths_to_f64};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::list::List;
use super::resources::Quantities;
use crate::http::roles::{Role, Roles};

/// The body of `/roles`.
pub(super) struct RolesJson<'a>(pub(super) &'a Roles<'a>);

impl Serialize for RolesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let roles = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "roles",
            &List(|| roles.iter().map(|(name, role)| RoleJson { roles, name, role })),
        )?;
        map.end()
    }
}

struct RoleJson<'a> {
    roles: &'a Roles<'a>,
    name: &'a str,
    role: &'a Role<'a>,
}

impl RoleJson<'_> {
    /// What counts against the role's quota: what it and the roles below it hold.
    fn consumed(&self) -> Resources {
        let below = self
            .roles
            .iter()
            .filter(|(name, _)| *name == self.name || is_strict_subrole(self.name, name));
        let mut sum = Resources::new();
        for (_, role) in below {
            sum.add(&role.allocated.filter(|entry| !entry.kind().is_revocable()));
            sum.add(&role.reserved);
        }
        sum
    }
}

impl Serialize for RoleJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("weight", &self.role.weight())?;
        map.serialize_entry(
            "quota",
            &QuotaJson {
                name: self.name,
                quota: self.role.quota,
                consumed: &self.consumed(),
            },
        )?;
        map.serialize_entry("resources", &Quantities(&self.role.held()))?;
        map.serialize_entry("allocated", &Quantities(&self.role.allocated))?;
        map.serialize_entry("offered", &Quantities(&self.role.offered))?;
        map.serialize_entry("reserved", &Quantities(&self.role.reserved_total))?;
        map.serialize_entry(
            "frameworks",
            &List(|| self.role.frameworks.iter().map(|id| id.as_str())),
        )?;
        map.end()
    }
}

struct QuotaJson<'a> {
    name: &'a str,
    quota: Option<&'a Quota>,
    consumed: &'a Resources,
}

impl Serialize for QuotaJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = |amounts: fn(&Quota) -> &Amounts| AmountsJson(self.quota.map(amounts));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", self.name)?;
        map.serialize_entry("guarantee", &of(|quota| &quota.guarantees))?;
        map.serialize_entry("limit", &of(|quota| &quota.limits))?;
        map.serialize_entry("consumed", &Quantities(self.consumed))?;
        map.end()
    }
}

struct AmountsJson<'a>(Option<&'a Amounts>);

impl Serialize for AmountsJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amounts = self.0.into_iter().flatten();
        serializer.collect_map(amounts.map(|(name, amount)| (name, thousandths_to_f64(*amount))))
    }
}
