//! Quotas and weights of roles.

use proto::v1::WeightInfo;
use proto::v1::master::{Call, call};
use proto::v1::quota::{QuotaConfig, QuotaRequest, QuotaStatus};

use super::{Operator, OperatorError};

impl Operator {
    /// The quotas of all roles that have one: `configs` with limits, `infos` with guarantees alone.
    pub async fn get_quota(&self) -> Result<QuotaStatus, OperatorError> {
        self.read(call::Type::GetQuota, |response| {
            response.get_quota.map(|quota| quota.status)
        })
        .await
    }

    /// Changes the quotas of roles, all or none; one without guarantees and limits is removed. With `force` whatever the
    /// cluster has and the roles consume.
    pub async fn update_quota(&self, quota_configs: Vec<QuotaConfig>, force: bool) -> Result<(), OperatorError> {
        let update_quota = call::UpdateQuota {
            force: Some(force),
            quota_configs,
        };
        self.change(Call {
            update_quota: Some(update_quota),
            ..of_type(call::Type::UpdateQuota)
        })
        .await
    }

    /// Gives a role that has none a quota whose guarantees are also its limits (deprecated in Mesos).
    pub async fn set_quota(&self, quota_request: QuotaRequest) -> Result<(), OperatorError> {
        self.change(Call {
            set_quota: Some(call::SetQuota { quota_request }),
            ..of_type(call::Type::SetQuota)
        })
        .await
    }

    /// Removes the quota of a role; refused when it has none.
    pub async fn remove_quota(&self, role: &str) -> Result<(), OperatorError> {
        let role = role.to_owned();
        self.change(Call {
            remove_quota: Some(call::RemoveQuota { role }),
            ..of_type(call::Type::RemoveQuota)
        })
        .await
    }

    /// The weights that were set; roles without one have weight 1.
    pub async fn get_weights(&self) -> Result<Vec<WeightInfo>, OperatorError> {
        self.read(call::Type::GetWeights, |response| {
            // Left out when there are none.
            Some(response.get_weights.unwrap_or_default().weight_infos)
        })
        .await
    }

    /// Sets the weights of roles, all or none; those of other roles stay.
    pub async fn update_weights(&self, weight_infos: Vec<WeightInfo>) -> Result<(), OperatorError> {
        self.change(Call {
            update_weights: Some(call::UpdateWeights { weight_infos }),
            ..of_type(call::Type::UpdateWeights)
        })
        .await
    }

    /// A call whose answer is that it was carried out.
    async fn change(&self, call: Call) -> Result<(), OperatorError> {
        self.call(call).await.map(drop)
    }
}

fn of_type(call_type: call::Type) -> Call {
    Call {
        r#type: Some(call_type.into()),
        ..Call::default()
    }
}

#[cfg(test)]
mod tests {
    use seams::Seams;

    use super::*;
    use crate::encoding::Encoding;
    use crate::testing::{FakeMaster, Leads, list};

    #[tokio::test]
    async fn quotas_and_weights_are_read_and_refusals_handed_on() {
        let leader = FakeMaster::start(Leads::Itself).await;
        let operator = Operator::new(&list(&[&leader]), Encoding::Json, Seams::real());
        leader.answer_calls_with(
            200,
            r#"{"type":"GET_QUOTA","get_quota":{"status":{"configs":[{"role":"web","limits":{"cpus":{"value":3.0}}}]}}}"#,
        );
        let status = operator.get_quota().await.unwrap();
        assert_eq!(status.configs[0].limits["cpus"].value, 3.0);
        leader.answer_calls_with(200, r#"{"type":"GET_WEIGHTS"}"#);
        assert_eq!(operator.get_weights().await, Ok(Vec::new()));
        leader.answer_calls_with(200, "");
        assert_eq!(operator.update_quota(status.configs, true).await, Ok(()));
        assert_eq!(operator.update_weights(Vec::new()).await, Ok(()));
        leader.answer_calls_with(409, "too much");
        assert!(matches!(
            operator.set_quota(QuotaRequest::default()).await,
            Err(OperatorError::Refused { status: 409, text, .. }) if text == "too much"
        ));
        assert!(matches!(
            operator.remove_quota("web").await,
            Err(OperatorError::Refused { status: 409, .. })
        ));
    }
}
