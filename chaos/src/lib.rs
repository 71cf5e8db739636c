//! Loads and faults for clusters under test.
//!
//! So far: [`hollow`], thousands of agents in one process that run nothing, and [`launcher`], frameworks that launch as
//! much as they are offered. Uses only what any peer of a master could
//! use: the agent protocol and the HTTP APIs.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod hollow;
pub mod launcher;
