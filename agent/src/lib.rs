//! The agent: runs tasks on this host, for masters that speak the Mesos protocol.
//!
//! ```text
//! masters ─ libprocess ─┐                                 ┌─► messages to the master
//! executors ─ HTTP ─────┤► actor ─► book ─► disk ─► effects ├─► supervisors ─► tasks
//! supervisors ─ pipe ───┘  (actor.rs) (book/)  (store/)     └─► events to executors
//! ```
//!
//! | folder | holds |
//! | --- | --- |
//! | `book/` | what is known and what follows from each event; no I/O |
//! | `actor/` | the one loop; nothing leaves before it is on disk |
//! | `store/` | records below `work_dir/meta` |
//! | `supervisor/` | the process that owns one task process and outlives the agent |
//! | `http/` | the port: executor API, operators' reads, sandbox files |
//! | `detector.rs`, `registration.rs` | who leads, and when to register with it |
//!
//! A task survives the agent: a restarted agent finds running tasks under the same process ids, and reports the true end
//! of those that ended meanwhile. A launch that arrives twice is started once.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod actor;
mod agent;
mod book;
mod config;
mod detector;
mod http;
mod messages;
mod processes;
mod registration;
mod resources;
mod store;
mod supervisor;

pub use agent::{Agent, AgentError};
pub use config::{Config, ConfigError};
pub use store::StoreError;
pub use supervisor::{SUBCOMMAND, executor_main};

/// Id of the agent's libprocess actor, the one unmodified agents have.
pub(crate) const ACTOR_ID: &str = "slave(1)";
