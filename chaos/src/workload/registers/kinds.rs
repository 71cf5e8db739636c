//! How each kind of register is written and read. A value is a number, written as text.

use std::collections::BTreeMap;

use client::Operator;
use proto::v1::WeightInfo;
use proto::v1::master::Call;
use proto::v1::master::call::{Type, UpdateQuota, UpdateWeights};
use proto::v1::quota::QuotaConfig;
use proto::v1::value::Scalar;

use crate::workload::reads::ask;

/// The resource whose limit is a quota's value.
const LIMITED: &str = "cpus";

/// A kind of register, one for each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The role's limit of cpus.
    Quota,
    /// The role's weight.
    Weight,
}

/// All of them.
pub(super) const KINDS: &[Kind] = &[Kind::Quota, Kind::Weight];

/// One register.
#[derive(Clone, Debug)]
pub(super) struct Register {
    pub(super) kind: Kind,
    pub(super) role: String,
}

impl Register {
    /// As a history names it.
    pub(super) fn object(&self) -> String {
        match self.kind {
            Kind::Quota => format!("quota/{}", self.role),
            Kind::Weight => format!("weight/{}", self.role),
        }
    }
}

impl Kind {
    /// The call that writes values, each of another role.
    pub(super) fn write(self, values: &[(String, u32)]) -> Call {
        match self {
            Kind::Quota => {
                let config = |(role, value): &(String, u32)| QuotaConfig {
                    role: role.clone(),
                    limits: [(
                        LIMITED.to_owned(),
                        Scalar {
                            value: f64::from(*value),
                        },
                    )]
                    .into(),
                    ..QuotaConfig::default()
                };
                let update = UpdateQuota {
                    // Nobody uses the roles; there is no need to fit the cluster.
                    force: Some(true),
                    quota_configs: values.iter().map(config).collect(),
                };
                Call {
                    r#type: Some(Type::UpdateQuota.into()),
                    update_quota: Some(update),
                    ..Call::default()
                }
            }
            Kind::Weight => {
                let info = |(role, value): &(String, u32)| WeightInfo {
                    weight: f64::from(*value),
                    role: Some(role.clone()),
                };
                let update = UpdateWeights {
                    weight_infos: values.iter().map(info).collect(),
                };
                Call {
                    r#type: Some(Type::UpdateWeights.into()),
                    update_weights: Some(update),
                    ..Call::default()
                }
            }
        }
    }

    /// The values of all registers of this kind that have one, by role. Errors: nothing was read, and why.
    pub(super) async fn read(self, operator: &Operator, at: &str) -> Result<BTreeMap<String, String>, String> {
        Ok(match self {
            Kind::Quota => {
                let answer = ask(operator, at, Type::GetQuota).await?;
                let quota = answer.get_quota.ok_or("an answer without quota")?;
                let value = |mut config: QuotaConfig| Some((config.role, text(config.limits.remove(LIMITED)?.value)));
                quota.status.configs.into_iter().filter_map(value).collect()
            }
            Kind::Weight => {
                let answer = ask(operator, at, Type::GetWeights).await?;
                // Where no role has a weight the master says nothing at all.
                let weights = answer.get_weights.unwrap_or_default();
                let value = |info: WeightInfo| Some((info.role?, text(info.weight)));
                weights.weight_infos.into_iter().filter_map(value).collect()
            }
        })
    }
}

/// A whole number without a fraction; anything else as it is, to be found.
fn text(value: f64) -> String {
    value.to_string()
}
