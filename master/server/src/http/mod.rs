//! The HTTP edge: routes, redirects to the leader, decoding of requests and encoding of answers.
//!
//! Nothing here decides anything about the cluster; it asks the actor or reads a published view.

mod answer;
mod endpoint_format;
pub(crate) mod event_streams;
mod flags;
mod gauges;
mod legacy;
pub(crate) mod metrics;
mod operations;
mod operator;
mod prometheus;
mod quota;
mod raft_status;
mod redirect;
mod reservations;
mod roles;
mod scheduler;
mod service;
mod settings;
#[cfg(test)]
mod tests;
mod unsupported;
mod version_info;
mod view;
mod weights;

pub(crate) use service::Edge;
