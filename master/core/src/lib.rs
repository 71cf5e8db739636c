//! The pure heart of the master: what is known (`registry`), what may change it (`command`), what came of it (`outcome`),
//! what the leader has to do about it (`effect`) and what operators are told (`event`).
//!
//! Nothing here does I/O, reads a clock, draws randomness or iterates in hash order: every replica that applies the same
//! commands holds the same registry, bit for bit, and the replicas compare their state hashes to prove it.
//!
//! Start reading at [`command::CommandKind`] (the table of contents), then `registry/apply/` (one file per command).
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod allocator;
pub mod command;
pub mod decide;
pub mod effect;
pub mod encoded;
pub mod event;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
pub mod ids;
pub mod outcome;
pub mod registry;
pub mod resources;
mod shared_text;
pub mod timestamp;
pub mod validate;
mod wire_enum;

pub use command::{Command, CommandKind};
pub use effect::Effect;
pub use encoded::{Decoded, Encoded};
pub use event::Event;
pub use ids::{AgentId, ExecutorId, FrameworkId, OfferId, TaskId};
pub use outcome::{Applied, Outcome, Rejection};
pub use registry::{Position, Registry};
pub use timestamp::Timestamp;
