//! The edges of the master: HTTP APIs, libprocess messages, leadership and effects.
//!
//! Start reading at [`Master`], then `actor.rs` (the one loop), `leadership/` (what a leading master does) and `http/`
//! (how requests come in). Decisions that must be the same on every replica are made in `master-core`; what is durable
//! is decided by `replicated-log`. This crate never changes replicated state except by proposing a command.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actor;
mod config;
mod event_log;
mod http;
mod leader;
mod leadership;
mod master;
mod metrics;
mod state_machine;
mod version;

pub use config::{Config, ConfigError};
pub use master::{Master, StartError};
pub use state_machine::{log_entry, logged_command};
pub use version::{MESOS_VERSION, VERSION};
