//! `FrameworkInfo.offer_filters`: the least a framework wants to be offered.

use proto::v1;
use std::collections::BTreeMap;
use std::num::FpCategory;

pub(super) fn offer_filters(filters: &BTreeMap<String, v1::OfferFilters>) -> Result<(), String> {
    let least = filters
        .values()
        .filter_map(|filter| filter.min_allocatable_resources.as_ref());
    for set in least.flat_map(|least| &least.quantities) {
        if set.quantities.is_empty() {
            return Err("Resource quantities must contain at least one quantity".into());
        }
        for (name, quantity) in &set.quantities {
            amount(quantity.value).map_err(|why| format!("Invalid resource quantity for '{name}': {why}"))?;
        }
    }
    Ok(())
}

/// A number that an operator or a framework may give for an amount.
fn amount(value: f64) -> Result<(), &'static str> {
    match value.classify() {
        FpCategory::Nan => Err("NaN not supported"),
        FpCategory::Infinite => Err("Infinite values not supported"),
        FpCategory::Subnormal => Err("Subnormal values not supported"),
        FpCategory::Zero | FpCategory::Normal if value < 0.0 => Err("Negative values not supported"),
        FpCategory::Zero | FpCategory::Normal => Ok(()),
    }
}
