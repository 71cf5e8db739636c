//! ApplyOperation: an agent's resources are reserved, unreserved, made volumes or the reverse, in one step.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::v1::agent_info::capability::Type as Capability;
use proto::v1::{OperationState, OperationStatus, offer};

use super::Changes;
use crate::command::ApplyOperation;
use crate::effect::Effect;
use crate::encoded::Encoded;
use crate::ids::FrameworkId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::operation::encoded_resources;
use crate::registry::{Agent, AgentRecord, Operation, Registry};
use crate::resources::{Conversion, Resources};

impl Registry {
    pub(super) fn apply_operation(
        &mut self,
        command: &ApplyOperation,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let info = command.operation.decode().map_err(|error| Rejection::Malformed {
            what: "operation",
            why: error.to_string(),
        })?;
        let converted = self.convert_free(command, &info);
        let (agent, checkpointed) = match converted {
            Ok(converted) => converted,
            Err(rejection) => {
                self.tell_refused(command.framework_id.as_ref(), &info, &rejection, changes);
                return Err(rejection);
            }
        };
        let record = AgentRecord {
            checkpointed_resources: encoded_resources(&checkpointed),
            ..AgentRecord::clone(agent.record())
        };
        let updated = self.put_agent(record);
        debug_assert_eq!(updated.total.quantities(), agent.total.quantities());
        if agent.has_capability(Capability::ResourceProvider) {
            let status = OperationStatus {
                operation_id: info.id,
                state: OperationState::OperationPending.into(),
                agent_id: Some(agent.id.to_proto()),
                ..OperationStatus::default()
            };
            let number = self.next_entry();
            let operation = self.put_operation(Operation {
                uuid: command.uuid,
                number,
                agent_id: agent.id.clone(),
                framework_id: command.framework_id.clone(),
                info: command.operation.clone(),
                status: Encoded::new(&status),
            });
            changes.effect(Effect::SendOperation { operation });
        } else {
            changes.effect(Effect::CheckpointResources {
                agent_id: agent.id.clone(),
            });
        }
        Ok(Outcome::OperationApplied {
            agent_id: agent.id.clone(),
        })
    }

    /// The agent, and its reservations and volumes after the operation. Errors: what is to be converted is not there, or
    /// somebody uses it.
    fn convert_free(
        &self,
        command: &ApplyOperation,
        info: &offer::Operation,
    ) -> Result<(Arc<Agent>, Resources), Rejection> {
        let refused = |why: String| Rejection::OperationRefused(why);
        let agent = self
            .agent(&command.agent_id)
            .ok_or_else(|| Rejection::AgentNotAdmitted(command.agent_id.clone()))?;
        if let Some(framework_id) = &command.framework_id
            && self.framework(framework_id).is_none()
        {
            return Err(Rejection::UnknownFramework(framework_id.clone()));
        }
        if self.operation(&command.agent_id, &command.uuid).is_some() {
            return Err(refused("the operation has been applied already".to_owned()));
        }
        let conversions = Conversion::of(info).map_err(|error| refused(error.0))?;
        if conversions.is_empty() {
            return Err(refused("the operation changes nothing".to_owned()));
        }
        agent.free().convert(&conversions).map_err(|error| refused(error.0))?;
        one_volume_per_id(agent, &conversions).map_err(refused)?;
        let mut total = agent.total.clone();
        total.convert(&conversions).map_err(|error| refused(error.0))?;
        let checkpointed = total.checkpointed();
        let own = Resources::agent_total(&agent.info.resources, &checkpointed.to_proto());
        // Sums were cut off, or the resources are not the agent's own: what was said now would not be true after a restart.
        let holds = own.is_ok_and(|own| total.contains(&own) && own.contains(&checkpointed));
        if !holds {
            return Err(refused(format!(
                "{checkpointed} is not backed by the agent's resources"
            )));
        }
        Ok((agent.clone(), checkpointed))
    }

    fn tell_refused(
        &self,
        framework_id: Option<&FrameworkId>,
        info: &offer::Operation,
        rejection: &Rejection,
        changes: &mut Changes,
    ) {
        let (Some(framework_id), Some(id)) = (framework_id, &info.id) else {
            return;
        };
        let status = OperationStatus {
            operation_id: Some(id.clone()),
            state: OperationState::OperationError.into(),
            message: Some(rejection.to_string()),
            ..OperationStatus::default()
        };
        changes.effect(Effect::ForwardOperationStatus {
            framework_id: framework_id.clone(),
            status: Box::new(status),
        });
    }
}

/// No two volumes of one role on one agent have the same id: they would be one directory.
fn one_volume_per_id(agent: &Agent, conversions: &[Conversion]) -> Result<(), String> {
    let mut ids: BTreeSet<(String, String)> = volume_ids(&agent.total).collect();
    for conversion in conversions {
        for id in volume_ids(&conversion.consumed) {
            ids.remove(&id);
        }
        for id in volume_ids(&conversion.converted) {
            if let Some((_, id)) = ids.replace(id) {
                return Err(format!("Persistence ID '{id}' is not unique"));
            }
        }
    }
    Ok(())
}

/// Role and id of every persistent volume.
fn volume_ids(resources: &Resources) -> impl Iterator<Item = (String, String)> + '_ {
    resources.iter().filter_map(|entry| {
        let id = entry.kind().disk()?.persistence?.id;
        Some((entry.kind().reservation_role().unwrap_or_default().to_owned(), id))
    })
}
