//! UPDATE_FRAMEWORK: the texts become the body of a `400`.

use super::{Config, framework_info::framework_info, offer_constraints::offer_constraints, roles};
use crate::ids::FrameworkId;
use crate::registry::Registry;
use proto::v1::FrameworkInfo;
use proto::v1::scheduler::call::UpdateFramework;

/// Checks a change of a framework.
///
/// # Errors
/// The text Mesos answers.
pub fn update_framework(registry: &Registry, update: &UpdateFramework, config: &Config) -> Result<(), String> {
    let info = &update.framework_info;
    framework_info(info)
        .and_then(|()| roles::whitelisted(info, config))
        .map_err(|why| format!("Supplied FrameworkInfo is not valid: {why}"))?;
    if let Some(known) = info
        .id
        .as_ref()
        .and_then(|id| registry.framework(&FrameworkId::from(id)))
    {
        unchangeable(&known.info, info).map_err(|why| format!("FrameworkInfo update is not valid: {why}"))?;
    }
    let constraints = update.offer_constraints.as_ref();
    roles::suppressed(info, &update.suppressed_roles)
        .and_then(|()| constraints.map_or(Ok(()), |all| offer_constraints(all, &roles::listed_roles(info))))
        .map_err(|why| format!("'UpdateFramework' call is not valid: {why}"))
}

fn unchangeable(known: &FrameworkInfo, new: &FrameworkInfo) -> Result<(), String> {
    if known.principal != new.principal {
        return Err("Changing framework's principal is not allowed.".into());
    }
    let differs = |field: &str, old: &str, new: &str| {
        Err(format!(
            "Updating 'FrameworkInfo.{field}' is unsupported; attempted to update from '{old}' to '{new}'"
        ))
    };
    if known.user != new.user {
        return differs("user", &known.user, &new.user);
    }
    if known.checkpoint() != new.checkpoint() {
        return differs(
            "checkpoint",
            &known.checkpoint().to_string(),
            &new.checkpoint().to_string(),
        );
    }
    Ok(())
}
