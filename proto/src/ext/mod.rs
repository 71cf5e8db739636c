//! Conveniences on the generated types that every crate would otherwise write for itself.

pub mod enums;
pub mod ids;
pub mod resource;
pub mod scheduler_call;
pub mod states;
