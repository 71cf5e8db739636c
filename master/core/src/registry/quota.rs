//! Quotas and weights of roles, and when a change of them makes sense.
//!
//! Amounts are thousandths by resource name. A missing guarantee is none, a missing limit is no limit; a limit of zero is
//! a limit. Only top-level roles have quotas; what the roles below them hold counts for them.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::{RemoveQuota, SetQuota, UpdateQuota, UpdateWeights};
use crate::outcome::Rejection;
use crate::registry::Registry;
use crate::resources::{THOUSANDTHS_PER_UNIT, format_number, role_syntax, thousandths_to_f64, top_level_role};

/// Thousandths by resource name.
pub type Amounts = BTreeMap<Arc<str>, i64>;

/// Largest amount of `mem` and `disk`, in megabytes: one exabyte, as in Mesos.
const MEGABYTES_MAX: i64 = 1 << 40;
/// Largest amount of anything else, as in Mesos.
const UNITS_MAX: i64 = 1_000_000_000_000;

/// What a role is guaranteed and limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// The top-level role.
    pub role: Arc<str>,
    /// Held back for it; never zero.
    pub guarantees: Amounts,
    /// Never exceeded by what it is offered.
    pub limits: Amounts,
}

/// How much more than others a role is offered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// The role, of any level.
    pub role: Arc<str>,
    /// Positive and finite; 1 for roles without one.
    pub weight: f64,
}

impl Quota {
    /// Drops guarantees of nothing.
    pub fn new(role: &str, mut guarantees: Amounts, limits: Amounts) -> Self {
        guarantees.retain(|_, amount| *amount != 0);
        Quota {
            role: role.into(),
            guarantees,
            limits,
        }
    }

    /// Neither guarantees nor limits: the role has no quota.
    pub fn is_empty(&self) -> bool {
        self.guarantees.is_empty() && self.limits.is_empty()
    }

    /// Checks the role and the amounts alone.
    ///
    /// Errors: the text Mesos answers after `Invalid QuotaConfig: `.
    pub fn check(&self) -> Result<(), String> {
        role_syntax(&self.role).map_err(|why| format!("Invalid 'QuotaConfig.role': {why}"))?;
        for (what, amounts) in [("guarantee", &self.guarantees), ("limit", &self.limits)] {
            for (name, amount) in amounts {
                // What was too large for thousandths is the smallest number now; it is named below.
                if *amount < 0 && *amount != i64::MIN {
                    let text = amount_text(*amount);
                    return Err(format!(
                        "Invalid {what} configuration {{'{name}': {text}}}: Negative values not supported"
                    ));
                }
            }
        }
        for (what, amounts) in [("guarantees", &self.guarantees), ("limits", &self.limits)] {
            for (name, amount) in amounts {
                check_size(name, *amount).map_err(|why| format!("Invalid 'QuotaConfig.{what}': {why}"))?;
            }
        }
        if is_within(&self.guarantees, &self.limits) {
            return Ok(());
        }
        Err(format!(
            "'QuotaConfig.guarantees' {} is not contained within the 'QuotaConfig.limits' {}",
            braces_text(&self.guarantees),
            braces_text(&self.limits)
        ))
    }
}

impl Weight {
    /// Checks the role and the weight.
    ///
    /// Errors: the text Mesos answers after `Failed to validate update weights request JSON`.
    pub fn check(&self) -> Result<(), String> {
        let Weight { role, weight } = self;
        role_syntax(role).map_err(|why| format!(": Invalid role '{role}': {why}"))?;
        if weight.is_finite() && *weight > 0.0 {
            return Ok(());
        }
        let text = format_number(*weight);
        Err(format!(
            " for role '{role}': Invalid weight '{text}': Weights must be positive"
        ))
    }
}

fn check_size(name: &str, amount: i64) -> Result<(), String> {
    let (max, what) = match name {
        "mem" | "disk" => (MEGABYTES_MAX, "1 exabyte"),
        _ => (UNITS_MAX, "1 trillion"),
    };
    if (0..=max * THOUSANDTHS_PER_UNIT).contains(&amount) {
        return Ok(());
    }
    Err(format!(
        "{{'{name}': {}}} is invalid: values greater than {what} ({max}) are not supported",
        amount_text(amount)
    ))
}

/// Whether no amount is above its limit; what has no limit may be any amount.
fn is_within(amounts: &Amounts, limits: &Amounts) -> bool {
    amounts
        .iter()
        .all(|(name, amount)| limits.get(name).is_none_or(|limit| amount <= limit))
}

/// Whether every amount is there.
fn is_covered(amounts: &Amounts, by: &Amounts) -> bool {
    amounts
        .iter()
        .all(|(name, amount)| *amount <= by.get(name).copied().unwrap_or(0))
}

fn add(sum: &mut Amounts, name: &str, amount: i64) {
    if amount <= 0 {
        return;
    }
    if let Some(sum) = sum.get_mut(name) {
        *sum = sum.saturating_add(amount);
    } else {
        sum.insert(name.into(), amount);
    }
}

fn amount_text(amount: i64) -> String {
    format_number(thousandths_to_f64(amount))
}

/// As Mesos prints quantities: `cpus:4; disk:10000; mem:4096`.
pub fn amounts_text(amounts: &Amounts) -> String {
    joined(amounts, ":", "; ")
}

fn braces_text(amounts: &Amounts) -> String {
    if amounts.is_empty() {
        "{}".to_owned()
    } else {
        format!("{{ {} }}", joined(amounts, ": ", ", "))
    }
}

