//! The HTTP edge: routes, redirects to the leader, decoding of requests and encoding of answers.
//!
//! Nothing here decides anything about the cluster; it asks the actor or reads a published view.

mod legacy;
mod metrics;
mod operator;
mod query;
mod redirect;
mod scheduler;
mod service;

pub(crate) use service::Edge;
