//! What Mesos checks of a call before it looks at any state.

use proto::v1::master::{Call, call::Type};

/// The call's type, or the text after `Failed to validate master::Call: `.
pub(super) fn validate(call: &Call) -> Result<Type, String> {
    // An unknown number leaves the field unset.
    let Some(kind) = proto::ext::enums::known(call.r#type) else {
        return Err("Expecting 'type' to be present".to_owned());
    };
    if let Some((false, field)) = sub_message(kind, call) {
        return Err(format!("Expecting '{field}' to be present"));
    }
    let needs_agent = match kind {
        Type::GrowVolume => call.grow_volume.as_ref().is_some_and(|it| it.agent_id.is_none()),
        Type::ShrinkVolume => call.shrink_volume.as_ref().is_some_and(|it| it.agent_id.is_none()),
        _ => false,
    };
    if needs_agent {
        return Err(
            "Expecting 'agent_id' to be present; only agent default resources are supported right now".to_owned(),
        );
    }
    Ok(kind)
}

/// Whether the sub-message is there and what it is called, for calls that need one.
fn sub_message(kind: Type, call: &Call) -> Option<(bool, &'static str)> {
    Some(match kind {
        Type::GetMetrics => (call.get_metrics.is_some(), "get_metrics"),
        Type::SetLoggingLevel => (call.set_logging_level.is_some(), "set_logging_level"),
        Type::ListFiles => (call.list_files.is_some(), "list_files"),
        Type::ReadFile => (call.read_file.is_some(), "read_file"),
        Type::UpdateWeights => (call.update_weights.is_some(), "update_weights"),
        Type::ReserveResources => (call.reserve_resources.is_some(), "reserve_resources"),
        Type::UnreserveResources => (call.unreserve_resources.is_some(), "unreserve_resources"),
        Type::CreateVolumes => (call.create_volumes.is_some(), "create_volumes"),
        Type::DestroyVolumes => (call.destroy_volumes.is_some(), "destroy_volumes"),
        Type::GrowVolume => (call.grow_volume.is_some(), "grow_volume"),
        Type::ShrinkVolume => (call.shrink_volume.is_some(), "shrink_volume"),
        Type::UpdateMaintenanceSchedule => (
            call.update_maintenance_schedule.is_some(),
            "update_maintenance_schedule",
        ),
        Type::StartMaintenance => (call.start_maintenance.is_some(), "start_maintenance"),
        Type::StopMaintenance => (call.stop_maintenance.is_some(), "stop_maintenance"),
        Type::DrainAgent => (call.drain_agent.is_some(), "drain_agent"),
        Type::DeactivateAgent => (call.deactivate_agent.is_some(), "deactivate_agent"),
        Type::ReactivateAgent => (call.reactivate_agent.is_some(), "reactivate_agent"),
        Type::MarkAgentGone => (call.mark_agent_gone.is_some(), "mark_agent_gone"),
        Type::UpdateQuota => (call.update_quota.is_some(), "update_quota"),
        Type::SetQuota => (call.set_quota.is_some(), "set_quota"),
        Type::RemoveQuota => (call.remove_quota.is_some(), "remove_quota"),
        Type::Teardown => (call.teardown.is_some(), "teardown"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: Type) -> Call {
        Call {
            r#type: Some(kind as i32),
            ..Call::default()
        }
    }

    #[test]
    fn a_call_without_its_type_or_sub_message_is_refused_by_name() {
        let refused = |call: &Call| validate(call).unwrap_err();
        assert_eq!(refused(&Call::default()), "Expecting 'type' to be present");
        assert_eq!(
            refused(&Call {
                r#type: Some(99),
                ..Call::default()
            }),
            "Expecting 'type' to be present"
        );
        for (kind, field) in [
            (Type::GetMetrics, "get_metrics"),
            (Type::ReserveResources, "reserve_resources"),
            (Type::UpdateMaintenanceSchedule, "update_maintenance_schedule"),
            (Type::MarkAgentGone, "mark_agent_gone"),
            (Type::Teardown, "teardown"),
            (Type::UpdateQuota, "update_quota"),
        ] {
            assert_eq!(refused(&call(kind)), format!("Expecting '{field}' to be present"));
        }
    }

    #[test]
    fn volumes_can_only_grow_on_a_named_agent() {
        let grow = Call {
            grow_volume: Some(proto::v1::master::call::GrowVolume::default()),
            ..call(Type::GrowVolume)
        };
        let text = "Expecting 'agent_id' to be present; only agent default resources are supported right now";
        assert_eq!(validate(&grow), Err(text.to_owned()));
    }

    #[test]
    fn reads_need_nothing_but_their_type() {
        for kind in [
            Type::GetState,
            Type::GetHealth,
            Type::Subscribe,
            Type::Unknown,
            Type::GetQuota,
        ] {
            assert_eq!(validate(&call(kind)), Ok(kind));
        }
    }
}
