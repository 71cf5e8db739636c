//! SubscribeFramework and UpdateFramework.

use proto::v1::FrameworkInfo;

use super::Changes;
use crate::command::{SubscribeFramework, UpdateFramework};
use crate::effect::Effect;
use crate::encoded::Decoded;
use crate::event::Event;
use crate::ids::FrameworkId;
use crate::outcome::{Outcome, Rejection};
use crate::registry::{Framework, Registry};

fn malformed(error: &prost::DecodeError) -> Rejection {
    Rejection::Malformed {
        what: "framework info",
        why: error.to_string(),
    }
}

impl Registry {
    pub(super) fn subscribe_framework(
        &mut self,
        command: &SubscribeFramework,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let info = command.info.decode().map_err(|error| malformed(&error))?;
        let named = info
            .id
            .as_ref()
            .filter(|id| !id.value.is_empty())
            .map(FrameworkId::from);
        let framework_id = match named {
            Some(id) => id,
            None => self.mint_framework_id(),
        };
        if self.is_completed_framework(&framework_id) {
            return Err(Rejection::FrameworkRemoved);
        }
        let was_known = self.framework(&framework_id).is_some();
        let (framework, info_changed) = self.merged(&framework_id, info, true, changes)?;
        let framework = self.put_framework(framework);
        if was_known {
            changes.effect(Effect::BroadcastFrameworkUpdate {
                framework_id: framework_id.clone(),
            });
            changes.event(Event::FrameworkUpdated { framework });
        } else {
            changes.event(Event::FrameworkAdded { framework });
        }
        Ok(Outcome::FrameworkSubscribed {
            framework_id,
            is_new: !was_known,
            info_changed,
        })
    }

    pub(super) fn update_framework(
        &mut self,
        command: &UpdateFramework,
        changes: &mut Changes,
    ) -> Result<Outcome, Rejection> {
        let info = command.info.decode().map_err(|error| malformed(&error))?;
        let framework_id = info
            .id
            .as_ref()
            .map(FrameworkId::from)
            .unwrap_or_else(|| FrameworkId::from(""));
        if self.framework(&framework_id).is_none() {
            return Err(Rejection::UnknownFramework(framework_id));
        }
        let (framework, info_changed) = self.merged(&framework_id, info, false, changes)?;
        if info_changed {
            let framework = self.put_framework(framework);
            changes.effect(Effect::BroadcastFrameworkUpdate {
                framework_id: framework_id.clone(),
            });
            changes.event(Event::FrameworkUpdated { framework });
        }
        Ok(Outcome::FrameworkUpdated {
            framework_id,
            info_changed,
        })
    }

    /// What is recorded of a framework that says `info` of itself. `user` and `checkpoint` never change, as in Mesos; a
    /// changed principal is refused.
    fn merged(
        &self,
        framework_id: &FrameworkId,
        mut info: FrameworkInfo,
        subscribes: bool,
        changes: &Changes,
    ) -> Result<(Framework, bool), Rejection> {
        info.id = Some(framework_id.to_proto());
        let Some(known) = self.framework(framework_id) else {
            let framework = Framework {
                id: framework_id.clone(),
                info: Decoded::new(info),
                registered_at: changes.now,
                reregistered_at: None,
                recovered: false,
            };
            return Ok((framework, true));
        };
        if info.principal != known.info.principal {
            return Err(Rejection::PrincipalChanged);
        }
        info.user.clone_from(&known.info.user);
        info.checkpoint = known.info.checkpoint;
        let info = Decoded::new(info);
        let info_changed = info != known.info;
        let framework = Framework {
            id: framework_id.clone(),
            info,
            registered_at: known.registered_at,
            reregistered_at: if subscribes && !known.recovered {
                Some(changes.now)
            } else {
                known.reregistered_at
            },
            recovered: known.recovered && !subscribes,
        };
        Ok((framework, info_changed))
    }

    /// A new id. One that a framework brought along by chance is passed over.
    fn mint_framework_id(&mut self) -> FrameworkId {
        loop {
            let number = self.cluster().next_framework;
            self.cluster_mut().next_framework = number.saturating_add(1);
            let id = FrameworkId::from(self.minted(&format!("{number:04}")));
            if self.framework(&id).is_none() && !self.is_completed_framework(&id) {
                return id;
            }
        }
    }
}
