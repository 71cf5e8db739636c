//! A FrameworkInfo by itself, whoever sent it.

use super::{id_text, offer_filters::offer_filters, roles::framework_roles};
use crate::resources::format_number;
use proto::v1;

/// The longest duration in seconds: 64 bits of nanoseconds.
const DURATION_SECONDS_MAX: f64 = (i64::MAX / 1_000_000_000) as f64;

/// Checks roles, id, offer filters and failover timeout.
pub(super) fn framework_info(info: &v1::FrameworkInfo) -> Result<(), String> {
    framework_roles(info)?;
    if let Some(id) = info.id.as_ref().filter(|id| !id.value.is_empty()) {
        id_text(&id.value)?;
    }
    offer_filters(&info.offer_filters)?;
    let timeout = info.failover_timeout();
    // Negative ones are accepted and act as zero.
    if timeout.is_nan() || timeout.abs() > DURATION_SECONDS_MAX {
        return Err(format!(
            "The framework failover_timeout ({}) is invalid",
            format_number(timeout)
        ));
    }
    Ok(())
}
