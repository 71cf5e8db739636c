//! The roles of a framework.

use super::{Config, set_text};
use crate::registry::Framework;
use crate::resources::role_syntax;
use proto::v1::{self, framework_info};
use std::collections::BTreeSet;

/// Checks `role` and `roles` of a framework, depending on MULTI_ROLE.
#[allow(deprecated)] // Frameworks without MULTI_ROLE only have `role`.
pub(super) fn framework_roles(info: &v1::FrameworkInfo) -> Result<(), String> {
    if !is_multi_role(info) {
        if !info.roles.is_empty() {
            return Err("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable".into());
        }
        return role_syntax(info.role.as_deref().unwrap_or("*"))
            .map_err(|why| format!("'FrameworkInfo.role' is not a valid role: {why}"));
    }
    if info.role.is_some() {
        return Err("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable".into());
    }
    let mut seen = BTreeSet::new();
    let duplicates: BTreeSet<&str> = info
        .roles
        .iter()
        .map(String::as_str)
        .filter(|role| !seen.insert(*role))
        .collect();
    if !duplicates.is_empty() {
        return Err(format!(
            "'FrameworkInfo.roles' contains duplicate items: {}",
            set_text(duplicates)
        ));
    }
    for role in &info.roles {
        role_syntax(role).map_err(|why| format!("'FrameworkInfo.roles' contains invalid role: {why}"))?;
    }
    Ok(())
}

/// Checks the operator's list of roles.
pub(super) fn whitelisted(info: &v1::FrameworkInfo, config: &Config) -> Result<(), String> {
    let Some(allowed) = &config.roles else { return Ok(()) };
    let roles = listed_roles(info);
    let foreign: BTreeSet<&str> = roles
        .iter()
        .copied()
        .filter(|role| *role != "*" && !allowed.contains(*role))
        .collect();
    match foreign.len() {
        0 => Ok(()),
        1 => Err(format!(
            "Role{} is not present in the master's --roles",
            quoted(&foreign)
        )),
        _ => Err(format!(
            "Roles {} are not present in the master's --roles",
            set_text(foreign)
        )),
    }
}

fn quoted(roles: &BTreeSet<&str>) -> String {
    roles.iter().map(|role| format!(" '{role}'")).collect()
}

/// Suppressed roles must be subscribed.
pub(super) fn suppressed(info: &v1::FrameworkInfo, suppressed: &[String]) -> Result<(), String> {
    let roles = listed_roles(info);
    let foreign: BTreeSet<&str> = suppressed
        .iter()
        .map(String::as_str)
        .filter(|role| !roles.contains(role))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(format!(
        "Suppressed roles {} are not contained in the set of roles",
        set_text(foreign)
    ))
}

/// The roles of a REVIVE or SUPPRESS: with one that is invalid or not subscribed the whole call is dropped.
///
/// # Errors
/// Which role; for the log only, the framework is told nothing.
pub fn subscribed_roles(framework: &Framework, roles: &[String]) -> Result<(), String> {
    let subscribed = framework.roles();
    for role in roles {
        role_syntax(role)?;
        if !subscribed.contains(&role.as_str()) {
            return Err(format!("framework {} is not subscribed to role '{role}'", framework.id));
        }
    }
    Ok(())
}

/// What the framework subscribes to.
pub(super) fn listed_roles(info: &v1::FrameworkInfo) -> Vec<&str> {
    crate::allocator::framework_roles(info)
}

fn is_multi_role(info: &v1::FrameworkInfo) -> bool {
    let wanted = framework_info::capability::Type::MultiRole;
    info.capabilities.iter().any(|capability| capability.r#type() == wanted)
}
