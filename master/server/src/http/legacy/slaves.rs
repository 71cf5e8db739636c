//! `/slaves`, and agents as `/state` and `/state-summary` show them.

use master_core::registry::Agent;
use master_core::resources::Resources;
use proto::v1::agent_info::capability;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::list::List;
use super::resources::{Attributes, Reserved, Totals};
use crate::http::answer::Parameters;
use crate::http::endpoint_format::endpoint_format;
use crate::http::reservations::{reserved_by_role, unreserved};
use crate::http::view::{AgentView, View};

/// The body of `/slaves`; `?slave_id=` picks one.
pub(super) struct Slaves<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) parameters: &'a Parameters,
}

impl Serialize for Slaves<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let wanted = self.parameters.get("slave_id");
        let is_wanted = |agent: &Agent| wanted.is_none_or(|id| agent.id.as_str() == id);
        let registered = || {
            self.view
                .agents()
                .filter(|agent| is_wanted(agent.agent))
                .map(FullSlaveJson)
        };
        let recovered = || {
            self.view
                .recovered_agents()
                .filter(|agent| is_wanted(agent))
                .map(RecoveredJson)
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("slaves", &List(registered))?;
        map.serialize_entry("recovered_slaves", &List(recovered))?;
        map.end()
    }
}

/// An agent as in `/state`.
pub(super) struct SlaveJson<'a>(pub(super) AgentView<'a>);

impl Serialize for SlaveJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_slave(&mut map, &self.0)?;
        map.end()
    }
}

/// An agent as in `/slaves`: with its resources in full.
struct FullSlaveJson<'a>(AgentView<'a>);

impl Serialize for FullSlaveJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let agent = self.0.agent;
        let nothing = Resources::new();
        let offered = self.0.offered.unwrap_or(&nothing);
        let mut map = serializer.serialize_map(None)?;
        write_slave(&mut map, &self.0)?;
        map.serialize_entry("reserved_resources_full", &ReservedInFull(&agent.total))?;
        map.serialize_entry("unreserved_resources_full", &endpoint_format(&unreserved(&agent.total)))?;
        map.serialize_entry("used_resources_full", &endpoint_format(&agent.used))?;
        map.serialize_entry("offered_resources_full", &endpoint_format(offered))?;
        map.end()
    }
}

struct ReservedInFull<'a>(&'a Resources);

impl Serialize for ReservedInFull<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let parts = reserved_by_role(self.0);
        serializer.collect_map(parts.iter().map(|(role, part)| (role, endpoint_format(part))))
    }
}

/// What every agent has, also one that has not come back yet.
pub(super) struct RecoveredJson<'a>(pub(super) &'a Agent);

impl Serialize for RecoveredJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        write_identity(&mut map, self.0)?;
        map.end()
    }
}

fn write_identity<M: SerializeMap>(map: &mut M, agent: &Agent) -> Result<(), M::Error> {
    map.serialize_entry("id", agent.id.as_str())?;
    map.serialize_entry("hostname", agent.hostname())?;
    map.serialize_entry("port", &agent.info.port())?;
    map.serialize_entry("attributes", &Attributes(&agent.info.attributes))?;
    if let Some(domain) = &agent.info.domain {
        map.serialize_entry("domain", domain)?;
    }
    Ok(())
}

/// The keys of an agent, into an object that may get more.
pub(super) fn write_slave<M: SerializeMap>(map: &mut M, view: &AgentView<'_>) -> Result<(), M::Error> {
    let agent = view.agent;
    let nothing = Resources::new();
    write_identity(map, agent)?;
    map.serialize_entry("pid", &view.soft.pid)?;
    map.serialize_entry("registered_time", &agent.registered_at.as_seconds_f64())?;
    if let Some(reregistered_at) = view.reregistered_at {
        map.serialize_entry("reregistered_time", &reregistered_at.as_seconds_f64())?;
    }
    map.serialize_entry("resources", &Totals(&agent.total))?;
    map.serialize_entry("used_resources", &Totals(&agent.used))?;
    map.serialize_entry("offered_resources", &Totals(view.offered.unwrap_or(&nothing)))?;
    map.serialize_entry("reserved_resources", &Reserved(&agent.total))?;
    map.serialize_entry("unreserved_resources", &Totals(&unreserved(&agent.total)))?;
    map.serialize_entry("active", &view.soft.connected)?;
    map.serialize_entry("deactivated", &false)?;
    map.serialize_entry("version", &*agent.version)?;
    let names = || {
        agent
            .capabilities
            .iter()
            .filter_map(|number| capability::Type::try_from(*number).ok())
    };
    map.serialize_entry(
        "capabilities",
        &List(|| names().map(|capability| capability.as_str_name())),
    )
}
