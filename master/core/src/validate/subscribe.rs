//! SUBSCRIBE: the texts become the ERROR event (v1) or FrameworkErrorMessage (v0).

use super::{Config, framework_info::framework_info, offer_constraints::offer_constraints, roles};
use crate::ids::FrameworkId;
use crate::registry::Registry;
use proto::v1::scheduler::call::Subscribe;

/// Checks a subscription.
///
/// # Errors
/// The text Mesos answers.
pub fn subscribe(registry: &Registry, subscribe: &Subscribe, config: &Config) -> Result<(), String> {
    let info = &subscribe.framework_info;
    framework_info(info)?;
    if !config.root_submissions && info.user == "root" {
        return Err("User 'root' is not allowed to run frameworks without --root_submissions set".into());
    }
    let id = info
        .id
        .as_ref()
        .filter(|id| !id.value.is_empty())
        .map(FrameworkId::from);
    if id.as_ref().is_some_and(|id| registry.is_completed_framework(id)) {
        return Err("Framework has been removed".into());
    }
    roles::whitelisted(info, config)?;
    roles::suppressed(info, &subscribe.suppressed_roles)?;
    if let Some(constraints) = &subscribe.offer_constraints {
        offer_constraints(constraints, &roles::listed_roles(info))?;
    }
    match id.and_then(|id| registry.framework(&id)) {
        Some(known) if known.info.principal != info.principal => {
            Err("Changing framework's principal is not allowed.".into())
        }
        _ => Ok(()),
    }
}
