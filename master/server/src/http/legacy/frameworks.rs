//! `/frameworks`, and frameworks as `/state` and `/state-summary` show them.

use master_core::ids::OfferId;
use proto::v1::framework_info::capability;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::list::{Labels, List, NOTHING, NoMembers};
use super::resources::Totals;
use super::task::{ExecutorJson, TaskJson};
use crate::http::answer::Parameters;
use crate::http::view::{FrameworkView, TasksOf, View};
use crate::leadership::soft_state::{OfferSoftState, SoftState};

/// The body of `/frameworks`; `?framework_id=` picks one.
pub(super) struct Frameworks<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) parameters: &'a Parameters,
}

impl Serialize for Frameworks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wanted = self.parameters.get("framework_id");
        let is_wanted = |view: &FrameworkView<'_>| wanted.is_none_or(|id| view.framework.id.as_str() == id);
        let json = |framework| FrameworkJson {
            state: self.view.state,
            framework,
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(
            "frameworks",
            &List(|| self.view.frameworks().filter(is_wanted).map(json)),
        )?;
        let completed = || self.view.completed_frameworks().filter(is_wanted).map(json);
        map.serialize_entry("completed_frameworks", &List(completed))?;
        map.serialize_entry("unregistered_frameworks", &NOTHING)?;
        map.end()
    }
}

/// A framework with its tasks, offers and executors.
pub(super) struct FrameworkJson<'a> {
    pub(super) state: &'a SoftState,
    pub(super) framework: FrameworkView<'a>,
}

impl Serialize for FrameworkJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = &self.framework;
        let framework = view.framework;
        let tasks = TasksOf::new(self.state, &framework.id);
        let mut map = serializer.serialize_map(None)?;
        write_summary(&mut map, view)?;
        write_settings(&mut map, view)?;
        map.serialize_entry("resources", &Totals(&view.resources()))?;
        if let Some(at) = framework.reregistered_at.filter(|at| *at != framework.registered_at) {
            map.serialize_entry("reregistered_time", &at.as_seconds_f64())?;
        }
        write_roles(&mut map, view)?;
        map.serialize_entry("tasks", &List(|| tasks.live().map(TaskJson)))?;
        map.serialize_entry("unreachable_tasks", &List(|| tasks.unreachable().map(TaskJson)))?;
        map.serialize_entry("completed_tasks", &List(|| tasks.completed().map(TaskJson)))?;
        map.serialize_entry(
            "offers",
            &List(|| view.offers.iter().map(|(id, offer)| OfferJson(id, offer))),
        )?;
        map.serialize_entry(
            "executors",
            &List(|| view.executors.iter().map(|executor| ExecutorJson(executor))),
        )?;
        if let Some(labels) = &framework.info.labels {
            map.serialize_entry("labels", &Labels(labels))?;
        }
        // This master knows no offer constraints yet.
        map.serialize_entry("offer_constraints", &NoMembers)?;
        map.end()
    }
}

/// The keys that `/state-summary` shows too.
pub(super) fn write_summary<M: SerializeMap>(map: &mut M, view: &FrameworkView<'_>) -> Result<(), M::Error> {
    let info = &view.framework.info;
    map.serialize_entry("id", view.framework.id.as_str())?;
    map.serialize_entry("name", &info.name)?;
    map.serialize_entry("used_resources", &Totals(&view.used))?;
    map.serialize_entry("offered_resources", &Totals(&view.offered))?;
    let names = || {
        info.capabilities
            .iter()
            .filter_map(|held| held.r#type.and_then(known_capability))
    };
    map.serialize_entry("capabilities", &List(names))?;
    map.serialize_entry("hostname", info.hostname())?;
    map.serialize_entry("webui_url", info.webui_url())?;
    map.serialize_entry("active", &view.active)?;
    map.serialize_entry("connected", &view.connected)?;
    map.serialize_entry("recovered", &view.recovered)
}

fn known_capability(number: i32) -> Option<&'static str> {
    capability::Type::try_from(number)
        .ok()
        .map(|capability| capability.as_str_name())
}

fn write_settings<M: SerializeMap>(map: &mut M, view: &FrameworkView<'_>) -> Result<(), M::Error> {
    let info = &view.framework.info;
    map.serialize_entry("user", &info.user)?;
    map.serialize_entry("failover_timeout", &info.failover_timeout())?;
    map.serialize_entry("checkpoint", &info.checkpoint())?;
    map.serialize_entry("registered_time", &view.framework.registered_at.as_seconds_f64())?;
    map.serialize_entry(
        "unregistered_time",
        &view.removed_at.unwrap_or_default().as_seconds_f64(),
    )?;
    match &info.principal {
        Some(principal) => map.serialize_entry("principal", principal),
        None => Ok(()),
    }
}

fn write_roles<M: SerializeMap>(map: &mut M, view: &FrameworkView<'_>) -> Result<(), M::Error> {
    if view.framework.has_capability(capability::Type::MultiRole) {
        return map.serialize_entry("roles", &view.framework.info.roles);
    }
    map.serialize_entry("role", view.framework.roles().first().unwrap_or(&"*"))
}

struct OfferJson<'a>(&'a OfferId, &'a OfferSoftState);

impl Serialize for OfferJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let OfferJson(id, offer) = self;
        let allocation = proto::v1::resource::AllocationInfo {
            role: Some(offer.role.clone()),
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", id.as_str())?;
        map.serialize_entry("framework_id", offer.framework_id.as_str())?;
        map.serialize_entry("allocation_info", &allocation)?;
        map.serialize_entry("slave_id", offer.agent_id.as_str())?;
        map.serialize_entry("resources", &Totals(&offer.resources))?;
        map.end()
    }
}
