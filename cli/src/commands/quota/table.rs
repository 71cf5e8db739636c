//! The quotas for people.

use std::collections::BTreeSet;

use proto::v1::quota::QuotaConfig;

use crate::output::table;

/// A row per role and resource.
pub(super) fn lines(configs: &[QuotaConfig]) -> Vec<String> {
    if configs.is_empty() {
        return vec!["no role has a quota".to_owned()];
    }
    let head = ["role", "resource", "guarantee", "limit"].map(str::to_owned).to_vec();
    let rows = configs.iter().flat_map(rows);
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

fn rows(config: &QuotaConfig) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = config.guarantees.keys().chain(config.limits.keys()).collect();
    let row = |name: &String| {
        let amount = |scalar: &proto::v1::value::Scalar| scalar.value.to_string();
        vec![
            config.role.clone(),
            name.clone(),
            config.guarantees.get(name).map_or("0".to_owned(), amount),
            config.limits.get(name).map_or("none".to_owned(), amount),
        ]
    };
    names.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use proto::v1::value::Scalar;

    use super::*;

    #[test]
    fn a_resource_without_guarantee_or_limit_says_so() {
        let amounts = |name: &str, value| [(name.to_owned(), Scalar { value })].into();
        let config = QuotaConfig {
            role: "web".to_owned(),
            guarantees: amounts("mem", 512.0),
            limits: amounts("cpus", 2.5),
        };
        assert_eq!(
            lines(&[config]),
            [
                "role  resource  guarantee  limit",
                "web   cpus      0          2.5",
                "web   mem       512        none",
            ]
        );
        assert_eq!(lines(&[]), ["no role has a quota"]);
    }
}
