//! Checks of calls against the registry before anything is proposed. First cut: offers; the rules per call follow.
#![allow(missing_docs, clippy::all)]
use crate::resources::Resources;
use crate::*;
#[derive(Debug, Default)]
pub struct Config;
#[derive(Debug)]
pub struct Refusal {
    pub reason: proto::v1::task_status::Reason,
    pub message: String,
}
pub struct OfferView<'a> {
    pub framework_id: &'a FrameworkId,
    pub agent_id: &'a AgentId,
    pub role: &'a str,
}
pub fn offers<'a>(
    _f: &FrameworkId,
    ids: &[OfferId],
    l: impl Fn(&OfferId) -> Option<OfferView<'a>>,
) -> Result<(), String> {
    for i in ids {
        if l(i).is_none() {
            return Err(format!("Offer {i} is no longer valid"));
        }
    }
    Ok(())
}
pub fn launch(
    _r: &Registry,
    _f: &FrameworkId,
    _a: &AgentId,
    _o: &Resources,
    t: &proto::v1::TaskInfo,
) -> Result<Resources, Refusal> {
    Ok(Resources::from_proto(&t.resources).unwrap_or_default())
}
pub fn launch_group(
    _r: &Registry,
    _f: &FrameworkId,
    _a: &AgentId,
    _o: &Resources,
    e: &proto::v1::ExecutorInfo,
    t: &proto::v1::TaskGroupInfo,
) -> Result<Resources, Refusal> {
    let mut r = Resources::from_proto(&e.resources).unwrap_or_default();
    for x in &t.tasks {
        r.add(&Resources::from_proto(&x.resources).unwrap_or_default());
    }
    Ok(r)
}
pub fn subscribe(_r: &Registry, _s: &proto::v1::scheduler::call::Subscribe, _c: &Config) -> Result<(), String> {
    Ok(())
}
pub fn update_framework(
    _r: &Registry,
    _s: &proto::v1::scheduler::call::UpdateFramework,
    _c: &Config,
) -> Result<(), String> {
    Ok(())
}
pub fn register_agent(_m: &proto::internal::RegisterSlaveMessage) -> Result<(), String> {
    Ok(())
}
pub fn reregister_agent(_m: &proto::internal::ReregisterSlaveMessage) -> Result<(), String> {
    Ok(())
}
