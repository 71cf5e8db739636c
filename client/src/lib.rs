//! Client library for mesoraft and for Apache Mesos masters: leader discovery and the scheduler, executor, operator
//! and agent APIs over HTTP, protobuf and JSON.
//!
//! Start reading at [`Scheduler`], which keeps one framework subscribed while masters come and go;
//! [`LeaderFinder`] finds the leading master and [`Operator`] asks it questions.
//!
//! What a call returns is what is known: a call that may or may not have been carried out is
//! [`CallOutcome::Unknown`] and never repeated by this library. Nothing here may touch the network, the clock or
//! randomness but through `seams`, and nothing may retry without a pause.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent;
mod backoff;
mod encoding;
mod events;
mod executor;
mod http;
mod leader;
mod masters;
mod operator;
mod outcome;
mod scheduler;
mod subscribing;
#[cfg(test)]
mod testing;

pub use agent::AgentClient;
pub use backoff::Backoff;
pub use encoding::Encoding;
pub use events::{EventNotice, OperatorEvents};
pub use executor::{Executor, ExecutorConfig, ExecutorConfigError, ExecutorEvents, ExecutorNotice};
pub use leader::{LeaderChanges, LeaderFinder};
pub use masters::{MasterList, MasterListError};
pub use operator::{Operator, OperatorError};
pub use outcome::CallOutcome;
pub use scheduler::operations;
pub use scheduler::{Notice, Notices, Scheduler, SchedulerConfig, SchedulerConfigError};
