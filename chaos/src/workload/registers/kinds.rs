//! How each kind of register is written and read. A value is a number, written as text.

use std::collections::BTreeMap;

use client::Operator;
use proto::v1::master::Call;
use proto::v1::master::call::{RemoveQuota, SetQuota, Type, UpdateQuota, UpdateWeights};
use proto::v1::quota::{QuotaConfig, QuotaRequest};
use proto::v1::value::{self, Scalar};
use proto::v1::{Resource, WeightInfo};

use crate::workload::reads::ask;

/// The resource whose limit is a quota's value: one that no agent has, so that no guarantee of it is ever kept free.
const LIMITED: &str = "widgets";

/// A kind of register, one for each role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The role's limit.
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

/// The call that sets a quota where there is none, and is refused where there is one.
pub(super) fn set_quota(role: &str, value: u32) -> Call {
    let guarantee = Resource {
        name: LIMITED.to_owned(),
        r#type: value::Type::Scalar.into(),
        scalar: Some(Scalar {
            value: f64::from(value),
        }),
        ..Resource::default()
    };
    let quota_request = QuotaRequest {
        force: Some(true),
        role: Some(role.to_owned()),
        guarantee: vec![guarantee],
    };
    Call {
        r#type: Some(Type::SetQuota.into()),
        set_quota: Some(SetQuota { quota_request }),
        ..Call::default()
    }
}

/// The call that removes a quota where there is one, and is refused where there is none.
pub(super) fn remove_quota(role: &str) -> Call {
    Call {
        r#type: Some(Type::RemoveQuota.into()),
        remove_quota: Some(RemoveQuota { role: role.to_owned() }),
        ..Call::default()
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
