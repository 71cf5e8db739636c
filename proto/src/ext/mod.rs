//! Conveniences on the generated types that every crate would otherwise write for itself.

pub mod enums;
pub mod event_position;
pub mod ids;
pub mod resource;
pub mod scheduler_call;
pub mod states;
