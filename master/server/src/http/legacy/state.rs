//! `/state`: everything in one object.

use std::collections::BTreeMap;

use proto::v1::{VersionInfo, master_info::capability};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::frameworks::FrameworkJson;
use super::list::{List, NOTHING};
use super::slaves::{RecoveredJson, SlaveJson};
use crate::http::view::View;

/// Facts about this process that the soft state does not hold.
pub(super) struct Process {
    pub(super) version: VersionInfo,
    pub(super) flags: BTreeMap<&'static str, String>,
    pub(super) cluster: String,
    /// Seconds since the Unix epoch.
    pub(super) start_time: f64,
}

/// The body of `/state`.
pub(super) struct State<'a> {
    pub(super) view: &'a View<'a>,
    pub(super) process: &'a Process,
}

impl Serialize for State<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let view = self.view;
        let mut map = serializer.serialize_map(None)?;
        write_version(&mut map, &self.process.version)?;
        self.write_master(&mut map)?;
        map.serialize_entry("slaves", &List(|| view.agents().map(SlaveJson)))?;
        map.serialize_entry("recovered_slaves", &List(|| view.recovered_agents().map(RecoveredJson)))?;
        let json = |framework| FrameworkJson {
            state: view.state,
            framework,
        };
        map.serialize_entry("frameworks", &List(|| view.frameworks().map(json)))?;
        map.serialize_entry("completed_frameworks", &List(|| view.completed_frameworks().map(json)))?;
        map.serialize_entry("orphan_tasks", &NOTHING)?;
        map.serialize_entry("unregistered_frameworks", &NOTHING)?;
        map.end()
    }
}

/// Version and build, as at the top of `/state` and as the whole of `/version`.
pub(super) fn write_version<M: SerializeMap>(map: &mut M, version: &VersionInfo) -> Result<(), M::Error> {
    map.serialize_entry("version", &version.version)?;
    let git = [
        ("git_sha", &version.git_sha),
        ("git_branch", &version.git_branch),
        ("git_tag", &version.git_tag),
    ];
    for (key, value) in git {
        if let Some(value) = value {
            map.serialize_entry(key, value)?;
        }
    }
    map.serialize_entry("build_date", version.build_date())?;
    map.serialize_entry("build_time", &version.build_time())?;
    map.serialize_entry("build_user", version.build_user())
}

impl State<'_> {
    fn write_master<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let state = self.view.state;
        let info = &state.master_info;
        let connected = state.agents.values().filter(|agent| agent.connected).count();
        map.serialize_entry("start_time", &self.process.start_time)?;
        map.serialize_entry("elected_time", &(state.elected_at as f64 / 1e6))?;
        map.serialize_entry("id", &info.id)?;
        map.serialize_entry("pid", info.pid())?;
        map.serialize_entry("hostname", info.hostname())?;
        let names = || {
            info.capabilities
                .iter()
                .filter_map(|held| known_capability(held.r#type?))
        };
        map.serialize_entry("capabilities", &List(names))?;
        map.serialize_entry("activated_slaves", &(connected as f64))?;
        map.serialize_entry("deactivated_slaves", &((state.agents.len() - connected) as f64))?;
        map.serialize_entry(
            "unreachable_slaves",
            &(state.registry.unreachable_agents().count() as f64),
        )?;
        if let Some(domain) = &info.domain {
            map.serialize_entry("domain", domain)?;
        }
        // Only the leader answers.
        map.serialize_entry("leader", info.pid())?;
        map.serialize_entry("leader_info", &LeaderInfo(info))?;
        map.serialize_entry("cluster", &self.process.cluster)?;
        map.serialize_entry("flags", &self.process.flags)
    }
}

fn known_capability(number: i32) -> Option<&'static str> {
    capability::Type::try_from(number)
        .ok()
        .map(|capability| capability.as_str_name())
}

struct LeaderInfo<'a>(&'a proto::v1::MasterInfo);

impl Serialize for LeaderInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let info = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &info.id)?;
        map.serialize_entry("pid", info.pid())?;
        map.serialize_entry("port", &info.port)?;
        map.serialize_entry("hostname", info.hostname())?;
        if let Some(domain) = &info.domain {
            map.serialize_entry("domain", domain)?;
        }
        map.end()
    }
}