fn joined(amounts: &Amounts, inside: &str, between: &str) -> String {
    let mut text = String::new();
    for (index, (name, amount)) in amounts.iter().enumerate() {
        let separator = if index > 0 { between } else { "" };
        // Writing to a text cannot fail.
        write!(text, "{separator}{name}{inside}{}", amount_text(*amount)).ok();
    }
    text
}

impl Registry {
    /// The quota of a role that has one.
    pub fn quota(&self, role: &str) -> Option<&Arc<Quota>> {
        self.quotas.get(role)
    }

    /// All quotas, in the order of their roles.
    pub fn quotas(&self) -> impl Iterator<Item = &Arc<Quota>> {
        self.quotas.values()
    }

    /// All weights that were set, in the order of their roles.
    pub fn weights(&self) -> impl Iterator<Item = &Arc<Weight>> {
        self.weights.values()
    }

    /// The weight of a role if one was set.
    pub fn weight(&self, role: &str) -> Option<f64> {
        self.weights.get(role).map(|weight| weight.weight)
    }

    /// What all admitted agents have, revocable resources apart. Costs a walk over the agents.
    pub fn capacity(&self) -> Amounts {
        let mut capacity = Amounts::new();
        for entry in self.agents().flat_map(|agent| agent.total.iter()) {
            if !entry.kind().is_revocable() {
                add(&mut capacity, entry.kind().name(), entry.scalar());
            }
        }
        capacity
    }

    /// What top-level roles and the roles below them consume of their quotas: what is reserved for them, and what their
    /// tasks and executors use of the unreserved resources that cannot be revoked. Costs one walk over the agents.
    pub fn consumed_quotas<'r>(&self, roles: impl IntoIterator<Item = &'r str>) -> BTreeMap<&'r str, Amounts> {
        let mut consumed: BTreeMap<&str, Amounts> = roles.into_iter().map(|role| (role, Amounts::new())).collect();
        if consumed.is_empty() {
            return consumed;
        }
        for agent in self.agents() {
            let reserved = agent.total.iter().map(|entry| (entry, entry.kind().reservation_role()));
            let used = agent.used.iter().filter(|entry| entry.kind().is_for_quota());
            let used = used.map(|entry| (entry, entry.kind().allocation_role()));
            for (entry, role) in reserved.chain(used) {
                if let Some(sum) = role.and_then(|role| consumed.get_mut(top_level_role(role))) {
                    add(sum, entry.kind().name(), entry.scalar());
                }
            }
        }
        consumed
    }

    /// Whether the quotas can be changed so now. Later ones of the same role replace earlier ones.
    ///
    /// Errors: the first that cannot; then nothing is changed at all.
    pub fn check_update_quota(&self, command: &UpdateQuota) -> Result<(), Rejection> {
        for quota in &command.quotas {
            check_role_level(&quota.role)?;
            quota.check().map_err(Rejection::InvalidQuota)?;
        }
        if command.force {
            return Ok(());
        }
        let limited = command.quotas.iter().filter(|quota| !quota.limits.is_empty());
        let consumed = self.consumed_quotas(limited.clone().map(|quota| &*quota.role));
        for quota in limited {
            if let Some(consumed) = consumed.get(&*quota.role)
                && !is_within(consumed, &quota.limits)
            {
                return Err(Rejection::QuotaBelowConsumption {
                    role: quota.role.clone(),
                    consumed: amounts_text(consumed),
                    limits: amounts_text(&quota.limits),
                });
            }
        }
        self.check_capacity(&command.quotas)
    }

    /// Whether the role can be given a quota now that it has none.
    ///
    /// Errors: why not.
    pub fn check_set_quota(&self, command: &SetQuota) -> Result<(), Rejection> {
        let quota = &command.quota;
        check_role_level(&quota.role)?;
        quota.check().map_err(Rejection::InvalidQuota)?;
        if self.quota(&quota.role).is_some() {
            return Err(Rejection::QuotaExists(quota.role.clone()));
        }
        if command.force {
            return Ok(());
        }
        self.check_capacity(std::slice::from_ref(quota))
    }

    /// Whether the role's quota can be removed: it has one.
    ///
    /// Errors: it has none.
    pub fn check_remove_quota(&self, command: &RemoveQuota) -> Result<(), Rejection> {
        match self.quota(&command.role) {
            Some(_) => Ok(()),
            None => Err(Rejection::NoQuota(command.role.clone())),
        }
    }

    /// Whether the weights make sense.
    ///
    /// Errors: the first that does not.
    pub fn check_update_weights(&self, command: &UpdateWeights) -> Result<(), Rejection> {
        let mut weights = command.weights.iter();
        weights.try_for_each(Weight::check).map_err(Rejection::InvalidWeight)
    }

    /// Whether all guarantees together, with these changes, are there at all.
    fn check_capacity(&self, changes: &[Quota]) -> Result<(), Rejection> {
        if changes.iter().all(|quota| quota.guarantees.is_empty()) {
            return Ok(());
        }
        let mut quotas: BTreeMap<&str, &Quota> = self.quotas().map(|quota| (&*quota.role, &**quota)).collect();
        quotas.extend(changes.iter().map(|quota| (&*quota.role, quota)));
        let mut guarantees = Amounts::new();
        for (name, amount) in quotas.values().flat_map(|quota| &quota.guarantees) {
            add(&mut guarantees, name, *amount);
        }
        let capacity = self.capacity();
        if is_covered(&guarantees, &capacity) {
            return Ok(());
        }
        Err(Rejection::QuotaOvercommits {
            guarantees: amounts_text(&guarantees),
            capacity: amounts_text(&capacity),
        })
    }
}

fn check_role_level(role: &Arc<str>) -> Result<(), Rejection> {
    if role.contains('/') {
        return Err(Rejection::NestedQuota(role.clone()));
    }
    Ok(())
}
