//! Operations of masters on this agent's resources: reserving, unreserving, creating and destroying volumes.
//!
//! Each is applied at most once, though masters may send it again; what came of it is repeated until a master has
//! acknowledged it. Reservations, volumes and statuses reach the disk together, before anything is said. Source: libprocess
//! protocol of Mesos agents with AGENT_OPERATION_FEEDBACK.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use master_core::resources::{Conversion, Resources, upgrade_resource};
use proto::internal::{AcknowledgeOperationStatusMessage, ApplyOperationMessage, UpdateOperationStatusMessage};
use proto::v1::{OperationState, OperationStatus, Resource, Uuid};
use tokio::time::Instant;

use super::{Book, Effect, Timer};
use crate::messages;

/// Pause between two repetitions of what is not acknowledged, as Mesos agents begin with.
const RETRY: Duration = Duration::from_secs(10);

/// Operations remembered against repetition. A master repeats those that are not confirmed: a few, and young ones.
const SEEN_MAX: usize = 1_000;

/// Operations and what is to be remembered of them.
#[derive(Debug, Default)]
pub(super) struct Operations {
    /// By the operation's uuid: what no master has acknowledged.
    pub(super) pending: BTreeMap<Bytes, UpdateOperationStatusMessage>,
    /// Uuids, oldest first.
    pub(super) seen: VecDeque<Bytes>,
    /// Directories of volumes that were destroyed since the agent started.
    pub(super) destroyed: BTreeSet<String>,
    is_timed: bool,
}

impl Book {
    /// A master's operation.
    pub(crate) fn apply_operation(&mut self, message: ApplyOperationMessage) {
        let Some(agent_id) = self.info.id.clone() else {
            tracing::warn!("ignored an operation: this agent is not registered");
            return;
        };
        let ApplyOperationMessage {
            framework_id,
            operation_info,
            operation_uuid,
            ..
        } = message;
        if self.operations.seen.contains(&operation_uuid.value) {
            tracing::info!("ignored a repeated operation");
            return self.resend_operations();
        }
        let mut status = OperationStatus {
            operation_id: operation_info.id.clone(),
            state: OperationState::OperationFinished.into(),
            uuid: Some(Uuid { value: self.uuid() }),
            agent_id: Some(agent_id.clone()),
            ..OperationStatus::default()
        };
        match self.converted(&operation_info) {
            Ok(checkpointed) => self.change_checkpointed_resources(checkpointed),
            Err(problem) => {
                tracing::error!(problem, "cannot apply an operation");
                status.state = OperationState::OperationDropped.into();
                status.message = Some(problem);
            }
        }
        let update = UpdateOperationStatusMessage {
            framework_id,
            slave_id: Some(agent_id),
            latest_status: Some(status.clone()),
            status,
            operation_uuid: Some(operation_uuid.clone()),
        };
        self.operations
            .pending
            .insert(operation_uuid.value.clone(), update.clone());
        self.operations.seen.push_back(operation_uuid.value);
        if self.operations.seen.len() > SEEN_MAX {
            self.operations.seen.pop_front();
        }
        self.save_agent();
        if self.is_connected {
            self.tell_master(messages::OPERATION_STATUS, &update);
        }
        self.repeat_operations_later();
    }

    /// The list after the operation. Errors: why it cannot be.
    fn converted(&self, operation: &proto::v1::offer::Operation) -> Result<Vec<Resource>, String> {
        let mut total = Resources::agent_total(&self.info.resources, &self.checkpointed_resources)
            .map_err(|error| error.to_string())?;
        let conversions = Conversion::of(operation).map_err(|error| error.to_string())?;
        let conversions: Vec<Conversion> = conversions.iter().map(Conversion::unallocated).collect();
        total.convert(&conversions).map_err(|error| error.to_string())?;
        Ok(total.checkpointed().to_proto())
    }

    /// The master's whole list of reservations and volumes.
    pub(crate) fn set_checkpointed_resources(&mut self, mut resources: Vec<Resource>) {
        resources.iter_mut().for_each(upgrade_resource);
        if let Err(error) = Resources::agent_total(&self.info.resources, &resources) {
            tracing::error!(%error, "ignored a list of reservations that does not fit this agent");
            return;
        }
        self.change_checkpointed_resources(resources);
        self.save_agent();
    }

    /// Directories of volumes come and go with the list.
    fn change_checkpointed_resources(&mut self, resources: Vec<Resource>) {
        let (former, present) = (self.volumes(&self.checkpointed_resources), self.volumes(&resources));
        self.checkpointed_resources = resources;
        for path in former.difference(&present) {
            self.operations.destroyed.insert(path.display().to_string());
            self.remove_volume(path.clone());
        }
        for path in present.difference(&former) {
            self.operations.destroyed.remove(&path.display().to_string());
            self.effects.push(Effect::CreateVolume { path: path.clone() });
        }
    }

    fn remove_volume(&mut self, path: PathBuf) {
        let aside = path.with_file_name(format!(".destroyed-{}", self.uuid_text()));
        self.effects.push(Effect::RemoveVolume { path, aside });
    }

    fn volumes(&self, resources: &[Resource]) -> BTreeSet<PathBuf> {
        let directory = |resource: &Resource| {
            let persistence = resource.disk.as_ref()?.persistence.as_ref()?;
            let role = resource.reservations.last()?.role.as_deref()?;
            Some(self.layout.volume(role, &persistence.id))
        };
        resources.iter().filter_map(directory).collect()
    }

    /// A master, or a framework through it, knows what came of an operation.
    pub(crate) fn acknowledge_operation(&mut self, message: &AcknowledgeOperationStatusMessage) {
        let uuid = &message.operation_uuid.value;
        let is_known = self
            .operations
            .pending
            .get(uuid)
            .is_some_and(|update| update.status.uuid.as_ref() == Some(&message.status_uuid));
        if is_known {
            self.operations.pending.remove(uuid);
            self.save_agent();
        }
    }

    /// Says again what came of operations, while nobody has acknowledged it.
    pub(super) fn resend_operations(&mut self) {
        if self.is_connected {
            let updates: Vec<_> = self.operations.pending.values().cloned().collect();
            for update in updates {
                self.tell_master(messages::OPERATION_STATUS, &update);
            }
        }
        self.repeat_operations_later();
    }

    /// Time for another repetition.
    pub(super) fn operations_due(&mut self) {
        self.operations.is_timed = false;
        self.resend_operations();
    }

    fn repeat_operations_later(&mut self) {
        if !self.operations.pending.is_empty() && !self.operations.is_timed {
            self.operations.is_timed = true;
            self.wake_at(Instant::now() + RETRY, Timer::Operations);
        }
    }

    /// Takes over what a former agent of this work directory left.
    pub(super) fn restore_operations(
        &mut self,
        pending: Vec<UpdateOperationStatusMessage>,
        seen: Vec<Bytes>,
        destroyed: Vec<String>,
    ) {
        for update in pending {
            if let Some(uuid) = &update.operation_uuid {
                self.operations.pending.insert(uuid.value.clone(), update);
            }
        }
        self.operations.seen = seen.into();
        // The former agent may have ended between its record and the directories.
        let present = self.volumes(&self.checkpointed_resources);
        for path in destroyed.into_iter().map(PathBuf::from) {
            if !present.contains(&path) {
                self.remove_volume(path);
            }
        }
        self.effects
            .extend(present.into_iter().map(|path| Effect::CreateVolume { path }));
    }
}

#[cfg(test)]
mod tests;
