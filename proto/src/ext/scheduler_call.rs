//! The call of a v0 driver as the call everybody else sends.

use crate::{v0, v1};

/// A call that arrived over libprocess (`mesos.scheduler.Call`).
#[derive(Debug, Clone, PartialEq)]
pub struct FromDriver {
    /// The same call in its v1 form.
    pub call: v1::scheduler::Call,
    /// `Subscribe.force`: the driver takes over a framework id on purpose. `false` for other calls.
    pub force: bool,
}

impl From<v0::scheduler::Call> for FromDriver {
    fn from(call: v0::scheduler::Call) -> Self {
        let force = call
            .subscribe
            .as_ref()
            .is_some_and(|subscribe| subscribe.force.unwrap_or_default());
        let subscribe = call.subscribe.map(|subscribe| v1::scheduler::call::Subscribe {
            framework_info: subscribe.framework_info,
            suppressed_roles: subscribe.suppressed_roles,
            offer_constraints: subscribe.offer_constraints,
        });
        let call = v1::scheduler::Call {
            framework_id: call.framework_id,
            r#type: call.r#type,
            subscribe,
            accept: call.accept,
            decline: call.decline,
            kill: call.kill,
            shutdown: call.shutdown,
            acknowledge: call.acknowledge,
            reconcile: call.reconcile,
            message: call.message,
            request: call.request,
            accept_inverse_offers: call.accept_inverse_offers,
            decline_inverse_offers: call.decline_inverse_offers,
            revive: call.revive,
            suppress: call.suppress,
            acknowledge_operation_status: call.acknowledge_operation_status,
            reconcile_operations: call.reconcile_operations,
            update_framework: call.update_framework,
        };
        Self { call, force }
    }
}
