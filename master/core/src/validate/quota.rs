//! Quotas and weights as operators send them, made into commands. What depends on the registry is checked by
//! [`Registry::check_update_quota`](crate::Registry::check_update_quota) and its neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::v1::value::{self, Scalar};
use proto::v1::{self, WeightInfo, quota};

use super::Config;
use crate::command::{SetQuota, UpdateQuota, UpdateWeights};
use crate::registry::{Amounts, Quota, Weight};
use crate::resources::{check_resource, role_syntax, thousandths_from_f64};

/// `UPDATE_QUOTA`.
///
/// # Errors
/// The text of the refusal.
pub fn update_quota(configs: &[quota::QuotaConfig], force: bool, config: &Config) -> Result<UpdateQuota, String> {
    let quotas = configs.iter().map(|quota| quota_of(quota, config));
    Ok(UpdateQuota {
        quotas: quotas.collect::<Result<_, _>>()?,
        force,
    })
}

fn quota_of(wire: &quota::QuotaConfig, config: &Config) -> Result<Quota, String> {
    let role = &*wire.role;
    if !is_allowed(role, config) {
        return Err(format!("Invalid QuotaConfig: Unknown role '{role}'"));
    }
    if role.contains('/') {
        return Err(format!("Updating quota on nested role '{role}' is not supported yet"));
    }
    let quota = Quota::new(role, amounts(&wire.guarantees), amounts(&wire.limits));
    quota.check().map_err(|why| format!("Invalid QuotaConfig: {why}"))?;
    Ok(quota)
}

fn amounts(wire: &BTreeMap<String, Scalar>) -> Amounts {
    let amount = |(name, scalar): (&String, &Scalar)| {
        let thousandths = thousandths_from_f64(scalar.value);
        // Less than nothing, however little.
        let thousandths = if scalar.value < 0.0 {
            thousandths.clamp(i64::MIN + 1, -1)
        } else {
            thousandths
        };
        (Arc::from(name.as_str()), thousandths)
    };
    wire.iter().map(amount).collect()
}

/// `SET_QUOTA` and `POST /quota`.
///
/// # Errors
/// The text after `Failed to validate set quota request: `.
pub fn set_quota(request: &quota::QuotaRequest, config: &Config) -> Result<SetQuota, String> {
    let role = request.role.as_deref().unwrap_or("");
    role_syntax(role).map_err(|why| format!("QuotaInfo with invalid role: {why}"))?;
    if request.guarantee.is_empty() {
        return Err("QuotaInfo with empty 'guarantee'".to_owned());
    }
    let mut limits = Amounts::new();
    for resource in &request.guarantee {
        let amount = guarantee(resource)?;
        if limits.insert(resource.name.as_str().into(), amount).is_some() {
            let name = &resource.name;
            return Err(format!("QuotaInfo contains duplicate resource name '{name}'"));
        }
    }
    if !is_allowed(role, config) {
        return Err(format!("Unknown role '{role}'"));
    }
    if role.contains('/') {
        return Err(format!("Setting quota on nested role '{role}' is not supported yet"));
    }
    let quota = Quota::new(role, limits.clone(), limits);
    quota.check()?;
    Ok(SetQuota {
        quota,
        force: request.force.unwrap_or(false),
    })
}

#[allow(deprecated)] // Operators may write either format.
fn guarantee(resource: &v1::Resource) -> Result<i64, String> {
    check_resource(resource).map_err(|why| format!("QuotaInfo with invalid resource: {why}"))?;
    if !resource.reservations.is_empty() || resource.reservation.is_some() {
        return Err("QuotaInfo must not contain any ReservationInfo".to_owned());
    }
    if resource.disk.is_some() {
        return Err("QuotaInfo must not contain DiskInfo".to_owned());
    }
    if resource.revocable.is_some() {
        return Err("QuotaInfo must not contain RevocableInfo".to_owned());
    }
    if value::Type::try_from(resource.r#type) != Ok(value::Type::Scalar) {
        return Err("QuotaInfo must not include non-scalar resources".to_owned());
    }
    let amount = resource.scalar.as_ref().map_or(0.0, |scalar| scalar.value);
    Ok(thousandths_from_f64(amount))
}

/// `UPDATE_WEIGHTS` and `PUT /weights`. Blanks around a role are dropped.
///
/// # Errors
/// The text of the refusal.
pub fn update_weights(weights: &[WeightInfo], config: &Config) -> Result<UpdateWeights, String> {
    let weight = |wire: &WeightInfo| {
        let weight = Weight {
            role: wire.role.as_deref().unwrap_or("").trim().into(),
            weight: wire.weight,
        };
        let refused = |why: String| format!("Failed to validate update weights request JSON{why}");
        weight.check().map_err(refused)?;
        if !is_allowed(&weight.role, config) {
            return Err(refused(format!(": Unknown role '{}'", weight.role)));
        }
        Ok(weight)
    };
    Ok(UpdateWeights {
        weights: weights.iter().map(weight).collect::<Result<_, _>>()?,
    })
}

fn is_allowed(role: &str, config: &Config) -> bool {
    role == "*" || config.roles.as_ref().is_none_or(|roles| roles.contains(role))
}
