//! Any scheduler call by itself: what must be present. The texts become the body of a `400`.

use proto::v1::scheduler::Call;
use proto::v1::scheduler::call::Type;

/// Bytes of a uuid.
const UUID_BYTES: usize = 16;

/// Checks the shape of a call. `principal` is the authenticated one, if authentication is on.
///
/// # Errors
/// The whole text of the `400`.
pub fn call(call: &Call, principal: Option<&str>) -> Result<(), String> {
    shape(call, principal).map_err(|why| format!("Failed to validate scheduler::Call: {why}"))
}

fn shape(call: &Call, principal: Option<&str>) -> Result<(), String> {
    // Unknown numbers are as good as none.
    let kind = call
        .r#type
        .and_then(|kind| Type::try_from(kind).ok())
        .ok_or("Expecting 'type' to be present")?;
    if kind == Type::Subscribe {
        return subscribe(call, principal);
    }
    let framework_id = call
        .framework_id
        .as_ref()
        .ok_or("Expecting 'framework_id' to be present")?;
    let (present, field) = sub_message(call, kind);
    if !present {
        return Err(format!("Expecting '{field}' to be present"));
    }
    let uuid = match kind {
        Type::Acknowledge => call.acknowledge.as_ref().map(|acknowledge| &acknowledge.uuid),
        Type::AcknowledgeOperationStatus => call.acknowledge_operation_status.as_ref().map(|it| &it.uuid),
        _ => None,
    };
    if uuid.is_some_and(|uuid| uuid.len() != UUID_BYTES) {
        return Err("Not a valid UUID".into());
    }
    if kind == Type::AcknowledgeOperationStatus
        && call
            .acknowledge_operation_status
            .as_ref()
            .is_some_and(|it| it.agent_id.is_none())
    {
        return Err("Expecting 'agent_id' to be present".into());
    }
    match &call.update_framework {
        Some(update) if kind == Type::UpdateFramework && update.framework_info.id.as_ref() != Some(framework_id) => {
            Err("'framework_id' differs from 'update_framework.framework_info.id'".into())
        }
        _ => Ok(()),
    }
}

fn subscribe(call: &Call, principal: Option<&str>) -> Result<(), String> {
    let subscribe = call.subscribe.as_ref().ok_or("Expecting 'subscribe' to be present")?;
    let info = &subscribe.framework_info;
    if call.framework_id != info.id {
        return Err("'framework_id' differs from 'subscribe.framework_info.id'".into());
    }
    match (principal, &info.principal) {
        (Some(authenticated), Some(claimed)) if authenticated != claimed => Err(format!(
            "Authenticated principal '{authenticated}' does not match principal '{claimed}' set in `FrameworkInfo`"
        )),
        _ => Ok(()),
    }
}

/// Whether the message that the type names is there, and its name.
fn sub_message(call: &Call, kind: Type) -> (bool, &'static str) {
    match kind {
        Type::Unknown | Type::Subscribe | Type::Teardown | Type::Revive | Type::Suppress => (true, ""),
        Type::Accept => (call.accept.is_some(), "accept"),
        Type::Decline => (call.decline.is_some(), "decline"),
        Type::Kill => (call.kill.is_some(), "kill"),
        Type::Shutdown => (call.shutdown.is_some(), "shutdown"),
        Type::Acknowledge => (call.acknowledge.is_some(), "acknowledge"),
        Type::Reconcile => (call.reconcile.is_some(), "reconcile"),
        Type::Message => (call.message.is_some(), "message"),
        Type::Request => (call.request.is_some(), "request"),
        Type::AcceptInverseOffers => (call.accept_inverse_offers.is_some(), "accept_inverse_offers"),
        Type::DeclineInverseOffers => (call.decline_inverse_offers.is_some(), "decline_inverse_offers"),
        Type::AcknowledgeOperationStatus => (
            call.acknowledge_operation_status.is_some(),
            "acknowledge_operation_status",
        ),
        Type::ReconcileOperations => (call.reconcile_operations.is_some(), "reconcile_operations"),
        Type::UpdateFramework => (call.update_framework.is_some(), "update_framework"),
    }
}
