//! The offers named by an ACCEPT.

use crate::ids::{AgentId, FrameworkId, OfferId};

/// What validation has to know of an outstanding offer.
#[derive(Clone, Copy, Debug)]
pub struct OfferView<'a> {
    /// To whom it was made.
    pub framework_id: &'a FrameworkId,
    /// Of which agent.
    pub agent_id: &'a AgentId,
    /// For which role.
    pub role: &'a str,
}

/// Checks that the offers can be accepted together by the framework.
///
/// # Errors
/// The text that goes behind `Task launched with invalid offers: ` or `Operation attempted with invalid offers: `.
pub fn offers<'a>(
    framework_id: &FrameworkId,
    offer_ids: &[OfferId],
    lookup: impl Fn(&OfferId) -> Option<OfferView<'a>>,
) -> Result<(), String> {
    if offer_ids.is_empty() {
        return Err("No offers specified".into());
    }
    for (position, id) in offer_ids.iter().enumerate() {
        if offer_ids[..position].contains(id) {
            return Err(format!("Duplicate offer {id} in offer list"));
        }
    }
    let views = offer_ids
        .iter()
        .map(|id| lookup(id).map(|view| (id, view)).ok_or(id))
        .collect::<Result<Vec<_>, _>>();
    let views = views.map_err(|id| format!("Offer {id} is no longer valid"))?;
    if let Some((id, view)) = views.iter().find(|(_, view)| view.framework_id != framework_id) {
        let other = view.framework_id;
        return Err(format!(
            "Offer {id} has invalid framework {other} while framework {framework_id} is expected"
        ));
    }
    let Some(((_, first), rest)) = views.split_first() else {
        return Ok(());
    };
    if let Some((id, view)) = rest.iter().find(|(_, view)| view.role != first.role) {
        return Err(format!(
            "Aggregated offers must be allocated to the same role. Offer {id} uses role '{}' but another is using role '{}'",
            view.role, first.role
        ));
    }
    if let Some((id, view)) = rest.iter().find(|(_, view)| view.agent_id != first.agent_id) {
        return Err(format!(
            "Aggregated offers must belong to one single agent. Offer {id} uses agent {} and agent {}",
            view.agent_id, first.agent_id
        ));
    }
    Ok(())
}
