//! Amounts of scalar resources as people write them: `cpus:2;mem:1024`.

use std::collections::BTreeMap;
use std::str::FromStr;

use proto::v1::value::Scalar;

/// Amounts by resource name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Amounts(BTreeMap<String, f64>);

impl Amounts {
    /// As a call carries them.
    pub(super) fn into_scalars(self) -> BTreeMap<String, Scalar> {
        let scalars = self.0.into_iter().map(|(name, value)| (name, Scalar { value }));
        scalars.collect()
    }
}

impl FromStr for Amounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut amounts = BTreeMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let wrong = || format!("'{part}' is not <resource>:<number>");
            let (name, amount) = part.split_once(':').ok_or_else(wrong)?;
            let (name, amount) = (name.trim(), amount.trim().parse::<f64>().map_err(|_| wrong())?);
            if name.is_empty() || !amount.is_finite() || amount < 0.0 {
                return Err(wrong());
            }
            if amounts.insert(name.to_owned(), amount).is_some() {
                return Err(format!("'{name}' is there twice"));
            }
        }
        if amounts.is_empty() {
            return Err("no resource is named".to_owned());
        }
        Ok(Amounts(amounts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_what_is_none_is_named() {
        let amounts: Amounts = " cpus:2.5; mem:0 ;".parse().unwrap();
        assert_eq!(amounts.0, BTreeMap::from([("cpus".into(), 2.5), ("mem".into(), 0.0)]));
        for (text, expected) in [
            ("", "no resource is named"),
            ("cpus", "'cpus' is not <resource>:<number>"),
            ("cpus:x", "'cpus:x' is not <resource>:<number>"),
            ("cpus:-1", "'cpus:-1' is not <resource>:<number>"),
            ("cpus:inf", "'cpus:inf' is not <resource>:<number>"),
            (":1", "':1' is not <resource>:<number>"),
            ("cpus:1;cpus:2", "'cpus' is there twice"),
        ] {
            assert_eq!(text.parse::<Amounts>().unwrap_err(), expected);
        }
    }
}
